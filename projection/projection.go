package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventsource-go/eventsource"
)

// Defaults of the options.
const (
	// DefaultBatchSize is the most events that are handled at once.
	DefaultBatchSize = 500
	// DefaultLease is for how long the process that works on a projection may be silent
	// until another one takes over.
	DefaultLease = 3 * time.Second
	// DefaultPollInterval is how often a projection looks for events that nothing has
	// told it of.
	DefaultPollInterval = 3 * time.Second
	// DefaultTimeout is how long the store and the checkpoints may take to answer.
	DefaultTimeout = 10 * time.Second
	// DefaultTries is how often an event is tried.
	DefaultTries = 10
	// DefaultMinBackoff and DefaultMaxBackoff are the first and the longest pause between
	// two tries.
	DefaultMinBackoff = 100 * time.Millisecond
	DefaultMaxBackoff = 10 * time.Second
	// MaxPartitions is the most partitions that a projection can have.
	MaxPartitions = 64
)

// maxNameLength is the most bytes that the name of a projection may have.
const maxNameLength = 255

// Projection handles all events of a store, in order, from the first one on, and
// remembers how far it is. It is safe for concurrent use.
type Projection struct {
	name       string
	feed       eventsource.Feed
	handler    Handler
	types      []string // that the handler wants, sorted; none for all
	definition []string // those under which they are stored, sorted
	config     config
	err        error

	running atomic.Bool
	stats   stats
}

// config is what the options set.
type config struct {
	checkpoints    Checkpoints
	transactor     Transactor // the same, nil if they are none
	timeout        time.Duration
	handlerTimeout time.Duration
	version        int
	partitions     int
	batchSize      int
	lease          time.Duration
	pollInterval   time.Duration
	tries          int
	minBackoff     time.Duration
	maxBackoff     time.Duration
	onFailure      FailurePolicy
	startAfter     string
	silent         bool
	manualTakeover bool
	dropOld        bool
	takeover       func(ctx context.Context) error
	logger         *slog.Logger
	meters         metric.MeterProvider
	tracers        trace.TracerProvider
}

// Option is an option of [New].
type Option func(*config)

// WithCheckpoints sets where the projection keeps how far it is, not nil. Defaults to
// [NewMemory], so that each start handles all events anew.
func WithCheckpoints(checkpoints Checkpoints) Option {
	return func(c *config) { c.checkpoints = checkpoints }
}

// WithVersion sets the version of the projection, from 1. A version that is higher than
// the active one handles all events anew, beside that one, and takes over when it is
// level with it. Give it tables of its own. Defaults to 1.
func WithVersion(version int) Option {
	return func(c *config) { c.version = version }
}

// WithPartitions spreads the aggregates over n workers, at most [MaxPartitions], in
// all processes that run the projection together. Each aggregate's events stay in
// order; those of different aggregates do not. A projection that is started with
// another n than before goes on where it was with this one, in all processes. Each
// worker reads all events that the handler asks for, decodes its own, and renews a lease of
// its own: about two queries a second when idle. Defaults to 1.
func WithPartitions(n int) Option {
	return func(c *config) { c.partitions = n }
}

// WithBatchSize sets the most events that a handler gets at once, and that a
// transaction holds; several that are one for the store stay together, so there may be more
// by that. Defaults to [DefaultBatchSize].
func WithBatchSize(events int) Option {
	return func(c *config) { c.batchSize = events }
}

// WithLease sets for how long the process that works on the projection may be silent
// until another one takes over, at least 100 ms. It says that it is alive about three
// times as often. Takeover takes up to a third longer. Defaults to [DefaultLease].
func WithLease(ttl time.Duration) Option {
	return func(c *config) { c.lease = ttl }
}

// WithPollInterval sets how often a projection looks for events of its own accord. A
// store that can [eventsource.Watcher] wakes it in between; one that cannot is polled
// twice as often. Defaults to [DefaultPollInterval].
func WithPollInterval(interval time.Duration) Option {
	return func(c *config) { c.pollInterval = interval }
}

// WithTimeout sets how long the store and the checkpoints may take for an answer, or for the
// next event, before the connection is taken to be dead and another one is tried. The handler's
// time does not count. Defaults to [DefaultTimeout].
func WithTimeout(timeout time.Duration) Option {
	return func(c *config) { c.timeout = timeout }
}

// WithHandlerTimeout sets for how long a handler may work on a batch before its context ends, and
// the batch counts as failed. Without, one that hangs keeps the projection for as long as its
// process can renew the lease. Defaults to 0, as long as it takes.
func WithHandlerTimeout(timeout time.Duration) Option {
	return func(c *config) { c.handlerTimeout = timeout }
}

// WithRetry sets how often an event is tried, at least once, and the first and the
// longest pause in between, which doubles each time, more or less. Defaults to
// [DefaultTries], [DefaultMinBackoff] and [DefaultMaxBackoff], half a minute in all.
//
// Failures of the event store and of the checkpoints are not the event's: for those
// the projection tries as long as it runs.
func WithRetry(tries int, first, longest time.Duration) Option {
	return func(c *config) { c.tries, c.minBackoff, c.maxBackoff = tries, first, longest }
}

// FailurePolicy is what happens to an event that was tried often enough.
type FailurePolicy int

const (
	// Stop ends the projection: Run returns an [EventError].
	Stop FailurePolicy = iota
	// Skip leaves the event out, with a record of it; see [Manager.Parked].
	Skip
	// Park puts the event aside, with all later events of its aggregate, until someone
	// has them handled again or drops them; see [Manager.Parked]. The events of other
	// aggregates go on.
	Park
)

// WithFailurePolicy sets what happens to an event that was tried often enough.
// Defaults to [Stop].
func WithFailurePolicy(policy FailurePolicy) Option {
	return func(c *config) { c.onFailure = policy }
}

// WithStartAfter sets the sequence ID that a version starts after when it is run for
// the first time. To begin with what is saved from now on, give it the Head of the store's
// [eventsource.Horizon]. Defaults to "", the beginning.
func WithStartAfter(sequenceID string) Option {
	return func(c *config) { c.startAfter = sequenceID }
}

// WithSilence has all events handled silently (see [SideEffect]), as long as this
// option is set. Such a version only takes over when [Manager.Promote] says so. Defaults
// to handling silently what was handled before.
func WithSilence() Option { return func(c *config) { c.silent = true } }

// WithManualTakeover has a later version wait for [Manager.Promote] before it takes
// over. Defaults to taking over as soon as it is level.
func WithManualTakeover() Option { return func(c *config) { c.manualTakeover = true } }

// WithDropOld has this version forget the checkpoint and the parked events of the one
// that it takes over from, whose Run then returns [ErrSuperseded]. Defaults to keeping
// them: the old version goes on silently for as long as it is run, and can be made
// active again with [Manager.Promote].
func WithDropOld() Option { return func(c *config) { c.dropOld = true } }

// WithTakeover sets a function that is called when this version becomes the active one,
// for instance to let views show its tables. With checkpoints that are a [Transactor]
// it is called in the transaction in which that happens, so that both happen or none;
// with others just before, and again if that then fails. The first version of a
// projection becomes active when it is run for the first time. The function has to
// return well within the lease ([WithLease]); an error puts the takeover off. Defaults
// to none.
func WithTakeover(takeover func(ctx context.Context) error) Option {
	return func(c *config) { c.takeover = takeover }
}

// WithLogger sets where the projection says what happens. Defaults to [slog.Default].
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { c.logger = logger }
}

// New returns a projection. The repository has to be one of
// [eventsource.NewRepository], or to pass on its [eventsource.Feeder]. Arguments that
// cannot be make every method return [eventsource.ErrMisconfigured].
func New(name string, repository eventsource.Repository, handler Handler, opts ...Option) *Projection {
	p := &Projection{name: name, handler: handler, config: config{
		checkpoints: NewMemory(), version: 1, partitions: 1, batchSize: DefaultBatchSize, lease: DefaultLease, pollInterval: DefaultPollInterval, timeout: DefaultTimeout,
		tries: DefaultTries, minBackoff: DefaultMinBackoff, maxBackoff: DefaultMaxBackoff,
	}}
	for _, opt := range opts {
		if opt != nil {
			opt(&p.config)
		}
	}
	if p.config.logger == nil {
		p.config.logger = slog.Default()
	}
	p.config.logger = p.config.logger.With(slog.String("projection", name), slog.Int("version", p.config.version))
	var feedErr error
	p.feed, feedErr = feedOf(repository)
	p.err = errors.Join(checkName(name), feedErr, p.config.check(), p.checkHandler())
	p.config.transactor, _ = p.config.checkpoints.(Transactor)
	p.config.checkpoints = limited{p.config.checkpoints, p.config.timeout}
	p.stats.start(p)
	return p
}

// Err returns what was wrong with the arguments of [New], nil if nothing was.
func (p *Projection) Err() error { return p.err }

func feedOf(repository eventsource.Repository) (eventsource.Feed, error) {
	if isNil(repository) {
		return eventsource.Feed{}, misconfigured("repository is nil")
	}
	feeder, ok := repository.(eventsource.Feeder)
	if !ok {
		return eventsource.Feed{}, misconfigured("repository, a %T, has no method Feed; a repository that wraps another one passes on that of the other", repository)
	}
	return feeder.Feed(), feeder.Feed().Err()
}

func checkName(name string) error {
	if name == "" || len(name) > maxNameLength || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return misconfigured("name %q is not 1 to %d bytes of UTF-8 without NUL", name, maxNameLength)
	}
	return nil
}

func (c *config) check() error {
	c.startAfter, c.manualTakeover = strings.ToUpper(c.startAfter), c.manualTakeover || c.silent
	_, err := eventsource.ParseSequenceID(c.startAfter)
	require := func(ok bool, format string, args ...any) {
		if !ok {
			err = errors.Join(err, misconfigured(format, args...))
		}
	}
	require(c.version >= 1, "version %d is below 1", c.version)
	require(c.partitions >= 1 && c.partitions <= MaxPartitions, "%d partitions are not 1 to %d", c.partitions, MaxPartitions)
	require(c.batchSize >= 1, "batch size %d is below 1", c.batchSize)
	require(c.lease >= 100*time.Millisecond, "lease of %v is below 100ms", c.lease)
	require(c.pollInterval > 0, "poll interval of %v is not above 0", c.pollInterval)
	require(c.timeout > 0, "timeout of %v is not above 0", c.timeout)
	require(c.handlerTimeout >= 0, "handler timeout of %v is below 0", c.handlerTimeout)
	require(c.tries >= 1, "%d tries are below 1", c.tries)
	require(c.minBackoff > 0 && c.maxBackoff >= c.minBackoff, "pauses from %v to %v between tries cannot be", c.minBackoff, c.maxBackoff)
	require(c.onFailure >= Stop && c.onFailure <= Park, "failure policy %d is none", c.onFailure)
	return errors.Join(err, checkCheckpoints(c.checkpoints))
}

func checkCheckpoints(checkpoints Checkpoints) error {
	if isNil(checkpoints) {
		return misconfigured("checkpoints are nil")
	}
	if c, ok := checkpoints.(interface{ Err() error }); ok {
		return c.Err()
	}
	return nil
}

func (p *Projection) checkHandler() error {
	if isNil(p.handler) {
		return misconfigured("handler of %q is nil", p.name)
	}
	if err := handlerErr(p.handler); err != nil {
		return err
	}
	p.types = typesOf(p.handler)
	p.definition = p.feed.StoredTypes(p.types...)
	if _, ok := p.config.checkpoints.(Transactor); isTransactional(p.handler) && !ok {
		return misconfigured("handler of %q works in the transaction of its checkpoint, and a %T has none", p.name, p.config.checkpoints)
	}
	return nil
}

// newOwner returns the name of an owner of leases that nobody else has, and that
// says where to look for it.
func newOwner() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	return fmt.Sprintf("%.100s/%d/%s", strings.ToValidUTF8(host, "?"), os.Getpid(), ulid.Make())
}
