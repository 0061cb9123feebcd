package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/internal/testsuite"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// counter counts statements of a pool.
type counter struct {
	horizons, pages atomic.Int64
}

func (c *counter) count(sql string) {
	switch {
	case strings.Contains(sql, "_horizon\""):
		c.horizons.Add(1)
	case strings.Contains(sql, "e.sequence_id, e.aggregate_id, e.version"):
		c.pages.Add(1)
	}
}

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	c.count(data.SQL)
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, query := range data.Batch.QueuedQueries {
		c.count(query.SQL)
	}
	return ctx
}

func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// want checks the numbers since the last call.
func (c *counter) want(t *testing.T, what string, horizons, pages int64) {
	t.Helper()
	if h, p := c.horizons.Swap(0), c.pages.Swap(0); h != horizons || p != pages {
		t.Errorf("%s: %d horizons and %d pages were read, want %d and %d", what, h, p, horizons, pages)
	}
}

// counted returns a store with a pool that is counted, and that pool.
func counted(t *testing.T, url string, conns int32) (*sqlstore.Store, *pgxpool.Pool, *counter) {
	t.Helper()
	c := &counter{}
	pool := testenv.Pool(t, url, poolOf(conns), func(config *pgxpool.Config) { config.ConnConfig.Tracer = c })
	return sqlstore.New(pool), pool, c
}

// storeMany stores so many events of type "Plain", in several aggregates.
func storeMany(t *testing.T, store *sqlstore.Store, count int) []eventsource.Record {
	t.Helper()
	records := make([]eventsource.Record, count)
	for i := range records {
		records[i] = plain(fmt.Sprint("many ", i%7))
	}
	stored, err := store.Append(t.Context(), records...)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// catchUp reads the feed after a sequence ID, page by page, to its end.
func catchUp(ctx context.Context, store eventsource.Store, after string, limit int) ([]eventsource.Record, error) {
	var records []eventsource.Record
	for {
		page, err := store.LoadBySequenceID(ctx, after, limit)
		if err != nil {
			return records, err
		}
		records = append(records, page...)
		if len(page) < limit {
			return records, nil
		}
		after = page[len(page)-1].SequenceID
	}
}

func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func wantSame(t *testing.T, what string, got, want []eventsource.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d records, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if !sameRecord(got[i], want[i]) {
			t.Errorf("%s: record %d is %+v, want %+v", what, i, got[i], want[i])
			return
		}
	}
}

func sameRecord(a, b eventsource.Record) bool {
	if len(a.Data) == 0 && len(b.Data) == 0 {
		a.Data, b.Data = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func TestFullPagesOnAConnectionShareAHorizon(t *testing.T) {
	url := migrated(t)
	stored := storeMany(t, sqlstoreAt(t, url), 1050)
	store, _, count := counted(t, url, 1)

	after := ""
	for page := range 10 {
		records, err := store.LoadBySequenceID(t.Context(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, fmt.Sprint("page ", page), records, stored[page*100:page*100+100])
		after = records[99].SequenceID
	}
	count.want(t, "10 full pages", 1, 10)
	records, err := store.LoadBySequenceID(t.Context(), after, 100)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "the last page", records, stored[1000:])
	if got := count.horizons.Swap(0); got != 1 {
		t.Errorf("the last page, which is not full, was read with %d horizons, want 1", got)
	}
	count.pages.Store(0)

	for range 3 { // at the end there is always a new one
		if records, err := store.LoadBySequenceID(t.Context(), stored[1049].SequenceID, 100); err != nil || len(records) != 0 {
			t.Fatalf("%d records: %v", len(records), err)
		}
	}
	count.want(t, "3 pages at the end", 3, 3)
	if records, err := store.LoadBySequenceID(t.Context(), "", 0); err != nil || len(records) != 1050 {
		t.Fatalf("%d records: %v", len(records), err)
	}
	count.want(t, "a page without a limit", 1, 1)
	if records, err := store.LoadBySequenceIDAndType(t.Context(), "", "Plain", 10); err != nil || len(records) != 10 {
		t.Fatalf("%d records: %v", len(records), err)
	}
	count.want(t, "a page of a type", 0, 1)
	if records := collect(t, store, eventsource.Query{}); len(records) != 1050 {
		t.Fatalf("%d records", len(records))
	}
	count.want(t, "a stream", 1, 3) // of 128, 512 and the rest
}

func collect(t *testing.T, store eventsource.Querier, query eventsource.Query) (records []eventsource.Record) {
	t.Helper()
	for r, err := range store.Query(t.Context(), query) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

func TestWhatWasCommittedAfterAHorizonWasKeptIsSeenByTheNextRead(t *testing.T) {
	url := migrated(t)
	writer := sqlstoreAt(t, url)
	want := storeMany(t, writer, 40)
	store, _, count := counted(t, url, 1)
	for round := range 20 {
		// The first page keeps a horizon, or uses the one that is kept.
		if records, err := store.LoadBySequenceID(t.Context(), "", 10); err != nil || len(records) != 10 {
			t.Fatalf("%d records: %v", len(records), err)
		}
		want = append(want, storeMany(t, writer, 1+round%3)...)
		for _, limit := range []int{0, 1, 7, len(want) - 1, len(want), len(want) + 1} {
			records, err := catchUp(t.Context(), store, "", max(1, limit))
			if limit == 0 {
				records, err = store.LoadBySequenceID(t.Context(), "", 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, fmt.Sprintf("round %d, pages of %d", round, limit), records, want)
		}
		want = append(want, storeMany(t, writer, 1)...)
		// A page that would be full but for the new one.
		records, err := store.LoadBySequenceID(t.Context(), want[len(want)-5].SequenceID, 10)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "the last page", records, want[len(want)-4:])
		want = append(want, storeMany(t, writer, 1)...)
		wantSame(t, "the stream", collect(t, store, eventsource.Query{}), want)
		want = append(want, storeMany(t, writer, 1)...)
		types := collect(t, store, eventsource.Query{Types: []string{"Plain", "None"}, Limit: len(want) + 1})
		wantSame(t, "the stream of types", types, want)
	}
	t.Logf("%d horizons, %d pages", count.horizons.Load(), count.pages.Load())
}

func TestAHeldBackEventIsReadThoughAPageBeforeItKeptAHorizon(t *testing.T) {
	url := migrated(t)
	writer := sqlstoreAt(t, url)
	before := storeMany(t, writer, 20)
	store, _, count := counted(t, url, 1)

	held, err := writer.NewTransaction(t.Context(), plain("held"))
	if err != nil {
		t.Fatal(err)
	}
	after := storeMany(t, writer, 20) // above what is held
	read := func(cursor string, limit int) []eventsource.Record {
		t.Helper()
		records, err := store.LoadBySequenceID(t.Context(), cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		return records
	}
	first := read("", 10)
	wantSame(t, "the first page", first, before[:10])
	rest := read(first[9].SequenceID, 15)
	if len(rest) > 10 {
		t.Fatalf("%d records: they go past the horizon", len(rest))
	}
	if got := read("", 40); len(got) > 20 {
		t.Fatalf("%d records: they go past the horizon", len(got))
	}
	if err := held.Commit(); err != nil {
		t.Fatal(err)
	}
	want := append(append(before[:20:20], held.Records()...), after...)
	records, err := catchUp(t.Context(), store, "", 5)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "everything", records, want)
	t.Logf("%d horizons, %d pages", count.horizons.Load(), count.pages.Load())
}

// Readers that go over the feed again and again from its start, in small pages,
// use kept horizons most of the time. What one pass saw, no later one may see
// more of.
func TestReadersMissNothingWithTheHorizonsThatTheyKeep(t *testing.T) {
	for _, conns := range []int32{1, 4} {
		t.Run(fmt.Sprint(conns, " connections"), func(t *testing.T) {
			url := migrated(t)
			store, _, count := counted(t, url, conns)
			var (
				reading  sync.WaitGroup
				finished atomic.Bool
				passes   atomic.Int64
			)
			for r := range 3 {
				reading.Go(func() {
					var known []string
					for last := false; !last; passes.Add(1) {
						last = finished.Load()
						var ids []string
						if r == 2 {
							for record, err := range store.Query(t.Context(), eventsource.Query{}) {
								if err != nil {
									t.Errorf("Query: %v", err)
									return
								}
								ids = append(ids, record.SequenceID)
							}
						} else {
							records, err := catchUp(t.Context(), store, "", 3+40*r)
							if err != nil {
								t.Errorf("reader: %v", err)
								return
							}
							for _, record := range records {
								ids = append(ids, record.SequenceID)
							}
						}
						for i, id := range known {
							// A horizon may go back when a clock that is behind joins, so a pass may be shorter.
							if i < len(ids) && ids[i] != id {
								t.Errorf("%s is at place %d, where the pass before saw %s", ids[i], i, id)
								return
							}
						}
						if len(ids) > len(known) {
							known = ids
						}
					}
				})
			}
			report := testsuite.LoadOrder(t, func(clock func() time.Time) eventsource.Store {
				return sqlstore.New(testenv.Pool(t, url, poolOf(conns)), sqlstore.WithClock(clock))
			}, func(ctx context.Context, store eventsource.Store, after string, limit int) ([]eventsource.Record, error) {
				return store.LoadBySequenceID(ctx, after, 1+limit%4)
			})
			finished.Store(true)
			finish(t, "the readers", &reading)
			if !report.OK() {
				t.Errorf("the order promise is broken: %+v", report)
			}
			h, p := count.horizons.Load(), count.pages.Load()
			t.Logf("%d events, %d rolled back, %d passes, %d horizons for %d pages", report.Stored, report.RolledBack, passes.Load(), h, p)
			if h >= p {
				t.Error("no horizon was used twice, so the test shows nothing")
			}
		})
	}
}

func TestReadingGoesOnAfterTheServerEndedTheSession(t *testing.T) {
	url := migrated(t)
	admin := testenv.Pool(t, url)
	stored := storeMany(t, sqlstoreAt(t, url), 2000)
	store, pool, _ := counted(t, url, 1)
	terminate := func() {
		t.Helper()
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pid := conn.Conn().PgConn().PID()
		conn.Release()
		var ended bool
		if err := admin.QueryRow(t.Context(), "SELECT pg_terminate_backend($1, 20000)", pid).Scan(&ended); err != nil || !ended {
			t.Fatalf("the session was not ended: %v", err)
		}
	}

	var records []eventsource.Record
	failures := 0
	for after := ""; len(records) < len(stored); {
		if len(records)%500 == 0 {
			terminate()
		}
		page, err := store.LoadBySequenceID(t.Context(), after, 100)
		if err != nil {
			if failures++; failures > 50 {
				t.Fatal(err)
			}
			page, err = store.LoadBySequenceID(t.Context(), after, 100)
			if err != nil {
				t.Fatalf("the read after the one that failed: %v", err)
			}
		}
		if len(page) == 0 {
			t.Fatalf("no record after %d", len(records))
		}
		records = append(records, page...)
		after = page[len(page)-1].SequenceID
	}
	wantSame(t, "the pages", records, stored)

	// A stream says so, and does not just end.
	n := 0
	for _, err := range store.Query(t.Context(), eventsource.Query{}) {
		if err != nil {
			if n == 0 || n == len(stored) {
				t.Errorf("the stream failed after %d records: %v", n, err)
			}
			failures++
			break
		}
		if n++; n == 1 {
			terminate()
		}
	}
	if n != 128 && n != len(stored) {
		t.Errorf("the stream ended after %d records", n)
	}
	wantSame(t, "the stream", collect(t, store, eventsource.Query{}), stored)
	t.Logf("%d reads failed", failures)
}

func TestRecordsAreTheSameHoweverTheConnectionIsSetUp(t *testing.T) {
	url := migrated(t)
	at := func(configure ...func(*pgxpool.Config)) *sqlstore.Store {
		return sqlstore.New(testenv.Pool(t, url, append(configure, poolOf(2))...))
	}
	isolation := func(level string) func(*pgxpool.Config) {
		return func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["default_transaction_isolation"] = level }
	}
	mode := func(mode pgx.QueryExecMode) func(*pgxpool.Config) {
		return func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode }
	}
	fromURL := func(params string) *sqlstore.Store {
		return sqlstoreAt(t, url+"&"+params)
	}
	variants := map[string]*sqlstore.Store{
		"default":                         at(),
		"repeatable read":                 at(isolation("repeatable read")),
		"serializable":                    at(isolation("serializable")),
		"simple protocol":                 at(mode(pgx.QueryExecModeSimpleProtocol)),
		"exec":                            at(mode(pgx.QueryExecModeExec)),
		"describe":                        at(mode(pgx.QueryExecModeDescribeExec)),
		"cache describe":                  at(mode(pgx.QueryExecModeCacheDescribe)),
		"simple protocol, serializable":   at(mode(pgx.QueryExecModeSimpleProtocol), isolation("serializable")),
		"exec, repeatable read":           at(mode(pgx.QueryExecModeExec), isolation("repeatable read")),
		"simple protocol by URL":          fromURL("default_query_exec_mode=simple_protocol"),
		"repeatable read by URL":          fromURL("default_transaction_isolation=repeatable%20read"),
		"no statement cache by URL":       fromURL("statement_cache_capacity=0&description_cache_capacity=0&default_query_exec_mode=exec"),
		"other byte and date style, time": fromURL("bytea_output=escape&DateStyle=German&TimeZone=Asia%2FKathmandu&client_encoding=UTF8"),
	}

	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	long := strings.Repeat("ü", 127)
	shapes := []eventsource.Record{
		{AggregateID: "plain", Type: "Plain", Data: []byte("{}")},
		{AggregateID: "no data", Type: "Plain"},
		{AggregateID: "empty data", Type: "Plain", Data: []byte{}},
		{AggregateID: "any bytes", Type: "Plain", Data: binary},
		{AggregateID: "quotes", Type: `it's "x" \ $1 %s`, UserID: `o'neil\`, Data: []byte(`\x00 '; --`), Metadata: eventsource.Metadata{`it's`: `"\'$1`}},
		{AggregateID: "日本語 🙂", Type: "Änderung", UserID: "Ödön 🙂", Data: []byte("日本語"), Metadata: eventsource.Metadata{"schlüssel": "wert 🙂", "": "empty", "tab\t": "line\n\u2028"}},
		{AggregateID: "metadata", Type: "Plain", UserID: "ann", Metadata: eventsource.Metadata{"a": "1", "b": "", "null": "null", "<&>": "</>"}},
		{AggregateID: "empty metadata", Type: "Plain", Metadata: eventsource.Metadata{}},
		{AggregateID: strings.Repeat("x", eventsource.MaxAggregateIDLength), Type: long, UserID: strings.Repeat("u", 10_000)},
		{AggregateID: "large", Type: "Plain", Data: make([]byte, 20_000)},
		{AggregateID: "before 1970", Type: "Plain", Timestamp: -1},
		{AggregateID: "first time", Type: "Plain", Timestamp: math.MinInt64},
		{AggregateID: "last time", Type: "Plain", Timestamp: math.MaxInt64},
		{AggregateID: " ", Type: " ", UserID: " ", Data: []byte(" ")},
	}
	// Each variant writes, and the same user and type come and go.
	var want []eventsource.Record
	for name, store := range variants {
		for range 2 {
			stored, err := store.Append(t.Context(), shapes...)
			if err != nil {
				t.Errorf("%s: Append: %v", name, err)
				break
			}
			want = append(want, stored...)
		}
	}
	for i := range want {
		if len(want[i].Metadata) == 0 {
			want[i].Metadata = nil
		}
	}
	for name, store := range variants {
		records, err := store.LoadBySequenceID(t.Context(), "", 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantSame(t, name, records, want)
		for _, limit := range []int{1, 5, 100} {
			records, err := catchUp(t.Context(), store, "", limit)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantSame(t, fmt.Sprint(name, ", pages of ", limit), records, want)
		}
		wantSame(t, name+", stream", collect(t, store, eventsource.Query{}), want)
		ofTypes := collect(t, store, eventsource.Query{Types: []string{"Plain", "Änderung", long, `it's "x" \ $1 %s`, " "}})
		wantSame(t, name+", stream of types", ofTypes, want)
		early := collect(t, store, eventsource.Query{From: math.MinInt64, Until: -1})
		for _, r := range early {
			if r.Timestamp != math.MinInt64 {
				t.Errorf("%s: before -1 there is %d", name, r.Timestamp)
			}
		}
		if len(early) != 2*len(variants) {
			t.Errorf("%s: %d events before -1", name, len(early))
		}
		late, err := store.LoadByTimestamp(t.Context(), math.MaxInt64-1, 0)
		if err != nil || len(late) != 2*len(variants) {
			t.Errorf("%s: %d events at the last time: %v", name, len(late), err)
		}
		for _, id := range []string{"日本語 🙂", "quotes", shapes[8].AggregateID} {
			var own []eventsource.Record
			for _, r := range want {
				if r.AggregateID == id {
					own = append(own, r)
				}
			}
			records, err := store.LoadByAggregate(t.Context(), id)
			if err != nil {
				t.Errorf("%s: LoadByAggregate: %v", name, err)
			}
			wantSame(t, name+", aggregate", records, own)
		}
		// Nobody's records share memory.
		for i := range records {
			_ = append(records[i].Data, "overwritten?"...)
		}
		wantSame(t, name+", after appending to data", records, want)
	}
}

func TestAStreamThatIsBrokenOffReadsNoMoreThanItNeeds(t *testing.T) {
	url := migrated(t)
	storeMany(t, sqlstoreAt(t, url), 5000)
	store, pool, count := counted(t, url, 4)
	if _, err := store.LoadBySequenceID(t.Context(), "", 1); err != nil {
		t.Fatal(err)
	}
	ignore := goleak.IgnoreCurrent()
	for _, query := range []eventsource.Query{{}, {Descending: true}, {AggregateID: "many 1"}, {AggregateID: "many 1", Descending: true}, {Types: []string{"Plain"}}} {
		for _, stop := range []int{1, 127, 128, 129, 140, 640, 641} {
			count.horizons.Store(0)
			count.pages.Store(0)
			n := 0
			for _, err := range store.Query(t.Context(), query) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == stop {
					break
				}
			}
			if n != stop {
				t.Fatalf("%+v: %d records, want %d", query, n, stop)
			}
			// The pool destroys the connection of an interrupted read in the background.
			waitUntil(t, fmt.Sprintf("no connection to be taken: %+v, broken off at %d", query, stop), func() bool {
				return pool.Stat().AcquiredConns() == 0
			})
			want := int64(1)
			if query.AggregateID != "" && !query.Descending {
				want = 2 // where it ends
			}
			if got := count.pages.Load(); stop <= 128 && got != want {
				t.Errorf("%+v, broken off at %d: %d pages were read, want %d", query, stop, got, want)
			}
			goleak.VerifyNone(t, ignore)
		}
	}
}

func TestAStreamWhoseContextEndsInTheMiddleSaysSo(t *testing.T) {
	url := migrated(t)
	storeMany(t, sqlstoreAt(t, url), 12_000)
	for _, conns := range []int32{1, 4} {
		store, pool, _ := counted(t, url, conns)
		ignore := goleak.IgnoreCurrent()
		for _, query := range []eventsource.Query{{}, {Descending: true}} {
			for _, stop := range []int{1, 128, 129, 500, 641, 3000} {
				ctx, cancel := context.WithCancel(t.Context())
				n := 0
				var last error
				for _, err := range store.Query(ctx, query) {
					if last = err; err != nil {
						continue
					}
					if n++; n == stop {
						cancel()
					}
				}
				cancel()
				if !errors.Is(last, context.Canceled) {
					t.Errorf("%+v, cancelled at %d of 12000: ended after %d with %v", query, stop, n, last)
				}
				// The pool destroys the connection of an interrupted read in the background.
				waitUntil(t, fmt.Sprintf("no connection to be taken: %+v, cancelled at %d", query, stop), func() bool {
					return pool.Stat().AcquiredConns() == 0
				})
			}
		}
		// pgx closes the connections of interrupted reads in the background.
		goleak.VerifyNone(t, ignore, goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgconn.(*PgConn).asyncClose.func1"))
		if records := collect(t, store, eventsource.Query{}); len(records) != 12_000 {
			t.Errorf("%d records afterwards", len(records))
		}
	}
}

func TestABodyMayUseTheStoreWithAPoolOfOne(t *testing.T) {
	url := migrated(t)
	stored := storeMany(t, sqlstoreAt(t, url), 3000)
	store, _, _ := counted(t, url, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	n := 0
	for r, err := range store.Query(ctx, eventsource.Query{}) {
		if err != nil {
			t.Fatalf("after %d records: %v", n, err)
		}
		if r.SequenceID != stored[n].SequenceID {
			t.Fatalf("record %d is %s, want %s", n, r.SequenceID, stored[n].SequenceID)
		}
		if n++; n%50 != 0 && (n-1)%128 != 0 {
			continue
		}
		if _, err := store.Append(ctx, plain("from the body")); err != nil {
			t.Fatalf("Append at %d: %v", n, err)
		}
		tx, err := store.NewTransaction(ctx, plain("from the body"))
		if err != nil {
			t.Fatalf("NewTransaction at %d: %v", n, err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatalf("Commit at %d: %v", n, err)
		}
		if _, err := store.LoadByAggregate(ctx, "from the body"); err != nil {
			t.Fatalf("LoadByAggregate at %d: %v", n, err)
		}
		for _, err := range store.Query(ctx, eventsource.Query{Limit: 200}) { // inside
			if err != nil {
				t.Fatalf("Query at %d: %v", n, err)
			}
		}
	}
	if n != len(stored) {
		t.Errorf("%d records, want %d: the stream ends where the feed ended when it began", n, len(stored))
	}
}

// What the body takes it may keep beyond the loop that it breaks off.
func TestABodyMayBreakOffWithATransactionOpenWithAPoolOfOne(t *testing.T) {
	url := migrated(t)
	storeMany(t, sqlstoreAt(t, url), 1000)
	store, _, _ := counted(t, url, 1)
	stuck := 0
	const tries = 20
	for try := range tries {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		n := 0
		var tx eventsource.StoreTransaction
		for _, err := range store.Query(ctx, eventsource.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 129 {
				if tx, err = store.NewTransaction(ctx, plain("kept")); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		if ctx.Err() != nil {
			stuck++
			t.Logf("try %d: the break of the loop waited for a connection that the body holds", try)
		}
		if err := tx.Commit(); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		cancel()
		if stuck == 3 {
			break
		}
	}
	if stuck > 0 {
		t.Error("to break off a stream deadlocked")
	}
}

// A page that is being read may take long, and nobody wants it any more.
func TestToBreakOffAStreamDoesNotWaitForThePageThatIsBeingRead(t *testing.T) {
	url := migrated(t)
	storeMany(t, sqlstoreAt(t, url), 2000)
	p := newProxy(t, url)
	store := sqlstore.New(testenv.Pool(t, p.url, poolOf(4)))
	collect(t, store, eventsource.Query{}) // statements are prepared

	held, released := make(chan struct{}), make(chan struct{})
	hold, release := sync.OnceFunc(func() { close(held) }), sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	brokenOff := make(chan int, 1)
	go func() {
		n := 0
		for _, err := range store.Query(t.Context(), eventsource.Query{}) {
			if err != nil {
				t.Error(err)
				break
			}
			if n++; n == 128 { // page 2 passes, page 3 does not
				var after int
				p.set(func(p *proxy) {
					p.toServer = func(int, []byte) bool {
						if after++; after > 1 {
							hold()
							<-released
						}
						return true
					}
				})
			}
			if n == 129 {
				<-held
				break
			}
		}
		brokenOff <- n
	}()
	within(t, "the third page to be asked for", held)
	select {
	case n := <-brokenOff:
		if n != 129 {
			t.Errorf("%d records", n)
		}
	case <-time.After(3 * time.Second):
		t.Error("to break off the stream waits for a page that nobody wants")
		release()
		within(t, "the stream to end", brokenOff)
	}
}

// A process whose clock is behind moves the horizon back while it appends: what
// was readable is not, for a moment. A stream that has begun does not care.
func TestAStreamGoesOnWhileAWriterMovesTheHorizonBack(t *testing.T) {
	url := migrated(t)
	pool := testenv.Pool(t, url, poolOf(40))
	store := sqlstore.New(pool)
	at := func(behind time.Duration) *sqlstore.Store {
		return sqlstoreAt(t, url, sqlstore.WithClock(func() time.Time { return time.Now().Add(-behind) }))
	}
	stored := storeMany(t, at(2*time.Hour), 500)
	stored = append(stored, storeMany(t, store, 500)...)
	// queries are read with streams, whose body lets a writer append once.
	queries := map[string]eventsource.Query{
		"ascending": {}, "descending": {Descending: true}, "of a type": {Types: []string{"Plain"}},
		"since":        {From: stored[0].Timestamp - 1, Before: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"},
		"with a limit": {Limit: 900}, "descending with a limit": {Descending: true, Limit: 900},
	}
	streams := map[string]func(t *testing.T) (eventsource.Querier, func()){
		"on the same connections": func(*testing.T) (eventsource.Querier, func()) { return store, func() {} },
		"on other connections": func(t *testing.T) (eventsource.Querier, func()) {
			return store, func() {
				for _, conn := range pool.AcquireAllIdle(t.Context()) {
					t.Cleanup(conn.Release)
				}
			}
		},
		"in a transaction": func(t *testing.T) (eventsource.Querier, func()) {
			tx, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
			return store.WithTx(tx), func() {}
		},
	}
	for name, stream := range streams {
		for of, query := range queries {
			t.Run(name+", "+of, func(t *testing.T) {
				querier, inBody := stream(t)
				var got []eventsource.Record
				for r, err := range querier.Query(t.Context(), query) {
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, r); len(got) == 1 {
						inBody()
						// The test's context ends before its cleanup, and would have the transaction
						// rolled back some time later, while the next stream begins.
						tx, err := at(time.Hour).NewTransaction(context.WithoutCancel(t.Context()), plain("behind"))
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { _ = tx.Rollback() }) // no defer: rowserrcheck cannot take it here
					}
				}
				want := append([]eventsource.Record{}, stored...)
				if query.Descending {
					slices.Reverse(want)
				}
				if query.Limit > 0 {
					want = want[:query.Limit]
				}
				wantSame(t, "the stream", got, want)
			})
		}
	}
}

// The same names may mean other tables, where the search path says so.
func TestAHorizonThatWasKeptIsNotUsedForATableOfTheSameNameElsewhere(t *testing.T) {
	urls := []string{migrated(t), migrated(t)}
	type schemaKey struct{}
	var schemas []string
	for _, url := range urls {
		var schema string
		if err := testenv.Pool(t, url).QueryRow(t.Context(), "SELECT current_schema()").Scan(&schema); err != nil {
			t.Fatal(err)
		}
		schemas = append(schemas, schema)
	}
	pool := testenv.Pool(t, urls[0], poolOf(1), func(c *pgxpool.Config) {
		c.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
			schema, ok := ctx.Value(schemaKey{}).(string)
			if !ok {
				return true, nil
			}
			_, err := conn.Exec(ctx, "SELECT set_config('search_path', $1, false)", schema)
			return err == nil, err
		}
	})
	store := sqlstore.New(pool)
	load := func(schema int, limit int) []eventsource.Record {
		t.Helper()
		ctx := context.WithValue(t.Context(), schemaKey{}, schemas[schema])
		records, err := store.LoadBySequenceID(ctx, "", limit)
		if err != nil {
			t.Fatal(err)
		}
		return records
	}

	held, err := sqlstoreAt(t, urls[1]).NewTransaction(t.Context(), plain("held"))
	if err != nil {
		t.Fatal(err)
	}
	storeMany(t, sqlstoreAt(t, urls[1]), 10) // not to be read before what is held
	storeMany(t, sqlstoreAt(t, urls[0]), 10)
	if records := load(0, 5); len(records) != 5 {
		t.Fatalf("%d records", len(records))
	}
	if records := load(1, 5); len(records) != 0 {
		t.Errorf("%d records were handed out past the horizon, which was taken for that of another table", len(records))
	}
	if err := held.Commit(); err != nil {
		t.Fatal(err)
	}
	if records := load(1, 20); len(records) != 11 {
		t.Errorf("%d records", len(records))
	}
}
