package dynamosnapshot_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/snapshot/dynamosnapshot"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// TestExample runs the example, which needs a server, and compares what it prints.
func TestExample(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", testenv.DynamoDB(t))
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	exampleTable = testenv.TableName(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	func() {
		defer func() { os.Stdout = stdout }()
		Example()
	}()
	_ = w.Close()
	printed, err := io.ReadAll(r)
	if got, want := strings.TrimSpace(string(printed)), "balance 100, 1 load from a snapshot"; err != nil || got != want {
		t.Errorf("it prints\n%s\nwant\n%s", got, want)
	}
}

var exampleTable string

type Deposited struct {
	eventsource.BaseEvent
	Amount int
}

type Account struct {
	eventsource.AggregateBase
	Balance int
}

func (*Account) SnapshotVersion() int { return 1 }

func (a *Account) On(_ context.Context, event eventsource.Event) error {
	a.Balance += event.(*Deposited).Amount
	return nil
}

func Example() {
	ctx, table := context.Background(), exampleTable
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Panic(err)
	}
	client := dynamodb.NewFromConfig(settings)
	if err := dynamosnapshot.CreateTable(ctx, client, table, dynamosnapshot.TableOptions{}); err != nil {
		log.Panic(err)
	}
	snapshots := snapshot.New(dynamosnapshot.New(client, table), snapshot.Every(100), snapshot.WithTimeout(time.Minute))
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Deposited{}), eventsource.WithSnapshots(snapshots))

	for range 100 {
		deposited := &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "account-1"}, Amount: 1}
		if err := repository.Save(ctx, deposited); err != nil {
			log.Panic(err)
		}
	}
	var account Account
	for range 2 { // the first load takes the snapshot
		account = Account{}
		if _, err := repository.Load(ctx, "account-1", &account); err != nil {
			log.Panic(err)
		}
	}
	fmt.Printf("balance %d, %d load from a snapshot\n", account.Balance, snapshots.Stats().Restored)
}
