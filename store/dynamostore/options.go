package dynamostore

import (
	"fmt"
	"time"

	"github.com/eventsource-go/eventsource"
)

// Defaults of the options.
const (
	// DefaultMaxClockAhead is how far the clock may be ahead of DynamoDB's.
	DefaultMaxClockAhead = time.Minute
	// DefaultOutcomeTimeout is how long a save that was interrupted tries to find
	// out what became of it.
	DefaultOutcomeTimeout = 5 * time.Second
	// DefaultIndexTimeout is how long a reader waits for an index to show an event
	// that the table has.
	DefaultIndexTimeout = 2 * time.Second
	// DefaultWatchInterval is how often [Store.Watch] looks for events that other
	// processes have saved.
	DefaultWatchInterval = 500 * time.Millisecond
)

// Option is an option of [New].
type Option func(*config)

type config struct {
	clock          func() time.Time
	maxClockAhead  time.Duration
	outcomeTimeout time.Duration
	indexTimeout   time.Duration
	watchInterval  time.Duration
}

// WithClock sets the clock for timestamps and sequence IDs. It must be safe for
// concurrent use; it may be wrong, jump and run backwards, but not be ahead of
// DynamoDB's by more than [WithMaxClockAhead]. When reservations end, DynamoDB's clock
// says. Defaults to [time.Now].
func WithClock(clock func() time.Time) Option { return func(c *config) { c.clock = clock } }

// WithMaxClockAhead sets how far the clock may be ahead of DynamoDB's, whose
// answers are dated to the second. Since sequence IDs never go back, a save with
// a clock that is far ahead would push the time in all later ones into the future
// for good; it is refused with [ErrClockAhead]. Defaults to [DefaultMaxClockAhead].
func WithMaxClockAhead(bound time.Duration) Option {
	return func(c *config) { c.maxClockAhead = bound }
}

// WithOutcomeTimeout sets how long a save or Commit that was interrupted, by a
// broken connection or the end of its context, tries to find out whether the
// events were stored. After that it returns [eventsource.ErrOutcomeUnknown].
// Defaults to [DefaultOutcomeTimeout].
func WithOutcomeTimeout(timeout time.Duration) Option {
	return func(c *config) { c.outcomeTimeout = timeout }
}

// WithIndexTimeout sets how long a reader waits for an index, which is eventually
// consistent, to show the next event. After that it returns what is proven to be
// without a gap, and the rest on a later call. Defaults to [DefaultIndexTimeout].
func WithIndexTimeout(timeout time.Duration) Option {
	return func(c *config) { c.indexTimeout = timeout }
}

// WithWatchInterval sets how often [Store.Watch] looks for events that other
// processes have saved: each time it reads the head of every shard. Defaults to
// [DefaultWatchInterval].
func WithWatchInterval(interval time.Duration) Option {
	return func(c *config) { c.watchInterval = interval }
}

func (c *config) check() error {
	switch {
	case c.clock == nil:
		return fmt.Errorf("%w: clock is nil", eventsource.ErrMisconfigured)
	case c.maxClockAhead < 0:
		return fmt.Errorf("%w: max clock ahead is %v, which is negative", eventsource.ErrMisconfigured, c.maxClockAhead)
	case c.outcomeTimeout < 0:
		return fmt.Errorf("%w: outcome timeout is %v, which is negative", eventsource.ErrMisconfigured, c.outcomeTimeout)
	case c.indexTimeout < 0:
		return fmt.Errorf("%w: index timeout is %v, which is negative", eventsource.ErrMisconfigured, c.indexTimeout)
	case c.watchInterval <= 0:
		return fmt.Errorf("%w: watch interval is %v, which is not positive", eventsource.ErrMisconfigured, c.watchInterval)
	}
	return nil
}
