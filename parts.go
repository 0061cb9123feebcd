package eventsource

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

const (
	// leastPart is how many events are worth a goroutine to decode them.
	leastPart = 128
	// mostParts bounds how much of a machine one call takes.
	mostParts = 4
)

// inParts calls do for parts of n things, each in a goroutine of its own if there
// are many. It returns the error of the first part that has one. What panics in a
// part panics here.
func inParts(n int, do func(from, to int) error) error {
	parts := min(n/leastPart, mostParts, runtime.GOMAXPROCS(0))
	if parts <= 1 {
		return do(0, n)
	}
	type result struct {
		err      error
		panicked any
		returned bool
	}
	results := make([]result, parts)
	var wg sync.WaitGroup
	for part := range parts {
		wg.Go(func() {
			r := &results[part]
			defer func() {
				if p := recover(); p != nil {
					r.panicked = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
				}
			}()
			r.err = do(n*part/parts, n*(part+1)/parts)
			r.returned = true
		})
	}
	wg.Wait()
	for _, r := range results {
		switch {
		case r.panicked != nil:
			panic(r.panicked)
		case r.err != nil:
			return r.err
		case !r.returned:
			runtime.Goexit() // as the part did
		}
	}
	return nil
}
