package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// patience is how long these tests wait for what must happen.
const patience = 60 * time.Second

type watched struct {
	eventsource.BaseEvent
	N int
}

// watchedRepository has n events of ten aggregates in it.
func watchedRepository(t testing.TB, store eventsource.Store, n int) eventsource.Repository {
	t.Helper()
	repository := eventsource.NewRepository(store, json.NewSerializer(&watched{}))
	saveWatched(t, repository, n)
	return repository
}

func saveWatched(t testing.TB, repository eventsource.Repository, n int) (last string) {
	t.Helper()
	events := make([]eventsource.Event, n)
	for i := range events {
		events[i] = &watched{BaseEvent: eventsource.BaseEvent{AggregateID: fmt.Sprint("a", i%10)}, N: i}
	}
	if err := repository.Save(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		last = events[n-1].(*watched).SequenceID
	}
	return last
}

// runIt runs a projection until stop is called, or the test ends.
func runIt(t testing.TB, p *projection.Projection) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ran
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

func level(p *projection.Projection) func() bool { return func() bool { return p.Progress().Level } }

var quiet = projection.WithLogger(slog.New(slog.DiscardHandler))

// metrics are what a reader collects: the data of each metric, by its name.
func collected(t testing.TB, reader sdkmetric.Reader) map[string]metricdata.Metrics {
	t.Helper()
	var resource metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &resource); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]metricdata.Metrics)
	for _, scope := range resource.ScopeMetrics {
		if scope.Scope.Name != "github.com/eventsource-go/eventsource/projection" {
			t.Errorf("scope is %q", scope.Scope.Name)
		}
		for _, m := range scope.Metrics {
			found[m.Name] = m
		}
	}
	return found
}

// value is that of the one data point that a metric has; of a histogram the count.
func value(t testing.TB, m metricdata.Metrics) (value float64, attributes attribute.Set) {
	t.Helper()
	points := 0
	point := func(v float64, a attribute.Set) { points, value, attributes = points+1, v, a }
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			point(float64(p.Value), p.Attributes)
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			point(float64(p.Value), p.Attributes)
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			point(p.Value, p.Attributes)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			point(float64(p.Count), p.Attributes)
		}
	}
	if points != 1 {
		t.Errorf("%q has %d data points, want 1", m.Name, points)
	}
	return value, attributes
}

func TestMetricsShowWhatAProjectionDoes(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123)
	repository := watchedRepository(t, memstore.New(memstore.WithClock(func() time.Time { return now })), 100)
	reader := sdkmetric.NewManualReader()
	failures := 0
	p := projection.New("orders", repository, projection.Each(func(_ context.Context, e eventsource.Event) error {
		if e.(*watched).N == 42 {
			failures++
			return errors.New("no")
		}
		return nil
	}), projection.WithVersion(3), projection.WithBatchSize(10), projection.WithFailurePolicy(projection.Park), quiet,
		projection.WithRetry(3, time.Millisecond, time.Millisecond), projection.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	stop := runIt(t, p)
	eventually(t, "level", level(p))
	got := collected(t, reader)
	attributes := attribute.NewSet(attribute.String("eventsource.projection.name", "orders"), attribute.Int("eventsource.projection.version", 3))
	for _, want := range []struct {
		name, unit string
		value      float64
	}{
		{"handled", "{event}", 94},
		{"retries", "{retry}", 2},
		{"parked", "{event}", 6}, // 42, 52, 62, 72, 82, 92
		{"parked.current", "{event}", 6},
		{"partitions", "{partition}", 1},
		{"lag.events", "{event}", 0},
		{"lag.time", "s", 0},
		{"position", "s", 1_700_000_000.123},
	} {
		m := got["eventsource.projection."+want.name]
		if v, a := value(t, m); v != want.value || m.Unit != want.unit || !a.Equals(&attributes) || m.Description == "" {
			t.Errorf("%s is %v %s %v (%q), want %v %s", want.name, v, m.Unit, a.Encoded(attribute.DefaultEncoder()), m.Description, want.value, want.unit)
		}
	}
	if _, skipped := got["eventsource.projection.skipped"]; skipped {
		t.Error("something was skipped")
	}
	var fine, failed uint64
	duration := got["eventsource.projection.batch.duration"]
	for _, point := range duration.Data.(metricdata.Histogram[float64]).DataPoints {
		if _, isError := point.Attributes.Value("error.type"); isError {
			failed += point.Count
		} else {
			fine += point.Count
		}
	}
	if failed != uint64(failures) || fine < 10 || duration.Unit != "s" {
		t.Errorf("durations in %q of %d batches that failed and %d that did not, want %d and 10 or more", duration.Unit, failed, fine, failures)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestSkippedEventsAreNoParkedOnes(t *testing.T) {
	repository := watchedRepository(t, memstore.New(), 20)
	reader := sdkmetric.NewManualReader()
	p := projection.New("orders", repository, projection.Each(func(_ context.Context, e eventsource.Event) error {
		if e.(*watched).N%10 == 3 {
			return projection.Permanent(errors.New("no"))
		}
		return nil
	}), projection.WithFailurePolicy(projection.Skip), quiet, projection.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	runIt(t, p)
	eventually(t, "level", level(p))
	got := collected(t, reader)
	if n, _ := value(t, got["eventsource.projection.skipped"]); n != 2 {
		t.Errorf("%v events were skipped, want 2", n)
	}
	if n, _ := value(t, got["eventsource.projection.handled"]); n != 18 {
		t.Errorf("%v events were handled, want 18", n)
	}
	if _, parked := got["eventsource.projection.parked"]; parked {
		t.Error("something was parked")
	}
}

func TestLagIsShownWhileAProjectionIsBehind(t *testing.T) {
	clock := time.UnixMilli(1_700_000_000_000)
	repository := watchedRepository(t, memstore.New(memstore.WithClock(func() time.Time { return clock })), 30)
	clock = clock.Add(90 * time.Second)
	saveWatched(t, repository, 20)
	reader := sdkmetric.NewManualReader()
	goOn := make(chan struct{})
	p := projection.New("orders", repository, projection.Batch(func(ctx context.Context, events []eventsource.Event) error {
		if events[0].(*watched).N == 20 { // the third batch
			select {
			case <-goOn:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}), projection.WithBatchSize(10), projection.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))), quiet)
	runIt(t, p)
	var got map[string]metricdata.Metrics
	eventually(t, "the lag is shown", func() bool {
		got = collected(t, reader)
		return got["eventsource.projection.lag.events"].Data != nil
	})
	if n, _ := value(t, got["eventsource.projection.lag.events"]); n != 30 {
		t.Errorf("%v events behind, want 30", n)
	}
	if s, _ := value(t, got["eventsource.projection.lag.time"]); s != 90 {
		t.Errorf("%v s behind, want 90", s)
	}
	close(goOn)
	eventually(t, "level", level(p))
	got = collected(t, reader)
	if n, _ := value(t, got["eventsource.projection.lag.events"]); n != 0 {
		t.Errorf("%v events behind when level", n)
	}
}

func TestABatchIsASpanAndTheHandlerWorksInIt(t *testing.T) {
	repository := watchedRepository(t, memstore.New(), 20)
	recorder := tracetest.NewSpanRecorder()
	var seen []trace.SpanContext
	p := projection.New("orders", repository, projection.Batch(func(ctx context.Context, _ []eventsource.Event) error {
		seen = append(seen, trace.SpanContextFromContext(ctx))
		if len(seen) == 1 {
			return errors.New("no such luck")
		}
		return nil
	}), projection.WithVersion(2), projection.WithBatchSize(10), projection.WithSilence(), quiet, projection.WithRetry(3, time.Millisecond, time.Millisecond),
		projection.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))))
	stop := runIt(t, p)
	eventually(t, "level", level(p))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	spans := recorder.Ended()
	if len(spans) != 3 || len(seen) != 3 {
		t.Fatalf("%d spans of %d calls, want 3 of 3", len(spans), len(seen))
	}
	var sequenceIDs []string
	for event, err := range repository.Events(t.Context(), eventsource.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		sequenceIDs = append(sequenceIDs, event.(*watched).SequenceID)
	}
	for i, span := range spans {
		if span.Name() != "handle orders" || span.SpanKind() != trace.SpanKindConsumer || !span.SpanContext().Equal(seen[i]) {
			t.Errorf("span %d is %q, a %v", i, span.Name(), span.SpanKind())
		}
		first := 10 * max(0, i-1) // the first two are of the same batch
		want := []attribute.KeyValue{
			attribute.String("eventsource.projection.name", "orders"),
			attribute.Int("eventsource.projection.version", 2),
			attribute.Int("eventsource.projection.partition", 0),
			attribute.Bool("eventsource.projection.silent", true),
			attribute.String("eventsource.projection.first_sequence_id", sequenceIDs[first]),
			attribute.String("eventsource.projection.last_sequence_id", sequenceIDs[first+9]),
			attribute.Int("messaging.batch.message_count", 10),
			attribute.String("messaging.system", "eventsource"),
			attribute.String("messaging.operation.type", "process"),
		}
		for _, attr := range want {
			if !slices.Contains(span.Attributes(), attr) {
				t.Errorf("span %d lacks %v=%v: %v", i, attr.Key, attr.Value.String(), span.Attributes())
			}
		}
		failed := span.Status().Code == codes.Error
		if failed != (i == 0) || failed && (span.Status().Description != "no such luck" || len(span.Events()) != 1) {
			t.Errorf("span %d has status %+v and events %+v", i, span.Status(), span.Events())
		}
	}
}

func TestNothingIsLeftOfARun(t *testing.T) {
	defer goleak.VerifyNone(t)
	repository := watchedRepository(t, memstore.New(), 5)
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	const runs = 50
	for range runs {
		p := projection.New("orders", repository, projection.Each(func(context.Context, eventsource.Event) error { return nil }),
			projection.WithMeterProvider(provider), quiet)
		for range 2 {
			stop := runIt(t, p)
			eventually(t, "level", level(p))
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := collected(t, reader)
	for _, gauge := range []string{"partitions", "lag.events", "lag.time", "position"} {
		if m, ok := got["eventsource.projection."+gauge]; ok {
			t.Errorf("%s is still shown: %+v", gauge, m.Data)
		}
	}
	if n, _ := value(t, got["eventsource.projection.handled"]); n != 5*runs { // the second Run goes on where the first was
		t.Errorf("%v events were counted, want %d", n, 5*runs)
	}
}
