package sqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// marker is data that can be found in what travels.
const marker = "the marked event"

func marked(aggregateID string) eventsource.Record {
	return eventsource.Record{AggregateID: aggregateID, Type: "Marked", Data: []byte(marker)}
}

func plain(aggregateID string) eventsource.Record {
	return eventsource.Record{AggregateID: aggregateID, Type: "Plain", Data: []byte("plain")}
}

// commitWays save a marked event so that the connection breaks in the commit.
func commitWays(store *sqlstore.Store) map[string]func(ctx context.Context, id string) ([]eventsource.Record, error) {
	return map[string]func(ctx context.Context, id string) ([]eventsource.Record, error){
		"Append": func(ctx context.Context, id string) ([]eventsource.Record, error) {
			return store.Append(ctx, marked(id), marked(id))
		},
		"Commit": func(ctx context.Context, id string) ([]eventsource.Record, error) {
			tx, err := store.NewTransaction(ctx, plain(id), plain(id))
			if err != nil {
				return nil, err
			}
			// The caller's own statement carries the mark, right before COMMIT.
			inner, _ := sqlstore.Tx(tx)
			if _, err := inner.Exec(ctx, "SELECT $1::text", "arm: "+marker); err != nil {
				return nil, err
			}
			err = tx.Commit()
			return tx.Records(), err
		},
	}
}

// cutAtCommit cuts the connection at the request that commits: before the server
// gets it, or after it has answered. It does so once.
func cutAtCommit(p *proxy, answered bool) {
	commit := []byte("Q\x00\x00\x00\x0bcommit\x00") // a message of the simple protocol
	var mu sync.Mutex
	committing, cut := 0, false // number of the connection
	p.set(func(p *proxy) {
		p.toServer = func(conn int, chunk []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			marks := bytes.Contains(chunk, []byte(marker)) && !bytes.Contains(chunk, []byte("arm: "))
			if cut || !marks && !bytes.Contains(chunk, commit) {
				return true
			}
			committing, cut = conn, !answered
			return answered
		}
		p.fromServer = func(conn int, _ []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			if cut || conn != committing {
				return true
			}
			cut = true
			return false
		}
	})
}

// behindProxy returns a store behind a proxy that has saved something, and one on
// the same events that is not.
func behindProxy(t *testing.T, opts ...sqlstore.Option) (p *proxy, store, direct *sqlstore.Store) {
	t.Helper()
	url := migrated(t)
	p = newProxy(t, url)
	store = sqlstoreAt(t, p.url, opts...)
	if _, err := store.Append(t.Context(), plain("warm up")); err != nil {
		t.Fatal(err)
	}
	return p, store, sqlstoreAt(t, url)
}

func TestASaveWhoseAnswerIsLostIsStoredOnce(t *testing.T) {
	for _, name := range []string{"Append", "Commit"} {
		t.Run(name, func(t *testing.T) {
			p, store, direct := behindProxy(t)
			for i := range 5 {
				id := fmt.Sprint("order ", i)
				cutAtCommit(p, true)
				stored, err := commitWays(store)[name](t.Context(), id)
				if err != nil {
					t.Fatalf("the events were stored, but the save failed: %v", err)
				}
				loaded, err := direct.LoadByAggregate(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if fmt.Sprintf("%+v", loaded) != fmt.Sprintf("%+v", stored) {
					t.Errorf("stored are %+v, returned were %+v", loaded, stored)
				}
			}
		})
	}
}

func TestASaveThatNeverArrivedIsNotStoredAndSaysWhy(t *testing.T) {
	for _, name := range []string{"Append", "Commit"} {
		t.Run(name, func(t *testing.T) {
			p, store, direct := behindProxy(t)
			for i := range 5 {
				id := fmt.Sprint("order ", i)
				cutAtCommit(p, false)
				_, err := commitWays(store)[name](t.Context(), id)
				if err == nil || errors.Is(err, eventsource.ErrOutcomeUnknown) {
					t.Fatalf("error is %v, want that of the connection", err)
				}
				wantVersions(t, direct, id, 0)
			}
			if _, err := store.Append(t.Context(), plain("after")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnOutcomeThatCannotBeLookedUpIsUnknown(t *testing.T) {
	for _, name := range []string{"Append", "Commit"} {
		t.Run(name, func(t *testing.T) {
			p, store, _ := behindProxy(t, sqlstore.WithOutcomeTimeout(200*time.Millisecond))
			cutAtCommit(p, true)
			p.set(func(p *proxy) {
				check := p.fromServer
				p.fromServer = func(conn int, chunk []byte) bool {
					passed := check(conn, chunk)
					if !passed {
						p.set(func(p *proxy) { p.refuse = true })
						p.cutAll()
					}
					return passed
				}
			})
			_, err := commitWays(store)[name](t.Context(), "order")
			var unknown *eventsource.OutcomeUnknownError
			if !errors.Is(err, eventsource.ErrOutcomeUnknown) || !errors.As(err, &unknown) {
				t.Fatalf("error is %v, want an unknown outcome", err)
			}
			if len(unknown.AggregateIDs) != 1 || unknown.AggregateIDs[0] != "order" || unknown.Err == nil {
				t.Errorf("error is %+v", unknown)
			}
			p.set(func(p *proxy) { p.refuse = false })
			wantVersions(t, store, "order", 2) // in truth it was stored
		})
	}
}

func TestAContextThatEndsDoesNotHideThatTheOutcomeIsUnknown(t *testing.T) {
	url := migrated(t)
	p := newProxy(t, url)
	store := sqlstoreAt(t, p.url, sqlstore.WithOutcomeTimeout(100*time.Millisecond))
	if _, err := store.LoadByAggregate(t.Context(), "warm up"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var committing atomic.Int64 // number of the connection
	answered := make(chan struct{})
	p.set(func(p *proxy) {
		p.toServer = func(conn int, chunk []byte) bool {
			if bytes.Contains(chunk, []byte(marker)) {
				p.set(func(p *proxy) { p.refuse = true })
				committing.Store(int64(conn))
			}
			return true
		}
		p.fromServer = func(conn int, _ []byte) bool {
			if int64(conn) != committing.Load() {
				return true
			}
			cancel()
			<-answered // the answer waits for longer than the caller
			return false
		}
	})
	_, err := store.Append(ctx, marked("order"))
	close(answered)
	if !errors.Is(err, eventsource.ErrOutcomeUnknown) {
		t.Errorf("error is %v, want an unknown outcome", err)
	}
	wantVersions(t, sqlstoreAt(t, url), "order", 1)
}

func TestSavesThatShareATransactionAllLearnItsOutcome(t *testing.T) {
	for _, level := range []string{"read committed", "serializable"} {
		t.Run(level, func(t *testing.T) { testSharedOutcomes(t, level) })
	}
}

func testSharedOutcomes(t *testing.T, level string) {
	url := migrated(t)
	p := newProxy(t, url)
	direct := sqlstoreAt(t, url)
	store := sqlstore.New(testenv.Pool(t, p.url, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["default_transaction_isolation"] = level
	}))
	if _, err := store.Append(t.Context(), plain("warm up")); err != nil {
		t.Fatal(err)
	}
	const savers, each = 16, 20
	// Every connection is cut after a while, also those that look up outcomes.
	p.set(func(p *proxy) {
		var mu sync.Mutex
		left := map[int]int{}
		pass := func(conn int, chunk []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			if _, ok := left[conn]; !ok {
				left[conn] = 8_000 + rand.IntN(8_000)
			}
			left[conn] -= len(chunk)
			return left[conn] > 0
		}
		p.fromServer, p.toServer = pass, pass
	})
	p.cutAll()
	var (
		saving         sync.WaitGroup
		mu             sync.Mutex
		outcomes       = map[string]error{}
		stored, failed int
	)
	for s := range savers {
		saving.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d/%d", s, i)
				first := plain(id)
				conflicts := i%4 == 3
				if conflicts {
					first.Version = 7
				}
				_, err := store.Append(t.Context(), first, plain(id))
				if conflicts && err == nil {
					t.Errorf("%s: version 7 of a new aggregate was stored", id)
				}
				mu.Lock()
				outcomes[id] = err
				mu.Unlock()
			}
		})
	}
	saving.Wait()
	for id, err := range outcomes {
		switch {
		case err == nil:
			stored++
			wantVersions(t, direct, id, 2)
		case errors.Is(err, eventsource.ErrOutcomeUnknown):
			t.Errorf("%s: the server was there all the time: %v", id, err)
		default:
			failed++
			wantVersions(t, direct, id, 0)
		}
	}
	t.Logf("%d saves were stored, %d failed, on %d connections", stored, failed, p.conns)
	if stored == 0 || failed == 0 {
		t.Error("the test shows nothing")
	}
}

// oneBehindTheOther has two saves of the new aggregate "order" come together in a
// batch: one of two events, and one of version 1, for which there is room only
// without the other. Before the first is sent again without the second, resend is
// called, which may cut the connection. The errors of both are returned, and a store
// past the proxy.
func oneBehindTheOther(t *testing.T, resend func(p *proxy, direct *sqlstore.Store) bool) (direct *sqlstore.Store, first, second error) {
	t.Helper()
	url := migrated(t)
	p := newProxy(t, url)
	direct = sqlstoreAt(t, url)
	store := sqlstoreAt(t, p.url, sqlstore.WithOutcomeTimeout(200*time.Millisecond))
	if _, err := store.Append(t.Context(), plain("warm up")); err != nil {
		t.Fatal(err)
	}
	waitForState(t, store, "nothing on its way", func(s sqlstore.GroupState) bool { return s == sqlstore.GroupState{} })
	sent, held, released := 0, make(chan struct{}), make(chan struct{})
	p.set(func(p *proxy) {
		p.toServer = func(_ int, chunk []byte) bool {
			if !bytes.Contains(chunk, []byte(marker)) {
				return true
			}
			switch sent++; sent {
			case 1: // a batch during which the two come together
				close(held)
				<-released
			case 3:
				return resend(p, direct)
			}
			return true
		}
	})
	var saving sync.WaitGroup
	defer saving.Wait()
	saving.Go(func() {
		if _, err := store.Append(t.Context(), marked("other")); err != nil {
			t.Error(err)
		}
	})
	within(t, "the first batch", held)
	queue := func(err *error, records ...eventsource.Record) {
		before := store.GroupState().Queued
		saving.Go(func() { _, *err = store.Append(t.Context(), records...) })
		waitForState(t, store, "a save in the queue", func(s sqlstore.GroupState) bool { return s.Queued == before+len(records) })
	}
	queue(&first, marked("order"), plain("order"))
	versioned := plain("order")
	versioned.Version = 1
	queue(&second, versioned)
	close(released)
	saving.Wait()
	return direct, first, second
}

func TestASaveIsNotSaidToConflictWithOneWhoseOutcomeIsUnknown(t *testing.T) {
	direct, unknown, refused := oneBehindTheOther(t, func(p *proxy, _ *sqlstore.Store) bool {
		p.set(func(p *proxy) { p.refuse = true })
		p.cutAll()
		return false
	})
	if !errors.Is(unknown, eventsource.ErrOutcomeUnknown) {
		t.Fatalf("error is %v, want an unknown outcome", unknown)
	}
	if refused == nil || errors.Is(refused, eventsource.ErrConflict) {
		t.Errorf("error is %v, want that of the connection: in truth the aggregate has no event", refused)
	}
	wantVersions(t, direct, "order", 0)
}

func TestAConflictWithASaveOfTheSameBatchNamesAVersionThatWasThere(t *testing.T) {
	_, stored, err := oneBehindTheOther(t, func(_ *proxy, direct *sqlstore.Store) bool {
		// Another process is faster, so the first of the two gets other versions.
		_, err := direct.Append(t.Context(), plain("order"), plain("order"), plain("order"))
		if err != nil {
			t.Error(err)
		}
		return true
	})
	var conflict *eventsource.ConflictError
	if stored != nil || !errors.As(err, &conflict) {
		t.Fatalf("errors are %v and %v, want none and a conflict", stored, err)
	}
	if *conflict != (eventsource.ConflictError{AggregateID: "order", Expected: 1, Actual: 5}) {
		t.Errorf("got %v, but the aggregate went from version 0 to 3 and to 5 at once", conflict)
	}
}

func TestAReadThatIsCutIsAnErrorNeverAShortResult(t *testing.T) {
	url := migrated(t)
	direct := sqlstoreAt(t, url)
	var records []eventsource.Record
	for range 2000 {
		r := plain("long")
		r.Data = bytes.Repeat([]byte("x"), 1000)
		records = append(records, r)
	}
	if _, err := direct.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, url)
	store := sqlstoreAt(t, p.url)
	reads := map[string]func() (int, error){
		"LoadByAggregate": func() (int, error) {
			records, err := store.LoadByAggregate(t.Context(), "long")
			return len(records), err
		},
		"LoadBySequenceID": func() (int, error) {
			records, err := store.LoadBySequenceID(t.Context(), "", 0)
			return len(records), err
		},
		"LoadBySequenceIDAndType": func() (int, error) {
			records, err := store.LoadBySequenceIDAndType(t.Context(), "", "Plain", 1999)
			return len(records), err
		},
		"LoadByTimestamp": func() (int, error) {
			records, err := store.LoadByTimestamp(t.Context(), 0, 0)
			return len(records), err
		},
		"Query": func() (count int, err error) {
			for _, err = range store.Query(t.Context(), eventsource.Query{}) {
				if err == nil {
					count++
				}
			}
			return count, err
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			for _, allowed := range []int{100, 100_000, 1_000_000} {
				var passed atomic.Int64
				if _, err := store.LoadBySequenceID(t.Context(), "", 1); err != nil { // a connection is open
					t.Fatal(err)
				}
				p.set(func(p *proxy) {
					p.fromServer = func(_ int, chunk []byte) bool { return passed.Add(int64(len(chunk))) < int64(allowed) }
				})
				count, err := read()
				p.set(func(p *proxy) { p.fromServer = nil })
				if err == nil {
					t.Errorf("cut after %d bytes it gave %d records and no error", allowed, count)
				}
				if name != "Query" && count != 0 {
					t.Errorf("cut after %d bytes it gave %d records beside the error %v", allowed, count, err)
				}
			}
		})
	}
}

func TestAClosedPoolIsAnErrorThatSaysSo(t *testing.T) {
	url := migrated(t)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	store := sqlstore.New(pool)
	pool.Close()
	everyMethod(t, store, func(method string, err error) {
		if err == nil || !strings.Contains(err.Error(), "pool is closed") {
			t.Errorf("%s: error is %v", method, err)
		}
	})
}

func TestADatabaseThatIsNotMigratedIsAnErrorThatSaysHow(t *testing.T) {
	pool := testenv.Pool(t, testenv.Postgres(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	for _, test := range []struct {
		store    *sqlstore.Store
		mentions []string
	}{
		{sqlstore.New(pool), []string{`"events"`, "migrations.Up(ctx, db)", "goose -dir migrations -table events_schema_version"}},
		{sqlstore.New(pool, sqlstore.WithTable("Orders")), []string{`"Orders"`, `migrations.Up(ctx, db, migrations.WithTable("Orders"))`}},
		{sqlstore.New(pool, sqlstore.WithSchema("none")), []string{`"none"."events"`, `migrations.Up(ctx, db, migrations.WithSchema("none"))`}},
	} {
		everyMethod(t, test.store, func(method string, err error) {
			if !errors.Is(err, sqlstore.ErrNotMigrated) {
				t.Errorf("%s: error is %v", method, err)
				return
			}
			for _, mention := range test.mentions {
				if !strings.Contains(err.Error(), mention) {
					t.Errorf("%s: error %q does not mention %q", method, err, mention)
				}
			}
		})
	}
}

func TestAStandbyIsRefused(t *testing.T) {
	primaryURL, standbyURL := testenv.Standby(t)
	primary := testenv.Pool(t, primaryURL)
	migrate(t, primary)
	store := sqlstore.New(primary)
	if _, err := store.Append(t.Context(), plain("a")); err != nil {
		t.Fatal(err)
	}
	standby := testenv.Pool(t, standbyURL)
	for deadline := time.Now().Add(30 * time.Second); ; {
		var count int
		if err := standby.QueryRow(t.Context(), "SELECT count(*) FROM events").Scan(&count); err == nil && count == 1 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the standby has %d events: %v", count, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	everyMethod(t, sqlstore.New(standby), func(method string, err error) {
		if !errors.Is(err, sqlstore.ErrStandby) {
			t.Errorf("%s: error is %v", method, err)
		}
	})
	// The server's own function refuses those who come another way.
	var state interface{ SQLState() string }
	_, err := standby.Exec(t.Context(), "SELECT * FROM events_horizon()")
	if !errors.As(err, &state) || state.SQLState() != "ES001" {
		t.Errorf("events_horizon on a standby: %v", err)
	}
}

func TestAMisconfiguredStoreSaysWhatIsWrong(t *testing.T) {
	pool := testenv.Pool(t, testenv.Postgres(t))
	for mention, store := range map[string]*sqlstore.Store{
		"pool is nil":       sqlstore.New(nil),
		`"ev\"ents"`:        sqlstore.New(pool, sqlstore.WithTable(`ev"ents`)),
		`"my events"`:       sqlstore.New(pool, sqlstore.WithTable("my events")),
		`"events;"`:         sqlstore.New(pool, sqlstore.WithTable("events;")),
		"empty":             sqlstore.New(pool, sqlstore.WithTable("")),
		`"a b"`:             sqlstore.New(pool, sqlstore.WithSchema("a b")),
		"clock is nil":      sqlstore.New(pool, sqlstore.WithClock(nil)),
		"-1 bytes":          sqlstore.New(pool, sqlstore.WithMaxDataSize(-1)),
		"max clock ahead":   sqlstore.New(pool, sqlstore.WithMaxClockAhead(-1)),
		"outcome timeout":   sqlstore.New(pool, sqlstore.WithOutcomeTimeout(-1)),
		"transaction is ni": sqlstore.New(nil),
	} {
		if mention == "transaction is ni" {
			if err := sqlstore.New(pool).WithTx(nil).Err(); err == nil || !strings.Contains(err.Error(), mention) {
				t.Errorf("WithTx(nil): %v", err)
			}
			continue
		}
		check := func(method string, err error) {
			if !errors.Is(err, eventsource.ErrMisconfigured) || !strings.Contains(err.Error(), mention) {
				t.Errorf("%s: error is %v, want one that mentions %q", method, err, mention)
			}
		}
		check("Err", store.Err())
		everyMethod(t, store, check)
		check("repository", eventsource.NewRepository(store, nopSerializer{}).Save(t.Context(), &eventsource.BaseEvent{AggregateID: "a"}))
	}
}

type nopSerializer struct{}

func (nopSerializer) Marshal(eventsource.Event) ([]byte, error) { return nil, nil }
func (nopSerializer) Unmarshal([]byte, string) (eventsource.Event, error) {
	return &eventsource.BaseEvent{}, nil
}

// everyMethod calls all that can fail.
func everyMethod(t *testing.T, store *sqlstore.Store, check func(method string, err error)) {
	t.Helper()
	ctx := t.Context()
	_, err := store.Append(ctx, plain("a"))
	check("Append", err)
	tx, err := store.NewTransaction(ctx, plain("a"))
	check("NewTransaction", err)
	if err == nil {
		_ = tx.Rollback()
	}
	_, err = store.Append(ctx, reserving("a", take("x")))
	check("Append with a reservation", err)
	_, err = store.Holder(ctx, scope, "x")
	check("Holder", err)
	_, err = store.PurgeReservations(ctx)
	check("PurgeReservations", err)
	_, err = store.LoadByAggregateVersions(ctx, "a", 1, 2)
	check("LoadByAggregateVersions", err)
	_, err = store.LoadByAggregate(ctx, "a")
	check("LoadByAggregate", err)
	_, err = store.LoadBySequenceID(ctx, "", 10)
	check("LoadBySequenceID", err)
	_, err = store.LoadBySequenceIDAndType(ctx, "", "Plain", 10)
	check("LoadBySequenceIDAndType", err)
	_, err = store.LoadByTimestamp(ctx, 0, 10)
	check("LoadByTimestamp", err)
	for _, query := range []eventsource.Query{{}, {Descending: true}, {AggregateID: "a"}} {
		for _, err = range store.Query(ctx, query) {
		}
		check("Query", err)
	}
	_, err = store.Horizon(ctx)
	check("Horizon", err)
	watching, cancel := context.WithCancel(ctx)
	_, err = store.Watch(watching)
	cancel()
	check("Watch", err)
}

func sqlstoreAt(t *testing.T, url string, opts ...sqlstore.Option) *sqlstore.Store {
	t.Helper()
	return sqlstore.New(testenv.Pool(t, url), opts...)
}

func wantVersions(t *testing.T, store eventsource.Store, id string, count int) {
	t.Helper()
	records, err := store.LoadByAggregate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != count {
		t.Errorf("aggregate %q has %d events, want %d", id, len(records), count)
	}
	for i, r := range records {
		if r.Version != i+1 {
			t.Errorf("event %d of aggregate %q has version %d", i+1, id, r.Version)
		}
	}
}
