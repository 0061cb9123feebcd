package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventsource-go/eventsource"
)

// reader rebuilds a repository's tree and authors from its events. It follows
// them while they are being written, and keeps nothing of its position but the
// last sequence ID that it handled.
type reader struct {
	repo  eventsource.Repository
	store eventsource.Store
	// id is the repository's aggregate. The store may hold other ones too.
	id string

	last    string
	tree    map[Text]file
	authors map[Text]int
	commits int
	// version is that of the repository's last event.
	version int
	// begun is the commit that is there in part, "" if none is, and changes how many
	// have come since the last complete one.
	begun   string
	changes int
	// events counts all events, own those of the repository.
	events, own int
	// busy is how long it read, without the time that it waited for events.
	busy time.Duration
}

func newReader(store eventsource.Store, repo eventsource.Repository, id string) *reader {
	return &reader{repo: repo, store: store, id: id, tree: make(map[Text]file), authors: make(map[Text]int)}
}

const pageSize = 500

// follow handles events until it has handled the commit of that number. Others
// may be importing more than this run does, so it goes no further.
func (r *reader) follow(ctx context.Context, untilCommit int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the watch
	wake, poll, err := r.watch(ctx)
	if err != nil {
		return fmt.Errorf("reader: %w", err)
	}
	for r.commits < untilCommit {
		start := time.Now()
		events, err := r.repo.GetEventsBySequenceID(ctx, r.last, pageSize)
		if err != nil {
			return fmt.Errorf("reader, after %q: %w", r.last, err)
		}
		for _, event := range events {
			if err := r.handle(event); err != nil {
				return fmt.Errorf("reader, at %s: %w", event.GetSequenceID(), err)
			}
			if r.commits == untilCommit {
				break
			}
		}
		r.busy += time.Since(start)
		if len(events) < pageSize && r.commits < untilCommit {
			if err := wait(ctx, wake, poll); err != nil {
				return err
			}
		}
	}
	return nil
}

// watch has the store wake the reader, if it can. Wake-ups may get lost, so the
// reader polls as well.
func (r *reader) watch(ctx context.Context) (wake <-chan struct{}, poll time.Duration, err error) {
	const often, seldom = 50 * time.Millisecond, time.Second
	watcher, ok := r.store.(eventsource.Watcher)
	if !ok {
		return nil, often, nil
	}
	if wake, err = watcher.Watch(ctx); errors.Is(err, errors.ErrUnsupported) {
		return nil, often, nil
	}
	return wake, seldom, err
}

func wait(ctx context.Context, wake <-chan struct{}, poll time.Duration) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case _, open := <-wake:
		if open {
			return nil
		}
	case <-timer.C:
		return nil
	}
	// The watch has ended before its time: poll.
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// handle applies an event. One that does not follow from those before it means
// that some were lost, doubled or swapped.
func (r *reader) handle(event eventsource.Event) error {
	if id := event.GetSequenceID(); id <= r.last {
		return fmt.Errorf("sequence ID %s comes after %s", id, r.last)
	}
	r.last = event.GetSequenceID()
	r.events++
	if !belongsTo(r.id, event.GetAggregateID()) {
		return nil
	}
	r.own++
	switch e := event.(type) {
	case *CommitPartImported:
		if e.Changes != r.changes {
			return fmt.Errorf("commit %s has %d changes so far, but %d came", e.Hash, e.Changes, r.changes)
		}
		return r.follows(e.Version, e.Hash)
	case *CommitImported:
		if err := r.follows(e.Version, e.Hash); err != nil {
			return err
		}
		r.begun, r.changes = "", 0
		r.commits++
		r.authors[e.Author]++
		return nil
	}
	r.changes++
	return r.change(event)
}

// follows checks an event of the repository against the one before it.
func (r *reader) follows(version int, hash string) error {
	if version != r.version+1 {
		return fmt.Errorf("commit %s has version %d after version %d", hash, version, r.version)
	}
	if r.begun != "" && hash != r.begun {
		return fmt.Errorf("commit %s comes in the middle of commit %s", hash, r.begun)
	}
	r.version, r.begun = version, hash
	return nil
}

// change applies an event of a file.
func (r *reader) change(event eventsource.Event) error {
	switch e := event.(type) {
	case *FileAdded:
		if _, ok := r.tree[e.Path]; ok {
			return fmt.Errorf("path %q is added, but is there", e.Path)
		}
		r.tree[e.Path] = file{mode: e.Mode, blob: e.Blob}
	case *FileModified:
		if _, ok := r.tree[e.Path]; !ok {
			return fmt.Errorf("path %q is modified, but is not there", e.Path)
		}
		r.tree[e.Path] = file{mode: e.Mode, blob: e.Blob}
	case *FileDeleted:
		if was := (file{mode: e.Mode, blob: e.Blob}); r.tree[e.Path] != was {
			return fmt.Errorf("path %q is deleted as %v, but is %v", e.Path, was, r.tree[e.Path])
		}
		delete(r.tree, e.Path)
	default:
		return fmt.Errorf("%T is no event of a repository", event)
	}
	return nil
}
