package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// shop is the domain on a store in memory. Its payments happen when the test says so.
type shop struct {
	t          tester
	store      *brittle
	repository eventsource.Repository
	wallets    *eventsource.Dispatcher[*Wallet]
	orders     *eventsource.Dispatcher[*Order]
	payments   *payments
}

// tester is what a *testing.T and a *rapid.T have in common.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

func newShop(t tester) *shop {
	s := &shop{t: t, store: &brittle{Store: memstore.New()}}
	s.repository = newRepository(s.store)
	s.wallets, s.orders = newWallets(s.repository), newOrders(s.repository)
	s.payments = &payments{wallets: s.wallets, orders: s.orders}
	return s
}

// brittle is a store that can be told to fail.
type brittle struct {
	*memstore.Store
	// fail is called before, and again after, a save. An error of it is the save's.
	fail func(stored bool) error
}

func (s *brittle) Append(ctx context.Context, records ...eventsource.Record) ([]eventsource.Record, error) {
	if s.fail == nil {
		return s.Store.Append(ctx, records...)
	}
	if err := s.fail(false); err != nil {
		return nil, err
	}
	stored, err := s.Store.Append(ctx, records...)
	if err == nil {
		err = s.fail(true)
	}
	if err != nil {
		return nil, err
	}
	return stored, nil
}

// open opens wallet-1 with money in it.
func (s *shop) open(amount int64) {
	s.t.Helper()
	s.ask(OpenWallet{wallet, "ann@example.org"})
	s.deposit(amount)
}

func (s *shop) deposit(amount int64) {
	s.t.Helper()
	s.ask(Deposit{wallet, amount})
}

// place places order-1, of two teapots.
func (s *shop) place() {
	s.t.Helper()
	s.ask(PlaceOrder{order, "wallet-1", []Item{{"teapot", 2}}})
}

// ask sends a command that is not to be refused.
func (s *shop) ask(command eventsource.Command) {
	s.t.Helper()
	if err := s.send(command); err != nil {
		s.t.Fatalf("%T: %v", command, err)
	}
}

func (s *shop) send(command eventsource.Command) (err error) {
	switch command.(type) {
	case OpenWallet, Deposit:
		_, err = s.wallets.Dispatch(s.t.Context(), command)
	default:
		_, err = s.orders.Dispatch(s.t.Context(), command)
	}
	return err
}

// handle has the payments react to the last event of a type, once more if they had before.
func (s *shop) handle(eventType string) {
	s.t.Helper()
	if err := s.tryToHandle(eventType); err != nil {
		s.t.Fatalf("%s: %v", eventType, err)
	}
}

func (s *shop) tryToHandle(eventType string) error {
	s.t.Helper()
	for event, err := range s.repository.Events(s.t.Context(), eventsource.Query{Types: []string{eventType}, Descending: true, Limit: 1}) {
		if err != nil {
			s.t.Fatal(err)
		}
		return s.payments.handler().Handle(s.t.Context(), []eventsource.Event{event})
	}
	s.t.Fatalf("there is no %s", eventType)
	return nil
}

// has checks the state of the order and what is in the wallet.
func (s *shop) has(state State, balance int64) {
	s.t.Helper()
	err := s.orders.Read(s.t.Context(), "order-1", func(o *Order) error {
		if o.State != state {
			s.t.Errorf("the order is %s, want %s", o.State, state)
		}
		return nil
	})
	err = errors.Join(err, s.wallets.Read(s.t.Context(), "wallet-1", func(w *Wallet) error {
		if w.Balance != balance {
			s.t.Errorf("%d are in the wallet, want %d", w.Balance, balance)
		}
		return nil
	}))
	if err != nil {
		s.t.Fatal(err)
	}
}

// count counts the events of a type.
func (s *shop) count(eventType string, want int) {
	s.t.Helper()
	if n, err := s.store.Count(s.t.Context(), eventsource.Query{Types: []string{eventType}}); err != nil || n != int64(want) {
		s.t.Errorf("there are %d %s, error %v, want %d", n, eventType, err, want)
	}
}

const price = 6980 // of the order

func TestAPlacedOrderIsChargedAndPaidOnceHoweverOftenItsEventsCome(t *testing.T) {
	s := newShop(t)
	s.open(10_000)
	s.place()
	s.has(Placed, 10_000)
	for range 3 {
		s.handle("OrderPlaced")
		s.has(Placed, 10_000-price)
	}
	for range 3 {
		s.handle("WalletCharged")
		s.has(Paid, 10_000-price)
	}
	s.ask(Ship{order})
	s.handle("OrderPlaced")
	s.handle("WalletCharged")
	s.has(Shipped, 10_000-price)
}

func TestAnOrderThatIsTooExpensiveIsRejected(t *testing.T) {
	s := newShop(t)
	s.open(price - 1)
	s.place()
	s.handle("OrderPlaced")
	s.handle("OrderPlaced")
	s.has(Rejected, price-1)
	s.count("OrderRejected", 1)
}

func TestAnOrderOnAWalletThatIsNotThereIsRejected(t *testing.T) {
	s := newShop(t)
	s.place()
	s.handle("OrderPlaced")
	s.open(1)
	s.has(Rejected, 1)
}

func TestAnOrderThatIsCancelledBeforeItsWalletIsChargedCostsNothing(t *testing.T) {
	s := newShop(t)
	s.open(10_000)
	s.place()
	s.ask(Cancel{order})
	s.handle("OrderPlaced")
	s.handle("OrderCancelled")
	s.has(Cancelled, 10_000-price) // charged, and not refunded yet
	for range 2 {
		s.handle("WalletCharged")
		s.has(Cancelled, 10_000)
	}
	s.handle("OrderPlaced") // comes again
	s.handle("OrderCancelled")
	s.has(Cancelled, 10_000)
	s.count("WalletRefunded", 1)
}

func TestAnOrderThatIsCancelledWhileItsWalletIsChargedCostsNothing(t *testing.T) {
	s := newShop(t)
	s.open(10_000)
	s.place()
	s.handle("OrderPlaced")
	s.ask(Cancel{order})
	s.handle("WalletCharged")
	s.handle("OrderCancelled")
	s.has(Cancelled, 10_000)
	s.count("WalletRefunded", 1)
}

func TestAPaidOrderThatIsCancelledIsRefundedOnce(t *testing.T) {
	s := newShop(t)
	s.open(10_000)
	s.place()
	s.handle("OrderPlaced")
	s.handle("WalletCharged")
	s.ask(Cancel{order})
	s.handle("OrderCancelled")
	s.has(Cancelled, 10_000)
	for _, again := range []string{"OrderPlaced", "WalletCharged", "OrderCancelled"} {
		s.handle(again)
	}
	s.has(Cancelled, 10_000)
	s.count("WalletRefunded", 1)
}

func TestAnOrderThatIsCancelledAndTooExpensiveStaysCancelled(t *testing.T) {
	s := newShop(t)
	s.open(1)
	s.place()
	s.ask(Cancel{order})
	s.handle("OrderPlaced")
	s.has(Cancelled, 1)
	s.count("OrderRejected", 0)
}

// The process dies after it has rejected the order. When its event comes again there is
// money: the wallet is charged, and has to be refunded.
func TestAnOrderThatWasRejectedCostsNothingAlsoIfThereIsMoneyWhenItsEventComesAgain(t *testing.T) {
	s := newShop(t)
	s.open(1)
	s.place()
	s.handle("OrderPlaced")
	s.deposit(10_000)
	s.handle("OrderPlaced")
	s.handle("WalletCharged")
	s.has(Rejected, 10_001)
	s.handle("OrderPlaced")
	s.has(Rejected, 10_001)
}

func TestAReactionThatFailsInTheMiddleIsFinishedWhenItsEventComesAgain(t *testing.T) {
	down := errors.New("the database is down")
	for _, stored := range []bool{false, true} {
		s := newShop(t)
		s.open(10_000)
		s.place()
		s.ask(Cancel{order})
		for _, event := range []string{"OrderPlaced", "WalletCharged"} {
			s.store.fail = func(is bool) error {
				if is == stored {
					return down
				}
				return nil
			}
			if err := s.tryToHandle(event); !errors.Is(err, down) {
				t.Fatalf("%s: error %v, want %v", event, err, down)
			}
			s.store.fail = nil
			s.handle(event)
		}
		s.has(Cancelled, 10_000)
		s.count("WalletCharged", 1)
		s.count("WalletRefunded", 1)
	}
}

func TestAProjectionPaysOrders(t *testing.T) {
	s := newShop(t)
	s.open(10_000)
	checkpoints := projection.NewMemory()
	paying := projection.New(paymentsName, s.repository, s.payments.handler(), projection.WithCheckpoints(checkpoints),
		projection.WithPartitions(paymentWorkers), projection.WithLogger(slog.New(slog.DiscardHandler)))
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		if err := paying.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer stop()
	s.place()
	settle(ctx, t, s.store, projection.NewManager(s.repository, checkpoints))
	s.has(Paid, 10_000-price)
}

// settle waits until the payments have nothing more to do.
func settle(ctx context.Context, t testing.TB, store eventsource.HorizonReporter, manager *projection.Manager) (last string) {
	t.Helper()
	for {
		horizon, err := store.Horizon(ctx)
		if err == nil {
			err = manager.WaitFor(ctx, paymentsName, horizon.Head)
		}
		if err != nil {
			t.Fatal(err)
		}
		if horizon.Head == last {
			return last
		}
		last = horizon.Head
	}
}
