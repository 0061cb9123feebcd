package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
)

// Hook is a function that is called in each transaction that stores records; see
// [WithInTransaction].
type Hook func(ctx context.Context, tx pgx.Tx, records []eventsource.Record) error

// hookError is what a hook returned. It does not unwrap, so that nothing takes the
// hook's own unique violation for a lost race, or its missing table for the store's.
type hookError struct{ err error }

func (e *hookError) Error() string { return e.err.Error() }

// callHooks calls the hooks after the records were inserted.
func (s *Store) callHooks(ctx context.Context, tx pgx.Tx, records []eventsource.Record) error {
	if len(records) == 0 {
		return nil
	}
	for _, hook := range s.hooks {
		if err := callHook(ctx, hook, tx, records); err != nil {
			return &hookError{err}
		}
	}
	return nil
}

func callHook(ctx context.Context, hook Hook, tx pgx.Tx, records []eventsource.Record) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			err = fmt.Errorf("panic: %w\n%s", p, debug.Stack())
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return hook(ctx, lentTx{tx}, eventsource.CloneRecords(records))
}

// deadlocked reports whether PostgreSQL ended a try, the insert or a hook, so that
// another transaction could go on.
func deadlocked(err error) bool {
	var failed *hookError
	if errors.As(err, &failed) {
		err = failed.err
	}
	return sqlState(err) == codeDeadlockDetected
}
