package dynamostore

import (
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	smithymiddleware "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// serverClock is DynamoDB's time, as of its latest answers.
type serverClock struct {
	mu sync.Mutex
	// time was the server's at the time at of this process, or a little more.
	time, at time.Time
}

// hear takes the time from an answer.
func (c *serverClock) hear(metadata smithymiddleware.Metadata) {
	if t, ok := middleware.GetServerTime(metadata); ok {
		c.set(t)
	}
}

// hearError takes the time from an answer that is an error.
func (c *serverClock) hearError(err error) {
	var response *awshttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil {
		return
	}
	if t, err := smithyhttp.ParseTime(response.Response.Header.Get("Date")); err == nil {
		c.set(t)
	}
}

// set takes the time of an answer. That is rounded down to the second, and a little
// old: what is known already stays where it fits, so that the time seldom goes back.
func (c *serverClock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	known := c.time.Add(now.Sub(c.at))
	if c.at.IsZero() || known.Before(t) || known.After(t.Add(2*time.Second)) {
		known = t
	}
	c.time, c.at = known, now
}

// now is the server's time, by up to a second and the way of an answer less. ok is
// false while no answer has told it.
func (c *serverClock) now() (t time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time.Add(time.Since(c.at)), !c.at.IsZero()
}

// check refuses a clock that is ahead by more than the bound.
func (c *serverClock) check(now time.Time, bound time.Duration) error {
	server, ok := c.now()
	if !ok {
		return nil
	}
	if ahead := now.Sub(server.Add(time.Second)); ahead > bound {
		return &ClockAheadError{Ahead: ahead, Bound: bound}
	}
	return nil
}
