package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// readModel is what a projection makes of the events: the files, the authors, and the
// activity by week of each repository.
type readModel interface {
	// run keeps it up to date until the context ends. halfway is closed when half of
	// the history has been imported.
	run(ctx context.Context, repo eventsource.Repository, halfway <-chan struct{}) error
	// upTo gives what it says of a repository once it has handled the event. Until run
	// has returned that may still change.
	upTo(ctx context.Context, repo eventsource.Repository, repositoryID, sequenceID string) (*snapshot, error)
}

// projectionName is what the checkpoints know the projection as.
const projectionName = "history"

// modelEvents are the events that the read model is made of.
func modelEvents() []eventsource.Event {
	return []eventsource.Event{&FileAdded{}, &FileModified{}, &FileDeleted{}, &CommitImported{}}
}

// snapshot is what a read model says of one repository. Paths and authors are as
// [Text.encode] has them.
type snapshot struct {
	version int // of the projection, 0 in memory, where there is one only
	files   map[string]fileState
	authors map[string]authorState
	weeks   map[time.Time]int // commits
	// weeksByAuthor is nil where that is not known, as in version 1.
	weeksByAuthor map[authorWeek]int
}

type fileState struct {
	mode, blob string
	// changes are those since the file was last added, and author made the last one.
	changes int
	author  string
}

type authorState struct {
	commits, changes int
	// first and last are the times of commits in Unix seconds, 0 where git cannot tell.
	first, last int64
}

type authorWeek struct {
	week   time.Time
	author string
}

func newSnapshot() *snapshot {
	return &snapshot{
		files: make(map[string]fileState), authors: make(map[string]authorState),
		weeks: make(map[time.Time]int), weeksByAuthor: make(map[authorWeek]int),
	}
}

func (s *snapshot) putFile(path, author, mode, blob string) {
	s.files[path] = fileState{mode: mode, blob: blob, changes: s.files[path].changes + 1, author: author}
	s.countChange(author)
}

func (s *snapshot) deleteFile(path, author string) {
	delete(s.files, path)
	s.countChange(author)
}

func (s *snapshot) countChange(author string) {
	a := s.authors[author]
	a.changes++
	s.authors[author] = a
}

func (s *snapshot) countCommit(author string, unix int64) {
	a := s.authors[author]
	a.commits++
	if at, ok := timeOf(unix); ok {
		if a.first == 0 || unix < a.first {
			a.first = unix
		}
		a.last = max(a.last, unix)
		s.weeks[weekOf(at)]++
		s.weeksByAuthor[authorWeek{weekOf(at), author}]++
	}
	s.authors[author] = a
}

// timeOf gives the time of a commit, if that is one to believe: commits of other times
// count for their authors, and for no week.
func timeOf(unix int64) (time.Time, bool) {
	at := time.Unix(unix, 0).UTC()
	return at, unix > 0 && at.Year() <= 9999
}

// weekOf gives the Monday of an ISO week.
func weekOf(at time.Time) time.Time {
	sinceMonday := (int(at.Weekday()) + 6) % 7
	return time.Date(at.Year(), at.Month(), at.Day()-sinceMonday, 0, 0, 0, 0, time.UTC)
}

// repositoryOf gives the repository of an aggregate, which is itself one or a file.
func repositoryOf(aggregateID string) string {
	scheme, rest, _ := strings.Cut(aggregateID, ":")
	first, _, _ := strings.Cut(rest, ":")
	return scheme + ":" + first
}

// memoryModel is a read model in memory, for stores that have no place for one. Each
// process makes its own from the first event on.
type memoryModel struct {
	checkpoints *projection.Memory
	options     []projection.Option

	mu           sync.Mutex
	last         string // the event that was handled last
	repositories map[string]*snapshot
}

func newMemoryModel(options ...projection.Option) *memoryModel {
	return &memoryModel{checkpoints: projection.NewMemory(), options: options, repositories: make(map[string]*snapshot)}
}

func (m *memoryModel) run(ctx context.Context, repo eventsource.Repository, _ <-chan struct{}) error {
	options := append([]projection.Option{projection.WithCheckpoints(m.checkpoints)}, m.options...)
	return projection.New(projectionName, repo, projection.Each(m.handle, modelEvents()...), options...).Run(ctx)
}

// handle applies an event, once: without a transaction around it and the checkpoint, an
// event may come again.
func (m *memoryModel) handle(_ context.Context, event eventsource.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if event.GetSequenceID() <= m.last {
		return nil
	}
	m.last = event.GetSequenceID()
	id := repositoryOf(event.GetAggregateID())
	s := m.repositories[id]
	if s == nil {
		s = newSnapshot()
		m.repositories[id] = s
	}
	switch e := event.(type) {
	case *FileAdded:
		s.putFile(e.Path.encode(), e.UserID, e.Mode, e.Blob)
	case *FileModified:
		s.putFile(e.Path.encode(), e.UserID, e.Mode, e.Blob)
	case *FileDeleted:
		s.deleteFile(e.Path.encode(), e.UserID)
	case *CommitImported:
		s.countCommit(e.Author.encode(), e.Time)
	}
	return nil
}

func (m *memoryModel) upTo(ctx context.Context, repo eventsource.Repository, repositoryID, sequenceID string) (*snapshot, error) {
	if err := projection.NewManager(repo, m.checkpoints).WaitFor(ctx, projectionName, sequenceID); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.repositories[repositoryID], nil
}
