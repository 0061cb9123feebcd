package sqlstore

import (
	"fmt"
	"slices"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/pgident"
)

// Defaults of the options.
const (
	// DefaultTable is the table of events, as package migrations makes it.
	DefaultTable = "events"
	// DefaultMaxDataSize is the most bytes of data an event may have.
	DefaultMaxDataSize = 64 << 20
	// DefaultMaxClockAhead is how far the clock may be ahead of the server's.
	DefaultMaxClockAhead = time.Minute
	// DefaultOutcomeTimeout is how long a save whose commit was interrupted tries
	// to find out what became of it.
	DefaultOutcomeTimeout = 5 * time.Second
)

// Option is an option of [New].
type Option func(*config)

type config struct {
	schema, table  string
	clock          func() time.Time
	maxData        int
	maxClockAhead  time.Duration
	outcomeTimeout time.Duration
	hooks          []Hook
}

// WithSchema sets the schema of the table, quoted as an identifier. Defaults to
// what the search path of the connection says.
func WithSchema(schema string) Option { return func(c *config) { c.schema = schema } }

// WithTable sets the name of the table of events, quoted as an identifier.
// Defaults to [DefaultTable].
func WithTable(table string) Option { return func(c *config) { c.table = table } }

// WithClock sets the clock for timestamps and sequence IDs. It must be safe for
// concurrent use; it may be wrong, jump and run backwards, but not be ahead of
// the server's by more than [WithMaxClockAhead]. Defaults to [time.Now].
func WithClock(clock func() time.Time) Option { return func(c *config) { c.clock = clock } }

// WithMaxDataSize sets the most bytes of data an event may have. Defaults to
// [DefaultMaxDataSize], and may be up to 512 MiB: PostgreSQL takes no statement
// of more than 1 GiB.
func WithMaxDataSize(bytes int) Option { return func(c *config) { c.maxData = bytes } }

// WithMaxClockAhead sets how far the clock may be ahead of the server's. Since
// sequence IDs never go back, a save with a clock that is far ahead would push
// the time in all later ones into the future for good; it is refused with
// [ErrClockAhead]. Defaults to [DefaultMaxClockAhead].
func WithMaxClockAhead(bound time.Duration) Option {
	return func(c *config) { c.maxClockAhead = bound }
}

// WithOutcomeTimeout sets how long a save or Commit that was interrupted while
// it committed, by a broken connection or the end of its context, tries to find
// out whether the events were stored. After that it returns
// [eventsource.ErrOutcomeUnknown]. Defaults to [DefaultOutcomeTimeout].
func WithOutcomeTimeout(timeout time.Duration) Option {
	return func(c *config) { c.outcomeTimeout = timeout }
}

// WithInTransaction adds a function that is called in every transaction that stores
// records, also in those of [Store.WithTx], so that tables of the application are
// always level with the events. Several are called in the order they were added. It is
// called after the records were inserted, with a copy of them as they are stored, with
// sequence IDs, versions and timestamps, and with the context of the save. What it
// returns, or a panic, fails the save: nothing is stored, and errors.Is finds it in the
// error of the save. It may be called from several goroutines at once.
//
// The transaction is that of [Tx]: Commit and Rollback are [ErrNotInControl], and it is
// not to be used after the function has returned. When a save loses a race for a version,
// or a deadlock, its transaction is rolled back and it tries again, which calls the
// function again, with other sequence IDs.
//
// It has a price. Saves share no transactions any more, so each takes a connection of the
// pool, and a commit, of its own. And a save holds readers back while the function runs,
// which therefore must be quick and call nobody but the database. Defaults to none.
func WithInTransaction(hook Hook) Option {
	return func(c *config) { c.hooks = append(c.hooks, hook) }
}

func (c *config) check() error {
	if c.schema != "" {
		if err := pgident.CheckSchema(c.schema); err != nil {
			return err
		}
	}
	if err := pgident.CheckTable(c.table); err != nil {
		return err
	}
	const maxMaxData = 512 << 20
	isNil := func(hook Hook) bool { return hook == nil }
	switch {
	case slices.ContainsFunc(c.hooks, isNil):
		return fmt.Errorf("%w: function to call in transactions is nil", eventsource.ErrMisconfigured)
	case c.clock == nil:
		return fmt.Errorf("%w: clock is nil", eventsource.ErrMisconfigured)
	case c.maxData < 0 || c.maxData > maxMaxData:
		return fmt.Errorf("%w: max data size is %d bytes, not between 0 and %d", eventsource.ErrMisconfigured, c.maxData, maxMaxData)
	case c.maxClockAhead < 0:
		return fmt.Errorf("%w: max clock ahead is %v, which is negative", eventsource.ErrMisconfigured, c.maxClockAhead)
	case c.outcomeTimeout < 0:
		return fmt.Errorf("%w: outcome timeout is %v, which is negative", eventsource.ErrMisconfigured, c.outcomeTimeout)
	}
	return nil
}
