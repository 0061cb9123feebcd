package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// The examples need a server, whose URL is here. TestExamples gives each of them
// a schema of its own, runs it, and compares what it prints.
var (
	databaseURL string
	shop        string // a schema that does not exist yet
)

func TestExamples(t *testing.T) {
	for name, example := range map[string]struct {
		run  func()
		want string
	}{
		"package":      {Example, "{ID:order-1 Total:30}"},
		"Tx":           {ExampleTx, "order-1 is in the store at version 1 and in the table with a total of 30"},
		"Store_WithTx": {ExampleStore_WithTx, "order-1 is in the store at version 1 and in the table with a total of 30"},
		"New_schema":   {ExampleNew_schema, "the shop has 1 event"},
		"goose":        {ExampleNew_goose, "applied 00001_create_events.sql\napplied 00002_create_projections.sql\napplied 00003_create_reservations.sql\nnothing left to apply"},
		"Watch":        {ExampleStore_Watch, "order-1\norder-2\ncontext canceled"},
		"Horizon":      {ExampleStore_Horizon, "while a transaction is open: held back by it, safe end is the head: false\nafter it was committed: held back by none, safe end is the head: true"},
	} {
		t.Run(name, func(t *testing.T) {
			databaseURL = testenv.Postgres(t)
			t.Cleanup(func() { databaseURL = "" })
			shop = fmt.Sprintf("shop_%d", time.Now().UnixNano())
			pool := testenv.Pool(t, databaseURL)
			t.Cleanup(func() {
				if _, err := pool.Exec(context.Background(), `DROP SCHEMA IF EXISTS `+shop+` CASCADE`); err != nil {
					t.Error(err)
				}
			})
			if got := printed(t, example.run); got != example.want {
				t.Errorf("it prints\n%s\nwant\n%s", got, example.want)
			}
		})
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
		o.Total = e.Total
	}
	return nil
}

func newOrder(id string, total int) *OrderPlaced {
	return &OrderPlaced{BaseEvent: eventsource.BaseEvent{AggregateID: id}, Total: total}
}

// openOrders connects, migrates, and makes the table of the application itself.
func openOrders(ctx context.Context) (*pgxpool.Pool, *sqlstore.Store) {
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		log.Panic(err)
	}
	db := stdlib.OpenDBFromPool(pool)
	if err := errors.Join(migrations.Up(ctx, db), db.Close()); err != nil {
		log.Panic(err)
	}
	if _, err := pool.Exec(ctx, `CREATE TABLE orders (id text PRIMARY KEY, total int NOT NULL)`); err != nil {
		log.Panic(err)
	}
	return pool, sqlstore.New(pool)
}

// printOrder shows an order as the store has it, and as the table has it.
func printOrder(ctx context.Context, pool *pgxpool.Pool, store eventsource.Store, id string) {
	records, err := store.LoadByAggregate(ctx, id)
	if err != nil {
		log.Panic(err)
	}
	var total int
	if err := pool.QueryRow(ctx, `SELECT total FROM orders WHERE id = $1`, id).Scan(&total); err != nil {
		log.Panic(err)
	}
	fmt.Printf("%s is in the store at version %d and in the table with a total of %d\n", id, len(records), total)
}

func Example() {
	ctx := context.Background()

	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		log.Panic(err)
	}
	defer pool.Close()
	db := stdlib.OpenDBFromPool(pool)
	if err := errors.Join(migrations.Up(ctx, db), db.Close()); err != nil {
		log.Panic(err)
	}

	store := sqlstore.New(pool)
	repo := eventsource.NewRepository(store, json.NewSerializer(&OrderPlaced{}))

	if err := repo.Save(ctx, newOrder("order-1", 30)); err != nil {
		log.Panic(err)
	}
	var order Order
	if _, err := repo.Load(ctx, "order-1", &order); err != nil {
		log.Panic(err)
	}
	fmt.Printf("%+v\n", order)
}

// placeOrder saves an event, and a row of the application's own table with it.
func placeOrder(ctx context.Context, repo eventsource.Repository, order *OrderPlaced) error {
	tx, err := repo.SaveTransaction(ctx, order)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit

	db, ok := sqlstore.Tx(tx)
	if !ok {
		return errors.New("not a store in PostgreSQL")
	}
	if _, err := db.Exec(ctx, `INSERT INTO orders (id, total) VALUES ($1, $2)`, order.AggregateID, order.Total); err != nil {
		return err
	}
	return tx.Commit()
}

// The store's transaction takes rows of the caller's tables along.
func ExampleTx() {
	ctx := context.Background()
	pool, store := openOrders(ctx)
	defer pool.Close()
	repo := eventsource.NewRepository(store, json.NewSerializer(&OrderPlaced{}))

	if err := placeOrder(ctx, repo, newOrder("order-1", 30)); err != nil {
		log.Panic(err)
	}
	printOrder(ctx, pool, store, "order-1")
}

// The caller's transaction takes events along.
func ExampleStore_WithTx() {
	ctx := context.Background()
	pool, store := openOrders(ctx)
	defer pool.Close()
	serializer := json.NewSerializer(&OrderPlaced{})
	order := newOrder("order-1", 30)

	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO orders (id, total) VALUES ($1, $2)`, order.AggregateID, order.Total); err != nil {
			return err
		}
		return eventsource.NewRepository(store.WithTx(tx), serializer).Save(ctx, order)
	})
	if err == nil {
		err = store.Notify(ctx) // after the commit: wakes watchers
	}
	if err != nil {
		log.Panic(err)
	}
	printOrder(ctx, pool, store, "order-1")
}

// Events may live in a schema and a table of any name.
func ExampleNew_schema() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		log.Panic(err)
	}
	defer pool.Close()
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()

	err = migrations.Up(ctx, db, migrations.WithSchema(shop), migrations.WithTable("order_events"))
	if err != nil {
		log.Panic(err)
	}
	store := sqlstore.New(pool, sqlstore.WithSchema(shop), sqlstore.WithTable("order_events"))

	repo := eventsource.NewRepository(store, json.NewSerializer(&OrderPlaced{}))
	if err := repo.Save(ctx, newOrder("order-1", 30)); err != nil {
		log.Panic(err)
	}
	var count int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM `+shop+`.order_events`).Scan(&count); err != nil {
		log.Panic(err)
	}
	fmt.Println("the shop has", count, "event")
}

// migrateWithGoose is for an application that runs goose itself. The version
// table has a name of its own, so that it does not collide with the application's.
func migrateWithGoose(ctx context.Context, db *sql.DB) ([]*goose.MigrationResult, error) {
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS,
		goose.WithTableName("events_schema_version"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, err
	}
	return provider.Up(ctx)
}

// An application that runs goose itself gives it the migrations of this store.
func ExampleNew_goose() {
	ctx := context.Background()
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		log.Panic(err)
	}
	defer func() { _ = db.Close() }()

	applied, err := migrateWithGoose(ctx, db)
	if err != nil {
		log.Panic(err)
	}
	for _, m := range applied {
		fmt.Println("applied", m.Source.Path)
	}

	// The other ways find what this one did.
	status, err := migrations.Status(ctx, db)
	if err != nil {
		log.Panic(err)
	}
	for _, m := range status {
		if m.AppliedAt.IsZero() {
			log.Panic("not applied: ", m.Name)
		}
	}
	fmt.Println("nothing left to apply")
}

// follow hands all events after the cursor to handle, and goes on as they come
// until the context ends. It is woken, and polls as well: a wake-up may get lost.
func follow(ctx context.Context, store eventsource.Watcher, repo eventsource.Repository, cursor string, handle func(eventsource.Event) error) error {
	wake, err := store.Watch(ctx)
	if err != nil {
		return err
	}
	poll := time.NewTicker(5 * time.Second)
	defer poll.Stop()
	for {
		events, err := repo.GetEventsBySequenceID(ctx, cursor, 100)
		if err != nil {
			return err
		}
		for _, event := range events {
			if err := handle(event); err != nil {
				return err
			}
			cursor = event.GetSequenceID() // keep it with what handle has done
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		case <-poll.C:
		}
	}
}

func ExampleStore_Watch() {
	ctx, cancel := context.WithCancel(context.Background())
	pool, store := openOrders(ctx)
	defer pool.Close()
	repo := eventsource.NewRepository(store, json.NewSerializer(&OrderPlaced{}))
	if err := repo.Save(ctx, newOrder("order-1", 30)); err != nil {
		log.Panic(err)
	}

	err := follow(ctx, store, repo, "", func(event eventsource.Event) error {
		fmt.Println(event.GetAggregateID())
		if event.GetAggregateID() == "order-1" {
			return repo.Save(ctx, newOrder("order-2", 20))
		}
		cancel()
		return nil
	})
	if errors.Is(err, context.Canceled) {
		fmt.Println(context.Canceled)
	}
}

// Horizon tells who holds readers back.
func ExampleStore_Horizon() {
	ctx := context.Background()
	pool, store := openOrders(ctx)
	defer pool.Close()
	repo := eventsource.NewRepository(store, json.NewSerializer(&OrderPlaced{}))

	report := func(when string) {
		horizon, err := store.Horizon(ctx)
		if err != nil {
			log.Panic(err)
		}
		holder := "none"
		if horizon.HolderPID != 0 {
			holder = "it" // SELECT * FROM pg_stat_activity WHERE pid = ...
		}
		fmt.Printf("%s: held back by %s, safe end is the head: %v\n", when, holder, horizon.SafeEnd == horizon.Head)
	}

	tx, err := repo.SaveTransaction(ctx, newOrder("order-1", 30))
	if err != nil {
		log.Panic(err)
	}
	// Others go on saving; readers do not see it yet.
	if err := repo.Save(ctx, newOrder("order-2", 20)); err != nil {
		log.Panic(err)
	}
	report("while a transaction is open")
	if err := tx.Commit(); err != nil {
		log.Panic(err)
	}
	report("after it was committed")
}
