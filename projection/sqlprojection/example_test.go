package sqlprojection_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// The example needs a server, whose URL is here. TestExamples gives it a schema of its
// own, runs it, and compares what it prints.
var databaseURL string

func TestExamples(t *testing.T) {
	databaseURL = testenv.Postgres(t)
	t.Cleanup(func() { databaseURL = "" })
	const want = "account-1 has 70"
	if got := printed(t, Example); got != want {
		t.Errorf("it prints\n%s\nwant\n%s", got, want)
	}
}

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

type Deposited struct {
	eventsource.BaseEvent
	Amount int
}

// deposits adds up what was deposited. The upsert is committed with the checkpoint.
func deposits() projection.Handler {
	return sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *Deposited) error {
		_, err := tx.Exec(ctx, `INSERT INTO balances (account, amount) VALUES ($1, $2)
			ON CONFLICT (account) DO UPDATE SET amount = balances.amount + excluded.amount`, e.AggregateID, e.Amount)
		return err
	})
}

// A read model in PostgreSQL in which each event counts exactly once. The events are
// in a store of their own.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		log.Panic(err)
	}
	defer pool.Close()
	db := stdlib.OpenDBFromPool(pool)
	if err := errors.Join(migrations.Up(ctx, db), db.Close()); err != nil {
		log.Panic(err)
	}
	if _, err := pool.Exec(ctx, `CREATE TABLE balances (account text PRIMARY KEY, amount bigint NOT NULL)`); err != nil {
		log.Panic(err)
	}

	repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Deposited{}))
	checkpoints := sqlprojection.NewCheckpoints(pool)
	balances := projection.New("balances", repo, deposits(), projection.WithCheckpoints(checkpoints))
	var running sync.WaitGroup
	running.Go(func() {
		if err := balances.Run(ctx); err != nil {
			log.Print(err)
		}
	})

	first := &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "account-1"}, Amount: 100}
	second := &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "account-1"}, Amount: -30}
	if err := repo.Save(ctx, first, second); err != nil {
		log.Panic(err)
	}
	if err := projection.NewManager(repo, checkpoints).WaitFor(ctx, "balances", second.SequenceID); err != nil {
		log.Panic(err)
	}
	var amount int
	if err := pool.QueryRow(ctx, `SELECT amount FROM balances WHERE account = 'account-1'`).Scan(&amount); err != nil {
		log.Panic(err)
	}
	fmt.Println("account-1 has", amount)
	stop()
	running.Wait()
}
