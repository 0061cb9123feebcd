package dynamoprojection

import (
	"fmt"
	"time"

	"github.com/eventsource-go/eventsource"
)

// DefaultRequestTimeout is how long an answer of DynamoDB may take.
const DefaultRequestTimeout = 10 * time.Second

// Option is an option of [NewCheckpoints].
type Option func(*config)

type config struct{ requestTimeout time.Duration }

// WithRequestTimeout sets how long an answer of DynamoDB may take, together with what
// the client's retryer does, until the request is made again. It keeps a connection
// that is dead, but not closed, from holding up a projection whose context has no end.
// Defaults to [DefaultRequestTimeout].
func WithRequestTimeout(timeout time.Duration) Option {
	return func(c *config) { c.requestTimeout = timeout }
}

func (c *config) check() error {
	if c.requestTimeout <= 0 {
		return fmt.Errorf("%w: request timeout is %v, which is not positive", eventsource.ErrMisconfigured, c.requestTimeout)
	}
	return nil
}
