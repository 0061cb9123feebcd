package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

type Deposited struct {
	eventsource.BaseEvent
	Amount int
}

type Withdrawn struct {
	eventsource.BaseEvent
	Amount int
}

// Balances is a read model in memory.
type Balances struct {
	mu        sync.Mutex
	byAccount map[string]int
}

func (b *Balances) add(account string, amount int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byAccount[account] += amount
}

func (b *Balances) Of(account string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byAccount[account]
}

// Handler handles the events that change balances.
func (b *Balances) Handler() projection.Handler {
	return projection.ByType(
		projection.On(func(_ context.Context, e *Deposited) error {
			b.add(e.AggregateID, e.Amount)
			return nil
		}),
		projection.On(func(_ context.Context, e *Withdrawn) error {
			b.add(e.AggregateID, -e.Amount)
			return nil
		}),
	)
}

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Deposited{}, &Withdrawn{}))
	balances := &Balances{byAccount: make(map[string]int)}

	checkpoints := projection.NewMemory()
	balancing := projection.New("balances", repository, balances.Handler(), projection.WithCheckpoints(checkpoints))
	var running sync.WaitGroup
	running.Go(func() {
		if err := balancing.Run(ctx); err != nil {
			log.Print(err)
		}
	})

	deposited := &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "alice"}, Amount: 100}
	withdrawn := &Withdrawn{BaseEvent: eventsource.BaseEvent{AggregateID: "alice"}, Amount: 30}
	if err := repository.Save(ctx, deposited, withdrawn); err != nil {
		log.Fatal(err)
	}

	// A request that reads what it has just written.
	manager := projection.NewManager(repository, checkpoints)
	if err := manager.WaitFor(ctx, "balances", withdrawn.SequenceID); err != nil {
		log.Fatal(err)
	}
	fmt.Println("alice has", balances.Of("alice"))

	stop()
	running.Wait()
	// Output: alice has 70
}

// start runs a projection, and returns a function that ends it.
func start(p *projection.Projection) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			log.Print(err)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// Version 2 handles all events anew beside version 1, which goes on sending mails. It
// sends none for what version 1 has handled.
func ExampleSideEffect() {
	ctx := context.Background()
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Deposited{}))
	checkpoints := projection.NewMemory()
	manager := projection.NewManager(repository, checkpoints)
	deposit := func(amount int) {
		deposited := &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "alice"}, Amount: amount}
		if err := repository.Save(ctx, deposited); err != nil {
			log.Fatal(err)
		}
		if err := manager.WaitFor(ctx, "accounts", deposited.SequenceID); err != nil {
			log.Fatal(err)
		}
	}

	// version is a projection with a read model of its own.
	version := func(number int, balances *Balances) *projection.Projection {
		mail := projection.On(func(_ context.Context, e *Deposited) error {
			fmt.Printf("mail of version %d: %d came in\n", number, e.Amount)
			return nil
		})
		handler := projection.ByType(balances.Handler(), projection.SideEffect(mail))
		return projection.New("accounts", repository, handler, projection.WithVersion(number),
			projection.WithCheckpoints(checkpoints), projection.WithLogger(slog.New(slog.DiscardHandler)))
	}

	first := &Balances{byAccount: make(map[string]int)}
	stopFirst := start(version(1, first))
	deposit(100)

	second := &Balances{byAccount: make(map[string]int)}
	stopSecond := start(version(2, second))
	if err := manager.WaitUntilActive(ctx, "accounts", 2); err != nil {
		log.Fatal(err)
	}
	deposit(30)
	fmt.Println("version 2 has", second.Of("alice"))

	stopSecond()
	stopFirst()
	// Output:
	// mail of version 1: 100 came in
	// mail of version 2: 30 came in
	// version 2 has 130
}

// An event that cannot be handled is put aside, with those of its aggregate that come
// later, until what was wrong is mended.
func ExampleManager_RetryParked() {
	ctx := context.Background()
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Deposited{}))
	var mended atomic.Bool
	handler := projection.On(func(_ context.Context, e *Deposited) error {
		if e.AggregateID == "bob" && !mended.Load() {
			return errors.New("who is bob?")
		}
		return nil
	})
	checkpoints := projection.NewMemory()
	stop := start(projection.New("accounts", repository, handler, projection.WithCheckpoints(checkpoints),
		projection.WithFailurePolicy(projection.Park), projection.WithRetry(2, time.Millisecond, time.Second),
		projection.WithLogger(slog.New(slog.DiscardHandler))))
	defer stop()

	var last string
	for _, account := range []string{"bob", "alice", "bob"} {
		deposited := &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: account}, Amount: 1}
		if err := repository.Save(ctx, deposited); err != nil {
			log.Fatal(err)
		}
		last = deposited.SequenceID
	}
	manager := projection.NewManager(repository, checkpoints)
	if err := manager.WaitFor(ctx, "accounts", last); err != nil {
		log.Fatal(err)
	}
	parked, err := manager.Parked(ctx, "accounts", 1, "", 0)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range parked {
		fmt.Printf("version %d of %s, tried %d times: %q\n", p.AggregateVersion, p.AggregateID, p.Tries, p.Error)
	}

	mended.Store(true)
	if _, err := manager.RetryParked(ctx, "accounts", 1, "bob"); err != nil {
		log.Fatal(err)
	}
	for len(parked) > 0 { // it does so within a second
		if parked, err = manager.Parked(ctx, "accounts", 1, "", 0); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("nothing is parked")
	// Output:
	// version 1 of bob, tried 2 times: "who is bob?"
	// version 2 of bob, tried 0 times: ""
	// nothing is parked
}
