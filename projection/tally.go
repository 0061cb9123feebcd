package projection

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/eventsource-go/eventsource"
)

const (
	// countTimeout is for how long the store may count.
	countTimeout = 30 * time.Second
	// countPatience is for how long to wait for somebody else who has it count.
	countPatience = time.Second
	// recountAfter is how old a count may become: what is parked, or handled again, makes
	// it less and less right. One that took long may become this many times as old as it took.
	recountAfter = time.Minute
	recountShare = 60
)

// tally knows how many events a version has left to handle. It has them counted once,
// then takes off what the checkpoint says was handled, and has only those counted that
// were saved since.
type tally struct {
	mu       sync.Mutex
	known    bool
	left     int64  // when it was last asked for
	end      string // up to here they were counted
	handled  int64  // how many the version had handled
	position string
	next     time.Time // not to be counted anew before
}

// ofVersion is how many events the version has left up to the end, which has to be read after
// the version; -1 if that is not known. With several partitions it is an estimate, and too
// high rather than too low.
func (t *tally) ofVersion(ctx context.Context, feed eventsource.Feed, v *version, end storeEnd) int64 {
	for deadline := time.Now().Add(countPatience); !t.mu.TryLock(); {
		if time.Now().After(deadline) || sleep(ctx, 5*time.Millisecond) != nil {
			return -1
		}
	}
	defer t.mu.Unlock()
	position, handled, now := v.position(), v.handled(), time.Now()
	switch {
	case position >= end.readable:
		t.known, t.left, t.end, t.next = true, 0, position, now.Add(recountAfter)
	case t.known && position >= t.position && now.Before(t.next):
		t.left = max(0, t.left-(handled-t.handled))
		if err := t.count(ctx, feed, v, max(t.end, position), end.readable); err != nil {
			t.known = false
		}
	case !t.known && now.Before(t.next): // it has failed
	default:
		t.left = 0
		err := t.count(ctx, feed, v, position, end.readable)
		t.known = err == nil
		t.next = now.Add(max(recountAfter, recountShare*time.Since(now)))
		if errors.Is(err, errors.ErrUnsupported) {
			t.next = now.Add(24 * time.Hour)
		}
	}
	t.handled, t.position = handled, position
	if !t.known {
		return -1
	}
	return t.left
}

// count adds those after one place up to another.
func (t *tally) count(ctx context.Context, feed eventsource.Feed, v *version, after, end string) error {
	if after >= end {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	n, err := feed.Count(ctx, eventsource.Query{After: after, Before: following(end), Types: v.data.Types})
	if err != nil {
		return err
	}
	t.left, t.end = t.left+n, end
	return nil
}

// handled is how many events the version has handled.
func (v *version) handled() int64 {
	var n int64
	for i := range v.partitions {
		n += v.partitions[i].row.Handled
	}
	return n
}

// storeEnd is where a store ends.
type storeEnd struct {
	known    bool
	head     string // the last event
	readable string // the last one that readers are handed
}

// endOf asks a store where it ends. Some cannot tell.
func endOf(ctx context.Context, feed eventsource.Feed) (storeEnd, error) {
	if reporter, ok := feed.Store().(eventsource.HorizonReporter); ok {
		horizon, err := reporter.Horizon(ctx)
		if !errors.Is(err, errors.ErrUnsupported) {
			return storeEnd{err == nil, horizon.Head, horizon.SafeEnd}, err
		}
	}
	for record, err := range feed.Records(ctx, eventsource.Query{Descending: true, Limit: 1}) {
		if errors.Is(err, errors.ErrUnsupported) {
			return storeEnd{}, nil
		}
		return storeEnd{err == nil, record.SequenceID, record.SequenceID}, err
	}
	return storeEnd{known: true}, nil
}

// timeLag is the time between a position and the head, 0 if and only if they are
// level. At the beginning it is that between the first event and the head.
func timeLag(ctx context.Context, feed eventsource.Feed, position, head string) (time.Duration, error) {
	if position >= head {
		return 0, nil
	}
	if position == "" {
		for record, err := range feed.Records(ctx, eventsource.Query{Limit: 1}) {
			if err != nil {
				return 0, err
			}
			position = record.SequenceID
		}
	}
	return max(between(position, head), time.Millisecond), nil
}
