package chaos

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Clock says how the clock of a worker is wrong. The zero value is right.
type Clock struct {
	// Offset is how far it is off, all the time.
	Offset time.Duration
	// Every now and then, Every apart on average, it steps to up to Jump before or
	// behind that. With 0 it never does.
	Jump, Every time.Duration
}

// start returns the clock, which is safe for concurrent use.
func (c Clock) start(random *rand.Rand) func() time.Time {
	if c.Jump <= 0 || c.Every <= 0 {
		return func() time.Time { return time.Now().Add(c.Offset) }
	}
	var (
		mu     sync.Mutex
		offset = c.Offset
		next   = time.Now()
	)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.After(next) {
			offset = c.Offset + time.Duration(random.Int64N(int64(2*c.Jump))) - c.Jump
			next = now.Add(time.Duration(random.Int64N(int64(2 * c.Every))))
		}
		return now.Add(offset)
	}
}
