package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
)

// FileAdded is the first event of a file, and the next one after a FileDeleted.
type FileAdded struct {
	eventsource.BaseEvent
	Path Text   `json:"path"`
	Mode string `json:"mode"`
	// Blob is the ID of the content, or of the commit that a submodule is at.
	Blob string `json:"blob"`
}

// FileModified gives a file another content, another mode, or both.
type FileModified struct {
	eventsource.BaseEvent
	Path Text   `json:"path"`
	Mode string `json:"mode"`
	Blob string `json:"blob"`
}

// FileDeleted says what the file was when it went.
type FileDeleted struct {
	eventsource.BaseEvent
	Path Text   `json:"path"`
	Mode string `json:"mode"`
	Blob string `json:"blob"`
}

// CommitPartImported is an event of the repository. Where a commit is more than
// the store takes at once, it comes after each part of the files' events but the
// last.
type CommitPartImported struct {
	eventsource.BaseEvent
	Hash string `json:"hash"`
	// Changes is how many of the commit's changes are in the store, in the order of
	// the log: those of this part and of the parts before it.
	Changes int `json:"changes"`
}

// CommitImported is an event of the repository. It comes after the events of the
// files that the commit changed, and says that these are all.
type CommitImported struct {
	eventsource.BaseEvent
	Hash   string `json:"hash"`
	Author Text   `json:"author"`
	// Time is when the author wrote it, in Unix seconds.
	Time int64 `json:"time"`
}

func newRepository(store eventsource.Store) eventsource.Repository {
	return eventsource.NewRepository(store, json.NewSerializer(
		(*FileAdded)(nil), (*FileModified)(nil), (*FileDeleted)(nil), (*CommitPartImported)(nil), (*CommitImported)(nil)))
}

// repositoryID names the aggregate of the repository whose history begins with
// the commit. All its clones have the same.
func repositoryID(firstCommit string) string { return "git:" + firstCommit[:12] }

// fileID names the aggregate of a file: by its path if an aggregate ID can hold
// that, else by its path's hash.
func fileID(repositoryID string, path Text) string {
	const hashPrefix = "sha256:"
	id := repositoryID + ":" + path.encode()
	if len(id) <= eventsource.MaxAggregateIDLength && !strings.HasPrefix(string(path), hashPrefix) {
		return id
	}
	sum := sha256.Sum256([]byte(path))
	return repositoryID + ":" + hashPrefix + hex.EncodeToString(sum[:])
}

// belongsTo reports whether the aggregate is the repository or a file of it.
func belongsTo(repositoryID, aggregateID string) bool {
	rest, ok := strings.CutPrefix(aggregateID, repositoryID)
	return ok && (rest == "" || rest[0] == ':')
}

// imported is the aggregate of a repository: how far it has been imported.
type imported struct {
	id      string
	version int
	// first and last are the commits that it begins and ends with. The last one may
	// be there in part.
	first, last string
	// commits is how many are complete, and changes how many changes of the next one
	// are there, 0 if it has not begun.
	commits, changes int
}

// begun is how many commits are there, complete or in part.
func (r *imported) begun() int {
	if r.changes > 0 {
		return r.commits + 1
	}
	return r.commits
}

func (r *imported) SetAggregateID(id string) { r.id = id }

func (r *imported) On(_ context.Context, event eventsource.Event) error {
	switch e := event.(type) {
	case *CommitPartImported:
		r.last, r.changes, r.version = e.Hash, e.Changes, e.Version
	case *CommitImported:
		r.last, r.changes, r.version = e.Hash, 0, e.Version
		r.commits++
	default:
		return fmt.Errorf("%T is no event of a repository", event)
	}
	if r.first == "" {
		r.first = r.last
	}
	return nil
}

// loadImported says how far the repository that begins with the commit has been
// imported, which may be not at all.
func loadImported(ctx context.Context, repo eventsource.Repository, firstCommit string) (*imported, error) {
	r := &imported{id: repositoryID(firstCommit)}
	_, err := repo.Load(ctx, r.id, r)
	if err != nil && !errors.Is(err, eventsource.ErrNoHistory) {
		return nil, err
	}
	if r.first != "" && r.first != firstCommit {
		return nil, fmt.Errorf("the store holds another repository under the ID %s: it begins with commit %s, this one with %s",
			r.id, r.first, firstCommit)
	}
	return r, nil
}
