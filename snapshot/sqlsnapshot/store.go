// Package sqlsnapshot keeps snapshots in PostgreSQL, 14 or later, through pgx. The
// events may be anywhere.
//
//	snapshots := snapshot.New(sqlsnapshot.New(pool), snapshot.Every(100))
//
// The table is made by package migrations. Nothing is kept in a session, so PgBouncer in
// transaction mode may stand between. Statements are never part of a transaction of the
// caller's.
package sqlsnapshot

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/pgident"
	"github.com/eventsource-go/eventsource/snapshot"
)

// Errors of this package, beside those of packages snapshot and eventsource.
var (
	// ErrNotMigrated is returned when the table of snapshots is not in the database.
	// The error says how to make it.
	ErrNotMigrated = errors.New("eventsource/sqlsnapshot: database is not migrated")

	// ErrStandby is returned when the server takes no writes, as a hot standby does.
	// Loading works there.
	ErrStandby = errors.New("eventsource/sqlsnapshot: server is read-only")
)

const (
	// DefaultTable is the name of the table of events, with which that of the table of
	// snapshots begins.
	DefaultTable = "events"
	// MaxStateSize is the most bytes that a state may have: somewhat less than a
	// value of PostgreSQL.
	MaxStateSize = 1 << 29
)

// Option is an option of [New].
type Option func(*config)

type config struct{ schema, table string }

// WithSchema sets the schema of the table, quoted as an identifier. Defaults to what the
// search path of the connection says.
func WithSchema(schema string) Option { return func(c *config) { c.schema = schema } }

// WithTable sets the name that was given to package migrations, that of the table of
// events: that of snapshots is called like it, with _snapshots behind. It is quoted as
// an identifier. Defaults to [DefaultTable].
func WithTable(table string) Option { return func(c *config) { c.table = table } }

// Store keeps snapshots in a table of PostgreSQL. It is safe for concurrent use, needs no
// closing, and takes one connection of the pool for the time of a call.
type Store struct {
	config
	pool *pgxpool.Pool
	// The files in sql/, with the name of the table filled in.
	load, save, remove string
	err                error
}

var _ snapshot.Store = (*Store)(nil)

//go:embed sql/*.sql
var sqlFiles embed.FS

// New returns a store on the caller's pool, which it never closes. A nil pool, and options that
// cannot be, make every method return [eventsource.ErrMisconfigured].
func New(pool *pgxpool.Pool, opts ...Option) *Store {
	s := &Store{pool: pool, config: config{table: DefaultTable}}
	for _, opt := range opts {
		if opt != nil {
			opt(&s.config)
		}
	}
	s.err = pgident.CheckTable(s.table)
	if s.schema != "" {
		s.err = cmp.Or(pgident.CheckSchema(s.schema), s.err)
	}
	if pool == nil {
		s.err = cmp.Or(s.err, fmt.Errorf("%w: sqlsnapshot: pool is nil", eventsource.ErrMisconfigured))
	}
	s.load, s.save, s.remove = s.statement("load"), s.statement("save"), s.statement("delete")
	return s
}

// Err returns what was wrong with the arguments of [New], nil if nothing was.
func (s *Store) Err() error { return s.err }

func (c *config) name() string { return pgident.Quote(c.schema, c.table+"_snapshots") }

// statement reads one of the files in sql/ and fills in the name.
func (c *config) statement(name string) string {
	data, err := sqlFiles.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err) // the file is part of the program
	}
	var sql strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "--") { // comments need not travel
			sql.WriteString(strings.ReplaceAll(line, "{snapshots}", c.name()))
		}
	}
	return strings.TrimSpace(sql.String())
}

// Load returns a snapshot, nil if there is none.
func (s *Store) Load(ctx context.Context, key snapshot.Key) (*eventsource.Snapshot, error) {
	if s.err != nil {
		return nil, s.err
	}
	found := &eventsource.Snapshot{AggregateID: key.AggregateID, Type: key.Type, SchemaVersion: key.SchemaVersion}
	err := s.pool.QueryRow(ctx, s.load, key.AggregateID, key.Type, int64(key.SchemaVersion)).Scan(&found.Version, &found.SequenceID, &found.State)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, s.translate(ctx, "load the snapshot of", key.AggregateID, err)
	}
	return found, nil
}

// Save keeps a snapshot, unless there is a newer one.
func (s *Store) Save(ctx context.Context, snap eventsource.Snapshot) error {
	if s.err != nil {
		return s.err
	}
	if size := len(snap.State); size > MaxStateSize {
		return &eventsource.TooLargeError{AggregateID: snap.AggregateID, Type: snap.Type, Size: size, Limit: MaxStateSize}
	}
	state := snap.State
	if state == nil {
		state = []byte{} // which is not NULL
	}
	_, err := s.pool.Exec(ctx, s.save, snap.AggregateID, snap.Type, int64(snap.SchemaVersion), int64(snap.Version), snap.SequenceID, state)
	return s.translate(ctx, "save a snapshot of", snap.AggregateID, err)
}

// Delete removes all snapshots of an aggregate.
func (s *Store) Delete(ctx context.Context, aggregateID string) error {
	if s.err != nil {
		return s.err
	}
	_, err := s.pool.Exec(ctx, s.remove, aggregateID)
	return s.translate(ctx, "delete the snapshots of", aggregateID, err)
}

// SQLSTATEs, from Appendix A of the PostgreSQL manual.
const (
	codeReadOnly          = "25006"
	codeUndefinedTable    = "42P01"
	codeUndefinedColumn   = "42703"
	codeInvalidSchemaName = "3F000"
)

func sqlState(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// translate turns native errors into those that callers can act on.
func (s *Store) translate(ctx context.Context, doing, aggregateID string, err error) error {
	if err == nil {
		return nil
	}
	doing = fmt.Sprintf("%s %q", doing, aggregateID)
	switch sqlState(err) {
	case codeUndefinedTable, codeUndefinedColumn, codeInvalidSchemaName:
		return s.notMigrated(err)
	case codeReadOnly:
		return fmt.Errorf("%w: %s: %w", ErrStandby, doing, err)
	}
	switch {
	case errors.Is(err, puddle.ErrClosedPool):
		return fmt.Errorf("eventsource/sqlsnapshot: %s: pool is closed: %w", doing, err)
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("eventsource/sqlsnapshot: %s: %w: %w", doing, ctx.Err(), err)
	}
	return fmt.Errorf("eventsource/sqlsnapshot: %s: %w", doing, err)
}

// notMigrated says what is missing, and what makes it.
func (s *Store) notMigrated(cause error) error {
	how := "migrations.Up(ctx, db"
	if s.schema != "" {
		how += fmt.Sprintf(", migrations.WithSchema(%q)", s.schema)
	}
	if s.table != DefaultTable {
		how += fmt.Sprintf(", migrations.WithTable(%q)", s.table)
	}
	return fmt.Errorf("%w: table %s: run %s): %w", ErrNotMigrated, s.name(), how, cause)
}
