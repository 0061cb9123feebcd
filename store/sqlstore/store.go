// Package sqlstore keeps events in PostgreSQL, 14 or later, through pgx.
//
// The tables are made by package migrations. Readers never miss an event and
// writers never wait for each other: a transaction that appends publishes, as
// the key of an advisory lock, a lower bound of the sequence IDs that it may
// still use, and readers stop before the lowest bound that is published. A
// transaction that is left open therefore holds readers back; see
// [Store.Horizon], and PostgreSQL's idle_in_transaction_session_timeout.
//
// Concurrent saves of one process share a transaction: while one is on its way,
// the next one gathers. No save waits for a timer, and one that fails fails alone.
package sqlstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
)

// Store keeps events in a table of PostgreSQL. It is safe for concurrent use.
// It needs no closing: it runs goroutines only while calls do, and for a moment
// after a save, to wake readers, or after the context of an open transaction has ended.
type Store struct {
	config
	pool *pgxpool.Pool
	sql  *statements
	err  error

	// seen is the time of the highest sequence ID that this store has seen, in
	// Unix milliseconds.
	seen atomic.Int64
	// known is a horizon that was read before.
	known    atomic.Pointer[horizon]
	group    group
	notifier notifier
	watchers watchers
}

var (
	_ eventsource.Store           = (*Store)(nil)
	_ eventsource.Appender        = (*Store)(nil)
	_ eventsource.VersionLoader   = (*Store)(nil)
	_ eventsource.Querier         = (*Store)(nil)
	_ eventsource.Follower        = (*Store)(nil)
	_ eventsource.Counter         = (*Store)(nil)
	_ eventsource.Watcher         = (*Store)(nil)
	_ eventsource.HorizonReporter = (*Store)(nil)
	_ eventsource.Reserver        = (*Store)(nil)
)

// New returns a store on the caller's pool, which it never closes. A nil pool
// and options that cannot be make every method return
// [eventsource.ErrMisconfigured].
//
// However many savers there are, their saves take one connection of the pool at a
// time, wake-ups another now and then, and saves that have to wait for open
// transactions up to half of the pool. Each open transaction and each load takes
// one more, and all watchers together one that is taken out of the pool. With
// [WithInTransaction] each save takes one too.
func New(pool *pgxpool.Pool, opts ...Option) *Store {
	s := &Store{
		pool: pool,
		config: config{
			table:          DefaultTable,
			clock:          time.Now,
			maxData:        DefaultMaxDataSize,
			maxClockAhead:  DefaultMaxClockAhead,
			outcomeTimeout: DefaultOutcomeTimeout,
		},
		watchers: watchers{starting: make(chan struct{}, 1)},
	}
	for _, opt := range opts {
		if opt != nil {
			opt(&s.config)
		}
	}
	s.err = s.check()
	if s.err == nil && pool == nil {
		s.err = fmt.Errorf("%w: pool is nil", eventsource.ErrMisconfigured)
	}
	if s.group.limit = 1; pool != nil && pool.Stat().MaxConns() >= connsForTwo {
		s.group.limit = maxBatches
	}
	s.sql = newStatements(s.schema, s.table)
	return s
}

// Err returns what was wrong with the arguments of [New], nil if nothing was.
func (s *Store) Err() error { return s.err }

// validate is everything that can be said of records without the database.
func (s *Store) validate(ctx context.Context, records []eventsource.Record) error {
	if s.err != nil {
		return s.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return eventsource.CheckRecords(records, s.maxData)
}

// acquire takes a connection. One to a standby is refused, and closed: the pool may
// connect to the primary the next time.
func (s *Store) acquire(ctx context.Context, doing string) (*pgxpool.Conn, error) {
	if s.err != nil {
		return nil, s.err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, s.translate(ctx, doing, err)
	}
	standby, err := onStandby(ctx, conn.Conn())
	if err == nil && !standby {
		return conn, nil
	}
	_ = conn.Conn().Close(ctx)
	conn.Release()
	if err != nil {
		return nil, s.translate(ctx, doing, err)
	}
	return nil, ErrStandby
}

// promotedKey is where a connection keeps that its server is a standby no more.
const promotedKey = "github.com/eventsource-go/eventsource/store/sqlstore.promoted"

// onStandby reports whether the server behind a connection is a standby. PostgreSQL
// says so when it is connected to. That it was promoted since, it only says with the
// answer to a statement, and a proxy does not pass it on.
func onStandby(ctx context.Context, conn *pgx.Conn) (standby bool, err error) {
	kept := conn.PgConn().CustomData()
	if conn.PgConn().ParameterStatus("in_hot_standby") != "on" || kept[promotedKey] != nil {
		return false, nil
	}
	err = conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&standby)
	if err == nil && !standby {
		kept[promotedKey] = true
	}
	return standby, err
}

// rollback ends the transaction that a failed read has left behind, whatever
// became of the context. Where that fails the pool closes the connection.
func (s *Store) rollback(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() || conn.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := detached(ctx, rollbackTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, "ROLLBACK")
}

// rollbackTimeout bounds what ends a transaction or a connection.
const rollbackTimeout = 5 * time.Second

// detached returns a context for what has to be done after ctx has ended.
func detached(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), timeout)
}
