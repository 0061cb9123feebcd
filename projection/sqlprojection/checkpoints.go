// Package sqlprojection keeps the checkpoints of projections in PostgreSQL, 14 or
// later, through pgx, and has handlers that write a read model in the transaction in
// which the checkpoint moves: each event is handled exactly once. The events may be
// anywhere.
//
//	handler := sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *Opened) error {
//		_, err := tx.Exec(ctx, `INSERT INTO accounts (id) VALUES ($1)`, e.AggregateID)
//		return err
//	})
//
// The tables are made by package migrations, in the database of the read model.
//
// Nothing is kept in a session, so PgBouncer in transaction mode may stand between.
package sqlprojection

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/projection"
)

// Checkpoints keeps checkpoints in tables of PostgreSQL. It is safe for concurrent use,
// but in the context of a transaction only one call at a time may be under way. It needs
// no closing, and takes one connection of the pool for the time of a call.
type Checkpoints struct {
	config
	pool  *pgxpool.Pool
	slots chan struct{} // of transactions, one less than there are connections
	sql   *statements
	err   error
}

var (
	_ projection.Checkpoints = (*Checkpoints)(nil)
	_ projection.Transactor  = (*Checkpoints)(nil)
)

// NewCheckpoints returns checkpoints on the caller's pool, which it never closes. Each
// partition that is worked on takes a connection while its handler works, and now and
// then another one to renew its lease. So transactions take one connection less than
// the pool may have; others wait. Let the pool have at least one more than there are
// partitions, and more if others use it. A nil pool, one of a single connection and
// options that cannot be make every method return [eventsource.ErrMisconfigured].
func NewCheckpoints(pool *pgxpool.Pool, opts ...Option) *Checkpoints {
	c := &Checkpoints{pool: pool, config: newConfig(opts)}
	c.err = c.check()
	switch {
	case c.err != nil:
	case pool == nil:
		c.err = misconfigured("pool is nil")
	case pool.Config().MaxConns < 2:
		c.err = misconfigured("the pool has one connection at most; a second one renews the lease while a handler works")
	default:
		c.slots = make(chan struct{}, pool.Config().MaxConns-1)
	}
	c.sql = newStatements(c.config)
	return c
}

// Err returns what was wrong with the arguments of [NewCheckpoints], nil if nothing was.
func (c *Checkpoints) Err() error { return c.err }

// Names gives the names of all projections, sorted byte by byte.
func (c *Checkpoints) Names(ctx context.Context) (names []string, err error) {
	err = c.do(ctx, "list projections", func(db database) error {
		rows, err := db.Query(ctx, c.sql.names)
		if err != nil {
			return err
		}
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return names, err
}

// Load gives all rows of a projection.
func (c *Checkpoints) Load(ctx context.Context, name string) (found []projection.Row, err error) {
	err = c.do(ctx, "load a projection", func(db database) error {
		rows, err := db.Query(ctx, c.sql.load, name)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, scanRow)
		return err
	})
	return found, err
}

func scanRow(from pgx.CollectableRow) (r projection.Row, err error) {
	var (
		ttl  int64
		data string
	)
	err = from.Scan(&r.Name, &r.Version, &r.Partition, &r.Revision, &r.Token, &r.Owner, &r.Wanted, &ttl, &r.Position, &r.LastEvent, &r.Handled, &data)
	r.TTL = time.Duration(ttl)
	if data != "" {
		r.Data = json.RawMessage(data)
	}
	return r, err
}

// Update writes the rows of put and removes those of remove, all or none, in one
// statement.
func (c *Checkpoints) Update(ctx context.Context, put, remove []projection.Row) error {
	args := updateArgs(put, remove)
	return c.do(ctx, "update a projection", func(db database) error {
		if len(put)+len(remove) == 0 {
			return nil
		}
		// In a transaction, a unique violation is not to be the end of it.
		if tx, inside := db.(pgx.Tx); inside {
			return pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error { return c.update(ctx, savepoint, args) })
		}
		return c.update(ctx, db, args)
	})
}

func (c *Checkpoints) update(ctx context.Context, db database, args []any) error {
	var fresh bool
	err := db.QueryRow(ctx, c.sql.update, args...).Scan(&fresh)
	switch code := sqlState(err); {
	case code == codeUniqueViolation, code == codeSerializationFailure:
		return fmt.Errorf("%w: %w", projection.ErrStale, err)
	case err == nil && !fresh:
		return projection.ErrStale
	}
	return err
}

// updateArgs gives an array for each column, of all rows by their key.
func updateArgs(put, remove []projection.Row) []any {
	type change struct {
		projection.Row
		remove bool
	}
	changes := make([]change, 0, len(put)+len(remove))
	for _, r := range put {
		changes = append(changes, change{r, false})
	}
	for _, r := range remove {
		changes = append(changes, change{r, true})
	}
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Partition, b.Partition))
	})
	return []any{
		column(changes, func(r change) bool { return r.remove }),
		column(changes, func(r change) string { return r.Name }),
		column(changes, func(r change) int64 { return int64(r.Version) }),
		column(changes, func(r change) int64 { return int64(r.Partition) }),
		column(changes, func(r change) int64 { return r.Revision }),
		column(changes, func(r change) int64 { return r.Token }),
		column(changes, func(r change) string { return r.Owner }),
		column(changes, func(r change) string { return r.Wanted }),
		column(changes, func(r change) int64 { return int64(r.TTL) }),
		column(changes, func(r change) string { return r.Position }),
		column(changes, func(r change) string { return r.LastEvent }),
		column(changes, func(r change) int64 { return r.Handled }),
		column(changes, func(r change) string { return string(r.Data) }),
	}
}

// column gives one field of all rows; an empty array, not NULL, if there are none.
func column[R, V any](rows []R, field func(R) V) []V {
	values := make([]V, len(rows))
	for i, r := range rows {
		values[i] = field(r)
	}
	return values
}

// Advance moves a row's position forward, in one statement and one round trip. In a
// transaction it is best the last call, since it locks the row until the end.
func (c *Checkpoints) Advance(ctx context.Context, move projection.Move) (ack projection.Ack, err error) {
	statement := c.sql.advance
	args := []any{
		move.Name, int64(move.Version), int64(move.Partition), move.Token, move.Position, move.LastEvent, move.Handled,
	}
	if len(move.Park)+len(move.Unpark) > 0 {
		statement = c.sql.advanceAndPark
		args = append(args, append([]string{}, move.Unpark...))
		args = append(args, parkArgs(move.Park)...)
	}
	err = c.do(ctx, "advance", func(db database) error {
		err := db.QueryRow(ctx, statement, args...).Scan(&ack.Wanted)
		if errors.Is(err, pgx.ErrNoRows) {
			return projection.ErrFenced
		}
		return err
	})
	return ack, err
}

func parkArgs(events []projection.Parked) []any {
	return []any{
		column(events, func(e projection.Parked) string { return e.SequenceID }),
		column(events, func(e projection.Parked) string { return e.AggregateID }),
		column(events, func(e projection.Parked) int64 { return int64(e.AggregateVersion) }),
		column(events, func(e projection.Parked) string { return e.Type }),
		column(events, func(e projection.Parked) string { return string(e.State) }),
		column(events, func(e projection.Parked) string { return string(e.Request) }),
		column(events, func(e projection.Parked) string { return text(e.Error) }),
		column(events, func(e projection.Parked) int64 { return int64(e.Tries) }),
		column(events, func(e projection.Parked) time.Time { return e.Time }),
	}
}

// text makes of what an error says, which may be anything, what the server takes.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Parked gives parked and skipped events. Times are kept in microseconds.
func (c *Checkpoints) Parked(ctx context.Context, query projection.ParkedQuery) (found []projection.Parked, err error) {
	where := ""
	args := []any{query.Name, int64(query.Version), query.After, int64(max(query.Limit, 0))}
	if query.AggregateID != "" {
		where += " AND q.aggregate_id = $5::text"
		args = append(args, query.AggregateID)
	}
	if query.Requested {
		where += " AND q.request <> ''"
	}
	err = c.do(ctx, "load parked events", func(db database) error {
		rows, err := db.Query(ctx, strings.Replace(c.sql.parked, "{where}", where, 1), args...)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[projection.Parked])
		return err
	})
	return found, err
}

// RequestParked sets the Request of parked events.
func (c *Checkpoints) RequestParked(ctx context.Context, name string, version int, request projection.Request, sequenceIDs ...string) error {
	return c.do(ctx, "request parked events", func(db database) error {
		_, err := db.Exec(ctx, c.sql.request, name, int64(version), string(request), append([]string{}, sequenceIDs...))
		return err
	})
}

// DeleteParked removes all parked and skipped events of a version.
func (c *Checkpoints) DeleteParked(ctx context.Context, name string, version int) error {
	return c.do(ctx, "delete parked events", func(db database) error {
		_, err := db.Exec(ctx, c.sql.deleteParked, name, int64(version))
		return err
	})
}
