package snapshot

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/eventsource-go/eventsource"
)

// pending is a snapshot that waits to be stored.
type pending struct {
	ctx      context.Context
	snapshot eventsource.Snapshot
}

// queue holds pending snapshots. While there are any, one goroutine works.
type queue struct {
	size int

	mu      sync.Mutex
	waiting []pending
	idle    chan struct{} // closed when the goroutine ends, nil if there is none
	full    bool          // since the last snapshot that was accepted
}

// add accepts a snapshot, unless the queue is full; first says that it has become so.
// One with the same key that still waits gives way to it.
func (q *queue) add(p pending, store func(context.Context, eventsource.Snapshot)) (accepted, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	same := slices.IndexFunc(q.waiting, func(w pending) bool { return KeyOf(&w.snapshot) == KeyOf(&p.snapshot) })
	switch {
	case same >= 0 && q.waiting[same].snapshot.SequenceID > p.snapshot.SequenceID:
	case same >= 0:
		q.waiting[same] = p
	case len(q.waiting) >= q.size:
		first, q.full = !q.full, true
		return false, first
	default:
		q.waiting = append(q.waiting, p)
	}
	q.full = false
	if q.idle == nil {
		q.idle = make(chan struct{})
		go q.work(store)
	}
	return true, false
}

// work stores all snapshots that wait, one after the other.
func (q *queue) work(store func(context.Context, eventsource.Snapshot)) {
	for {
		p, ok := q.next()
		if !ok {
			return
		}
		store(p.ctx, p.snapshot)
	}
}

// next takes a snapshot out of the queue. Without one, the goroutine has ended.
func (q *queue) next() (pending, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		close(q.idle)
		q.idle = nil
		return pending{}, false
	}
	p := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	return p, true
}

// wait waits until there is nothing to do.
func (q *queue) wait(ctx context.Context) error {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	if idle == nil {
		return ctx.Err()
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("eventsource/snapshot: wait for pending snapshots: %w", ctx.Err())
	}
}
