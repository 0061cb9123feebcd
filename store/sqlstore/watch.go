package sqlstore

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// wakeUpGap is the shortest time between two wake-ups that a store sends.
	// Saves in between share the second one.
	wakeUpGap = 4 * time.Millisecond
	// wakeUpTimeout bounds the sending of one. A lost wake-up only costs time.
	wakeUpTimeout = 5 * time.Second
	// listenerCheck is how long a listener hears nothing before it asks whether its
	// connection is still there.
	listenerCheck = 15 * time.Second
)

// Notify wakes the watchers of all processes. It is for those who commit appends
// themselves, see [Store.WithTx]; all others are woken by the store.
//
// It must not be called inside the transaction that appends: NOTIFY takes a lock
// that makes all such commits wait for each other.
func (s *Store) Notify(ctx context.Context) error {
	conn, err := s.acquire(ctx, "notify")
	if err != nil {
		return err
	}
	defer conn.Release()
	batch := &pgx.Batch{}
	batch.Queue(s.sql.notifyAsync)
	batch.Queue(s.sql.notifySend, s.sql.table)
	// A batch is one implicit transaction.
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return s.translate(ctx, "notify", err)
	}
	return nil
}

// notifier sends wake-ups after commits, in a goroutine that ends when there is
// nothing more to send.
type notifier struct {
	mu      sync.Mutex
	running bool
	pending bool
}

func (n *notifier) wake(s *Store) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending = true
	if !n.running {
		n.running = true
		go n.run(s)
	}
}

func (n *notifier) run(s *Store) {
	for n.next() {
		ctx, cancel := context.WithTimeout(context.Background(), wakeUpTimeout)
		_ = s.Notify(ctx) // readers poll as well
		cancel()
		time.Sleep(wakeUpGap)
	}
}

func (n *notifier) next() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running, n.pending = n.pending, false
	return n.running
}

// watchers are the channels that one listener serves.
type watchers struct {
	// starting is full while the first watcher connects, so that others wait for its
	// connection instead of making one each.
	starting chan struct{}

	mu       sync.Mutex
	channels map[chan struct{}]struct{}
	stop     context.CancelFunc // nil while no listener runs
}

// Watch returns a channel that receives a value when there may be new events,
// merged, and also after an interruption of the connection in which wake-ups may
// have been lost. It is closed when ctx ends.
//
// All watchers of a store share one connection, which is taken out of the pool
// and closed with the last of them. Through a proxy that shares connections
// between transactions, such as PgBouncer in transaction mode, no wake-up
// arrives, and other clients get what is sent for this one. Watch through a store of
// its own then, whose pool goes past the proxy; it is woken by saves of all. Where
// there is no such way, do not watch; poll.
func (s *Store) Watch(ctx context.Context) (<-chan struct{}, error) {
	if s.err != nil {
		return nil, s.err
	}
	w, watcher := &s.watchers, make(chan struct{}, 1)
	select {
	case w.starting <- struct{}{}:
		defer func() { <-w.starting }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !w.add(watcher) {
		conn, err := s.listen(ctx)
		if err != nil {
			return nil, err
		}
		listening, stop := context.WithCancel(context.Background())
		w.start(watcher, stop)
		go s.follow(listening, conn)
	}
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

// add adds a watcher if a listener runs.
func (w *watchers) add(watcher chan struct{}) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop == nil {
		return false
	}
	w.channels[watcher] = struct{}{}
	return true
}

// start adds the first watcher of a listener.
func (w *watchers) start(watcher chan struct{}, stop context.CancelFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop = stop
	w.channels = map[chan struct{}]struct{}{watcher: {}}
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

// listen returns a connection of its own that listens.
func (s *Store) listen(ctx context.Context) (*pgx.Conn, error) {
	pooled, err := s.acquire(ctx, "listen")
	if err != nil {
		return nil, err
	}
	var channel *string
	if err := pooled.QueryRow(ctx, s.sql.channel, s.sql.table).Scan(&channel); err != nil {
		pooled.Release()
		return nil, s.translate(ctx, "listen", err)
	}
	if channel == nil {
		pooled.Release()
		return nil, s.notMigrated(nil)
	}
	if _, err := pooled.Exec(ctx, "LISTEN "+pgx.Identifier{*channel}.Sanitize()); err != nil {
		pooled.Release()
		return nil, s.translate(ctx, "listen", err)
	}
	return pooled.Hijack(), nil
}

// follow wakes the watchers until ctx ends, and listens anew when the connection
// breaks.
func (s *Store) follow(ctx context.Context, conn *pgx.Conn) {
	wait := time.Duration(0)
	for ctx.Err() == nil {
		if conn == nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			wait = min(2*wait+50*time.Millisecond, 5*time.Second)
			conn, _ = s.listen(ctx)
			if conn != nil {
				s.watchers.wakeAll() // what was sent meanwhile is lost
			}
			continue
		}
		if err := waitForWakeUp(ctx, conn); err != nil {
			closing, cancel := detached(ctx, rollbackTimeout)
			_ = conn.Close(closing)
			cancel()
			conn = nil
			continue
		}
		wait = 0
		s.watchers.wakeAll()
	}
	if conn != nil {
		closing, cancel := detached(ctx, rollbackTimeout)
		defer cancel()
		_ = conn.Close(closing)
	}
}

// waitForWakeUp returns nil when one arrived, and an error when the connection
// is of no more use.
func waitForWakeUp(ctx context.Context, conn *pgx.Conn) error {
	for {
		quiet, cancel := context.WithTimeout(ctx, listenerCheck)
		_, err := conn.WaitForNotification(quiet)
		timedOut := quiet.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !timedOut {
			return err
		}
		checking, cancel := context.WithTimeout(ctx, wakeUpTimeout)
		err = conn.Ping(checking)
		cancel()
		if err != nil {
			return err
		}
	}
}
