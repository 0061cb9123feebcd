package dynamostore

import (
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	smithymiddleware "github.com/aws/smithy-go/middleware"
)

// serverClock is DynamoDB's time, as of its latest answer.
type serverClock struct {
	mu       sync.Mutex
	time, at time.Time
}

// hear takes the time from an answer.
func (c *serverClock) hear(metadata smithymiddleware.Metadata) {
	if t, ok := middleware.GetServerTime(metadata); ok {
		c.mu.Lock()
		c.time, c.at = t, time.Now()
		c.mu.Unlock()
	}
}

// check refuses a clock that is ahead by more than the bound.
func (c *serverClock) check(now time.Time, bound time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() {
		return nil
	}
	// Answers are dated to the second, rounded down.
	server := c.time.Add(time.Since(c.at) + time.Second)
	if ahead := now.Sub(server); ahead > bound {
		return &ClockAheadError{Ahead: ahead, Bound: bound}
	}
	return nil
}
