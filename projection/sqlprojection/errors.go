package sqlprojection

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// Errors of this package, beside those of packages projection and eventsource.
var (
	// ErrNotMigrated is returned when the tables of projections are not in the
	// database. The error says how to make them.
	ErrNotMigrated = errors.New("eventsource/sqlprojection: database is not migrated")

	// ErrStandby is returned when the server takes no writes, as a hot standby does.
	ErrStandby = errors.New("eventsource/sqlprojection: server is read-only")

	// ErrIdleTimeout is returned when the server ended a transaction because there was
	// no statement in it for longer than [WithIdleTimeout] allows.
	ErrIdleTimeout = errors.New("eventsource/sqlprojection: transaction was idle for too long")

	// ErrNotInControl is returned by Commit and Rollback of the [pgx.Tx] that a handler
	// gets: the transaction is ended by who began it.
	ErrNotInControl = errors.New("eventsource/sqlprojection: a handler does not end its transaction, but returns an error or none")
)

// SQLSTATEs, from Appendix A of the PostgreSQL manual.
const (
	codeUniqueViolation      = "23505"
	codeReadOnly             = "25006"
	codeIdleInTransaction    = "25P03"
	codeSerializationFailure = "40001"
	codeUndefinedTable       = "42P01"
	codeUndefinedColumn      = "42703"
	codeInvalidSchemaName    = "3F000"
	classOperatorIntervene   = "57" // shutdown, crash of another session, terminated
	classConnection          = "08"
)

func sqlState(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

func misconfigured(format string, args ...any) error {
	return fmt.Errorf("%w: sqlprojection: "+format, append([]any{eventsource.ErrMisconfigured}, args...)...)
}

// translate turns native errors into those that callers can act on.
func (c *Checkpoints) translate(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	where := "eventsource/sqlprojection: " + doing
	switch sqlState(err) {
	case codeUndefinedTable, codeUndefinedColumn, codeInvalidSchemaName:
		return c.notMigrated(err)
	case codeReadOnly:
		return fmt.Errorf("%w: %s: %w", ErrStandby, doing, err)
	case codeIdleInTransaction:
		return c.idle(err)
	}
	switch {
	case errors.Is(err, ErrStandby):
		return err
	case errors.Is(err, puddle.ErrClosedPool):
		return fmt.Errorf("%s: pool is closed: %w", where, err)
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("%s: %w: %w", where, ctx.Err(), err)
	}
	return fmt.Errorf("%s: %w", where, err)
}

// notMigrated says what is missing, and what makes it.
func (c *Checkpoints) notMigrated(cause error) error {
	how := "migrations.Up(ctx, db"
	if c.schema != "" {
		how += fmt.Sprintf(", migrations.WithSchema(%q)", c.schema)
	}
	if c.table != DefaultTable {
		how += fmt.Sprintf(", migrations.WithTable(%q)", c.table)
	}
	return fmt.Errorf("%w: table %s: run %s): %w", ErrNotMigrated, c.sql.table, how, cause)
}

// idle says what a handler may do about it.
func (c *Checkpoints) idle(cause error) error {
	if errors.Is(cause, ErrIdleTimeout) {
		return cause
	}
	return fmt.Errorf("%w: there was no statement for %v: do what takes long outside of the handler, or set sqlprojection.WithIdleTimeout: %w",
		ErrIdleTimeout, c.idleTimeout, cause)
}

// unavailable says that it is not the handler's fault.
func unavailable(err error) error { return fmt.Errorf("%w: %w", projection.ErrUnavailable, err) }
