package dynamostore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// reserves is a record of an aggregate that makes reservations.
func reserves(record eventsource.Record, reservations ...eventsource.Reservation) eventsource.Record {
	record.Reservations = reservations
	return record
}

func take(value string) eventsource.Reservation {
	return eventsource.Reservation{Scope: "email", Value: value}
}

func giveBack(value string) eventsource.Reservation {
	return eventsource.Reservation{Scope: "email", Value: value, Release: true}
}

func takeUntil(value string, until time.Time) eventsource.Reservation {
	return eventsource.Reservation{Scope: "email", Value: value, Until: until.UnixNano()}
}

// reserve saves records that can be saved.
func reserve(t *testing.T, store *dynamostore.Store, records ...eventsource.Record) []eventsource.Record {
	t.Helper()
	stored, err := store.Append(t.Context(), records...)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func wantHolder(t *testing.T, store *dynamostore.Store, value, aggregateID string) {
	t.Helper()
	h, err := store.Holder(t.Context(), "email", value)
	if err != nil || h.AggregateID != aggregateID {
		t.Errorf("%q is held by %q, want %q: %v", value, h.AggregateID, aggregateID, err)
	}
}

func wantTaken(t *testing.T, what string, err error, want eventsource.TakenError) {
	t.Helper()
	want.Scope = "email"
	var taken *eventsource.TakenError
	if !errors.As(err, &taken) || !errors.Is(err, eventsource.ErrTaken) || *taken != want {
		t.Errorf("%s: error is %v, want %v", what, err, &want)
	}
}

// reservationItem reads the item of a value, as it is in the table.
func reservationItem(t *testing.T, client *dynamodb.Client, table, value string) map[string]types.AttributeValue {
	t.Helper()
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &table, ConsistentRead: aws.Bool(true), Key: reservationKey(value),
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}

func reservationKey(value string) map[string]types.AttributeValue {
	return key("eventsource:reserved:5:email:"+value, 0)
}

// gathered lets saves gather while another one is on its way, and returns what became
// of them, and which transactions they were sent with. The store knows "warm up".
func gathered(t *testing.T, w *wire, store *dynamostore.Store, records ...eventsource.Record) (results []result, transactions []string) {
	t.Helper()
	held := newGate()
	var mu sync.Mutex
	w.carry(func(p packet) (*http.Response, error) {
		if p.operation != transact {
			return p.pass()
		}
		if p.has("warm up") {
			if err := held.hold(p); err != nil {
				return nil, err
			}
			return p.pass()
		}
		mu.Lock()
		transactions = append(transactions, p.body)
		mu.Unlock()
		return p.pass()
	})
	before := saving(t.Context(), store, happened("warm up"))
	soon(t, "a save is on its way", held.reached)
	var waiting []<-chan result
	for _, r := range records {
		waiting = append(waiting, joining(t.Context(), t, store, r))
	}
	close(held.opened)
	if r := soon(t, "the save before", before); r.err != nil {
		t.Fatal(r.err)
	}
	for i, c := range waiting {
		results = append(results, soon(t, "the save of "+records[i].AggregateID, c))
	}
	w.carry(nil)
	mu.Lock()
	defer mu.Unlock()
	return results, transactions
}

func TestATakenValueFailsOnlyTheSaveThatWantsIt(t *testing.T) {
	t.Parallel()
	for _, place := range []int{0, 1, 2} {
		t.Run(fmt.Sprint("in place ", place), func(t *testing.T) {
			t.Parallel()
			w, store, other := wired(t)
			reserve(t, other, reserves(happened("owner"), take("taken"), take("also taken")))
			records := []eventsource.Record{reserves(first("other values"), take("free"), take("free too")), first("no values")}
			records = slices.Insert(records, place, reserves(first("loser"), take("his"), take("taken"), take("also taken")))
			results, transactions := gathered(t, w, store, records...)
			for i, r := range results {
				if records[i].AggregateID == "loser" {
					wantTaken(t, "the loser", r.err, eventsource.TakenError{Value: "also taken", AggregateID: "loser", Holder: "owner"})
				} else if r.err != nil {
					t.Errorf("%s: %v", records[i].AggregateID, r.err)
				}
			}
			if len(transactions) == 0 || !strings.Contains(transactions[0], `"loser"`) || !strings.Contains(transactions[0], `"no values"`) {
				t.Error("the saves did not share a transaction, so nothing was tested")
			}
			wantVersions(t, other, "loser", 0)
			wantVersions(t, other, "other values", 1)
			wantVersions(t, other, "no values", 1)
			for value, id := range map[string]string{"his": "", "taken": "owner", "free": "other values", "free too": "other values"} {
				wantHolder(t, other, value, id)
			}
		})
	}
}

// DynamoDB refuses a transaction with two operations on one item.
func TestSavesOfOneValueDoNotShareATransaction(t *testing.T) {
	t.Parallel()
	w, store, other := wired(t)
	results, transactions := gathered(t, w, store,
		reserves(first("a"), take("x")), reserves(first("b"), take("y")), reserves(first("c"), take("x")), reserves(first("d"), take("z")))
	for i, r := range results {
		if i == 2 {
			wantTaken(t, "the second one", r.err, eventsource.TakenError{Value: "x", AggregateID: "c", Holder: "a"})
		} else if r.err != nil {
			t.Errorf("save %d: %v", i, r.err)
		}
	}
	for _, body := range transactions {
		if strings.Count(body, `"eventsource:reserved:5:email:x"`) > 1 {
			t.Errorf("two saves of one value share a transaction: %s", body)
		}
	}
	if len(transactions) > 3 {
		t.Errorf("%d transactions were sent, want 2 or 3", len(transactions))
	}
	wantHolder(t, other, "x", "a")
}

// A transaction has at most 100 items.
func TestReservationsCountTowardsTheItemsOfASharedTransaction(t *testing.T) {
	t.Parallel()
	w, store, other := wired(t)
	var records []eventsource.Record
	for i := range 4 {
		id := fmt.Sprint("saver ", i)
		var reservations []eventsource.Reservation
		for j := range 40 {
			reservations = append(reservations, take(fmt.Sprint(id, "'s ", j)))
		}
		records = append(records, reserves(first(id), reservations...))
	}
	results, transactions := gathered(t, w, store, records...)
	for i, r := range results {
		if r.err != nil {
			t.Errorf("save %d: %v", i, r.err)
		}
		wantHolder(t, other, fmt.Sprintf("saver %d's 39", i), fmt.Sprint("saver ", i))
	}
	if len(transactions) != 2 {
		t.Errorf("%d transactions were sent, want 2 of two saves each", len(transactions))
	}
}

func TestWhatIsReservedCountsTowardsTheSizeOfASave(t *testing.T) {
	t.Parallel()
	store := direct(t, newTable(t, dynamostore.TableOptions{}))
	records := make([]eventsource.Record, 11)
	for i := range records {
		records[i] = eventsource.Record{AggregateID: strings.Repeat("a", eventsource.MaxAggregateIDLength), Type: "T", Data: incompressible(370_000)}
	}
	records[10].Data = nil
	for i := range 80 {
		records[10].Reservations = append(records[10].Reservations, eventsource.Reservation{
			Scope: strings.Repeat("s", eventsource.MaxScopeLength), Value: fmt.Sprintf("%0*d", eventsource.MaxReservedLength, i), Until: 1 << 62,
		})
	}
	size := func() int {
		_, err := store.NewTransaction(t.Context(), records...)
		var tooLarge *eventsource.SaveTooLargeError
		if !errors.As(err, &tooLarge) || tooLarge.Events != 91 || tooLarge.MaxEvents != 0 || tooLarge.MaxSize > 4<<20 {
			t.Fatalf("error is %v", err)
		}
		return tooLarge.Size - tooLarge.MaxSize
	}
	records[10].Data = incompressible(400_000)
	over := size()
	records[10].Data = incompressible(400_000 - over + 1)
	if got := size(); got != 1 {
		t.Errorf("it is %d bytes too large, want 1", got)
	}
	records[10].Data = incompressible(400_000 - over)
	if _, err := store.Append(t.Context(), records...); err != nil {
		t.Errorf("DynamoDB refuses what fits: %v", err)
	}
}

// A process that remembers an old version learns of both from one transaction.
func TestAConflictOfVersionsComesBeforeATakenValue(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version int
		value   string
		check   func(t *testing.T, r result)
	}{
		"a version that is gone, and a value that is taken": {2, "taken", func(t *testing.T, r result) {
			var conflict *eventsource.ConflictError
			if !errors.As(r.err, &conflict) || *conflict != (eventsource.ConflictError{AggregateID: "a", Expected: 2, Actual: 3}) {
				t.Errorf("error is %v", r.err)
			}
		}},
		"the next version, and a value that is taken": {0, "taken", func(t *testing.T, r result) {
			wantTaken(t, "the save", r.err, eventsource.TakenError{Value: "taken", AggregateID: "a", Holder: "owner"})
		}},
		"the next version, and a value that is free": {0, "free", func(t *testing.T, r result) {
			if r.err != nil || r.records[0].Version != 4 {
				t.Errorf("stored %+v, %v", r.records, r.err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, store, other := wired(t)
			save(t, store, "a") // which it remembers
			save(t, other, "a", "a")
			reserve(t, other, reserves(happened("owner"), take("taken")))
			record := reserves(happened("a"), take(test.value), take("his own"))
			record.Version = test.version
			r := soon(t, "the save", saving(t.Context(), store, record))
			test.check(t, r)
			if r.err != nil {
				wantVersions(t, other, "a", 3)
				wantHolder(t, other, "his own", "")
			}
		})
	}
}

// The first attempt is carried out, and DynamoDB has forgotten it when the next one
// comes. That finds what the first has done.
func TestASaveIsNotToldThatItHasTakenTheValueItself(t *testing.T) {
	t.Parallel()
	for name, records := range map[string][]eventsource.Record{
		"when it takes a value":                       {reserves(happened("b"), take("free"))},
		"when it changes the end of what it has":      {reserves(happened("a"), takeUntil("x", time.Now().Add(time.Hour)))},
		"when it gives a value back":                  {reserves(happened("a"), giveBack("x"))},
		"when it moves a value to another aggregate":  {reserves(happened("a"), giveBack("x")), reserves(happened("b"), take("x"))},
		"when it moves two values in both directions": {reserves(happened("a"), giveBack("x")), reserves(happened("b"), take("x"), giveBack("y")), reserves(happened("a"), take("y"))},
		"when it gives back and takes the same":       {reserves(happened("a"), giveBack("x"), take("x"))},
		"when a value goes round":                     {reserves(happened("b"), giveBack("y"), take("z")), reserves(happened("a"), take("y"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, store, other := warm(t)
			reserve(t, store, reserves(happened("a"), take("x")), reserves(happened("b"), take("y")))
			var attempts atomic.Int32
			n.set(func(n *network) {
				n.faults.forgotten = 1
				n.script = func(operation string, _ document) fate {
					if operation == transact && attempts.Add(1) == 1 {
						return dropped
					}
					return served
				}
			})
			stored, err := store.Append(t.Context(), records...)
			if err != nil || len(stored) != len(records) {
				t.Fatalf("stored %d records: %v", len(stored), err)
			}
			if attempts.Load() < 2 {
				t.Error("there was one attempt, so nothing was tested")
			}
			n.heal()
			changes, err := eventsource.ReservationChanges(records)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				want := eventsource.Holder{AggregateID: c.To, SequenceID: stored[c.Record].SequenceID, Version: stored[c.Record].Version, Until: c.Until}
				if c.To == "" {
					want = eventsource.Holder{}
				}
				if got, err := other.Holder(t.Context(), c.Scope, c.Value); err != nil || got != want {
					t.Errorf("the holder of %q is %+v, want %+v: %v", c.Value, got, want, err)
				}
			}
		})
	}
}

// The first attempt is still on its way when another process takes the value.
func TestAnAttemptThatArrivesAfterTheValueWasTakenStoresNothing(t *testing.T) {
	t.Parallel()
	w, store, other := wired(t)
	var late packet
	var attempts atomic.Int32
	w.carry(func(p packet) (*http.Response, error) {
		if p.operation == transact && attempts.Add(1) == 1 {
			late = p
			reserve(t, other, reserves(first("b"), take("x")))
			return nil, errReset
		}
		return p.pass()
	})
	r := soon(t, "the save", saving(t.Context(), store, reserves(first("a"), take("x"))))
	wantTaken(t, "the save", r.err, eventsource.TakenError{Value: "x", AggregateID: "a", Holder: "b"})
	reserve(t, other, reserves(happened("b"), giveBack("x"))) // now it could have it
	w.carry(nil)
	response, err := late.late()
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(body), "ConditionalCheckFailed") {
		t.Errorf("the late attempt got %s, %v", body, err)
	}
	_ = response.Body.Close()
	wantVersions(t, other, "a", 0)
	wantHolder(t, other, "x", "")
}

func TestASaveThatGetsIntoAnothersWayAtAValueIsTriedAgain(t *testing.T) {
	t.Parallel()
	w, store, other := wired(t)
	var attempts atomic.Int32
	w.carry(func(p packet) (*http.Response, error) {
		if p.operation == transact && attempts.Add(1) <= 3 {
			none, conflict := map[string]string{"Code": "None"}, map[string]string{"Code": "TransactionConflict"}
			return reply(http.StatusBadRequest, document{
				"__type":              quoted("com.amazonaws.dynamodb.v20120810#TransactionCanceledException"),
				"CancellationReasons": encoded([]map[string]string{none, none, conflict}),
			}), nil
		}
		return p.pass()
	})
	if r := soon(t, "the save", saving(t.Context(), store, reserves(first("a"), take("x")))); r.err != nil {
		t.Fatal(r.err)
	}
	if attempts.Load() != 4 {
		t.Errorf("there were %d attempts, want 4", attempts.Load())
	}
	wantHolder(t, other, "x", "a")
}

// Whatever a server says of more items than there are, or less, is no reason to panic.
func TestOddReasonsOfACancelledTransactionAreNoReasonToPanic(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 2, 3, 4, 9} {
		w, store, other := wired(t)
		var attempts atomic.Int32
		w.carry(func(p packet) (*http.Response, error) {
			if p.operation == transact && attempts.Add(1) == 1 {
				return reply(http.StatusBadRequest, document{
					"__type":              quoted("com.amazonaws.dynamodb.v20120810#TransactionCanceledException"),
					"CancellationReasons": encoded(slices.Repeat([]map[string]string{{"Code": "ConditionalCheckFailed"}}, count)),
				}), nil
			}
			return p.pass()
		})
		if r := soon(t, "the save", saving(t.Context(), store, reserves(first("a"), take("x")))); r.err != nil {
			t.Errorf("%d reasons: %v", count, r.err)
		}
		wantHolder(t, other, "x", "a")
	}
}

// While a machine sleeps, reservations end. What it knows of the server's time is old
// when it wakes up.
func TestAReservationThatEndedWhileAMachineSleptIsNotTaken(t *testing.T) {
	t.Parallel()
	var slept atomic.Int64
	w, store, _ := wired(t)
	w.carry(func(p packet) (*http.Response, error) {
		response, err := p.pass()
		if err == nil {
			date := time.Now().Add(time.Duration(slept.Load()))
			response.Header.Set("Date", date.UTC().Format(http.TimeFormat))
		}
		return response, err
	})
	reserve(t, store, reserves(happened("a"), takeUntil("x", time.Now().Add(5*time.Minute))))
	_, err := store.Append(t.Context(), reserves(happened("b"), take("x")))
	wantTaken(t, "before", err, eventsource.TakenError{Value: "x", AggregateID: "b", Holder: "a"})
	slept.Store(int64(10 * time.Minute))
	if r := soon(t, "a save after the end", saving(t.Context(), store, reserves(happened("b"), take("x")))); r.err != nil {
		t.Error(r.err)
	}
	wantHolder(t, store, "x", "b")
}

// The clock of this process says when events have happened, not when reservations end.
func TestReservationsEndByTheServersClock(t *testing.T) {
	t.Parallel()
	table := newTable(t, dynamostore.TableOptions{})
	for _, off := range []time.Duration{-time.Hour, 10 * time.Minute} {
		id := fmt.Sprint("off by ", off)
		store := dynamostore.New(testenv.DynamoDBClient(t), table, dynamostore.WithMaxClockAhead(time.Hour),
			dynamostore.WithClock(func() time.Time { return time.Now().Add(off) }))
		reserve(t, store, reserves(happened(id), takeUntil(id+" ends later", time.Now().Add(5*time.Minute)), takeUntil(id+" has ended", time.Now().Add(-5*time.Minute))))
		wantHolder(t, store, id+" ends later", id)
		wantHolder(t, store, id+" has ended", "")
		reserve(t, store, reserves(happened("another"), take(id+" has ended")))
		_, err := store.Append(t.Context(), reserves(happened("another"), take(id+" ends later")))
		wantTaken(t, id, err, eventsource.TakenError{Value: id + " ends later", AggregateID: "another", Holder: id})
	}
}

func TestWhatDynamoDBMayDeleteSaysWhen(t *testing.T) {
	t.Parallel()
	client := testenv.DynamoDBClient(t)
	table := newTable(t, dynamostore.TableOptions{})
	store := dynamostore.New(client, table)
	until := time.Unix(5_000_000_000, 999_999_999)
	before := time.Now().Unix()
	reserve(t, store, reserves(happened("a"), take("kept"), takeUntil("ends", until), takeUntil("ends at a second", time.Unix(5_000_000_000, 0)),
		take("released"), takeUntil("released early", until), takeUntil("prolonged", until), takeUntil("the last moment", time.Unix(0, 1<<63-1))))
	reserve(t, store, reserves(happened("a"), giveBack("released"), giveBack("released early"), take("prolonged")))
	after := time.Now().Unix()
	for value, want := range map[string][2]int64{
		"kept": {}, "prolonged": {},
		"ends": {5_000_000_001, 5_000_000_001}, "ends at a second": {5_000_000_001, 5_000_000_001},
		"released": {before - 1, after + 1}, "released early": {before - 1, after + 1},
		"the last moment": {9223372037, 9223372037},
	} {
		item := reservationItem(t, client, table, value)
		attribute, there := item["expires_at"]
		if want == ([2]int64{}) {
			if there {
				t.Errorf("%s expires at %v", value, attribute)
			}
			continue
		}
		var at int64
		if n, ok := attribute.(*types.AttributeValueMemberN); !ok {
			t.Errorf("%s: expires_at is %v", value, attribute)
		} else if _, err := fmt.Sscan(n.Value, &at); err != nil || at < want[0] || at > want[1] {
			t.Errorf("%s expires at %s, want %v: %v", value, n.Value, want, err)
		}
	}
	if _, err := client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: &table, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expires_at"), Enabled: aws.Bool(true)},
	}); err != nil {
		t.Errorf("DynamoDB does not take expires_at as the time to live: %v", err)
	}
	// What DynamoDB has deleted is as what has ended or was released.
	for _, value := range []string{"released", "ends"} {
		if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: reservationKey(value)}); err != nil {
			t.Fatal(err)
		}
		wantHolder(t, store, value, "")
		reserve(t, store, reserves(happened("b"), take(value)))
		wantHolder(t, store, value, "b")
	}
}

// Readers of the feed, of aggregates, and those of the table's stream with the filter
// of README.md never see them.
func TestReservationsAreNoEvents(t *testing.T) {
	t.Parallel()
	client := testenv.DynamoDBClient(t)
	table := newTable(t, dynamostore.TableOptions{Shards: 2})
	store := dynamostore.New(client, table)
	// Aggregates may have the names of what is not theirs.
	names := []string{"a", "eventsource:reserved:5:email:x", "eventsource:head:0", "eventsource:reserved:5:email:" + "eventsource:head:0"}
	for _, id := range names {
		reserve(t, store, reserves(happened(id), take(id), take("x of "+id)), reserves(happened(id), giveBack("x of "+id)))
	}
	reserve(t, store, reserves(happened("a"), take("x")))
	for _, id := range names {
		wantVersions(t, store, id, map[bool]int{true: 3, false: 2}[id == "a"])
		wantHolder(t, store, id, id)
		wantHolder(t, store, "x of "+id, "")
		if part, err := store.LoadByAggregateVersions(t.Context(), id, 0, 1); err != nil || len(part) != 1 || part[0].Version != 1 {
			t.Errorf("the first version of %q is %+v, %v", id, part, err)
		}
	}
	events := 2*len(names) + 1
	if feed, err := direct(t, table).LoadBySequenceID(t.Context(), "", 0); err != nil || len(feed) != events {
		t.Errorf("the feed has %d events, want %d: %v", len(feed), events, err)
	}
	for _, index := range []string{dynamostore.SequenceIndex, dynamostore.TypeIndex} {
		out, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table, IndexName: &index})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Items) != events {
			t.Errorf("%s has %d items, want %d", index, len(out.Items), events)
		}
	}
	out, err := client.Scan(t.Context(), &dynamodb.ScanInput{
		TableName: &table, FilterExpression: aws.String("attribute_exists(#s)"), ExpressionAttributeNames: map[string]string{"#s": "scope"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := 2*len(names) + 1; len(out.Items) != want {
		t.Errorf("the table has %d reservations, want %d", len(out.Items), want)
	}
	for _, item := range out.Items {
		if item["sequence_id"] != nil {
			t.Errorf("the filter of the stream lets %v through", item)
		}
	}
	if d := describe(t, client, table); len(d.Problems) > 0 || d.Shards != 2 || !slices.Equal(d.Types, []string{"Happened"}) {
		t.Errorf("the table is %+v", d)
	}
	if err := dynamostore.DeleteTable(t.Context(), client, table); !errors.Is(err, dynamostore.ErrHasEvents) {
		t.Errorf("DeleteTable: %v", err)
	}
}

// The policies in README.md let a writer put items, and change heads only.
func TestReservationsTakeNoMoreRightsThanEvents(t *testing.T) {
	t.Parallel()
	w, store, _ := wired(t)
	transactions := 0
	w.carry(func(p packet) (*http.Response, error) {
		switch p.operation {
		case get, query:
			return p.pass()
		case transact:
		default:
			t.Errorf("%s was called", p.operation)
		}
		transactions++
		var request struct {
			TransactItems []map[string]struct {
				Key map[string]map[string]string
			}
		}
		if err := json.Unmarshal([]byte(p.body), &request); err != nil {
			t.Error(err)
		}
		for _, item := range request.TransactItems {
			for kind, operation := range item {
				if kind != "Put" && (kind != "Update" || operation.Key["aggregate_id"]["S"] != "eventsource:head:0") {
					t.Errorf("a transaction has %s of %v", kind, operation.Key)
				}
			}
		}
		return p.pass()
	})
	reserve(t, store, reserves(happened("a"), take("x"), take("y")))
	reserve(t, store, reserves(happened("a"), giveBack("x"), take("y")))
	reserve(t, store, reserves(happened("b"), take("x"), giveBack("z")))
	wantHolder(t, store, "x", "b")
	if transactions != 3 {
		t.Errorf("%d transactions were sent, want 3", transactions)
	}
}

// Whoever writes such an item, it is no reason to panic, nor to try for ever, nor to
// refuse anybody else.
func TestAnOddReservationIsAnErrorOfTheLayout(t *testing.T) {
	t.Parallel()
	client := testenv.DynamoDBClient(t)
	table := newTable(t, dynamostore.TableOptions{})
	w := new(wire)
	store := dynamostore.New(testenv.DynamoDBClient(t, w.attach), table)
	save(t, store, "warm up")
	reserve(t, store, reserves(happened("a"), take("x")))
	sound := reservationItem(t, client, table, "x")
	without := func(name string) func(map[string]types.AttributeValue) {
		return func(item map[string]types.AttributeValue) { delete(item, name) }
	}
	with := func(name string, value types.AttributeValue) func(map[string]types.AttributeValue) {
		return func(item map[string]types.AttributeValue) { item[name] = value }
	}
	for name, test := range map[string]struct {
		change   func(map[string]types.AttributeValue)
		mentions string
	}{
		"no scope":                   {without("scope"), "scope is missing"},
		"no value":                   {without("value"), "value is missing"},
		"no holder":                  {without("holder"), "holder is missing"},
		"no event":                   {without("event"), "event is missing"},
		"no version":                 {without("event_version"), "event_version is missing"},
		"no end":                     {without("until"), "until is missing"},
		"nothing but the key":        {keepKey, "is missing"},
		"another scope":              {with("scope", textValue("phone")), `phone "x"`},
		"another value":              {with("value", textValue("y")), `email "y"`},
		"a holder of another type":   {with("holder", numberValue(7)), "holder is no string"},
		"an event that is none":      {with("event", textValue("yesterday")), `"yesterday"`},
		"an event in lower case":     {with("event", textValue(strings.ToLower("01JDXXXXXXXXXXXXXXXXXXXXXX"))), "not a sequence ID"},
		"version 0":                  {with("event_version", numberValue(0)), "event_version is 0"},
		"a negative end":             {with("until", numberValue(-1)), "until is -1"},
		"an end of another type":     {with("until", textValue("1")), "until is no number"},
		"an end that is no integer":  {with("until", &types.AttributeValueMemberN{Value: "5000000000000000000.5"}), "64 bits"},
		"an end that is far too far": {with("until", &types.AttributeValueMemberN{Value: "99999999999999999999"}), "64 bits"},
	} {
		odd := maps.Clone(sound)
		test.change(odd)
		putItem(t, client, table, odd)
		_, holderErr := store.Holder(t.Context(), "email", "x")
		id, other := "wants "+name, "others "+name
		results, _ := gathered(t, w, store, reserves(first(id), take("x")), first(other))
		for what, err := range map[string]error{"Holder": holderErr, "Append": results[0].err} {
			if !errors.Is(err, dynamostore.ErrLayout) || !strings.Contains(err.Error(), test.mentions) || !strings.Contains(err.Error(), `"x"`) {
				t.Errorf("%s: %s: error is %v", name, what, err)
			}
		}
		if results[1].err != nil {
			t.Errorf("%s: a save of something else: %v", name, results[1].err)
		}
		wantVersions(t, store, other, 1)
	}
}
