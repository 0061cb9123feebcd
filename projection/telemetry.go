package projection

import (
	"context"
	"errors"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope is the instrumentation scope of metrics and spans.
const scope = "github.com/eventsource-go/eventsource/projection"

// Attributes of metrics and spans. Metrics have the first two only, so that there are
// few of them.
const (
	nameKey      = attribute.Key("eventsource.projection.name")
	versionKey   = attribute.Key("eventsource.projection.version")
	partitionKey = attribute.Key("eventsource.projection.partition")
	silentKeyOf  = attribute.Key("eventsource.projection.silent")
	firstKey     = attribute.Key("eventsource.projection.first_sequence_id")
	lastKey      = attribute.Key("eventsource.projection.last_sequence_id")
)

// WithMeterProvider sets where metrics go while Run runs. All have the attributes
// eventsource.projection.name and eventsource.projection.version:
//
//	eventsource.projection.handled         events handled here (counter)
//	eventsource.projection.retries         failures after which events were tried again (counter)
//	eventsource.projection.parked          events put aside here (counter)
//	eventsource.projection.parked.current  events that are parked in the partitions worked on here (gauge)
//	eventsource.projection.skipped         events left out here (counter)
//	eventsource.projection.batch.duration  seconds to handle a batch once; error.type if it failed (histogram)
//	eventsource.projection.partitions      partitions that this process works on (up-down counter)
//	eventsource.projection.lag.events      events left to handle, if the store is an [eventsource.Counter] (gauge)
//	eventsource.projection.lag.time        seconds between position and last event, as [Status].Lag (gauge)
//	eventsource.projection.position        Unix time, in seconds, of the sequence ID that is reached (gauge)
//
// The gauges are those of processes that work on a partition; where several do, the
// highest lag and the lowest position are the projection's. They cost no query while
// the projection keeps up, and up to three every five seconds while it does not: then
// lag is up to five seconds old. Events that an open transaction holds back count when
// they can be read. Defaults to the global provider, [otel.GetMeterProvider].
func WithMeterProvider(provider metric.MeterProvider) Option {
	return func(c *config) { c.meters = provider }
}

// WithTracerProvider sets where spans go: one for each batch of events that is
// handled, in the context that the handler gets. Defaults to the global one,
// [otel.GetTracerProvider].
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(c *config) { c.tracers = provider }
}

// telemetry is what is told to OpenTelemetry while Run runs.
type telemetry struct {
	tracer       trace.Tracer
	spanName     string
	spanStart    trace.SpanStartEventOption
	attributes   metric.MeasurementOption
	handled      metric.Int64Counter
	retries      metric.Int64Counter
	parked       metric.Int64Counter
	skipped      metric.Int64Counter
	duration     metric.Float64Histogram
	registration metric.Registration
}

// begin makes the instruments. Those that a provider already has are the same.
func (t *telemetry) begin(s *stats) {
	c := &s.p.config
	meters, tracers := c.meters, c.tracers
	if isNil(meters) {
		meters = otel.GetMeterProvider()
	}
	if isNil(tracers) {
		tracers = otel.GetTracerProvider()
	}
	own := []attribute.KeyValue{nameKey.String(s.p.name), versionKey.Int(c.version)}
	t.attributes = metric.WithAttributeSet(attribute.NewSet(own...))
	t.tracer, t.spanName = tracers.Tracer(scope), "handle "+s.p.name
	t.spanStart = trace.WithAttributes(append(own,
		semconv.MessagingSystemKey.String("eventsource"),
		semconv.MessagingOperationTypeProcess,
		semconv.MessagingOperationName("handle"),
		semconv.MessagingConsumerGroupName(s.p.name),
	)...)
	if err := t.instruments(meters.Meter(scope), s); err != nil {
		otel.Handle(err)
		_ = t.instruments(noop.Meter{}, s) // never fails
	}
}

func (t *telemetry) instruments(meter metric.Meter, s *stats) error {
	var errs []error
	keep := func(err error) { errs = append(errs, err) }
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := meter.Int64Counter("eventsource.projection."+name, metric.WithUnit(unit), metric.WithDescription(description))
		keep(err)
		return c
	}
	t.handled = counter("handled", "{event}", "Events that were handled, those that came again included.")
	t.retries = counter("retries", "{retry}", "Failures of the handler after which events were tried again.")
	t.parked = counter("parked", "{event}", "Events that were put aside, with those that wait for them.")
	t.skipped = counter("skipped", "{event}", "Events that were left out because they could not be handled.")
	var err error
	t.duration, err = meter.Float64Histogram("eventsource.projection.batch.duration", metric.WithUnit("s"),
		metric.WithDescription("Time to handle a batch of events once and to move the checkpoint."),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60))
	keep(err)
	seconds := func(name, description string) metric.Float64ObservableGauge {
		gauge, err := meter.Float64ObservableGauge("eventsource.projection."+name, metric.WithUnit("s"), metric.WithDescription(description))
		keep(err)
		return gauge
	}
	lag := seconds("lag.time", "Time between the position and the last event that is stored, by their sequence IDs.")
	position := seconds("position", "Unix time of the sequence ID up to which all events have been handled.")
	events, err := meter.Int64ObservableGauge("eventsource.projection.lag.events", metric.WithUnit("{event}"),
		metric.WithDescription("Events that are still to be handled."))
	keep(err)
	waiting, err := meter.Int64ObservableGauge("eventsource.projection.parked.current", metric.WithUnit("{event}"),
		metric.WithDescription("Parked events that wait to be retried or dropped."))
	keep(err)
	partitions, err := meter.Int64ObservableUpDownCounter("eventsource.projection.partitions", metric.WithUnit("{partition}"),
		metric.WithDescription("Partitions that this process works on."))
	keep(err)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t.registration, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := s.observe()
		o.ObserveInt64(partitions, int64(now.partitions), t.attributes)
		if now.partitions > 0 {
			o.ObserveInt64(waiting, now.waiting, t.attributes)
		}
		if now.lagEvents >= 0 {
			o.ObserveInt64(events, now.lagEvents, t.attributes)
		}
		if now.lag >= 0 {
			o.ObserveFloat64(lag, now.lag.Seconds(), t.attributes)
		}
		if now.position != "" {
			o.ObserveFloat64(position, float64(milliseconds(now.position))/1000, t.attributes)
		}
		return nil
	}, lag, position, events, waiting, partitions)
	return err
}

// observation is what the gauges show.
type observation struct {
	partitions int
	waiting    int64
	lagEvents  int64         // -1 if that is not known, or for others to tell
	lag        time.Duration // as lagEvents
	position   string        // "" if there is none
}

// observe tells what is known without asking anybody.
func (s *stats) observe() observation {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := observation{partitions: len(s.partitions), lagEvents: -1, lag: -1}
	if now.partitions == 0 {
		return now
	}
	isFirst := true
	for _, own := range s.partitions {
		now.waiting += own.waiting
		if isFirst || own.position < now.position {
			now.position, isFirst = own.position, false
		}
	}
	level, behind := s.isLevel()
	switch {
	case level:
		now.lagEvents, now.lag = 0, 0
	case s.sampled == nil || s.sampled.at.Before(behind): // it has just been, or has just begun
	default:
		now.lagEvents, now.lag = s.left(), s.sampled.lag
		if now.position != "" && s.sampled.head != "" {
			now.lag = between(now.position, s.sampled.head)
		}
	}
	return now
}

// end leaves nothing behind.
func (t *telemetry) end() {
	if t.registration != nil {
		if err := t.registration.Unregister(); err != nil {
			otel.Handle(err)
		}
		t.registration = nil
	}
}

// add counts.
func (t *telemetry) add(more counts) {
	ctx := context.Background()
	for _, c := range []struct {
		counter metric.Int64Counter
		n       int64
	}{{t.handled, more.handled}, {t.retries, more.retries}, {t.parked, more.parked}, {t.skipped, more.skipped}} {
		if c.n > 0 {
			c.counter.Add(ctx, c.n, t.attributes)
		}
	}
}

// start starts the span of a batch, n of whose events the handler gets.
func (t *telemetry) start(ctx context.Context, w *worker, items []item, n int) (context.Context, trace.Span) {
	ctx, span := t.tracer.Start(ctx, t.spanName, trace.WithSpanKind(trace.SpanKindConsumer), t.spanStart)
	if span.IsRecording() {
		span.SetAttributes(
			partitionKey.Int(w.row.Partition),
			silentKeyOf.Bool(Silent(ctx)),
			firstKey.String(items[0].record.SequenceID),
			lastKey.String(items[len(items)-1].record.SequenceID),
			semconv.MessagingBatchMessageCount(n),
			semconv.MessagingDestinationPartitionID(strconv.Itoa(w.row.Partition)),
		)
	}
	return ctx, span
}

// finish ends it.
func (t *telemetry) finish(ctx context.Context, span trace.Span, began time.Time, err error) {
	if t.duration.Enabled(ctx) {
		options := []metric.RecordOption{t.attributes}
		if err != nil {
			options = append(options, metric.WithAttributes(semconv.ErrorType(cause(err))))
		}
		t.duration.Record(ctx, time.Since(began).Seconds(), options...)
	}
	if err != nil && span.IsRecording() {
		span.SetAttributes(semconv.ErrorType(cause(err)))
		span.RecordError(err)
		span.SetStatus(codes.Error, text(err.Error()))
	}
	span.End()
}

// cause is what the handler returned, if it is that.
func cause(err error) error {
	var failed *failedError
	if errors.As(err, &failed) {
		return failed.err
	}
	return err
}
