package dynamostore

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/eventsource-go/eventsource"
)

// watchers are the channels that saves of this process and one poller wake.
type watchers struct {
	mu       sync.Mutex
	channels map[chan struct{}]struct{}
	stop     context.CancelFunc // of the poller, nil while none runs
}

// Watch returns a channel that receives a value when there may be new events: at
// once after a save through this store, and within [WithWatchInterval] after any
// other. It is closed when ctx ends. All watchers share one goroutine that reads
// the heads of all shards at that interval, half a read unit each.
func (s *Store) Watch(ctx context.Context) (<-chan struct{}, error) {
	if s.err != nil {
		return nil, s.err
	}
	// What was saved before is not news, and a table that cannot be read is an error.
	heads, err := s.readHeads(ctx, true)
	if err != nil {
		return nil, s.translate(ctx, "watch", err)
	}
	w, watcher := &s.watchers, make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop == nil {
		polling, stop := context.WithCancel(context.Background())
		w.channels, w.stop = make(map[chan struct{}]struct{}), stop
		go s.poll(polling, lasts(heads))
	}
	w.channels[watcher] = struct{}{}
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.channels, watcher)
		close(watcher)
		if len(w.channels) == 0 {
			w.stop()
			w.stop = nil
		}
	})
	return watcher, nil
}

// lasts is different after every save.
func lasts(heads []head) string {
	var all strings.Builder
	for _, h := range heads {
		all.WriteString(h.last + " ")
	}
	return all.String()
}

func (w *watchers) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for watcher := range w.channels {
		select {
		case watcher <- struct{}{}:
		default: // it has a wake-up waiting
		}
	}
}

// poll wakes the watchers when a head has moved, until ctx ends.
func (s *Store) poll(ctx context.Context, seen string) {
	ticker := time.NewTicker(s.watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		heads, err := s.readHeads(ctx, false)
		if err != nil {
			continue // readers poll as well, and see the error
		}
		if now := lasts(heads); now != seen {
			seen = now
			s.watchers.wakeAll()
		}
	}
}

// Horizon reports the last event as both head and safe end. Where a shard lags
// behind it, its head is moved there first, so that no event can come before it.
func (s *Store) Horizon(ctx context.Context) (eventsource.Horizon, error) {
	if s.err != nil {
		return eventsource.Horizon{}, s.err
	}
	heads, err := s.readHeads(ctx, true)
	if err != nil {
		return eventsource.Horizon{}, s.translate(ctx, "read heads", err)
	}
	m := &merge{store: s, heads: heads, end: end(heads)}
	if _, err := m.fence(ctx, m.end); err != nil {
		return eventsource.Horizon{}, s.translate(ctx, "move heads", err)
	}
	return eventsource.Horizon{Head: m.end, SafeEnd: m.end}, nil
}
