package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/internal/testsuite"
	"github.com/eventsource-go/eventsource/store/dynamostore"
	"github.com/eventsource-go/eventsource/storetest"
)

func TestStoreBehindAHostileNetwork(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness{
		Open:          func(t *testing.T) storetest.Storage { return openHostile(t, 1, moderate) },
		Lacks:         []storetest.Ability{storetest.LargeData},
		MaxSaveEvents: 99,
	})
}

// openHostile makes a table behind a network.
func openHostile(t *testing.T, shards int, f faults) storetest.Storage {
	t.Helper()
	name := newTable(t, dynamostore.TableOptions{Shards: shards})
	n := newNetwork(t, f)
	return func(clock func() time.Time) eventsource.Store {
		return n.open(t, name, dynamostore.WithClock(clock))
	}
}

// open opens a store that waits for indexes as long as they may take.
func (n *network) open(t testing.TB, table string, opts ...dynamostore.Option) *dynamostore.Store {
	t.Helper()
	opts = append([]dynamostore.Option{dynamostore.WithIndexTimeout(20 * time.Second), dynamostore.WithWatchInterval(50 * time.Millisecond)}, opts...)
	return dynamostore.New(testenv.DynamoDBClient(t, n.attach), table, opts...)
}

// direct opens a store that no network is in front of.
func direct(t testing.TB, table string) *dynamostore.Store {
	t.Helper()
	return dynamostore.New(testenv.DynamoDBClient(t), table)
}

func TestReadersOfFourShardsMissNothingBehindAHostileNetwork(t *testing.T) {
	t.Parallel()
	report := testsuite.LoadOrder(t, openHostile(t, 4, moderate), func(ctx context.Context, store eventsource.Store, after string, limit int) ([]eventsource.Record, error) {
		if limit%2 == 0 { // all events are of this type
			return store.LoadBySequenceIDAndType(ctx, after, "Happened", limit)
		}
		return store.LoadBySequenceID(ctx, after, limit)
	})
	if !report.OK() {
		t.Errorf("the order promise is broken: %+v", report)
	}
	t.Logf("%d events stored, %d rolled back", report.Stored, report.RolledBack)
}

// The test of the order test: a reader that takes what the index shows must be
// found out.
func TestTheOrderTestCatchesAReaderThatIgnoresTheChain(t *testing.T) {
	t.Parallel()
	table := newTable(t, dynamostore.TableOptions{})
	n := newNetwork(t, faults{delay: 20 * time.Millisecond})
	naive := naiveReader(testenv.DynamoDBClient(t, n.attach), table, 1)
	report := testsuite.LoadOrder(t, func(clock func() time.Time) eventsource.Store {
		return n.open(t, table, dynamostore.WithClock(clock))
	}, func(ctx context.Context, _ eventsource.Store, after string, limit int) ([]eventsource.Record, error) {
		page, err := naive(ctx, after, limit)
		if err == nil && len(page) == 0 {
			// At the end it waits until the index must show everything: what counts is
			// what it has skipped.
			time.Sleep(30 * time.Millisecond)
			return naive(ctx, after, limit)
		}
		return page, err
	})
	if report.OK() || report.Missed == 0 {
		t.Errorf("the order test let a reader pass that ignores the chain: %d stored, %d missed", report.Stored, report.Missed)
	}
	t.Logf("%d stored, %d missed", report.Stored, report.Missed)
}

// naiveReader takes what the index shows after a sequence ID, as one would do who
// trusts it.
func naiveReader(client *dynamodb.Client, table string, shards int) func(ctx context.Context, after string, limit int) ([]eventsource.Record, error) {
	return func(ctx context.Context, after string, limit int) (records []eventsource.Record, err error) {
		for shard := range shards {
			out, err := client.Query(ctx, &dynamodb.QueryInput{
				TableName: &table, IndexName: aws.String(dynamostore.SequenceIndex), Limit: aws.Int32(int32(limit)),
				KeyConditionExpression:   aws.String("#s = :shard AND sequence_id > :after"),
				ExpressionAttributeNames: map[string]string{"#s": "shard"}, // a word of DynamoDB's
				ExpressionAttributeValues: map[string]types.AttributeValue{
					":shard": &types.AttributeValueMemberN{Value: fmt.Sprint(shard)},
					":after": &types.AttributeValueMemberS{Value: max(after, " ")},
				},
			})
			if err != nil {
				return nil, err
			}
			for _, item := range out.Items {
				records = append(records, eventsource.Record{
					SequenceID:  item["sequence_id"].(*types.AttributeValueMemberS).Value,
					AggregateID: item["aggregate_id"].(*types.AttributeValueMemberS).Value,
				})
			}
		}
		slices.SortFunc(records, func(a, b eventsource.Record) int { return strings.Compare(a.SequenceID, b.SequenceID) })
		return records[:min(limit, len(records))], nil
	}
}

func TestEverySaveIsStoredOnceOrNotAtAll(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		faults faults
		shards int
		// patience is after which time contexts have ended, 0 if they do not.
		patience time.Duration
		// blind is true when nobody can read items, so that outcomes stay unknown.
		blind bool
	}{
		"when connections are refused":              {faults: faults{refused: 0.4}},
		"when DynamoDB is busy":                     {faults: faults{busy: 0.5}},
		"when DynamoDB fails":                       {faults: faults{failed: 0.4}},
		"when answers are lost":                     {faults: faults{dropped: 0.4}},
		"when answers and tokens are lost":          {faults: faults{dropped: 0.4, forgotten: 1}},
		"when answers are cut off":                  {faults: faults{truncated: 0.4, forgotten: 0.5}},
		"when writes linger":                        {faults: faults{lingering: 0.7, forgotten: 1}},
		"when pages are torn":                       {faults: faults{torn: 0.5, empty: 0.5}},
		"when everything happens":                   {faults: faults{refused: 0.05, busy: 0.1, failed: 0.1, dropped: 0.1, truncated: 0.05, lingering: 0.1, forgotten: 0.5, torn: 0.3, empty: 0.1}},
		"when everything happens to four shards":    {shards: 4, faults: faults{refused: 0.05, busy: 0.1, failed: 0.1, dropped: 0.1, truncated: 0.05, lingering: 0.1, forgotten: 0.5, torn: 0.3, empty: 0.1}},
		"when contexts end while answers are lost":  {faults: faults{dropped: 0.3, lingering: 0.2, forgotten: 0.5}, patience: 60 * time.Millisecond},
		"when contexts end with four shards":        {shards: 4, faults: faults{dropped: 0.3, lingering: 0.2, forgotten: 0.5}, patience: 60 * time.Millisecond},
		"when contexts end though nothing is wrong": {patience: 20 * time.Millisecond},
		"when outcomes cannot be looked up":         {faults: faults{dropped: 0.3, lingering: 0.2, forgotten: 0.5}, blind: true},
		"when contexts end and outcomes cannot be looked up": {
			faults: faults{dropped: 0.3, lingering: 0.2, forgotten: 0.5}, blind: true, patience: 100 * time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &saveLoad{table: newTable(t, dynamostore.TableOptions{Shards: test.shards}), patience: test.patience}
			n := newNetwork(t, faults{})
			for range 3 {
				l.stores = append(l.stores, n.open(t, l.table, dynamostore.WithOutcomeTimeout(outcomeTimeout)))
				if _, err := l.stores[len(l.stores)-1].Horizon(t.Context()); err != nil { // it knows the heads from then on
					t.Fatal(err)
				}
			}
			n.set(func(n *network) {
				n.faults = test.faults
				if test.blind {
					n.script = unreadable
				}
			})
			l.run(t)
			n.settle() // what lingers may still be stored, but must not be
			l.check(t)
		})
	}
}

// unreadable loses the answers about single items.
func unreadable(operation string, _ document) fate {
	if operation == get || operation == update {
		return dropped
	}
	return ""
}

// outcomeTimeout is short, so that some outcomes stay unknown.
const outcomeTimeout = 200 * time.Millisecond

// saveLoad is many concurrent saves to one table, and what came of them.
type saveLoad struct {
	table    string
	stores   []*dynamostore.Store
	patience time.Duration

	mu    sync.Mutex
	saves map[string]saved // by their mark
}

// saved is what a save said.
type saved struct {
	records []eventsource.Record // as they were given
	stored  []eventsource.Record // as they were returned
	err     error
}

// mark is in the data of the events of a save.
func mark(saver, save int) string { return fmt.Sprintf("save %d of saver %d", save, saver) }

func (l *saveLoad) run(t *testing.T) {
	const savers, each = 12, 12
	l.saves = make(map[string]saved)
	var wg sync.WaitGroup
	for s := range savers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(s), 3))
			for i := range each {
				l.save(t, l.stores[s%len(l.stores)], mark(s, i), someRecords(random, mark(s, i), fmt.Sprint("value ", i)), random)
			}
		})
	}
	wg.Wait()
}

// someRecords are one to three, of an aggregate of their own, of shared ones, of one
// whose next version others want as well, or of one that wants a value as others do.
func someRecords(random *rand.Rand, mark, value string) []eventsource.Record {
	records := make([]eventsource.Record, 1+random.IntN(3))
	kind := random.IntN(4)
	for i := range records {
		r := eventsource.Record{Type: fmt.Sprint("Type", random.IntN(3)), Data: []byte(mark)}
		switch kind {
		case 0:
			r.AggregateID, r.Version = "own of "+mark, i+1
		case 1:
			r.AggregateID = fmt.Sprint("shared ", random.IntN(3))
		case 2:
			r.AggregateID = "shared 0"
			if i == 0 {
				r.AggregateID, r.Version = fmt.Sprint("contested ", random.IntN(3)), 1+random.IntN(4)
			}
		case 3:
			r.AggregateID = "own of " + mark
			r.Reservations = []eventsource.Reservation{take(value), take("value of " + mark)}
		}
		records[i] = r
	}
	return records
}

// save saves in one of the two ways, and notes what came of it.
func (l *saveLoad) save(t *testing.T, store *dynamostore.Store, mark string, records []eventsource.Record, random *rand.Rand) {
	ctx := t.Context()
	if l.patience > 0 && random.IntN(6) > 0 { // some have the time that they need, also on a busy machine
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.Int64N(int64(l.patience))))
		defer cancel()
	}
	result := saved{records: records}
	began := time.Now()
	if random.IntN(2) == 0 {
		result.stored, result.err = store.Append(ctx, records...)
	} else if tx, err := store.NewTransaction(ctx, records...); err != nil {
		result.err = err
	} else if result.err = tx.Commit(); result.err == nil {
		result.stored = tx.Records()
	}
	if took := time.Since(began); ctx.Err() != nil && took > l.patience+outcomeTimeout+5*time.Second {
		t.Errorf("%s returned after %v, although its context had ended", mark, took)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saves[mark] = result
}

// check compares what the saves have said with what the table has.
func (l *saveLoad) check(t *testing.T) {
	t.Helper()
	store := direct(t, l.table)
	events, err := store.LoadBySequenceID(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]eventsource.Record)
	aggregates := make(map[string]int)
	for _, e := range events {
		found[string(e.Data)] = append(found[string(e.Data)], e)
		aggregates[e.AggregateID]++
	}
	kinds := make(map[string]int)
	for mark, s := range l.saves {
		kinds[l.judge(t, mark, s, found[mark])]++
		delete(found, mark)
	}
	for mark := range found {
		t.Errorf("events of %q are there, which was never saved", mark)
	}
	l.checkHolders(t, store, events)
	for id, count := range aggregates {
		wantVersions(t, store, id, count)
	}
	t.Logf("%d events; of the saves, %v", len(events), kinds)
	if kinds["stored"] == 0 {
		t.Error("no save was stored, so nothing was tested")
	}
}

// checkHolders checks that each value is held by the one save that is there of those
// that want it, or by nobody, and that those who were told of a holder were told of that.
func (l *saveLoad) checkHolders(t *testing.T, store *dynamostore.Store, events []eventsource.Record) {
	t.Helper()
	last := make(map[string]eventsource.Record) // events by mark
	for _, e := range events {
		last[string(e.Data)] = e
	}
	holders := make(map[string]eventsource.Holder) // by value
	for mark, s := range l.saves {
		e, there := last[mark]
		for _, r := range s.records[0].Reservations {
			if h := holders[r.Value]; there && h.AggregateID != "" {
				t.Errorf("%q is held by %q and %q", r.Value, h.AggregateID, e.AggregateID)
			} else if there {
				h = eventsource.Holder{AggregateID: e.AggregateID, SequenceID: e.SequenceID, Version: e.Version}
				holders[r.Value] = h
			}
		}
	}
	for _, s := range l.saves {
		for _, r := range s.records[0].Reservations {
			if h, err := store.Holder(t.Context(), r.Scope, r.Value); err != nil || h != holders[r.Value] {
				t.Errorf("the holder of %q is %+v, want %+v: %v", r.Value, h, holders[r.Value], err)
			}
		}
		var taken *eventsource.TakenError
		if errors.As(s.err, &taken) && holders[taken.Value].AggregateID != taken.Holder {
			t.Errorf("%v, but it is held by %q", s.err, holders[taken.Value].AggregateID)
		}
	}
}

// judge says what kind of an end a save had.
func (l *saveLoad) judge(t *testing.T, mark string, s saved, found []eventsource.Record) string {
	t.Helper()
	switch {
	case s.err == nil:
		if !slices.EqualFunc(s.stored, found, func(a, b eventsource.Record) bool {
			return a.SequenceID == b.SequenceID && a.AggregateID == b.AggregateID && a.Version == b.Version
		}) {
			t.Errorf("%s was stored as %+v, and is there as %+v", mark, s.stored, found)
		}
		return "stored"
	case errors.Is(s.err, eventsource.ErrOutcomeUnknown):
		if len(found) > 0 && len(found) != len(s.records) {
			t.Errorf("%s, whose outcome is unknown, is there in part, or more than once: %d of %d events", mark, len(found), len(s.records))
		}
		return "unknown"
	}
	if len(found) > 0 {
		t.Errorf("%s failed, but is there as %+v: %v", mark, found, s.err)
	}
	switch {
	case errors.Is(s.err, eventsource.ErrConflict):
		if !slices.ContainsFunc(s.records, func(r eventsource.Record) bool { return strings.HasPrefix(r.AggregateID, "contested") }) {
			t.Errorf("%s asked for what nobody else wants: %v", mark, s.err)
		}
		return "in conflict"
	case errors.Is(s.err, eventsource.ErrTaken):
		if s.records[0].Reservations == nil {
			t.Errorf("%s reserves nothing: %v", mark, s.err)
		}
		return "taken"
	case l.patience > 0 && errors.Is(s.err, context.DeadlineExceeded):
		return "given up"
	case l.patience > 0:
		t.Errorf("%s gave up with another error than that of its context: %v", mark, s.err)
	case errors.Is(s.err, dynamostore.ErrLayout), errors.Is(s.err, dynamostore.ErrNoTable), errors.Is(s.err, dynamostore.ErrAccess):
		t.Errorf("%s failed for a reason that cannot be: %v", mark, s.err)
	}
	return "failed"
}

// wantVersions checks that the aggregate has so many events, numbered from 1 and
// in sequence order.
func wantVersions(t testing.TB, store *dynamostore.Store, id string, count int) {
	t.Helper()
	records, err := store.LoadByAggregate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != count {
		t.Errorf("aggregate %q has %d events, want %d", id, len(records), count)
	}
	for i, r := range records {
		if r.Version != i+1 || i > 0 && r.SequenceID <= records[i-1].SequenceID {
			t.Errorf("event %d of aggregate %q is version %d, %s", i+1, id, r.Version, r.SequenceID)
		}
	}
}

func happened(id string) eventsource.Record {
	return eventsource.Record{AggregateID: id, Type: "Happened"}
}

// first is the first event of an aggregate, of which nobody has to ask which one it
// will be.
func first(id string) eventsource.Record {
	r := happened(id)
	r.Version = 1
	return r
}

// warm opens a store behind a network, and saves an event through it.
func warm(t *testing.T, opts ...dynamostore.Option) (n *network, store, other *dynamostore.Store) {
	t.Helper()
	table := newTable(t, dynamostore.TableOptions{})
	n = newNetwork(t, faults{})
	store = n.open(t, table, opts...)
	if _, err := store.Append(t.Context(), happened("warm up")); err != nil {
		t.Fatal(err)
	}
	return n, store, direct(t, table)
}

func TestASaveToAServerThatNeverAnswersHasAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]bool{"with time": false, "with a context that ends": true} {
		t.Run(name, func(t *testing.T) {
			n, store, other := warm(t, dynamostore.WithOutcomeTimeout(outcomeTimeout))
			n.set(func(n *network) { n.faults = faults{dropped: 1} })
			ctx := t.Context()
			if ends {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
			}
			const savers = 5
			var wg sync.WaitGroup
			for s := range savers {
				wg.Go(func() {
					id, began := fmt.Sprint("order ", s), time.Now()
					_, err := store.Append(ctx, first(id), happened(id), happened("warm up"))
					var unknown *eventsource.OutcomeUnknownError
					switch {
					case ends && errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, eventsource.ErrOutcomeUnknown):
						// It waited for another batch, and was never sent.
						defer wantVersions(t, other, id, 0)
					case !errors.As(err, &unknown) || !errors.Is(err, eventsource.ErrOutcomeUnknown):
						t.Errorf("error is %v, want that the outcome is unknown", err)
					case !slices.Contains(unknown.AggregateIDs, id) || !slices.Contains(unknown.AggregateIDs, "warm up"):
						t.Errorf("%s is not among %v", id, unknown.AggregateIDs)
					}
					// At most two batches follow each other.
					if took := time.Since(began); took > 2*(outcomeTimeout+2*time.Second) {
						t.Errorf("%s took %v", id, took)
					}
				})
			}
			wg.Wait()
			n.heal()
			stored, err := other.LoadByAggregate(t.Context(), "warm up")
			if err != nil {
				t.Fatal(err)
			}
			for s := range savers {
				id := fmt.Sprint("order ", s)
				records, err := other.LoadByAggregate(t.Context(), id)
				if err != nil || len(records) != 0 && len(records) != 2 {
					t.Errorf("%s has %d events: %v", id, len(records), err)
				}
			}
			if _, err := store.Append(t.Context(), happened("warm up")); err != nil {
				t.Fatal(err)
			}
			wantVersions(t, other, "warm up", len(stored)+1)
		})
	}
}

// Nobody but the caller may try again what is unknown, also where saves share a
// transaction and the last error is one after which nothing has been carried out.
func TestSavesWhoseOutcomeIsUnknownAreNotSentOnceMore(t *testing.T) {
	t.Parallel()
	for name, fates := range map[string]struct{ transactions, others fate }{
		"when then answers are lost":                             {dropped, dropped},
		"when then connections are refused":                      {refused, refused},
		"when then conditions fail, and nobody can be asked why": {served, busy},
		"when then DynamoDB is busy":                             {dropped, busy},
	} {
		t.Run(name, func(t *testing.T) {
			n, store, other := warm(t, dynamostore.WithOutcomeTimeout(outcomeTimeout))
			held, release := make(chan struct{}), make(chan struct{})
			var mu sync.Mutex
			var tokens []string // of transactions
			n.set(func(n *network) {
				n.faults.forgotten = 1
				n.script = func(operation string, request document) fate {
					mu.Lock()
					defer mu.Unlock()
					token := string(request["ClientRequestToken"])
					isNew := operation == transact && !slices.Contains(tokens, token)
					if isNew {
						tokens = append(tokens, token)
					}
					switch {
					case isNew && len(tokens) == 1:
						close(held)
						<-release // while the next ones gather
						return served
					case isNew && len(tokens) == 2:
						return dropped
					case len(tokens) != 2:
						return served
					case operation == transact:
						return fates.transactions
					}
					return fates.others
				}
			})
			var wg sync.WaitGroup
			save := func(id string, queued chan struct{}) {
				wg.Go(func() {
					_, err := store.Append(&queuing{Context: t.Context(), queued: queued}, first(id))
					if id == "first" && err != nil || id != "first" && !errors.Is(err, eventsource.ErrOutcomeUnknown) {
						t.Errorf("%s: error is %v", id, err)
					}
				})
			}
			save("first", make(chan struct{}))
			<-held
			for _, id := range []string{"second", "third"} {
				queued := make(chan struct{})
				save(id, queued)
				<-queued
			}
			close(release)
			wg.Wait()
			if len(tokens) != 2 {
				t.Errorf("%d transactions were sent, want 2", len(tokens))
			}
			for _, id := range []string{"first", "second", "third"} {
				wantVersions(t, other, id, 1)
			}
		})
	}
}

// queuing is a context that tells when a save is in the queue, if nothing has to be
// read for it before: that is where it is first asked for its end.
type queuing struct {
	context.Context
	once   sync.Once
	queued chan struct{}
}

func (q *queuing) Done() <-chan struct{} {
	q.once.Do(func() { close(q.queued) })
	return q.Context.Done()
}

func TestAnEndpointThatRefusesConnectionsIsAnErrorThatSaysSo(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	store := dynamostore.New(testenv.DynamoDBClient(t, hurry, func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint }), "events")
	began := time.Now()
	_, appendErr := store.Append(t.Context(), happened("a"))
	_, loadErr := store.LoadBySequenceID(t.Context(), "", 0)
	_, watchErr := store.Watch(t.Context())
	_, horizonErr := store.Horizon(t.Context())
	for what, err := range map[string]error{"Append": appendErr, "LoadBySequenceID": loadErr, "Watch": watchErr, "Horizon": horizonErr} {
		if err == nil || errors.Is(err, eventsource.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), listener.Addr().String()) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAnEventThatAnIndexNeverShowsIsNeverSkipped(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 4} {
		t.Run(fmt.Sprintf("with shards=%d", shards), func(t *testing.T) {
			table := newTable(t, dynamostore.TableOptions{Shards: shards})
			n := newNetwork(t, faults{})
			store := n.open(t, table, dynamostore.WithIndexTimeout(50*time.Millisecond))
			var stored []eventsource.Record
			for i := range 20 {
				records, err := store.Append(t.Context(), happened(fmt.Sprint("a ", i)), happened(fmt.Sprint("b ", i)))
				if err != nil {
					t.Fatal(err)
				}
				stored = append(stored, records...)
			}
			for _, missing := range []int{0, 1, 17, len(stored) - 1} {
				n.set(func(n *network) { n.hidden = stored[missing].SequenceID })
				checkStopsBefore(t, store, stored, missing)
			}
			n.heal()
			records, err := store.LoadBySequenceID(t.Context(), "", 0)
			if err != nil || len(records) != len(stored) {
				t.Errorf("%d of %d events were given once all were there: %v", len(records), len(stored), err)
			}
		})
	}
}

// checkStopsBefore checks that reads give what is before the missing event, or after
// it when descending, and nothing of the rest. With several shards they end where
// the missing one may be next: after the event before it in its shard.
func checkStopsBefore(t *testing.T, store *dynamostore.Store, stored []eventsource.Record, missing int) {
	t.Helper()
	proven := missing
	for proven > 0 && stored[proven-1].SequenceID[25] != stored[missing].SequenceID[25] { // it ends with the shard
		proven--
	}
	for _, limit := range []int{0, 1, 3} {
		after, given := "", 0
		for {
			page, err := store.LoadBySequenceID(t.Context(), after, limit)
			if err != nil {
				t.Fatalf("event %d is missing: %v", missing, err)
			}
			for _, r := range page {
				if r.SequenceID != stored[given].SequenceID {
					t.Fatalf("event %d is missing, and %s was given where %s is the next one", missing, r.SequenceID, stored[given].SequenceID)
				}
				after = r.SequenceID
				given++
			}
			if len(page) == 0 {
				break
			}
		}
		if given < proven || given > missing {
			t.Errorf("event %d is missing, and %d were given with limit %d, want %d", missing, given, limit, proven)
		}
	}
	given := len(stored)
	var failed error
	for r, err := range store.Query(t.Context(), eventsource.Query{Descending: true}) {
		if failed = err; err != nil {
			break
		}
		if given--; r.SequenceID != stored[given].SequenceID {
			t.Fatalf("descending: %s was given where %s is the next one", r.SequenceID, stored[given].SequenceID)
		}
	}
	var behind *dynamostore.IndexBehindError
	if !errors.As(failed, &behind) || !errors.Is(failed, dynamostore.ErrIndexBehind) || given <= missing {
		t.Errorf("descending: event %d is missing, %d were given, and then the error was %v", missing, len(stored)-given, failed)
		return
	}
	if behind.Index != dynamostore.SequenceIndex || behind.SequenceID != stored[missing].SequenceID {
		t.Errorf("descending: event %s is missing, the error is of %+v", stored[missing].SequenceID, *behind)
	}
}
