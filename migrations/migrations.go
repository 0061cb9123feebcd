// Package migrations makes the tables of store/sqlstore in PostgreSQL, with
// goose (https://github.com/pressly/goose). There are three ways to use it:
//
//   - [Up], [Down] and [Status], from Go;
//   - the goose command on this folder: goose -dir migrations -table
//     events_schema_version postgres "$DATABASE_URL" up;
//   - [FS], for an application that runs goose itself.
//
// All three leave the same tables behind.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/pgident"
)

// FS holds the migrations as they are, for the table "events" in the first
// schema of the search path, under their file names. Their numbers start at 1,
// so they need a version table of their own. With the name that [Up] gives it,
// goose.WithTableName("events_schema_version"), Up and [Status] know of it.
//
//go:embed *.sql
var FS embed.FS

// DefaultTable is the table of events unless [WithTable] names another one.
const DefaultTable = "events"

// versionSuffix makes the name of goose's version table from that of the events.
const versionSuffix = "_schema_version"

// withoutTransaction is how a file tells goose to run it in no transaction.
const withoutTransaction = "-- +goose NO TRANSACTION\n"

// lockID is the advisory lock that serialises migrations, the bytes of "evntmgrt".
const lockID = 0x65766e746d677274

// A migration in a transaction that waits for a lock on a table makes all later
// saves and loads wait behind it, as PostgreSQL serves locks in turn. So it gives
// up soon, lets them pass, and tries again.
const (
	lockTimeout = time.Second
	lockPause   = 2 * time.Second
	lockLimit   = 5 * time.Minute // for how long it tries again
	// lockNotAvailable is PostgreSQL's code for a wait that it has given up.
	lockNotAvailable = "55P03"
)

// Option is an option of [Up], [Down] and [Status].
type Option func(*config)

type config struct {
	source        fs.FS
	schema, table string
	dropEvents    bool
	logger        *slog.Logger
	lockLimit     time.Duration
}

// WithSchema sets the schema, which [Up] creates if there is none of that name.
// It is quoted. Defaults to the first schema of the search path.
func WithSchema(schema string) Option { return func(c *config) { c.schema = schema } }

// WithTable sets the table's name, of at most 41 bytes. It is quoted, so Order
// and order are two tables. Defaults to [DefaultTable].
func WithTable(table string) Option { return func(c *config) { c.table = table } }

// WithDropEvents lets [Down] drop tables that hold events, the positions of
// projections and the events that these have parked, or reservations. They are lost.
// Defaults to refusing.
func WithDropEvents() Option { return func(c *config) { c.dropEvents = true } }

// WithLogger sets a logger that is told of each migration. Defaults to none.
func WithLogger(logger *slog.Logger) Option { return func(c *config) { c.logger = logger } }

// Up applies all migrations that have not been applied. Several processes may
// call it at once: one works, the others wait for up to five minutes. The
// connection must be one to PostgreSQL and is not closed.
//
// Other processes may save and load meanwhile. A migration that needs a table
// for itself waits for the transactions that use it. After a second it lets the
// saves and loads pass that have queued behind it, and tries again, for up to
// five minutes.
func Up(ctx context.Context, db *sql.DB, opts ...Option) error {
	return run(db, opts, func(c *config, provider *goose.Provider, _ versionStore) error {
		if c.schema != "" {
			if err := createSchema(ctx, db, c.schema); err != nil {
				return err
			}
		}
		return c.untilLocked(ctx, func() error {
			_, err := provider.Up(ctx)
			return err
		})
	})
}

// Down takes back the last migration that was applied; without any it does
// nothing. The first migration made the table of events itself, the second those of
// projections, the third that of reservations: taking one back is refused while they hold
// anything, but for reservations that have ended, unless [WithDropEvents] is given. It waits for other transactions as [Up] does.
func Down(ctx context.Context, db *sql.DB, opts ...Option) error {
	return run(db, opts, func(c *config, provider *goose.Provider, versions versionStore) error {
		exists, err := versions.TableExists(ctx, db)
		if err != nil || !exists {
			return err
		}
		return c.untilLocked(ctx, func() error {
			if _, err := provider.Down(ctx); !errors.Is(err, goose.ErrNoNextVersion) {
				return err
			}
			return nil
		})
	})
}

// untilLocked calls migrate again for as long as it cannot lock a table.
func (c *config) untilLocked(ctx context.Context, migrate func() error) error {
	for deadline := time.Now().Add(c.lockLimit); ; {
		err := migrate()
		// Every driver for PostgreSQL has such errors.
		var refused interface{ SQLState() string }
		if !errors.As(err, &refused) || refused.SQLState() != lockNotAvailable || time.Now().After(deadline) {
			return err
		}
		if c.logger != nil {
			c.logger.WarnContext(ctx, "a migration waits for transactions that use the table", "table", c.table, "error", err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(lockPause):
		}
	}
}

// Migration is the state of one migration.
type Migration struct {
	// Version is its number, from 1.
	Version int64
	// Name is its file name.
	Name string
	// AppliedAt is when it was applied, the zero time if it was not.
	AppliedAt time.Time
}

// Status returns all migrations in order. It changes nothing and waits for nobody.
func Status(ctx context.Context, db *sql.DB, opts ...Option) ([]Migration, error) {
	var migrations []Migration
	// goose's own Status would make the version table, and wait for who migrates.
	err := run(db, opts, func(_ *config, provider *goose.Provider, versions versionStore) error {
		exists, err := versions.TableExists(ctx, db)
		if err != nil {
			return err
		}
		for _, source := range provider.ListSources() {
			m := Migration{Version: source.Version, Name: path.Base(source.Path)}
			if exists {
				if m.AppliedAt, err = versions.appliedAt(ctx, db, m.Version); err != nil {
					return err
				}
			}
			migrations = append(migrations, m)
		}
		return nil
	})
	return migrations, err
}

// run calls do with a provider, and says in errors where they come from.
func run(db *sql.DB, opts []Option, do func(*config, *goose.Provider, versionStore) error) error {
	c := &config{source: FS, table: DefaultTable, lockLimit: lockLimit}
	for _, opt := range opts {
		if opt != nil {
			opt(c)
		}
	}
	if db == nil {
		return fmt.Errorf("%w: database is nil", eventsource.ErrMisconfigured)
	}
	if err := pgident.CheckTable(c.table); err != nil {
		return err
	}
	if c.schema != "" {
		if err := pgident.CheckSchema(c.schema); err != nil {
			return err
		}
	}
	provider, versions, err := newProvider(db, c)
	if err == nil {
		err = do(c, provider, versions)
	}
	if err != nil {
		return fmt.Errorf("eventsource/migrations: table %s: %w", pgident.Quote(c.schema, c.table), err)
	}
	return nil
}

func newProvider(db *sql.DB, c *config) (*goose.Provider, versionStore, error) {
	versions := versionStore{schema: c.schema, table: c.table + versionSuffix}
	var err error
	versions.Store, err = database.NewStore(database.DialectPostgres, pgident.Quote(versions.schema, versions.table))
	if err != nil {
		return nil, versions, err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, versions, err
	}
	if c.schema != "" && c.anyWithoutTransaction() {
		locker = &searchPathLocker{SessionLocker: locker, schema: c.schema}
	}
	opts := []goose.ProviderOption{
		goose.WithStore(versions),
		goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true), // what the application registered with goose is not ours
	}
	if c.logger != nil {
		opts = append(opts, goose.WithSlog(c.logger), goose.WithVerbose(true))
	}
	provider, err := goose.NewProvider("", db, c.files(), opts...)
	return provider, versions, err
}

// searchPathLocker also sets the search path of the session that migrates: SET
// LOCAL, which other migrations get, does nothing outside of a transaction.
type searchPathLocker struct {
	lock.SessionLocker
	schema string
	before string // the search path to go back to
}

// SessionLock implements goose's interface.
func (l *searchPathLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if err := l.SessionLocker.SessionLock(ctx, conn); err != nil {
		return err
	}
	err := conn.QueryRowContext(ctx, `SELECT current_setting('search_path')`).Scan(&l.before)
	if err == nil {
		err = setSearchPath(ctx, conn, pgident.Quote("", l.schema))
	}
	if err != nil {
		err = errors.Join(err, l.SessionLocker.SessionUnlock(context.WithoutCancel(ctx), conn))
	}
	return err
}

// SessionUnlock implements goose's interface. The connection is the caller's
// again afterwards, so it gets its search path back.
func (l *searchPathLocker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	err := setSearchPath(ctx, conn, l.before)
	return errors.Join(err, l.SessionLocker.SessionUnlock(ctx, conn))
}

func setSearchPath(ctx context.Context, conn *sql.Conn, path string) error {
	_, err := conn.ExecContext(ctx, `SELECT set_config('search_path', $1, false)`, path)
	return err
}

// versionStore looks for the version table by its name as it is, which goose's
// own store takes apart at the dot.
type versionStore struct {
	database.Store
	schema, table string
}

// TableExists looks only where the table would be made, as goose does: with a
// search path of several schemas, each may have tables of its own.
func (s versionStore) TableExists(ctx context.Context, db database.DBTxConn) (exists bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT EXISTS (
		SELECT FROM pg_tables WHERE schemaname = coalesce(nullif($1, ''), current_schema()) AND tablename = $2
	)`, s.schema, s.table).Scan(&exists)
	return exists, err
}

// appliedAt returns the zero time for a migration that is not applied. goose
// keeps the time without a zone, in that of the session.
func (s versionStore) appliedAt(ctx context.Context, db *sql.DB, version int64) (time.Time, error) {
	var at sql.NullTime
	query := `SELECT max(tstamp::timestamptz) FROM ` + s.Tablename() + ` WHERE version_id = $1 AND is_applied`
	err := db.QueryRowContext(ctx, query, version).Scan(&at)
	return at.Time, err
}

// files are the migrations with the configured names in them, and settings for
// those that run in a transaction.
func (c *config) files() fs.FS {
	settings := statement(fmt.Sprintf("SET LOCAL lock_timeout TO %d", lockTimeout.Milliseconds()))
	if c.schema != "" {
		settings += statement("SET LOCAL search_path TO " + pgident.Quote("", c.schema))
	}
	if c.dropEvents {
		settings += statement("SET LOCAL eventsource.drop_events TO 'on'")
	}
	// A checked name has no quotes and needs no escapes, neither in an identifier
	// nor in a literal.
	names := strings.NewReplacer(`"events`, `"`+c.table)
	local := strings.NewReplacer("-- +goose Up\n", "-- +goose Up\n"+settings, "-- +goose Down\n", "-- +goose Down\n"+settings)
	return renderedFS{c.source, func(text string) string {
		text = names.Replace(text)
		if strings.Contains(text, withoutTransaction) {
			return text
		}
		return local.Replace(text)
	}}
}

// anyWithoutTransaction reports whether there is a migration that runs in none.
func (c *config) anyWithoutTransaction() bool {
	names, _ := fs.Glob(c.source, "*.sql") // goose reports what cannot be read
	return slices.ContainsFunc(names, func(name string) bool {
		text, _ := fs.ReadFile(c.source, name)
		return strings.Contains(string(text), withoutTransaction)
	})
}

// renderedFS is a file system with something replaced in the .sql files.
type renderedFS struct {
	fs.FS
	render func(string) string
}

func (r renderedFS) Open(name string) (fs.File, error) {
	file, err := r.FS.Open(name)
	if err != nil || path.Ext(name) != ".sql" {
		return file, err
	}
	data, err := io.ReadAll(file)
	return renderedFile{file, strings.NewReader(r.render(string(data)))}, err
}

type renderedFile struct {
	fs.File
	content io.Reader
}

func (f renderedFile) Read(p []byte) (int, error) { return f.content.Read(p) }

func statement(sql string) string {
	return "-- +goose StatementBegin\n" + sql + ";\n-- +goose StatementEnd\n"
}

// createSchema creates the schema unless it exists, in which case no privilege
// to create schemas is needed.
func createSchema(ctx context.Context, db *sql.DB, schema string) error {
	var exists bool
	err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, schema).Scan(&exists)
	if err != nil || exists {
		return err
	}
	if _, err = db.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS `+pgident.Quote("", schema)); err != nil {
		// IF NOT EXISTS does not keep two sessions that create it at once from colliding.
		if again := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, schema).Scan(&exists); again == nil && exists {
			return nil
		}
	}
	return err
}
