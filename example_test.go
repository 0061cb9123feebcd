package eventsource_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// Opened says that an account was opened.
type Opened struct {
	eventsource.BaseEvent
	Owner string `json:"owner"`
}

// Deposited says that money came in.
type Deposited struct {
	eventsource.BaseEvent
	Amount int `json:"amount"`
}

// Closed says that the account is no more.
type Closed struct {
	eventsource.BaseEvent
}

// Account is rebuilt from its events.
type Account struct {
	ID      string
	Owner   string
	Balance int
	Version int
}

func (a *Account) SetAggregateID(id string) { a.ID = id }

func (a *Account) On(_ context.Context, event eventsource.Event) error {
	switch e := event.(type) {
	case *Opened:
		a.Owner, a.Version = e.Owner, e.Version
	case *Deposited:
		a.Balance, a.Version = a.Balance+e.Amount, e.Version
	case *Closed:
		return eventsource.ErrDeleted
	default:
		return fmt.Errorf("%T is no event of an account", event)
	}
	return nil
}

// of is what an event of an aggregate begins with.
func of(aggregateID string) eventsource.BaseEvent {
	return eventsource.BaseEvent{AggregateID: aggregateID}
}

func newAccounts(opts ...eventsource.RepositoryOption) eventsource.Repository {
	return eventsource.NewRepository(memstore.New(),
		json.NewSerializer(&Opened{}, &Deposited{}, &Closed{}), opts...)
}

func Example() {
	ctx := context.Background()

	repo := eventsource.NewRepository(memstore.New(),
		json.NewSerializer(&Opened{}, &Deposited{}, &Closed{}))

	err := repo.Save(ctx,
		&Opened{BaseEvent: eventsource.BaseEvent{AggregateID: "account-1", UserID: "ann"}, Owner: "Ann"},
		&Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "account-1", UserID: "ann"}, Amount: 100},
	)
	if err != nil {
		log.Fatal(err)
	}

	var account Account
	deleted, err := repo.Load(ctx, "account-1", &account)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v deleted=%v\n", account, deleted)
	// Output: {ID:account-1 Owner:Ann Balance:100 Version:2} deleted=false
}

// An event whose version is set is saved as exactly that version.
func ExampleRepository_Save_conflict() {
	ctx := context.Background()
	repo := newAccounts()
	if err := repo.Save(ctx, &Opened{BaseEvent: of("account-1"), Owner: "Ann"}); err != nil {
		log.Fatal(err)
	}
	var account Account
	if _, err := repo.Load(ctx, "account-1", &account); err != nil {
		log.Fatal(err)
	}
	// Somebody else is faster.
	if err := repo.Save(ctx, &Deposited{BaseEvent: of("account-1"), Amount: 100}); err != nil {
		log.Fatal(err)
	}

	err := repo.Save(ctx, &Deposited{
		BaseEvent: eventsource.BaseEvent{AggregateID: "account-1", Version: account.Version + 1},
		Amount:    -50,
	})
	var conflict *eventsource.ConflictError
	if errors.As(err, &conflict) {
		fmt.Printf("load %s again: it is at version %d\n", conflict.AggregateID, conflict.Actual)
	}
	// Output: load account-1 again: it is at version 2
}

func ExampleRepository_SaveTransaction() {
	ctx := context.Background()
	repo := newAccounts()

	opened := &Opened{BaseEvent: of("account-1"), Owner: "Ann"}
	tx, err := repo.SaveTransaction(ctx, opened)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	fmt.Println("before Commit, version", opened.Version)
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("after Commit, version", opened.Version)
	// Output:
	// before Commit, version 0
	// after Commit, version 1
}

// ErrDeleted from On tells Load that the aggregate is gone.
func ExampleRepository_Load_deleted() {
	ctx := context.Background()
	repo := newAccounts()
	if err := repo.Save(ctx, &Opened{BaseEvent: of("account-1")}, &Closed{of("account-1")}); err != nil {
		log.Fatal(err)
	}
	deleted, err := repo.Load(ctx, "account-1", &Account{})
	fmt.Println(deleted, err)
	_, err = repo.Load(ctx, "account-2", &Account{})
	fmt.Println(errors.Is(err, eventsource.ErrNoHistory))
	// Output:
	// true <nil>
	// true
}

// Balances is a projection: the sum of all accounts, and where it got to. Both
// belong into one transaction of the database that keeps them.
type Balances struct {
	Total  int
	Cursor string
}

// CatchUp handles what has happened since the last time.
func (b *Balances) CatchUp(ctx context.Context, repo eventsource.Repository) error {
	for {
		events, err := repo.GetEventsBySequenceID(ctx, b.Cursor, 100)
		if err != nil || len(events) == 0 {
			return err
		}
		for _, event := range events {
			if e, ok := event.(*Deposited); ok {
				b.Total += e.Amount
			}
			b.Cursor = event.GetSequenceID()
		}
	}
}

// A projection keeps the last sequence ID that it handled, and asks for what
// comes after it.
func ExampleRepository_GetEventsBySequenceID() {
	ctx := context.Background()
	repo := newAccounts()
	var balances Balances

	_ = repo.Save(ctx, &Opened{BaseEvent: of("account-1")}, &Deposited{BaseEvent: of("account-1"), Amount: 100})
	if err := balances.CatchUp(ctx, repo); err != nil {
		log.Fatal(err)
	}
	fmt.Println(balances.Total)

	_ = repo.Save(ctx, &Deposited{BaseEvent: of("account-2"), Amount: 20})
	if err := balances.CatchUp(ctx, repo); err != nil {
		log.Fatal(err)
	}
	fmt.Println(balances.Total)
	// Output:
	// 100
	// 120
}

func ExampleRepository_GetEventsBySequenceIDAndType() {
	ctx := context.Background()
	repo := newAccounts()
	_ = repo.Save(ctx, &Opened{BaseEvent: of("account-1")}, &Deposited{BaseEvent: of("account-1"), Amount: 100})

	events, err := repo.GetEventsBySequenceIDAndType(ctx, "", &Deposited{}, 0)
	if err != nil {
		log.Fatal(err)
	}
	for _, event := range events {
		fmt.Println(event.GetAggregateID(), event.(*Deposited).Amount)
	}
	// Output: account-1 100
}

func ExampleRepository_GetEventsByTimestamp() {
	ctx := context.Background()
	repo := newAccounts()
	noon := time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)
	_ = repo.Save(ctx,
		&Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "account-1", Timestamp: noon.UnixNano()}, Amount: 100},
		&Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "account-1", Timestamp: noon.Add(time.Hour).UnixNano()}, Amount: 20},
	)

	events, err := repo.GetEventsByTimestamp(ctx, noon.UnixNano(), 0)
	if err != nil {
		log.Fatal(err)
	}
	for _, event := range events {
		fmt.Println(time.Unix(0, event.GetTimestamp()).UTC().Format(time.TimeOnly))
	}
	// Output: 13:00:00
}

func ExampleRepository_Events() {
	ctx := context.Background()
	repo := newAccounts()
	for i := range 5 {
		_ = repo.Save(ctx, &Deposited{BaseEvent: of("account-1"), Amount: i})
	}

	query := eventsource.Query{Types: []string{"Deposited"}, AggregateID: "account-1", Limit: 2, Descending: true}
	for event, err := range repo.Events(ctx, query) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.(*Deposited).Version, event.(*Deposited).Amount)
	}
	// Output:
	// 5 4
	// 4 3
}

// What a context carries is stored with every event that is saved with it.
func ExampleWithMetadata() {
	repo := newAccounts()

	ctx := eventsource.WithCorrelationID(context.Background(), "request-7")
	ctx = eventsource.WithMetadata(ctx, eventsource.Metadata{"tenant": "acme"})
	deposited := &Deposited{BaseEvent: of("account-1"), Amount: 100}
	if err := repo.Save(ctx, deposited); err != nil {
		log.Fatal(err)
	}
	fmt.Println(deposited.Metadata.CorrelationID(), deposited.Metadata["tenant"])
	// Output: request-7 acme
}

// An observer hears of every committed save, and cannot undo it.
func ExampleWithObserver() {
	repo := newAccounts(eventsource.WithObserver(func(_ context.Context, events []eventsource.Event) error {
		for _, event := range events {
			fmt.Println("saved:", eventsource.EventType(event), event.GetAggregateID())
		}
		return nil
	}))
	_ = repo.Save(context.Background(), &Opened{BaseEvent: of("account-1")})
	// Output: saved: Opened account-1
}

// Renamed keeps its name in the store however its Go type is called.
type Renamed struct {
	eventsource.BaseEvent
	To string `json:"to"`
}

func (*Renamed) EventType() string { return "account.renamed" }

func ExampleEventType() {
	fmt.Println(eventsource.EventType(&Opened{}))
	fmt.Println(eventsource.EventType(&Renamed{}))
	// Output:
	// Opened
	// account.renamed
}
