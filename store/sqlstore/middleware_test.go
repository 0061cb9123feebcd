package sqlstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/middleware"
	"github.com/eventsource-go/eventsource/otel"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
	"github.com/eventsource-go/eventsource/store/sqlstore"
	"github.com/eventsource-go/eventsource/storetest"
)

// allMiddleware is that of this module, as in production.
func allMiddleware() []eventsource.Middleware {
	return []eventsource.Middleware{
		otel.Middleware(
			otel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(tracetest.NewSpanRecorder()))),
			otel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))),
			otel.WithSystem("postgresql"), otel.WithCollection("events"),
		),
		middleware.Logging(slog.New(slog.DiscardHandler)),
		middleware.Retry(),
	}
}

func TestStoreWithMiddleware(t *testing.T) {
	wrap := allMiddleware()
	storetest.Run(t, storetest.Harness{Open: func(t *testing.T) storetest.Storage {
		opened := open(t)
		return func(clock func() time.Time) eventsource.Store { return eventsource.Wrap(opened(clock), wrap...) }
	}})
}

type wrapped struct{ eventsource.BaseEvent }

func TestTx_is_found_through_middleware(t *testing.T) {
	pool := testenv.Pool(t, migrated(t))
	if _, err := pool.Exec(t.Context(), "CREATE TABLE beside (id text)"); err != nil {
		t.Fatal(err)
	}
	observed := 0
	repository := eventsource.NewRepository(eventsource.Wrap(sqlstore.New(pool), allMiddleware()...), json.NewSerializer(&wrapped{}),
		eventsource.WithObserver(func(context.Context, []eventsource.Event) error { observed++; return nil }))
	for _, test := range []struct {
		end  func(eventsource.StoreTransaction) error
		rows int // afterwards
	}{
		{eventsource.StoreTransaction.Rollback, 0},
		{eventsource.StoreTransaction.Commit, 1},
	} {
		event := &wrapped{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}}
		tx, err := repository.SaveTransaction(t.Context(), event)
		if err != nil {
			t.Fatal(err)
		}
		inside, ok := sqlstore.Tx(tx)
		if !ok {
			t.Fatalf("there is no transaction of PostgreSQL in %T", tx)
		}
		if _, err := inside.Exec(t.Context(), "INSERT INTO beside VALUES ('row')"); err != nil {
			t.Fatal(err)
		}
		if err := test.end(tx); err != nil {
			t.Fatal(err)
		}
		var rows, events int
		err = pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM beside), (SELECT count(*) FROM events)").Scan(&rows, &events)
		if err != nil || rows != test.rows || events != test.rows || observed != test.rows {
			t.Errorf("there are %d rows and %d events, and %d were observed, want %d, error %v", rows, events, observed, test.rows, err)
		}
	}
}

// A store in a transaction of the caller has fewer abilities, and keeps them.
func TestTxStore_with_middleware_queries_and_no_more(t *testing.T) {
	pool := testenv.Pool(t, migrated(t))
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	store := eventsource.Wrap(sqlstore.New(pool).WithTx(tx), allMiddleware()...)
	if _, ok := store.(eventsource.Appender); ok {
		t.Error("it appends")
	}
	if _, ok := store.(eventsource.Querier); !ok {
		t.Error("it does not query")
	}
	repository := eventsource.NewRepository(store, json.NewSerializer(&wrapped{}))
	if err := repository.Save(t.Context(), &wrapped{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}}); err != nil {
		t.Fatal(err)
	}
	records, err := store.LoadByAggregate(t.Context(), "a")
	if err != nil || len(records) != 1 {
		t.Errorf("there are %d records, error %v", len(records), err)
	}
}

// doesNothing is a store whose calls cost nothing.
type doesNothing struct{ eventsource.Store }

func (doesNothing) Append(_ context.Context, records ...eventsource.Record) ([]eventsource.Record, error) {
	return records, nil
}

// BenchmarkMiddleware measures what middleware itself costs a save, on a store that does
// nothing, and beside it a save on PostgreSQL.
//
//	go test ./store/sqlstore -run '^$' -bench Middleware -benchtime 2000x
//
// ns/call and allocs/call are the middleware's, ns/save is PostgreSQL's, one client's, and
// %save the one in the other.
func BenchmarkMiddleware(b *testing.B) {
	for _, test := range []struct {
		name string
		wrap []eventsource.Middleware
	}{
		{"Intercept", []eventsource.Middleware{eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
			return next(ctx)
		})}},
		{"otel without providers", []eventsource.Middleware{otel.Middleware(otel.WithSystem("postgresql"), otel.WithCollection("events"))}},
		{"Logging of errors", []eventsource.Middleware{middleware.Logging(slog.New(slog.DiscardHandler))}},
		{"Retry", []eventsource.Middleware{middleware.Retry()}},
	} {
		b.Run(test.name, func(b *testing.B) {
			store := sqlstore.New(testenv.Pool(b, migrated(b)))
			record := eventsource.Record{Type: "FileAdded", UserID: "user", Data: make([]byte, 100)}
			saves := 0
			save := func(appender eventsource.Appender, n int) time.Duration {
				began := time.Now()
				for range n {
					saves++
					record.AggregateID = fmt.Sprint("file ", saves)
					if _, err := appender.Append(b.Context(), record); err != nil {
						b.Fatal(err)
					}
				}
				return time.Since(began)
			}
			save(store, min(100, b.N)) // connects
			perSave := save(store, b.N) / time.Duration(b.N)

			const calls = 200_000
			var bare eventsource.Store = doesNothing{memstore.New()}
			around := eventsource.Wrap(bare, test.wrap...).(eventsource.Appender)
			without, allocatedWithout := cost(b, calls, bare.(eventsource.Appender), record)
			with, allocatedWith := cost(b, calls, around, record)
			b.ReportMetric(with-without, "ns/call")
			b.ReportMetric(allocatedWith-allocatedWithout, "allocs/call")
			b.ReportMetric(float64(perSave.Nanoseconds()), "ns/save")
			b.ReportMetric((with-without)/float64(perSave.Nanoseconds())*100, "%save")
			b.ReportMetric(0, "ns/op") // all together mean nothing
		})
	}
}

// cost returns the nanoseconds and allocations of a call.
func cost(b *testing.B, calls int, appender eventsource.Appender, record eventsource.Record) (nanoseconds, allocations float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	for range calls {
		if _, err := appender.Append(b.Context(), record); err != nil {
			b.Fatal(err)
		}
	}
	elapsed := time.Since(began)
	runtime.ReadMemStats(&after)
	return float64(elapsed.Nanoseconds()) / float64(calls), float64(after.Mallocs-before.Mallocs) / float64(calls)
}
