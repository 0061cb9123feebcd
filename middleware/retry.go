package middleware

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/failures"
)

// Defaults of the options of [Retry].
const (
	// DefaultTries is how often a call is made.
	DefaultTries = 5
	// DefaultMinBackoff is the first pause between two tries.
	DefaultMinBackoff = 20 * time.Millisecond
	// DefaultMaxBackoff is the longest pause between two tries.
	DefaultMaxBackoff = time.Second
	// DefaultMaxElapsed is for how long a call is tried again.
	DefaultMaxElapsed = 10 * time.Second
)

// RetryOption is an option of [Retry].
type RetryOption func(*retry)

// WithTries sets how often a call is made at most, the first time included, from 1.
// Defaults to [DefaultTries].
func WithTries(n int) RetryOption {
	return func(r *retry) { r.tries = n }
}

// WithBackoff sets the first and the longest pause between two tries. Each is about
// twice as long as the one before, and random by half of it up or down. Defaults to
// [DefaultMinBackoff] and [DefaultMaxBackoff].
func WithBackoff(first, longest time.Duration) RetryOption {
	return func(r *retry) { r.minBackoff, r.maxBackoff = first, longest }
}

// WithMaxElapsed sets how long after the call began the last try may begin. It does not
// end a try that is under way; the context does. Defaults to [DefaultMaxElapsed].
func WithMaxElapsed(d time.Duration) RetryOption {
	return func(r *retry) { r.maxElapsed = d }
}

// WithRetryIf sets a function that is asked of each error after which the call would be
// made again. If it returns false the error is returned. It must be safe for concurrent
// use. Defaults to one that always returns true.
func WithRetryIf(again func(err error) bool) RetryOption {
	return func(r *retry) {
		if again != nil {
			r.again = again
		}
	}
}

type retry struct {
	tries                  int
	minBackoff, maxBackoff time.Duration
	maxElapsed             time.Duration
	again                  func(error) bool
}

// Retry returns a middleware that makes a call again, after a pause, when it has failed
// and that is safe: loads, queries that have not given an event yet, Count, Horizon, Holder
// and Watch, and Append and NewTransaction, of which nothing is stored after an error. It
// never repeats Commit and Rollback, and nothing after [eventsource.ErrOutcomeUnknown].
//
// Nor does it repeat what another try cannot change: it returns all other errors of
// package eventsource, such as [eventsource.ErrConflict], those of contexts, and
// [errors.ErrUnsupported] at once.
//
// After the last try its error is returned, with the number of tries. When the context
// ends there is no other try; the error is then the context's and that of the last try.
//
// While a Query or Follow is tried again, the caller's loop waits. A store that repeats by
// itself what fails, such as dynamostore, multiplies the tries. Tries and durations that cannot be
// are [eventsource.ErrMisconfigured].
func Retry(opts ...RetryOption) eventsource.Middleware {
	r := retry{
		tries: DefaultTries, minBackoff: DefaultMinBackoff, maxBackoff: DefaultMaxBackoff, maxElapsed: DefaultMaxElapsed,
		again: func(error) bool { return true },
	}
	for _, opt := range opts {
		if opt != nil {
			opt(&r)
		}
	}
	if err := r.check(); err != nil {
		return eventsource.Misconfigured(err)
	}
	return eventsource.Intercept(r.intercept)
}

func (r *retry) check() error {
	switch {
	case r.tries < 1:
		return fmt.Errorf("%w: %d tries are below 1", eventsource.ErrMisconfigured, r.tries)
	case r.minBackoff <= 0 || r.maxBackoff < r.minBackoff:
		return fmt.Errorf("%w: pauses from %v to %v between tries cannot be", eventsource.ErrMisconfigured, r.minBackoff, r.maxBackoff)
	case r.maxElapsed <= 0:
		return fmt.Errorf("%w: nothing can be tried again for %v", eventsource.ErrMisconfigured, r.maxElapsed)
	}
	return nil
}

func (r *retry) intercept(ctx context.Context, call *eventsource.Call, next func(ctx context.Context) error) error {
	if call.Operation == eventsource.OperationCommit || call.Operation == eventsource.OperationRollback {
		return next(ctx)
	}
	began := time.Now()
	var pauses *backoff.ExponentialBackOff // most calls need none
	for try := 1; ; try++ {
		err := next(ctx)
		if err == nil {
			return nil
		}
		if try == r.tries || !r.mayRepeat(call, err) {
			return tried(try, err)
		}
		if pauses == nil {
			pauses = backoff.NewExponentialBackOff()
			pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = r.minBackoff, r.maxBackoff, 2
		}
		pause := pauses.NextBackOff()
		if time.Since(began)+pause > r.maxElapsed {
			return tried(try, err)
		}
		if ended := sleep(ctx, pause); ended != nil {
			return fmt.Errorf("eventsource: %s: %w, tried %d times: %w", call.Operation, ended, try, err)
		}
	}
}

// mayRepeat reports whether another try is safe and may help.
func (r *retry) mayRepeat(call *eventsource.Call, err error) bool {
	iterates := call.Operation == eventsource.OperationQuery || call.Operation == eventsource.OperationFollow
	if iterates && call.Events > 0 || failures.Kind(err) != "" {
		return false
	}
	return r.again(err)
}

// tried says how often a call was made, if that was more than once.
func tried(times int, err error) error {
	if times == 1 {
		return err
	}
	return fmt.Errorf("%w (tried %d times)", err, times)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
