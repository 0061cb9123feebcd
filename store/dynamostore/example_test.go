package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// TestExamples runs the examples, which need a server, and compares what they print.
func TestExamples(t *testing.T) {
	for name, example := range map[string]struct {
		run  func()
		want string
	}{
		"package":     {Example, "{ID:order-1 Total:30}"},
		"CreateTable": {ExampleCreateTable, "4 shards, deletion protection: true\nthe index by_type is missing"},
		"transaction": {ExampleStore_NewTransaction, "order-1 has 1 event before, and 2 after Commit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", testenv.DynamoDB(t))
			t.Setenv("AWS_REGION", "us-east-1")
			t.Setenv("AWS_ACCESS_KEY_ID", "test")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
			table, otherTable = testenv.TableName(t), testenv.TableName(t)
			if got := printed(t, example.run); got != example.want {
				t.Errorf("it prints\n%s\nwant\n%s", got, example.want)
			}
		})
	}
}

// The tables of the example that runs.
var table, otherTable string

// printed returns what a function writes to the standard output.
func printed(t *testing.T, run func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	read := make(chan string)
	go func() {
		all, _ := io.ReadAll(r)
		read <- string(all)
	}()
	defer func() { os.Stdout = stdout }()
	run()
	_ = w.Close()
	return strings.TrimSpace(<-read)
}

// OrderPlaced says that somebody ordered something.
type OrderPlaced struct {
	eventsource.BaseEvent
	Total int `json:"total"`
}

// Order is rebuilt from its events.
type Order struct {
	ID    string
	Total int
}

func (o *Order) SetAggregateID(id string) { o.ID = id }

func (o *Order) On(_ context.Context, event eventsource.Event) error {
	if e, ok := event.(*OrderPlaced); ok {
		o.Total += e.Total
	}
	return nil
}

func newOrder(id string, total int) *OrderPlaced {
	return &OrderPlaced{BaseEvent: eventsource.BaseEvent{AggregateID: id}, Total: total}
}

// newClient takes region, credentials and endpoint from the environment, the
// shared configuration or the machine's role.
func newClient(ctx context.Context) *dynamodb.Client {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Panic(err)
	}
	return dynamodb.NewFromConfig(settings)
}

func Example() {
	ctx := context.Background()
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Panic(err)
	}
	client := dynamodb.NewFromConfig(settings)
	if err := dynamostore.CreateTable(ctx, client, table, dynamostore.TableOptions{}); err != nil {
		log.Panic(err)
	}
	repo := eventsource.NewRepository(dynamostore.New(client, table), json.NewSerializer(&OrderPlaced{}))

	if err := repo.Save(ctx, newOrder("order-1", 30)); err != nil {
		log.Panic(err)
	}
	var order Order
	if _, err := repo.Load(ctx, "order-1", &order); err != nil {
		log.Panic(err)
	}
	fmt.Printf("%+v\n", order)
}

// A table can be checked before it is used, for instance when a program starts.
func ExampleCreateTable() {
	ctx := context.Background()
	client := newClient(ctx)
	err := dynamostore.CreateTable(ctx, client, table, dynamostore.TableOptions{Shards: 4, DeletionProtection: true})
	if err != nil {
		log.Panic(err)
	}
	description, err := dynamostore.DescribeTable(ctx, client, table)
	if err != nil {
		log.Panic(err)
	}
	fmt.Printf("%d shards, deletion protection: %v\n", description.Shards, description.DeletionProtection)

	// A table that somebody else has made, without one of the indexes.
	input, err := dynamostore.NewCreateTableInput(otherTable, dynamostore.TableOptions{})
	if err != nil {
		log.Panic(err)
	}
	input.GlobalSecondaryIndexes = input.GlobalSecondaryIndexes[:1]
	input.AttributeDefinitions = input.AttributeDefinitions[:4]
	if _, err := client.CreateTable(ctx, input); err != nil {
		log.Panic(err)
	}
	if err := dynamostore.CheckTable(ctx, client, otherTable); errors.Is(err, dynamostore.ErrLayout) {
		description, _ := dynamostore.DescribeTable(ctx, client, otherTable)
		fmt.Println(strings.Replace(strings.Join(description.Problems, "\n"), "global secondary ", "", 1))
	}
}

func ExampleStore_NewTransaction() {
	ctx := context.Background()
	client := newClient(ctx)
	if err := dynamostore.CreateTable(ctx, client, table, dynamostore.TableOptions{}); err != nil {
		log.Panic(err)
	}
	store := dynamostore.New(client, table)
	repo := eventsource.NewRepository(store, json.NewSerializer(&OrderPlaced{}))
	if err := repo.Save(ctx, newOrder("order-1", 30)); err != nil {
		log.Panic(err)
	}

	tx, err := repo.SaveTransaction(ctx, newOrder("order-1", 20))
	if err != nil {
		log.Panic(err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	before, err := store.LoadByAggregate(ctx, "order-1")
	if err != nil {
		log.Panic(err)
	}
	if err := tx.Commit(); err != nil {
		log.Panic(err)
	}
	after, err := store.LoadByAggregate(ctx, "order-1")
	if err != nil {
		log.Panic(err)
	}
	fmt.Printf("order-1 has %d event before, and %d after Commit\n", len(before), len(after))
}
