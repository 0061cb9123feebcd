package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
)

// Bounds of the wait before another try.
const (
	firstWait = 5 * time.Millisecond
	longWait  = 250 * time.Millisecond
)

// backoff waits between tries: a random time, so that those who got into each
// other's way do not do so again, from a range that doubles with each try.
type backoff struct{ up time.Duration }

func newBackoff() *backoff { return &backoff{up: firstWait} }

// wait waits, or returns the context's error when that ends.
func (b *backoff) wait(ctx context.Context) error {
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

// attemptTimeout is how long an answer may take. Without it, a caller whose context
// has no end would keep others waiting for an answer that never comes.
const attemptTimeout = 10 * time.Second

// attempt is one call of the SDK.
type attempt struct {
	// sent is true when a request went out: an error before that, of the credentials
	// for instance, means that nothing was carried out.
	sent bool
	// err is what the latest request failed with. While the SDK waits to send another
	// one, the context may end, and its error would hide this one.
	err error
}

// note is an option of the call. It sees each request that goes out.
func (a *attempt) note(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("eventsource.Attempt",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (out middleware.DeserializeOutput, metadata middleware.Metadata, err error) {
				a.sent = true
				out, metadata, a.err = next.HandleDeserialize(ctx, in)
				return out, metadata, a.err
			}), middleware.Before)
	})
}

// once is an option of the call. It makes the SDK try once.
func once(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// readTries is how often a request is tried that fails for a passing reason, on top
// of what the client's retryer does.
const readTries = 4

// call makes a request that can be made any number of times. When DynamoDB is busy,
// it tries again until ctx ends.
func call[In, Out any](ctx context.Context, request func(context.Context, In, ...func(*dynamodb.Options)) (Out, error), input In) (Out, error) {
	wait := newBackoff()
	for failures := 0; ; {
		var a attempt
		trying, cancel := context.WithTimeout(ctx, attemptTimeout)
		out, err := request(trying, input, a.note)
		late := trying.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !a.sent || !busy(err) && !transient(err) && !late {
			return out, a.explain(ctx, err)
		}
		switch {
		case busy(err):
		case unreachable(err):
			failures += 2 // each try takes seconds, since the client's retryer waits in between
		default:
			failures++
		}
		if failures >= readTries || wait.wait(ctx) != nil {
			return out, a.explain(ctx, err)
		}
	}
}

// explain says what the call was waiting for when its context ended.
func (a *attempt) explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || a.err == nil || errors.Is(a.err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w, after %w", ctx.Err(), a.err)
}

// runQuery makes a query.
func (s *Store) runQuery(ctx context.Context, input *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	out, err := call(ctx, s.client.Query, input)
	if err == nil {
		s.server.hear(out.ResultMetadata)
	}
	return out, err
}

// atOnce is how many calls are made at a time for one purpose.
const atOnce = 16

// inParallel calls do for 0 to n-1, and returns an error if one did.
func inParallel(n int, do func(i int) error) error {
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
