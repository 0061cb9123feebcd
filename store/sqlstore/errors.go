package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/sequence"
)

// Errors of this store, beside those of package eventsource.
var (
	// ErrNotMigrated is returned when the table of events, or what belongs to it,
	// is not in the database. The error says how to make it.
	ErrNotMigrated = errors.New("eventsource/sqlstore: database is not migrated")

	// ErrStandby is returned when the server is a hot standby, which cannot tell
	// which events may be read and takes no writes.
	ErrStandby = errors.New("eventsource/sqlstore: server is a standby")

	// ErrIsolationLevel is returned when a caller's transaction is not READ
	// COMMITTED: its snapshot is too old to append or to follow events in it. The
	// level is in an [IsolationLevelError].
	ErrIsolationLevel = errors.New("eventsource/sqlstore: isolation level of the transaction breaks the order of events")

	// ErrClockAhead is returned when this process's clock is ahead of the server's
	// by more than [WithMaxClockAhead]. The details are in a [ClockAheadError].
	ErrClockAhead = errors.New("eventsource/sqlstore: clock is ahead of the server's")

	// ErrNotInControl is returned by Commit and Rollback of the [pgx.Tx] that
	// [Tx] gives: the transaction ends through Commit and Rollback of the
	// [eventsource.StoreTransaction].
	ErrNotInControl = errors.New("eventsource/sqlstore: the store's transaction is ended by its own Commit or Rollback")
)

// IsolationLevelError names the isolation level. It unwraps to [ErrIsolationLevel].
type IsolationLevelError struct {
	// Level is the transaction's isolation level, such as "repeatable read".
	Level string
}

func (e *IsolationLevelError) Error() string {
	return fmt.Sprintf("%v: it is %s, but must be read committed", ErrIsolationLevel, strings.ToLower(e.Level))
}

// Unwrap returns [ErrIsolationLevel].
func (e *IsolationLevelError) Unwrap() error { return ErrIsolationLevel }

// ClockAheadError says by how much. It unwraps to [ErrClockAhead].
type ClockAheadError struct {
	// Ahead is by how much this process's clock was ahead, Bound how much is allowed.
	Ahead, Bound time.Duration
}

func (e *ClockAheadError) Error() string {
	return fmt.Sprintf("%v by %v, the bound is %v", ErrClockAhead, e.Ahead, e.Bound)
}

// Unwrap returns [ErrClockAhead].
func (e *ClockAheadError) Unwrap() error { return ErrClockAhead }

// SQLSTATEs, from Appendix A of the PostgreSQL manual and from the migrations.
const (
	codeUniqueViolation    = "23505"
	codeDeadlockDetected   = "40P01"
	codeLockNotAvailable   = "55P03"
	codeIdleInTransaction  = "25P03"
	codeUndefinedTable     = "42P01"
	codeUndefinedColumn    = "42703"
	codeUndefinedFunction  = "42883"
	codeInvalidSchemaName  = "3F000"
	codeStandby            = "ES001"
	codeIsolationLevel     = "ES002"
	classOperatorIntervene = "57" // shutdown, crash of another session, terminated
	classConnection        = "08"
)

func sqlState(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// decided reports whether the error says that nothing was carried out, because
// the server or this package refused it. Otherwise it may have been: an error that
// ends the session, or the server (a log that cannot be written), may come in the
// middle of a commit, which recovery then finds in the log, or not.
func decided(err error) bool {
	if errors.Is(err, ErrClockAhead) || errors.Is(err, eventsource.ErrInvalidEvent) || errors.Is(err, sequence.ErrExhausted) {
		return true
	}
	code := sqlState(err)
	if code == codeIdleInTransaction {
		return true // the session was ended between two statements
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		// A proxy may send the one and not the other.
		switch cmp.Or(pgErr.SeverityUnlocalized, pgErr.Severity) {
		case "FATAL", "PANIC":
			return false
		}
	}
	return code != "" && !strings.HasPrefix(code, classOperatorIntervene) && !strings.HasPrefix(code, classConnection)
}

// translate turns native errors into those that callers can act on.
func (s *Store) translate(ctx context.Context, doing string, err error) error {
	var failed *hookError
	if errors.As(err, &failed) { // whatever it is, it is the hook's
		doing, err = doing+": function in the transaction", failed.err
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			return fmt.Errorf("eventsource/sqlstore: %s: %w: %w", doing, ctx.Err(), err)
		}
		return fmt.Errorf("eventsource/sqlstore: %s: %w", doing, err)
	}
	switch sqlState(err) {
	case codeUndefinedTable, codeUndefinedColumn, codeUndefinedFunction, codeInvalidSchemaName:
		return s.notMigrated(err)
	case codeStandby:
		return fmt.Errorf("%w: %w", ErrStandby, err)
	case codeIsolationLevel:
		var pgErr *pgconn.PgError
		_ = errors.As(err, &pgErr) // it has an SQLSTATE, so it is one
		return fmt.Errorf("eventsource/sqlstore: %s: %w", doing, &IsolationLevelError{Level: pgErr.Detail})
	}
	var conflict *eventsource.ConflictError
	switch {
	case errors.As(err, &conflict), errors.Is(err, eventsource.ErrTaken), errors.Is(err, ErrClockAhead), errors.Is(err, eventsource.ErrInvalidEvent),
		errors.Is(err, eventsource.ErrOutcomeUnknown):
		return err // says it all
	case errors.Is(err, puddle.ErrClosedPool):
		return fmt.Errorf("eventsource/sqlstore: %s: pool is closed: %w", doing, err)
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("eventsource/sqlstore: %s: %w: %w", doing, ctx.Err(), err)
	}
	return fmt.Errorf("eventsource/sqlstore: %s: %w", doing, err)
}

// notMigrated says what is missing, and what makes it. The files that the goose
// command runs make a table of the default name.
func (s *Store) notMigrated(cause error) error {
	how := "migrations.Up(ctx, db"
	if s.schema != "" {
		how += fmt.Sprintf(", migrations.WithSchema(%q)", s.schema)
	}
	if s.table != DefaultTable {
		how += fmt.Sprintf(", migrations.WithTable(%q)", s.table)
	}
	how += ")"
	if s.schema == "" && s.table == DefaultTable {
		how += ` or goose -dir migrations -table events_schema_version postgres "$DATABASE_URL" up`
	}
	err := fmt.Errorf("%w: table %s: run %s", ErrNotMigrated, s.sql.table, how)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}
