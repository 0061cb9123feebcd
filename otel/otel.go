// Package otel tells OpenTelemetry about the calls of a store, by the semantic
// conventions for database clients.
package otel

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/failures"
)

// scope is the instrumentation scope of spans and metrics.
const scope = "github.com/eventsource-go/eventsource/otel"

// DefaultSystem is db.system.name unless [WithSystem] says otherwise.
const DefaultSystem = "eventsource"

// Option is an option of [Middleware].
type Option func(*config)

type config struct {
	tracers               trace.TracerProvider
	meters                metric.MeterProvider
	system                string
	namespace, collection string
	attributes            []attribute.KeyValue
}

// WithTracerProvider sets where spans go. Defaults to the global one,
// [go.opentelemetry.io/otel.GetTracerProvider], also if that is set later.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(c *config) { c.tracers = provider }
}

// WithMeterProvider sets where metrics go. Defaults to the global one,
// [go.opentelemetry.io/otel.GetMeterProvider], also if that is set later.
func WithMeterProvider(provider metric.MeterProvider) Option {
	return func(c *config) { c.meters = provider }
}

// WithSystem sets db.system.name, by the conventions "postgresql" for PostgreSQL and
// "aws.dynamodb" for DynamoDB. Defaults to [DefaultSystem].
func WithSystem(name string) Option {
	return func(c *config) { c.system = name }
}

// WithNamespace sets db.namespace, for PostgreSQL the database and the schema with a |
// in between. Defaults to none.
func WithNamespace(name string) Option {
	return func(c *config) { c.namespace = name }
}

// WithCollection sets db.collection.name, the table. It becomes a part of the names of
// spans. Defaults to none.
func WithCollection(name string) Option {
	return func(c *config) { c.collection = name }
}

// WithAttributes adds attributes to all spans and metrics, such as server.address.
// There should be few different ones of all stores together. Defaults to none.
func WithAttributes(attributes ...attribute.KeyValue) Option {
	return func(c *config) { c.attributes = append(c.attributes, attributes...) }
}

// Middleware returns a middleware that makes a span, of kind client, of each call of
// the store, and measures how long it takes. The store gets a context with the span.
//
// Spans are named after the operation and the table, as in "Append events". Their
// attributes, and those of the histogram db.client.operation.duration, in seconds, are:
//
//	db.system.name           the one of [WithSystem]
//	db.namespace             if there is one
//	db.collection.name       if there is one
//	db.operation.name        an [eventsource.Operation]
//	error.type               if the call failed: see below
//	db.response.status_code  if it failed and the database gave a code, such as an SQLSTATE
//
// Spans have two more, of which the second one is not stable in the conventions yet:
//
//	db.operation.batch.size    how many events Append or NewTransaction were to store, unless it is 1
//	db.response.returned_rows  how many events were read
//
// An error.type is a name of an error of package eventsource ("conflict", "taken",
// "invalid_event", "outcome_unknown", ...), "canceled", "deadline_exceeded", "unsupported",
// the database's code, or else the error's type in Go. A call that fails has the status
// error, and an exception event, except where that belongs to normal work: conflicts,
// values that are taken, and contexts that have ended. Nothing of what
// events contain is told, but for aggregate IDs in messages of errors.
//
// A span of Query or Follow lasts as long as the caller's loop does. Where a transaction
// was begun, Commit and Rollback are spans of their own beside that of NewTransaction.
func Middleware(opts ...Option) eventsource.Middleware {
	c := config{system: DefaultSystem}
	for _, opt := range opts {
		if opt != nil {
			opt(&c)
		}
	}
	if c.tracers == nil {
		c.tracers = global.GetTracerProvider()
	}
	if c.meters == nil {
		c.meters = global.GetMeterProvider()
	}
	m := &middleware{
		tracer:     c.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		duration:   histogram(c.meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))),
		operations: make(map[eventsource.Operation]*operation),
	}
	for name, kind := range operations() {
		m.operations[name] = c.operation(name, kind)
	}
	m.other = c.operation("other", none)
	return eventsource.Intercept(m.intercept)
}

func histogram(meter metric.Meter) metric.Float64Histogram {
	h, err := meter.Float64Histogram("db.client.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of database client operations."),
		metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10))
	if err != nil {
		global.Handle(err)
		return noop.Float64Histogram{}
	}
	return h
}

// kind is what the events of a call are.
type kind int

const (
	none kind = iota
	saved
	read
)

func operations() map[eventsource.Operation]kind {
	return map[eventsource.Operation]kind{
		eventsource.OperationNewTransaction:          saved,
		eventsource.OperationCommit:                  none,
		eventsource.OperationRollback:                none,
		eventsource.OperationAppend:                  saved,
		eventsource.OperationLoadByAggregate:         read,
		eventsource.OperationLoadByAggregateVersions: read,
		eventsource.OperationLoadBySequenceID:        read,
		eventsource.OperationLoadBySequenceIDAndType: read,
		eventsource.OperationLoadByTimestamp:         read,
		eventsource.OperationQuery:                   read,
		eventsource.OperationFollow:                  read,
		eventsource.OperationCount:                   none,
		eventsource.OperationWatch:                   none,
		eventsource.OperationHorizon:                 none,
		eventsource.OperationHolder:                  none,
	}
}

// operation is what is the same for all calls of an operation, made beforehand.
type operation struct {
	kind       kind
	spanName   string
	start      []trace.SpanStartOption
	attributes []attribute.KeyValue
	record     []metric.RecordOption
}

func (c *config) operation(name eventsource.Operation, kind kind) *operation {
	o := &operation{kind: kind, spanName: string(name)}
	o.attributes = []attribute.KeyValue{semconv.DBSystemNameKey.String(c.system), semconv.DBOperationName(string(name))}
	if c.namespace != "" {
		o.attributes = append(o.attributes, semconv.DBNamespace(c.namespace))
	}
	if c.collection != "" {
		o.attributes = append(o.attributes, semconv.DBCollectionName(c.collection))
	}
	if target := cmp.Or(c.collection, c.namespace); target != "" {
		o.spanName += " " + target
	}
	o.attributes = append(o.attributes, c.attributes...)
	o.start = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(o.attributes...)}
	o.record = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(o.attributes...))}
	return o
}

type middleware struct {
	tracer     trace.Tracer
	duration   metric.Float64Histogram
	operations map[eventsource.Operation]*operation
	other      *operation
}

func (m *middleware) intercept(ctx context.Context, call *eventsource.Call, next func(ctx context.Context) error) error {
	o := m.operations[call.Operation]
	if o == nil {
		o = m.other
	}
	began := time.Now()
	ctx, span := m.tracer.Start(ctx, o.spanName, o.start...)
	defer span.End() // with what panics
	err := next(ctx)
	if m.duration.Enabled(ctx) {
		m.duration.Record(ctx, time.Since(began).Seconds(), o.recordOptions(err)...)
	}
	if span.IsRecording() {
		o.finish(span, call, err)
	}
	return err
}

func (o *operation) recordOptions(err error) []metric.RecordOption {
	if err == nil {
		return o.record
	}
	return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(slices.Concat(o.attributes, errorAttributes(err))...))}
}

func (o *operation) finish(span trace.Span, call *eventsource.Call, err error) {
	switch {
	case o.kind == saved && call.Events != 1: // one is no batch, by the conventions
		span.SetAttributes(semconv.DBOperationBatchSize(call.Events))
	case o.kind == read:
		span.SetAttributes(semconv.DBResponseReturnedRows(call.Events))
	}
	if err == nil {
		return
	}
	attributes, text := errorAttributes(err), failures.Text(err)
	span.SetAttributes(attributes...)
	span.SetStatus(codes.Error, text)
	if !failures.Expected(err) {
		span.AddEvent(semconv.ExceptionEventName, trace.WithAttributes(
			semconv.ExceptionType(semconv.ErrorType(err).Value.AsString()), semconv.ExceptionMessage(text)))
	}
}

// errorAttributes say what kind of error it is.
func errorAttributes(err error) []attribute.KeyValue {
	if kind := failures.Kind(err); kind != "" {
		return []attribute.KeyValue{semconv.ErrorTypeKey.String(kind)}
	}
	if code := statusCode(err); code != "" {
		return []attribute.KeyValue{semconv.ErrorTypeKey.String(code), semconv.DBResponseStatusCode(code)}
	}
	return []attribute.KeyValue{semconv.ErrorType(err)}
}

// statusCode returns the code that pgx or AWS's SDK has found in the database's answer.
func statusCode(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	var code interface{ ErrorCode() string }
	if errors.As(err, &code) {
		return code.ErrorCode()
	}
	return ""
}
