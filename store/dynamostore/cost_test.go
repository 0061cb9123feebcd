package dynamostore_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// meter asks DynamoDB for the capacity that each request consumes.
//
// For transactions it also counts what they send, since the local server reports
// the consumption of only one of their items. The rules are those of the
// Developer Guide: a write unit for each KB of an item, two in a transaction, one for
// each KB that goes to an index.
type meter struct {
	mu       sync.Mutex
	requests int
	read     float64 // as reported
	write    float64 // as reported, without transactions
	// What transactions write: to the table, and to the indexes.
	tableUnits, indexUnits float64
	bytes                  float64 // of events
}

func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests, m.read, m.write, m.tableUnits, m.indexUnits, m.bytes = 0, 0, 0, 0, 0, 0
}

// option puts the meter into a client.
func (m *meter) option(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("meter", m.handle), middleware.Before)
	})
}

func (m *meter) handle(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	const want = types.ReturnConsumedCapacityIndexes
	switch request := in.Parameters.(type) {
	case *dynamodb.QueryInput:
		request.ReturnConsumedCapacity = want
	case *dynamodb.GetItemInput:
		request.ReturnConsumedCapacity = want
	case *dynamodb.UpdateItemInput:
		request.ReturnConsumedCapacity = want
	case *dynamodb.TransactWriteItemsInput:
		request.ReturnConsumedCapacity = want
	}
	out, metadata, err := next.HandleInitialize(ctx, in)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	switch answer := out.Result.(type) {
	case *dynamodb.QueryOutput:
		m.read += *answer.ConsumedCapacity.CapacityUnits
	case *dynamodb.GetItemOutput:
		m.read += *answer.ConsumedCapacity.CapacityUnits
	case *dynamodb.UpdateItemOutput:
		m.write += *answer.ConsumedCapacity.CapacityUnits
	case *dynamodb.TransactWriteItemsOutput:
		m.count(in.Parameters.(*dynamodb.TransactWriteItemsInput))
	}
	return out, metadata, err
}

func (m *meter) count(input *dynamodb.TransactWriteItemsInput) {
	for _, i := range input.TransactItems {
		if i.Update != nil {
			m.tableUnits += 2 // the head has less than a KB here
			continue
		}
		size := float64(sizeOf(i.Put.Item))
		units := math.Ceil(size / 1024)
		m.tableUnits += 2 * units
		if i.Put.Item["shard"] != nil {
			m.bytes += size
			m.indexUnits += 2 * units // both indexes
		}
	}
}

// sizeOf is the size of an item, by the rules of the Developer Guide.
func sizeOf(item map[string]types.AttributeValue) int {
	size := 0
	for name, value := range item {
		size += len(name)
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			size += len(v.Value)
		case *types.AttributeValueMemberN:
			size += len(strings.TrimLeft(v.Value, "-"))/2 + 2
		case *types.AttributeValueMemberB:
			size += len(v.Value)
		}
	}
	return size
}

// cost is one line of the table in README.md.
type cost struct {
	what        string
	requests    int
	read, write float64
	bound       float64 // the least, of either, that the layout allows
}

// Events of about 250 bytes of data, as in the README's table.
func smallRecords(aggregate string, count int) []eventsource.Record {
	records := make([]eventsource.Record, count)
	for i := range records {
		records[i] = eventsource.Record{
			AggregateID: aggregate, Type: "OrderPlaced", UserID: "user-1", Data: []byte(strings.Repeat("x", 250)),
		}
	}
	return records
}

func TestTheCostsInTheREADMEAreThoseThatAreMeasured(t *testing.T) {
	m := &meter{}
	name := newTable(t, dynamostore.TableOptions{})
	client := testenv.DynamoDBClient(t, m.option)
	store := dynamostore.New(client, name)
	ctx := t.Context()
	append1 := func(records []eventsource.Record) {
		t.Helper()
		if _, err := store.Append(ctx, records...); err != nil {
			t.Fatal(err)
		}
	}
	measure := func(what string, bound float64, do func()) cost {
		t.Helper()
		m.reset()
		do()
		return cost{what: what, requests: m.requests, read: m.read, write: m.write + m.tableUnits + m.indexUnits, bound: bound}
	}
	load := func(aggregate string, want int) {
		t.Helper()
		records, err := store.LoadByAggregate(ctx, aggregate)
		if err != nil || len(records) != want {
			t.Fatalf("%d records, %v", len(records), err)
		}
	}
	page := func(after string, limit, want int) {
		t.Helper()
		records, err := store.LoadBySequenceID(ctx, after, limit)
		if err != nil || len(records) != want {
			t.Fatalf("%d records, %v", len(records), err)
		}
	}

	reserving := func(reservation eventsource.Reservation) {
		t.Helper()
		records := smallRecords("warm up", 1)
		records[0].Reservations = []eventsource.Reservation{reservation}
		append1(records)
	}
	mail := eventsource.Reservation{Scope: "email", Value: "ann@example.com"}

	append1(smallRecords("warm up", 1)) // reads the head
	costs := []cost{
		measure("save 1 event of a known aggregate", 6, func() { append1(smallRecords("warm up", 1)) }),
		measure("save 10 events of a known aggregate", 42, func() { append1(smallRecords("warm up", 10)) }),
		measure("save 1 event of an aggregate that this process does not know", 6, func() { append1(smallRecords("unknown", 1)) }),
		measure("save 1 event of a known aggregate, which reserves or releases a value", 8, func() { reserving(mail) }),
		measure("who holds a value", 1, func() {
			if h, err := store.Holder(ctx, mail.Scope, mail.Value); err != nil || h.AggregateID != "warm up" {
				t.Fatal(h, err)
			}
		}),
	}
	released := mail
	released.Release = true
	release := measure("release", 8, func() { reserving(released) })
	if release.write != release.bound {
		t.Errorf("a release takes %v units, want %v", release.write, release.bound)
	}
	m.reset()
	for range 10 {
		append1(smallRecords("hundred", 10))
	}
	const head = 1                       // a strongly consistent read of up to 4 KB
	hundred := math.Ceil(m.bytes / 4096) // read units, strongly consistent
	ten := math.Ceil(m.bytes / 10 / 4096)
	everything := 1 + 1 + 10 + 1 + 2 + 100
	costs = append(costs,
		measure("load an aggregate of 100 events", hundred, func() { load("hundred", 100) }),
		measure("load the last 10 of an aggregate of 100 events", ten, func() {
			records, err := store.LoadByAggregateVersions(ctx, "hundred", 90, 0)
			if err != nil || len(records) != 10 {
				t.Fatalf("%d records, %v", len(records), err)
			}
		}),
		measure("a page of 100 events of the feed", hundred/2+head, func() { page("", 100, 100) }),
	)
	records, err := store.LoadBySequenceID(ctx, "", 0)
	if err != nil || len(records) != everything {
		t.Fatalf("%d records, %v", len(records), err)
	}
	last := records[len(records)-1].SequenceID
	costs = append(costs, measure("a look at the end of the feed, nothing new", head, func() { page(last, 100, 0) }))

	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range costs {
		line := fmt.Sprintf("| %s | %d | %v | %v | %v |", c.what, c.requests, c.read, c.write, c.bound)
		if got := max(c.read, c.write); got != c.bound {
			t.Errorf("%s: %v units, the least that the layout allows is %v", c.what, got, c.bound)
		}
		if !strings.Contains(string(readme), line) {
			t.Errorf("README.md does not have the line\n%s", line)
		}
	}
}
