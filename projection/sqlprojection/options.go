package sqlprojection

import (
	"fmt"
	"math"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/pgident"
)

// Defaults of the options.
const (
	// DefaultTable is the name of the table of events, with which those of the
	// tables of projections begin.
	DefaultTable = "events"
	// DefaultIdleTimeout is how long a transaction may wait for the next statement.
	DefaultIdleTimeout = 5 * time.Second
)

// Option is an option of [NewCheckpoints].
type Option func(*config)

type config struct {
	schema, table string
	idleTimeout   time.Duration
}

// WithSchema sets the schema of the tables, quoted as an identifier. Defaults to what
// the search path of the connection says.
func WithSchema(schema string) Option { return func(c *config) { c.schema = schema } }

// WithTable sets the name that was given to package migrations, that of the table of
// events: those of projections are called like it, with _projections and _parked
// behind. It is quoted as an identifier. Defaults to [DefaultTable].
func WithTable(table string) Option { return func(c *config) { c.table = table } }

// WithIdleTimeout sets how long the transaction of a handler may do nothing, from 1 ms
// to 24 days. The server ends it then, and with it the locks of a process that
// froze or can no longer be reached, so that another one can take over. So it is also
// how long a handler may take between two statements; see [ErrIdleTimeout]. Defaults
// to [DefaultIdleTimeout].
func WithIdleTimeout(timeout time.Duration) Option {
	return func(c *config) { c.idleTimeout = timeout }
}

// newConfig gives the defaults, with the options on top.
func newConfig(opts []Option) config {
	c := config{table: DefaultTable, idleTimeout: DefaultIdleTimeout}
	for _, opt := range opts {
		if opt != nil {
			opt(&c)
		}
	}
	return c
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
	// PostgreSQL takes milliseconds in 32 bits, and 0 for no timeout at all.
	if longest := math.MaxInt32 * time.Millisecond; c.idleTimeout < time.Millisecond || c.idleTimeout > longest {
		return fmt.Errorf("%w: idle timeout is %v, not between 1ms and %v", eventsource.ErrMisconfigured, c.idleTimeout, longest)
	}
	return nil
}
