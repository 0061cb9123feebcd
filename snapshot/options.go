package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/eventsource-go/eventsource"
)

// Defaults of the options.
const (
	// DefaultEvery is how many events a load reads before it takes a snapshot.
	DefaultEvery = 100
	// DefaultTimeout is how long the store of snapshots may take.
	DefaultTimeout = time.Second
)

// Option is an option of [New].
type Option func(*config)

type config struct {
	due        func(Info) bool
	every      int // for check
	timeout    time.Duration
	background int // pending snapshots, -1 if it was set to less than 1
	codec      Codec
	logger     *slog.Logger
}

// Info is what is known of an aggregate that was loaded.
type Info struct {
	// AggregateID names the aggregate.
	AggregateID string
	// Type is the name of its type.
	Type string
	// Version is that of its last event.
	Version int
	// Read is how many events the load has read, those after the snapshot that it
	// began from. Without one, all: then it is the Version.
	Read int
}

// Every takes a snapshot when a load has read n events or more, n from 1, after the
// snapshot that it began from. Defaults to [DefaultEvery].
func Every(n int) Option {
	return func(c *config) {
		c.every = n
		c.due = func(i Info) bool { return i.Read >= n }
	}
}

// When takes a snapshot when a function says so. It is called for every load of an
// aggregate's latest state, from several goroutines at once, and has to be quick.
// Defaults to [Every].
func When(due func(Info) bool) Option {
	return func(c *config) { c.every, c.due = DefaultEvery, due }
}

// WithTimeout sets how long one load or save of the store of snapshots may take. A load
// of an aggregate takes so much longer at most when that store does not answer.
// Defaults to [DefaultTimeout].
func WithTimeout(timeout time.Duration) Option { return func(c *config) { c.timeout = timeout } }

// InBackground has snapshots stored by a goroutine of their own, which there is while
// any wait. They keep the values of the caller's context, and do not end with it. At
// most pending wait, from 1, of each aggregate only the newest; more are dropped. See
// [Snapshots.Wait]. Defaults to storing them before the load, or the command,
// returns, for as long as the caller's context lasts.
func InBackground(pending int) Option {
	return func(c *config) {
		if c.background = pending; pending < 1 {
			c.background = -1
		}
	}
}

// WithLogger sets where failures are reported. Defaults to [slog.Default].
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) {
		if logger != nil {
			c.logger = logger
		}
	}
}

// Codec writes and reads states. It is safe for concurrent use.
type Codec interface {
	// Marshal writes the state of an aggregate, without changing it. The slice is the caller's.
	Marshal(aggr eventsource.Aggregate) ([]byte, error)
	// Unmarshal reads a state into an aggregate whose exported fields are zero, and
	// replaces the others. It does not keep the slice.
	Unmarshal(state []byte, aggr eventsource.Aggregate) error
}

// WithCodec sets how states are written. Exported fields are still compared before a
// snapshot is kept; that the others survive is up to the codec. Use another store, or
// raise SnapshotVersion, when the codec changes. Defaults to package encoding/json.
func WithCodec(codec Codec) Option { return func(c *config) { c.codec = codec } }

func newConfig(opts []Option) config {
	c := config{timeout: DefaultTimeout, codec: jsonCodec{}, logger: slog.Default()}
	Every(DefaultEvery)(&c)
	for _, opt := range opts {
		if opt != nil {
			opt(&c)
		}
	}
	return c
}

func (c *config) check() (err error) {
	if c.every < 1 {
		err = misconfigured("a snapshot every %d events cannot be", c.every)
	}
	if c.due == nil {
		err = errors.Join(err, misconfigured("the function that says when a snapshot is due is nil"))
	}
	if c.timeout <= 0 {
		err = errors.Join(err, misconfigured("timeout is %v, which is not positive", c.timeout))
	}
	if c.background < 0 {
		err = errors.Join(err, misconfigured("fewer than 1 snapshot cannot wait in the background"))
	}
	if isNil(c.codec) {
		err = errors.Join(err, misconfigured("codec is nil"))
	}
	return err
}

// jsonCodec is package encoding/json, without what it forgives.
type jsonCodec struct{}

func (jsonCodec) Marshal(aggr eventsource.Aggregate) ([]byte, error) { return json.Marshal(aggr) }

func (jsonCodec) Unmarshal(state []byte, aggr eventsource.Aggregate) error {
	if !json.Valid(state) {
		return errors.New("it is no JSON, or not all of it")
	}
	if bytes.Equal(bytes.TrimSpace(state), []byte("null")) {
		return errors.New("it is null")
	}
	decoder := json.NewDecoder(bytes.NewReader(state))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(aggr); err != nil {
		return fmt.Errorf("it is not as %T is written: %w", aggr, err)
	}
	return nil
}
