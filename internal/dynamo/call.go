// Package dynamo is what the packages that keep things in DynamoDB have in common:
// requests that are tried again, what errors of AWS mean, and how tables are made.
package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
)

// Bounds of the wait before another try.
const (
	firstWait = 5 * time.Millisecond
	longWait  = 250 * time.Millisecond
)

// Backoff waits between tries: a random time, so that those who got into each
// other's way do not do so again, from a range that doubles with each try.
type Backoff struct{ up time.Duration }

// NewBackoff returns a Backoff before its first wait.
func NewBackoff() *Backoff { return &Backoff{up: firstWait} }

// Wait waits, or returns the context's error when that ends.
func (b *Backoff) Wait(ctx context.Context) error {
	timer := time.NewTimer(rand.N(b.up)) //nolint:gosec // jitter
	defer timer.Stop()
	b.up = min(2*b.up, longWait)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Attempt is one call of the SDK.
type Attempt struct {
	// Sent is true when a request went out: an error before that, of the credentials
	// for instance, means that nothing was carried out.
	Sent bool
	// Err is what the latest request failed with that had time to. The context may end
	// in the next one or before it, and its error would hide this one.
	Err error
}

// Note is an option of the call. It sees each request that goes out.
func (a *Attempt) Note(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("eventsource.Attempt",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (out middleware.DeserializeOutput, metadata middleware.Metadata, err error) {
				a.Sent = true
				out, metadata, err = next.HandleDeserialize(ctx, in)
				if a.Err == nil || ctx.Err() == nil {
					a.Err = err
				}
				return out, metadata, err
			}), middleware.Before)
	})
}

// tries is how often a request is tried that fails for a passing reason, on top of
// what the client's retryer does.
const tries = 4

// Call makes a request that can be made any number of times. When DynamoDB is busy,
// it tries again until ctx ends. timeout is how long an answer may take, with what
// the client's retryer does.
func Call[In, Out any](ctx context.Context, timeout time.Duration, request func(context.Context, In, ...func(*dynamodb.Options)) (Out, error), input In) (Out, error) {
	wait := NewBackoff()
	var a Attempt
	for failures := 0; ; {
		a.Sent = false
		trying, cancel := context.WithTimeout(ctx, timeout)
		out, err := request(trying, input, a.Note)
		late := trying.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !a.Sent || !Busy(err) && !Transient(err) && !late {
			return out, a.Explain(ctx, err)
		}
		switch {
		case Busy(err):
		case Unreachable(err):
			failures += 2 // each try takes seconds, since the client's retryer waits in between
		default:
			failures++
		}
		if failures >= tries || wait.Wait(ctx) != nil {
			return out, a.Explain(ctx, err)
		}
	}
}

// Explain says what the call was waiting for when its context ended.
func (a *Attempt) Explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || a.Err == nil || errors.Is(a.Err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w, after %w", ctx.Err(), a.Err)
}

// atOnce is how many calls are made at a time for one purpose.
const atOnce = 16

// InParallel calls do for 0 to n-1, and returns an error if one did.
func InParallel(n int, do func(i int) error) error {
	if n == 1 {
		return do(0)
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	errs := make([]error, n)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = do(i)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
