package dynamostore_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
	"github.com/eventsource-go/eventsource/storetest"
)

func TestMain(m *testing.M) {
	// Each step of a history of the model is several requests. -rapid.checks sets it again.
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	os.Exit(testenv.Main(m))
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness{
		Open:          func(t *testing.T) storetest.Storage { return openTable(t, dynamostore.TableOptions{}) },
		Lacks:         []storetest.Ability{storetest.LargeData},
		MaxSaveEvents: 99,
	})
}

func TestStoreWithFourShards(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness{
		Open:          func(t *testing.T) storetest.Storage { return openTable(t, dynamostore.TableOptions{Shards: 4}) },
		Lacks:         []storetest.Ability{storetest.LargeData},
		MaxSaveEvents: 99,
		// Many aggregates are of all shards, each of which has a part in the transaction.
		MaxSpreadEvents: 96,
	})
}

// openTable makes a table and returns what opens stores on it, each with a client
// of its own.
func openTable(t testing.TB, table dynamostore.TableOptions, options ...func(*dynamodb.Options)) storetest.Storage {
	t.Helper()
	name := newTable(t, table)
	return func(clock func() time.Time) eventsource.Store {
		return dynamostore.New(testenv.DynamoDBClient(t, options...), name, dynamostore.WithClock(clock),
			dynamostore.WithWatchInterval(50*time.Millisecond))
	}
}

// newTable makes a table for the test and returns its name.
func newTable(t testing.TB, options dynamostore.TableOptions) string {
	t.Helper()
	name := testenv.TableName(t)
	if err := dynamostore.CreateTable(t.Context(), testenv.DynamoDBClient(t), name, options); err != nil {
		t.Fatal(err)
	}
	return name
}
