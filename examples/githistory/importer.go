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

	// version is that of the repository's last event.
	version int
	stats   importStats
}

// importStats is what an import did.
type importStats struct {
	commits, changes int
	// parts are the saves that large commits took before their last one.
	parts int
	took  time.Duration
}

// events are the changes, and one event for each part and for each commit.
func (s importStats) events() int { return s.changes + s.parts + s.commits }

// run imports to the end of the history, or to the first error: what was
// imported before stays, and another run goes on from there.
func (im *importer) run(ctx context.Context) (stats importStats, err error) {
	start := time.Now()
	defer func() {
		stats = im.stats
		stats.took = time.Since(start)
	}()

	im.version = im.done.version
	total := im.source.outline().commits
	if im.done.begun() > total {
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
		if number == im.done.begun() && c.hash != im.done.last {
			return stats, im.notOurHistory()
		}
		if number <= im.done.commits {
			continue
		}
		if err := im.save(ctx, number, c); err != nil {
			return stats, err
		}
		im.stats.commits++
		im.onCommit()
	}
	if number != total {
		return stats, fmt.Errorf("the log has %d commits, but had %d a moment ago", number, total)
	}
	return stats, nil
}

// save stores a commit: in one save, or if that is more than the store takes at
// once in parts. A part that is there already is not saved again.
func (im *importer) save(ctx context.Context, number int, c commit) error {
	from := 0 // where the next part begins
	if number == im.done.commits+1 {
		from = im.done.changes
	}
	if from > len(c.changes) {
		return fmt.Errorf("commit %s has %d changes in this history, but the store has %d of them", c.hash, len(c.changes), from)
	}
	for most := len(c.changes); ; {
		n := min(most, len(c.changes)-from)
		err := im.savePart(ctx, c, from, from+n)
		var tooLarge *eventsource.SaveTooLargeError
		switch {
		case errors.As(err, &tooLarge) && n > 1:
			most = fewer(n, tooLarge)
		case err != nil:
			return explain(err, number, c)
		case from+n == len(c.changes):
			return nil
		default:
			from += n
			im.stats.parts++
		}
	}
}

// fewer says how many changes to try when n were too many: as many as the store
// takes beside the repository's event, or half.
func fewer(n int, err *eventsource.SaveTooLargeError) int {
	if most := err.MaxEvents - 1; most > 0 && most < n {
		return most
	}
	return n / 2
}

// savePart stores the events of some of a commit's changes and one of the
// repository, all or none. That one says how far the commit is, so that another
// run finds no change without a word on whose it is.
func (im *importer) savePart(ctx context.Context, c commit, from, to int) error {
	events := make([]eventsource.Event, 0, to-from+1)
	for _, change := range c.changes[from:to] {
		events = append(events, fileEvent(im.done.id, c, change))
	}
	base := baseEvent(im.done.id, c)
	base.Version = im.version + 1 // this one, or none: another importer may be at work
	if to < len(c.changes) {
		events = append(events, &CommitPartImported{BaseEvent: base, Hash: c.hash, Changes: to})
	} else {
		events = append(events, &CommitImported{BaseEvent: base, Hash: c.hash, Author: c.author, Time: c.time})
	}
	if err := im.repo.Save(ctx, events...); err != nil {
		return err
	}
	im.version++
	im.stats.changes += to - from
	return nil
}

// explain says what an error means for the commit.
func explain(err error, number int, c commit) error {
	switch {
	case errors.Is(err, eventsource.ErrConflict):
		return fmt.Errorf("commit %s, number %d, was imported by somebody else just now; "+
			"leave it to them, or run again to go on from there: %w", c.hash, number, err)
	case errors.Is(err, eventsource.ErrOutcomeUnknown):
		return fmt.Errorf("commit %s, number %d, may be stored or not; run again to go on from where it is: %w", c.hash, number, err)
	}
	return fmt.Errorf("commit %s, number %d, could not be saved: %w", c.hash, number, err)
}

func (im *importer) notOurHistory() error {
	return fmt.Errorf("commit %s, the last of the %d that the store has of %s, is not in this history: "+
		"it was rewritten, or this is another branch", im.done.last, im.done.begun(), im.done.id)
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
