package middleware_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/middleware"
	"github.com/eventsource-go/eventsource/otel"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
	"github.com/eventsource-go/eventsource/storetest"
)

var errFake = errors.New("the disk is on fire")

// noted keeps what is logged, a line each, without times.
type noted struct {
	mu    sync.Mutex
	lines []string
}

func (n *noted) Write(line []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, strings.TrimSpace(string(line)))
	return len(line), nil
}

func (n *noted) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

// logger logs to a note. Times and durations are left out.
func logger(to *noted, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	}}))
}

// shipped is all middleware of this module, as in production, by name.
func shipped() map[string][]eventsource.Middleware {
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(tracetest.NewSpanRecorder()))
	telling := otel.Middleware(otel.WithTracerProvider(tracers), otel.WithMeterProvider(meters))
	logging := middleware.Logging(logger(&noted{}, slog.LevelDebug))
	retry := middleware.Retry()
	return map[string][]eventsource.Middleware{
		"otel": {telling}, "Logging": {logging}, "Retry": {retry}, "all": {telling, logging, retry},
	}
}

func TestWrappedStoresKeepAllPromises(t *testing.T) {
	for name, wrap := range shipped() {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Harness{Open: func(*testing.T) storetest.Storage {
				shared := memstore.New()
				return func(clock func() time.Time) eventsource.Store {
					return eventsource.Wrap(memstore.New(memstore.WithEventsOf(shared), memstore.WithClock(clock)), wrap...)
				}
			}})
		})
	}
}

func TestWrappedStoresWithoutOptionalInterfacesKeepAllPromises(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(*testing.T) storetest.Storage {
			shared := memstore.New()
			return func(clock func() time.Time) eventsource.Store {
				plain := struct{ eventsource.Store }{memstore.New(memstore.WithEventsOf(shared), memstore.WithClock(clock))}
				return eventsource.Wrap(plain, shipped()["all"]...)
			}
		},
		Lacks: []storetest.Ability{storetest.Append, storetest.LoadVersions, storetest.Query, storetest.Follow, storetest.Watch, storetest.Horizon, storetest.Reserve},
	})
}

type happened struct{ eventsource.BaseEvent }

// Projections look for what the store can do, and use it through the middleware.
func TestProjectionsUseAllOfAWrappedStore(t *testing.T) {
	defer goleak.VerifyNone(t)
	seen := make(map[eventsource.Operation]int)
	var mu sync.Mutex
	counting := eventsource.Intercept(func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
		mu.Lock()
		seen[call.Operation]++
		mu.Unlock()
		return next(ctx)
	})
	store := eventsource.Wrap(memstore.New(), append(shipped()["all"], counting)...)
	repository := eventsource.NewRepository(store, json.NewSerializer(&happened{}))
	handled := make(chan string)
	p := projection.New("watching", repository, projection.Each(func(_ context.Context, event eventsource.Event) error {
		handled <- event.GetSequenceID()
		return nil
	}), projection.WithPollInterval(time.Hour)) // so that only a wake-up is soon enough
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	for range 10 {
		event := &happened{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}}
		if err := repository.Save(t.Context(), event); err != nil {
			t.Fatal(err)
		}
		select {
		case id := <-handled:
			if id != event.SequenceID {
				t.Errorf("handled %s, want %s", id, event.SequenceID)
			}
		case <-time.After(time.Minute):
			t.Fatal("the event was not handled")
		}
	}
	if _, err := p.Status(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	for _, operation := range []eventsource.Operation{eventsource.OperationWatch, eventsource.OperationFollow, eventsource.OperationHorizon} {
		if seen[operation] == 0 {
			t.Errorf("%s was not used: %v", operation, seen)
		}
	}
}
