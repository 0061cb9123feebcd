package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/eventsource-go/eventsource"
)

// importer saves the commits that the store does not have yet.
type importer struct {
	repo   eventsource.Repository
	source source
	// done is how far earlier runs have come.
	done *imported
	// onCommit is called after each commit that was saved.
	onCommit func()
}

// importStats is what an import did.
type importStats struct {
	commits, changes int
	took             time.Duration
}

// events are the changes and one event a commit.
func (s importStats) events() int { return s.changes + s.commits }

// run imports to the end of the history, or to the first error: what was
// imported before stays, and another run goes on from there.
func (im *importer) run(ctx context.Context) (stats importStats, err error) {
	start := time.Now()
	defer func() { stats.took = time.Since(start) }()

	total := im.source.outline().commits
	if im.done.commits > total {
		return stats, im.notOurHistory()
	}
	log, err := im.source.openLog(ctx)
	if err != nil {
		return stats, err
	}
	defer func() {
		// When git fails its output ends too early, so its own word goes first.
		if closeErr := log.Close(); closeErr != nil {
			err = closeErr
		}
	}()

	number := 0
	for c, err := range parseLog(log) {
		if err != nil {
			return stats, err
		}
		number++
		if number <= im.done.commits {
			if number == im.done.commits && c.hash != im.done.last {
				return stats, im.notOurHistory()
			}
			continue
		}
		if err := im.save(ctx, number, c); err != nil {
			return stats, err
		}
		stats.commits++
		stats.changes += len(c.changes)
		im.onCommit()
	}
	if number != total {
		return stats, fmt.Errorf("the log has %d commits, but had %d a moment ago", number, total)
	}
	return stats, nil
}

// save stores a commit: the events of its files and one of the repository, all
// or none.
func (im *importer) save(ctx context.Context, number int, c commit) error {
	events := make([]eventsource.Event, 0, len(c.changes)+1)
	for _, change := range c.changes {
		events = append(events, fileEvent(im.done.id, c, change))
	}
	base := baseEvent(im.done.id, c)
	base.Version = number // this one, or none: another importer may be at work
	events = append(events, &CommitImported{BaseEvent: base, Hash: c.hash, Author: c.author, Time: c.time})

	err := im.repo.Save(ctx, events...)
	switch {
	case errors.Is(err, eventsource.ErrConflict):
		return fmt.Errorf("commit %s, number %d, was imported by somebody else just now; "+
			"leave it to them, or run again to go on from there: %w", c.hash, number, err)
	case errors.Is(err, eventsource.ErrOutcomeUnknown):
		return fmt.Errorf("commit %s, number %d, may be stored or not; run again to go on from where it is: %w", c.hash, number, err)
	case err != nil:
		return fmt.Errorf("commit %s, number %d, could not be saved: %w", c.hash, number, err)
	}
	return nil
}

func (im *importer) notOurHistory() error {
	return fmt.Errorf("commit %s, the last of the %d that the store has of %s, is not in this history: "+
		"it was rewritten, or this is another branch", im.done.last, im.done.commits, im.done.id)
}

// fileEvent is the event of the file that a change is about.
func fileEvent(repositoryID string, c commit, change change) eventsource.Event {
	base := baseEvent(fileID(repositoryID, change.path), c)
	switch change.status {
	case 'A':
		return &FileAdded{BaseEvent: base, Path: change.path, Mode: change.newMode, Blob: change.newBlob}
	case 'D':
		return &FileDeleted{BaseEvent: base, Path: change.path, Mode: change.oldMode, Blob: change.oldBlob}
	default:
		return &FileModified{BaseEvent: base, Path: change.path, Mode: change.newMode, Blob: change.newBlob}
	}
}

// baseEvent dates an event to when the author wrote the commit. A time that
// nanoseconds cannot tell becomes the time of the save.
func baseEvent(aggregateID string, c commit) eventsource.BaseEvent {
	base := eventsource.BaseEvent{AggregateID: aggregateID, UserID: c.author.encode()}
	if c.time > 0 && c.time <= math.MaxInt64/int64(time.Second) {
		base.Timestamp = c.time * int64(time.Second)
	}
	return base
}
