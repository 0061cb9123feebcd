package dynamostore

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
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

// readTries is how often a read is tried that fails for a passing reason, on top of
// what the client's retryer does.
const readTries = 4

// call makes a request that can be made any number of times. When DynamoDB is busy,
// it tries again until ctx ends.
func call[Out any](ctx context.Context, request func() (Out, error)) (Out, error) {
	wait := newBackoff()
	for failures := 0; ; {
		out, err := request()
		if err == nil || !busy(err) && !transient(err) {
			return out, err
		}
		if !busy(err) {
			failures++
		}
		if failures == readTries || wait.wait(ctx) != nil {
			return out, err
		}
	}
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
