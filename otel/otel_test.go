package otel_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/middleware"
	"github.com/eventsource-go/eventsource/otel"
	"github.com/eventsource-go/eventsource/store/memstore"
)

var errFake = errors.New("the disk is on fire")

var record = eventsource.Record{AggregateID: "a", Type: "t"}

// telemetry keeps what it is told.
type telemetry struct {
	spans   *tracetest.SpanRecorder
	tracers *sdktrace.TracerProvider
	reader  *sdkmetric.ManualReader
	meters  *sdkmetric.MeterProvider
}

func newTelemetry() *telemetry {
	n := &telemetry{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	n.tracers = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(n.spans))
	n.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(n.reader))
	return n
}

func (n *telemetry) middleware(opts ...otel.Option) eventsource.Middleware {
	return otel.Middleware(append(opts, otel.WithTracerProvider(n.tracers), otel.WithMeterProvider(n.meters))...)
}

// span returns the only span there is.
func (n *telemetry) span(t *testing.T) sdktrace.ReadOnlySpan {
	t.Helper()
	spans := n.spans.Ended()
	if len(spans) != 1 || len(n.spans.Started()) != 1 {
		t.Fatalf("%d spans have ended of %d", len(spans), len(n.spans.Started()))
	}
	return spans[0]
}

// durations returns the points of the only metric there is.
func (n *telemetry) durations(t *testing.T) []metricdata.HistogramDataPoint[float64] {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := n.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.ScopeMetrics) == 0 {
		return nil
	}
	metrics := all.ScopeMetrics[0].Metrics
	if len(all.ScopeMetrics) != 1 || len(metrics) != 1 || metrics[0].Name != "db.client.operation.duration" || metrics[0].Unit != "s" {
		t.Fatalf("metrics are %+v", all.ScopeMetrics)
	}
	return metrics[0].Data.(metricdata.Histogram[float64]).DataPoints
}

func texts(attributes []attribute.KeyValue) map[string]string {
	m := make(map[string]string)
	for _, a := range attributes {
		m[string(a.Key)] = a.Value.String()
	}
	return m
}

// failing makes every call of a store fail, without reaching it.
func failing(err error) eventsource.Middleware {
	return eventsource.Intercept(func(context.Context, *eventsource.Call, func(context.Context) error) error { return err })
}

func ExampleMiddleware() {
	spans := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))

	store := eventsource.Wrap(memstore.New(), otel.Middleware(
		otel.WithTracerProvider(tracers), // without it the global one
		otel.WithSystem("postgresql"),
		otel.WithCollection("events"),
	))
	if _, err := store.LoadByAggregate(context.Background(), "account-1"); err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.Ended() {
		fmt.Println(span.Name())
		for _, a := range span.Attributes() {
			fmt.Println(a.Key, a.Value.String())
		}
	}
	// Output:
	// LoadByAggregate events
	// db.collection.name events
	// db.operation.name LoadByAggregate
	// db.system.name postgresql
	// db.response.returned_rows 0
}

func TestSpans(t *testing.T) {
	save := func(records ...eventsource.Record) func(eventsource.Store) {
		return func(s eventsource.Store) { _, _ = s.(eventsource.Appender).Append(context.Background(), records...) }
	}
	for _, test := range []struct {
		name string
		opts []otel.Option
		do   func(eventsource.Store)
		span string
		want map[string]string
	}{
		{
			"of a save of one event", nil, save(record), "Append",
			map[string]string{"db.system.name": "eventsource", "db.operation.name": "Append"},
		}, {
			"of a save of several", nil, save(record, record), "Append",
			map[string]string{"db.system.name": "eventsource", "db.operation.name": "Append", "db.operation.batch.size": "2"},
		}, {
			"of a save of none", nil, save(), "Append",
			map[string]string{"db.system.name": "eventsource", "db.operation.name": "Append", "db.operation.batch.size": "0"},
		}, {
			"of a query, with all attributes",
			[]otel.Option{nil, otel.WithSystem("postgresql"), otel.WithNamespace("shop|public"), otel.WithCollection("events"), otel.WithAttributes(attribute.String("server.address", "db1"))},
			func(s eventsource.Store) {
				for range s.(eventsource.Querier).Query(context.Background(), eventsource.Query{}) {
				}
			}, "Query events",
			map[string]string{
				"db.system.name": "postgresql", "db.operation.name": "Query", "db.namespace": "shop|public", "db.collection.name": "events",
				"server.address": "db1", "db.response.returned_rows": "3",
			},
		}, {
			"of something else, in a namespace", []otel.Option{otel.WithNamespace("shop")},
			func(s eventsource.Store) { _, _ = s.(eventsource.HorizonReporter).Horizon(context.Background()) }, "Horizon shop",
			map[string]string{"db.system.name": "eventsource", "db.operation.name": "Horizon", "db.namespace": "shop"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			telemetry, below := newTelemetry(), memstore.New()
			if _, err := below.Append(t.Context(), record, record, record); err != nil {
				t.Fatal(err)
			}
			test.do(eventsource.Wrap(below, telemetry.middleware(test.opts...)))
			span := telemetry.span(t)
			if span.Name() != test.span || span.SpanKind() != trace.SpanKindClient || span.Status().Code != codes.Unset {
				t.Errorf("span %q is of kind %v and has status %v", span.Name(), span.SpanKind(), span.Status())
			}
			if diff := cmp.Diff(test.want, texts(span.Attributes())); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			points := telemetry.durations(t)
			if len(points) != 1 || points[0].Count != 1 || points[0].Sum <= 0 || points[0].Sum > 60 {
				t.Fatalf("durations are %+v", points)
			}
			if want := []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}; !slices.Equal(points[0].Bounds, want) {
				t.Errorf("buckets are %v", points[0].Bounds)
			}
			delete(test.want, "db.operation.batch.size")
			delete(test.want, "db.response.returned_rows")
			if diff := cmp.Diff(test.want, texts(points[0].Attributes.ToSlice())); diff != "" {
				t.Errorf("attributes of the metric (-want +got):\n%s", diff)
			}
		})
	}
}

// postgresError and dynamodbError have the methods that those of the drivers have.
type postgresError struct{ error }

func (postgresError) SQLState() string { return "53300" }

type dynamodbError struct{ error }

func (dynamodbError) ErrorCode() string { return "ThrottlingException" }

func TestSpans_of_calls_that_fail(t *testing.T) {
	for _, test := range []struct {
		err                     error
		errorType, code, exType string // exType is "" where there is no exception event
	}{
		{&eventsource.ConflictError{AggregateID: "a"}, "conflict", "", ""},
		{&eventsource.TakenError{Scope: "email", Value: "secret"}, "taken", "", ""},
		{context.Canceled, "canceled", "", ""},
		{fmt.Errorf("wrapped: %w", context.DeadlineExceeded), "deadline_exceeded", "", ""},
		{
			&eventsource.OutcomeUnknownError{Err: context.Canceled}, "outcome_unknown", "",
			"*eventsource.OutcomeUnknownError",
		},
		{fmt.Errorf("%w: secret", eventsource.ErrInvalidEvent), "invalid_event", "", "*errors.errorString"},
		{errors.ErrUnsupported, "unsupported", "", "*errors.errorString"},
		{fmt.Errorf("wrapped: %w", postgresError{errFake}), "53300", "53300", "github.com/eventsource-go/eventsource/otel_test.postgresError"},
		{dynamodbError{errFake}, "ThrottlingException", "ThrottlingException", "github.com/eventsource-go/eventsource/otel_test.dynamodbError"},
		{fmt.Errorf("wrapped: %w", errFake), "*errors.errorString", "", "*errors.errorString"},
	} {
		t.Run(test.errorType, func(t *testing.T) {
			telemetry := newTelemetry()
			_, err := eventsource.Wrap(memstore.New(), telemetry.middleware(), failing(test.err)).LoadByAggregate(t.Context(), "a")
			if err != test.err { //nolint:errorlint // it is to be the very same
				t.Errorf("error is %v, want %v", err, test.err)
			}
			want := map[string]string{"db.system.name": "eventsource", "db.operation.name": "LoadByAggregate", "error.type": test.errorType}
			if test.code != "" {
				want["db.response.status_code"] = test.code
			}
			if points := telemetry.durations(t); len(points) != 1 || !cmp.Equal(want, texts(points[0].Attributes.ToSlice())) {
				t.Errorf("durations are %+v, want attributes %v", points, want)
			}
			span := telemetry.span(t)
			want["db.response.returned_rows"] = "0"
			if diff := cmp.Diff(want, texts(span.Attributes())); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if status := span.Status(); status.Code != codes.Error || status.Description == "" {
				t.Errorf("status is %v", status)
			}
			exception := map[string]string{}
			for _, event := range span.Events() {
				exception = texts(event.Attributes)
			}
			if exception["exception.type"] != test.exType {
				t.Errorf("exception is %v, want type %q", exception, test.exType)
			}
			if strings.Contains(span.Status().Description+exception["exception.message"], "secret") {
				t.Errorf("what the event contains is told: %v, %v", span.Status(), exception)
			}
		})
	}
}

// What the store does has the span as its parent.
func TestSpans_are_the_parents_of_what_the_store_does(t *testing.T) {
	telemetry := newTelemetry()
	var inside []trace.SpanContext
	below := eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
		inside = append(inside, trace.SpanContextFromContext(ctx))
		return next(ctx)
	})
	store := eventsource.Wrap(memstore.New(), telemetry.middleware(), below)
	ctx, request := telemetry.tracers.Tracer("test").Start(t.Context(), "request")
	tx, err := store.NewTransaction(ctx, record)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	for range store.(eventsource.Querier).Query(ctx, eventsource.Query{}) {
		if n := len(telemetry.spans.Ended()); n != 2 {
			t.Errorf("%d spans have ended in the loop", n)
		}
	}
	spans := telemetry.spans.Ended()
	var names []string
	for _, span := range spans {
		names = append(names, span.Name())
		if span.Parent().SpanID() != request.SpanContext().SpanID() {
			t.Errorf("%s is not a child of the request", span.Name())
		}
	}
	if want := []string{"NewTransaction", "Commit", "Query"}; !slices.Equal(names, want) {
		t.Fatalf("spans are %v, want %v", names, want)
	}
	if !inside[0].Equal(spans[0].SpanContext()) || !inside[2].Equal(spans[2].SpanContext()) {
		t.Errorf("the store works in %v", inside)
	}
}

func TestSpans_end_when_a_store_panics(t *testing.T) {
	telemetry := newTelemetry()
	store := eventsource.Wrap(memstore.New(), telemetry.middleware(), eventsource.Intercept(
		func(context.Context, *eventsource.Call, func(context.Context) error) error { panic("oh no") }))
	func() {
		defer func() {
			if p := recover(); p != "oh no" {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _ = store.LoadByAggregate(t.Context(), "a")
	}()
	if events := telemetry.span(t).Events(); len(events) != 1 || events[0].Name != "exception" {
		t.Errorf("events are %v", events)
	}
}

// A Rollback that only makes sure is no call that has failed.
func TestADeferredRollbackHasNoSpan(t *testing.T) {
	telemetry := newTelemetry()
	tx, err := eventsource.Wrap(memstore.New(), telemetry.middleware()).NewTransaction(t.Context(), record)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); !errors.Is(err, eventsource.ErrTransactionDone) {
		t.Error(err)
	}
	if n := len(telemetry.spans.Ended()); n != 2 {
		t.Errorf("there are %d spans", n)
	}
}

// Outside of retries there is one span for all tries, inside there is one for each.
func TestSpans_and_retries(t *testing.T) {
	for tries, order := range map[int]func(telling, retry eventsource.Middleware) []eventsource.Middleware{
		1: func(telling, retry eventsource.Middleware) []eventsource.Middleware {
			return []eventsource.Middleware{telling, retry}
		},
		3: func(telling, retry eventsource.Middleware) []eventsource.Middleware {
			return []eventsource.Middleware{retry, telling}
		},
	} {
		telemetry, failed := newTelemetry(), 0
		flaky := eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
			if failed++; failed < 3 {
				return errFake
			}
			return next(ctx)
		})
		middleware := append(order(telemetry.middleware(), middleware.Retry(middleware.WithBackoff(1, 1))), flaky)
		if _, err := eventsource.Wrap(memstore.New(), middleware...).LoadByAggregate(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if n := len(telemetry.spans.Ended()); n != tries {
			t.Errorf("there are %d spans, want %d", n, tries)
		}
	}
}

// The only test that sets the global providers, which can be done once in a process.
func TestGlobalProvidersAreUsedFromWhenTheyAreSet(t *testing.T) {
	telemetry := newTelemetry()
	for _, opts := range [][]otel.Option{nil, {otel.WithTracerProvider(nil), otel.WithMeterProvider(nil)}} {
		store := eventsource.Wrap(memstore.New(), otel.Middleware(opts...))
		if _, err := store.LoadByAggregate(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		before := len(telemetry.spans.Ended())
		global.SetTracerProvider(telemetry.tracers)
		global.SetMeterProvider(telemetry.meters)
		if _, err := store.LoadByAggregate(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if n := len(telemetry.spans.Ended()) - before; n != 1 {
			t.Errorf("%d spans have ended", n)
		}
	}
	if points := telemetry.durations(t); len(points) != 1 || points[0].Count != 3 {
		t.Errorf("durations are %+v", points)
	}
}
