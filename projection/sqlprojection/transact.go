package sqlprojection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// database is a connection or a transaction.
type database interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// txKey is where a context keeps the transaction for handlers, ownTxKey that in which
// the methods of these checkpoints work.
type (
	txKey    struct{}
	ownTxKey struct{ c *Checkpoints }
)

// withTx returns a context in which handlers of this package find the transaction.
func withTx(ctx context.Context, tx pgx.Tx) context.Context {
	return context.WithValue(ctx, txKey{}, lentTx{tx})
}

// Tx returns the transaction that [Checkpoints.Transact] has begun, given the context
// that it calls with; false with any other. Commit and Rollback of it are
// [ErrNotInControl]. It is not safe for concurrent use, and not to be used after the
// handler has returned.
//
// A context that ends during a statement breaks the connection, as always in pgx. To
// limit a statement's time in a handler, SET LOCAL statement_timeout is better.
func Tx(ctx context.Context) (pgx.Tx, bool) {
	tx, ok := ctx.Value(txKey{}).(pgx.Tx)
	return tx, ok
}

// lentTx is a transaction in the hands of someone who may not end it.
type lentTx struct{ pgx.Tx }

func (lentTx) Commit(context.Context) error   { return ErrNotInControl }
func (lentTx) Rollback(context.Context) error { return ErrNotInControl }

// do calls a function with the transaction of the context, or else with a connection.
func (c *Checkpoints) do(ctx context.Context, doing string, call func(db database) error) error {
	if c.err != nil {
		return c.err
	}
	if tx, inside := ctx.Value(ownTxKey{c}).(pgx.Tx); inside {
		// What the server said with its last answer; there is no round trip for it.
		switch tx.Conn().PgConn().TxStatus() {
		case 'I':
			return ErrNotInControl
		case 'E':
			return errSwallowed
		}
		return c.translate(ctx, doing, call(tx))
	}
	conn, err := c.acquire(ctx)
	if err != nil {
		return c.translate(ctx, doing, err)
	}
	defer conn.Release()
	return c.translate(ctx, doing, call(conn))
}

// acquire takes a connection. One to a standby is refused, and closed: the pool may
// connect to the primary the next time.
func (c *Checkpoints) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	standby := false
	// The server says so when it is connected to. That it was promoted since, it says
	// later, and a proxy does not pass it on.
	if conn.Conn().PgConn().ParameterStatus("in_hot_standby") == "on" {
		err = conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&standby)
	}
	if err == nil && !standby {
		return conn, nil
	}
	_ = conn.Conn().Close(ctx)
	conn.Release()
	return nil, cmp.Or(err, ErrStandby)
}

// Transact runs fn in a READ COMMITTED transaction and commits it. [Tx] gives the
// transaction; all methods of these Checkpoints work in it when they are called with
// the context that fn gets. Calling Transact with that context is
// [eventsource.ErrMisconfigured].
//
// An error of fn comes back as it is, unless the connection is broken. It is
// [ErrIdleTimeout] if the server ended the transaction for waiting too long.
func (c *Checkpoints) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	if c.err != nil {
		return c.err
	}
	if ctx.Value(ownTxKey{c}) != nil {
		return misconfigured("Transact was called in a transaction of the same checkpoints: nesting them is not possible")
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return fmt.Errorf("eventsource/sqlprojection: wait for other transactions: %w", ctx.Err())
	}
	conn, tx, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	returned := false
	defer func() {
		if !returned { // it panicked
			rollback(ctx, tx)
		}
	}()
	err = fn(context.WithValue(withTx(ctx, tx), ownTxKey{c}, tx))
	returned = true
	if err == nil && ctx.Err() == nil {
		return c.committed(ctx, tx.Commit(ctx))
	}
	rollback(ctx, tx)
	return c.undone(ctx, conn.Conn(), err)
}

// errSwallowed is returned where a handler went on after an error that has ended its
// transaction.
var errSwallowed = errors.New("eventsource/sqlprojection: a statement has failed, but the handler did not return its error")

// begin begins a transaction. Nothing that goes wrong here is a handler's fault.
func (c *Checkpoints) begin(ctx context.Context) (*pgxpool.Conn, pgx.Tx, error) {
	const doing = "begin a transaction"
	conn, err := c.acquire(ctx)
	var tx pgx.Tx
	if err == nil {
		tx, err = conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: c.sql.begin})
		if err != nil {
			conn.Release()
		}
	}
	switch {
	case err == nil:
		return conn, tx, nil
	case ctx.Err() != nil:
		return nil, nil, c.translate(ctx, doing, err)
	default:
		return nil, nil, unavailable(c.translate(ctx, doing, err))
	}
}

// rollbackTimeout bounds what is done after a context has ended.
const rollbackTimeout = 5 * time.Second

// rollback rolls back whatever became of the context. pgx closes a connection on which
// that fails.
func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_ = tx.Rollback(ctx)
}

// undone says why a transaction was rolled back: cause is what fn returned, nil if
// only the context has ended.
func (c *Checkpoints) undone(ctx context.Context, conn *pgx.Conn, cause error) error {
	switch {
	case cause == nil:
		return fmt.Errorf("eventsource/sqlprojection: transaction: %w", ctx.Err())
	case sqlState(cause) == codeIdleInTransaction:
		return c.idle(cause)
	case ctx.Err() != nil && errors.Is(cause, ctx.Err()):
		return cause
	case ctx.Err() != nil:
		return fmt.Errorf("eventsource/sqlprojection: transaction: %w: %w", ctx.Err(), cause)
	case conn.IsClosed():
		return unavailable(cause)
	case sqlState(cause) == codeReadOnly:
		return unavailable(c.translate(ctx, "transaction", cause))
	}
	return cause
}

// committed says what became of a commit.
func (c *Checkpoints) committed(ctx context.Context, err error) error {
	const doing = "commit"
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return fmt.Errorf("%w: %w", errSwallowed, err)
	case sqlState(err) == codeIdleInTransaction, refused(err):
		return c.translate(ctx, doing, err)
	}
	return unavailable(c.translate(ctx, doing, err))
}

// refused reports whether the server has refused to commit, such as for a constraint
// that is checked then. An error that ends the session says nothing for sure.
func refused(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return false
	}
	switch cmp.Or(pgErr.SeverityUnlocalized, pgErr.Severity) { // a proxy may send the one and not the other
	case "FATAL", "PANIC":
		return false
	}
	return !strings.HasPrefix(pgErr.Code, classOperatorIntervene) && !strings.HasPrefix(pgErr.Code, classConnection)
}
