package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
)

// Tx returns the database transaction that a transaction of this store holds, so
// that the caller can write tables of its own in it; events and tables commit
// together. It also finds it in what [eventsource.Repository.SaveTransaction]
// returns. It returns nil and false for a transaction of another store.
//
// Commit and Rollback of the result are [ErrNotInControl]. It is not safe for
// concurrent use, and not to be used after the transaction has ended.
func Tx(transaction eventsource.StoreTransaction) (pgx.Tx, bool) {
	for transaction != nil {
		if t, ok := transaction.(interface{ tx() pgx.Tx }); ok {
			return t.tx(), true
		}
		wrapper, ok := transaction.(interface {
			Unwrap() eventsource.StoreTransaction
		})
		if !ok {
			return nil, false
		}
		transaction = wrapper.Unwrap()
	}
	return nil, false
}

// lentTx is a transaction in the hands of someone who may not end it.
type lentTx struct{ pgx.Tx }

func (lentTx) Commit(context.Context) error   { return ErrNotInControl }
func (lentTx) Rollback(context.Context) error { return ErrNotInControl }

// NewTransaction begins a database transaction and inserts the records in it.
// They hold readers back until Commit or Rollback. When ctx ends first, the
// transaction is rolled back, at the price of its connection. While another
// transaction is about to store the same version of an aggregate, or to reserve or
// release the same value, NewTransaction waits for it to end.
//
// [Tx] gives the database transaction.
func (s *Store) NewTransaction(ctx context.Context, records ...eventsource.Record) (eventsource.StoreTransaction, error) {
	if err := s.validate(ctx, records); err != nil {
		return nil, err
	}
	e, err := newEntry(records)
	if err != nil {
		return nil, err
	}
	conn, err := s.acquire(ctx, "begin a transaction")
	if err != nil {
		return nil, err
	}
	from, err := s.session(ctx, conn.Conn())
	if err != nil {
		conn.Release()
		return nil, s.translate(ctx, "begin a transaction", err)
	}
	tx, err := s.insert(ctx, conn.Conn(), &e, pgx.TxOptions{IsoLevel: pgx.ReadCommitted},
		func(err error) bool { return lostRace(err) || deadlocked(err) })
	if err != nil {
		conn.Release()
		return nil, err
	}
	t := &transaction{store: s, ctx: ctx, conn: conn, pgxTx: tx, session: from, records: e.records}
	t.stopWatching = context.AfterFunc(ctx, t.expire)
	return t, nil
}

// beginner is a connection, or a transaction that begins savepoints.
type beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// insert begins a transaction, inserts the entry in it and calls the hooks, and tries
// again for as long as again says so. After an error the transaction has ended.
func (s *Store) insert(ctx context.Context, db beginner, e *entry, options pgx.TxOptions, again func(error) bool) (pgx.Tx, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		tx, err := db.BeginTx(ctx, options)
		if err != nil {
			return nil, s.translate(ctx, "begin a transaction", err)
		}
		err = s.appendInCalls(ctx, tx, e)
		if err == nil {
			err = s.callHooks(ctx, tx, e.records)
		}
		if err == nil {
			return tx, nil
		}
		if rollbackErr := rollbackTx(ctx, tx); rollbackErr != nil || !again(err) {
			return nil, s.translate(ctx, "save", errors.Join(err, rollbackErr))
		}
		select {
		case <-ctx.Done():
			return nil, s.translate(ctx, "save", ctx.Err())
		case <-time.After(rand.N(wait)): //nolint:gosec // jitter
		}
	}
}

// rollbackTx rolls back whatever became of the context. A connection on which
// that fails is closed by pgx, unless it is a savepoint that fails.
func rollbackTx(ctx context.Context, tx pgx.Tx) error {
	ctx, cancel := detached(ctx, rollbackTimeout)
	defer cancel()
	return tx.Rollback(ctx)
}

// transaction is a database transaction that holds records.
type transaction struct {
	store        *Store
	ctx          context.Context
	session      session
	pgxTx        pgx.Tx
	stopWatching func() bool

	mu      sync.Mutex
	conn    *pgxpool.Conn // nil once it was given back
	done    bool
	records []eventsource.Record
}

func (t *transaction) tx() pgx.Tx { return lentTx{t.pgxTx} }

// expire is called when the context ends while the transaction is open. The
// caller may be using the connection at this very moment, and pgx's connections
// are not safe for concurrent use. So it is cut below pgx: the server rolls back
// when it notices, which a cancel request makes it do at once. One that comes before
// a statement that is on its way is lost, so there are several.
func (t *transaction) expire() {
	conn := t.cut()
	if conn == nil {
		return
	}
	ctx, cancel := detached(t.ctx, rollbackTimeout)
	defer cancel()
	for _, wait := range []time.Duration{0, 10 * time.Millisecond, 40 * time.Millisecond, 150 * time.Millisecond} {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		_ = conn.CancelRequest(ctx)
	}
}

// cut cuts the connection, and returns what is left of it, or nil if there is none.
func (t *transaction) cut() *pgconn.PgConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return nil
	}
	conn := t.conn.Hijack().PgConn()
	t.conn = nil
	_ = conn.Conn().Close()
	return conn
}

// end takes over the connection for the last statement, once.
func (t *transaction) end() (*pgxpool.Conn, error) {
	t.stopWatching()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return nil, eventsource.ErrTransactionDone
	}
	t.done = true
	conn := t.conn
	t.conn = nil
	return conn, nil
}

func (t *transaction) Commit() error {
	conn, err := t.end()
	if err != nil {
		return err
	}
	s := t.store
	if conn == nil {
		return fmt.Errorf("eventsource/sqlstore: commit: transaction was rolled back: %w", t.ctx.Err())
	}
	if err := t.ctx.Err(); err != nil {
		_ = rollbackTx(t.ctx, t.pgxTx) // a connection on which that fails is closed
		conn.Release()
		return fmt.Errorf("eventsource/sqlstore: commit: %w", err)
	}
	err = t.pgxTx.Commit(t.ctx)
	if err != nil && !errors.Is(err, pgx.ErrTxCommitRollback) && !decided(err) {
		_ = conn.Conn().Close(t.ctx)
		conn.Release() // the look-up may need the pool's only connection
		err = s.outcome(t.ctx, t.session, t.records, true, err)
	} else {
		conn.Release()
	}
	if err != nil {
		return s.translate(t.ctx, "commit", err)
	}
	if len(t.records) > 0 {
		s.notifier.wake(s)
	}
	return nil
}

func (t *transaction) Rollback() error {
	conn, err := t.end()
	if err != nil {
		return err
	}
	if conn != nil {
		_ = rollbackTx(t.ctx, t.pgxTx) // a connection on which that fails is closed
		conn.Release()
	}
	return nil
}

func (t *transaction) Records() []eventsource.Record { return eventsource.CloneRecords(t.records) }

// TxStore is a store bound to a transaction of the caller; see [Store.WithTx].
// Like the transaction, it is not safe for concurrent use.
type TxStore struct {
	store *Store
	pgxTx pgx.Tx
}

var (
	_ eventsource.Store         = (*TxStore)(nil)
	_ eventsource.VersionLoader = (*TxStore)(nil)
	_ eventsource.Querier       = (*TxStore)(nil)
	_ eventsource.Reserver      = (*TxStore)(nil)
)

// WithTx returns a store that works in a transaction of the caller, so that
// events are stored together with what else the transaction does. Committing is
// left to the caller: Commit of a [eventsource.StoreTransaction] only ends its
// own part, a savepoint, and Rollback undoes it.
//
// The transaction must be READ COMMITTED, or saves and loads by sequence ID are
// refused with [ErrIsolationLevel]. From the first save to the transaction's end
// readers are held back. Events that it has saved are found by LoadByAggregate
// in it, and by other loads once it has been committed. Watchers are not woken:
// call [Store.Notify] after committing. Observers of a repository on it are
// called when the savepoint is released, before the caller commits.
func (s *Store) WithTx(tx pgx.Tx) *TxStore { return &TxStore{store: s, pgxTx: tx} }

// Err returns what was wrong with the store or the transaction, nil if nothing was.
func (s *TxStore) Err() error {
	if s.store.err == nil && s.pgxTx == nil {
		return fmt.Errorf("%w: transaction is nil", eventsource.ErrMisconfigured)
	}
	return s.store.err
}

// NewTransaction inserts the records behind a savepoint of the caller's transaction.
func (s *TxStore) NewTransaction(ctx context.Context, records ...eventsource.Record) (eventsource.StoreTransaction, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	if err := s.store.validate(ctx, records); err != nil {
		return nil, err
	}
	e, err := newEntry(records)
	if err != nil {
		return nil, err
	}
	tx, err := s.store.insert(ctx, savepoints{s.pgxTx}, &e, pgx.TxOptions{}, lostRace)
	if err != nil {
		return nil, err
	}
	return &savepoint{store: s.store, ctx: ctx, pgxTx: tx, records: e.records}, nil
}

// savepoints begins savepoints in a transaction.
type savepoints struct{ pgxTx pgx.Tx }

func (s savepoints) BeginTx(ctx context.Context, _ pgx.TxOptions) (pgx.Tx, error) {
	return s.pgxTx.Begin(ctx)
}

// savepoint is a part of a caller's transaction.
type savepoint struct {
	store   *Store
	ctx     context.Context
	pgxTx   pgx.Tx
	done    bool
	records []eventsource.Record
}

func (t *savepoint) tx() pgx.Tx { return lentTx{t.pgxTx} }

func (t *savepoint) Commit() error {
	if t.done {
		return eventsource.ErrTransactionDone
	}
	t.done = true
	err := t.ctx.Err()
	if err == nil && t.pgxTx.Conn().PgConn().TxStatus() == 'E' {
		err = pgx.ErrTxCommitRollback // a statement of the caller has failed
	}
	if err == nil {
		if err = t.pgxTx.Commit(t.ctx); err == nil {
			return nil
		}
	}
	return t.store.translate(t.ctx, "release savepoint", errors.Join(err, rollbackTx(t.ctx, t.pgxTx)))
}

func (t *savepoint) Rollback() error {
	if t.done {
		return eventsource.ErrTransactionDone
	}
	t.done = true
	if err := rollbackTx(t.ctx, t.pgxTx); err != nil {
		return t.store.translate(t.ctx, "roll back to savepoint", err)
	}
	return nil
}

func (t *savepoint) Records() []eventsource.Record { return eventsource.CloneRecords(t.records) }
