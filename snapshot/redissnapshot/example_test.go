package redissnapshot_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/snapshot/redissnapshot"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// TestExample runs the example, which needs a server, and compares what it prints.
func TestExample(t *testing.T) {
	redisURL, prefix = testenv.Redis(t), testenv.RedisPrefix(t)
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

var redisURL, prefix string

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
	ctx := context.Background()
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		log.Panic(err)
	}
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	store := redissnapshot.New(client, redissnapshot.WithPrefix(prefix), redissnapshot.WithTTL(24*time.Hour))
	snapshots := snapshot.New(store, snapshot.Every(10), snapshot.WithTimeout(time.Minute))
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Deposited{}), eventsource.WithSnapshots(snapshots))

	for range 10 {
		deposited := &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "account-1"}, Amount: 10}
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
