package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// Whatever customers do, wherever the process dies, and however often events come again:
// in the end each order has been paid by its wallet, or has cost nothing.
func TestNoMoneyIsLostWhateverHappens(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &machine{shop: newShop(r), r: r, deposited: make(map[string]int64), handled: make(map[string]int)}
		for n := range machineWallets {
			m.ask(OpenWallet{numbered("wallet", n), fmt.Sprintf("customer-%d@example.org", n)})
		}
		r.Repeat(map[string]func(*rapid.T){
			"deposit": func(*rapid.T) { m.someDeposit() },
			"place":   func(*rapid.T) { m.somePlace() },
			"cancel":  func(*rapid.T) { m.wish(Cancel{m.someOrder()}) },
			"ship":    func(*rapid.T) { m.wish(Ship{m.someOrder()}) },
			"react":   func(*rapid.T) { m.react() },
			"fail":    func(*rapid.T) { m.reactAndFail() },
			"die":     func(*rapid.T) { m.die() },
		})
		m.finish()
	})
}

const machineWallets = 2

var errDown = errors.New("the database is down")

// machine does what rapid chooses, and knows what has to come of it.
type machine struct {
	*shop
	r         *rapid.T
	deposited map[string]int64 // by wallet
	placed    int              // orders
	// handled is how many events of each aggregate the payments have reacted to. Those of one
	// aggregate come in order; those of different ones are not waited for.
	handled map[string]int
}

func numbered(kind string, n int) eventsource.CommandBase {
	return eventsource.CommandBase{AggregateID: fmt.Sprintf("%s-%d", kind, n)}
}

func (m *machine) someWallet() eventsource.CommandBase {
	return numbered("wallet", rapid.IntRange(0, machineWallets-1).Draw(m.r, "wallet"))
}

func (m *machine) someOrder() eventsource.CommandBase {
	if m.placed == 0 {
		m.r.Skip()
	}
	return numbered("order", rapid.IntRange(0, m.placed-1).Draw(m.r, "order"))
}

func (m *machine) someDeposit() {
	to, amount := m.someWallet(), rapid.Int64Range(1, 20_000).Draw(m.r, "amount")
	m.ask(Deposit{to, amount})
	m.deposited[to.AggregateID] += amount
}

func (m *machine) somePlace() {
	items := []Item{{"tea", rapid.IntRange(1, 10).Draw(m.r, "quantity")}}
	m.ask(PlaceOrder{numbered("order", m.placed), m.someWallet().AggregateID, items})
	m.placed++
}

// wish asks for what the order may refuse.
func (m *machine) wish(command eventsource.Command) {
	if err := m.send(command); err != nil && !errors.Is(err, ErrWrongState) {
		m.t.Fatalf("%T: %v", command, err)
	}
}

// waiting gives the aggregates with events that the payments have not reacted to.
func (m *machine) waiting() (ids []string) {
	for n := range machineWallets {
		ids = append(ids, numbered("wallet", n).AggregateID)
	}
	for n := range m.placed {
		ids = append(ids, numbered("order", n).AggregateID)
	}
	return slices.DeleteFunc(ids, func(id string) bool { return len(m.eventsOf(id)) == m.handled[id] })
}

// eventsOf gives the events of an aggregate that the payments ask for.
func (m *machine) eventsOf(id string) (events []eventsource.Event) {
	types := m.payments.handler().(projection.Typed).EventTypes()
	for event, err := range m.repository.Events(m.t.Context(), eventsource.Query{AggregateID: id, Types: types}) {
		if err != nil {
			m.t.Fatal(err)
		}
		events = append(events, event)
	}
	return events
}

// react has the payments react to the next event of an aggregate.
func (m *machine) react() {
	ids := m.waiting()
	if len(ids) == 0 {
		m.r.Skip()
	}
	m.reactTo(rapid.SampledFrom(ids).Draw(m.r, "aggregate"))
}

func (m *machine) reactTo(id string) {
	event := m.eventsOf(id)[m.handled[id]]
	err := m.payments.handler().Handle(m.t.Context(), []eventsource.Event{event})
	switch {
	case err == nil:
		m.handled[id]++
	case m.store.fail == nil || !errors.Is(err, errDown):
		m.t.Fatalf("%T of %s: %v", event, id, err)
	}
}

// reactAndFail has a save of a reaction fail, before or after it was stored.
func (m *machine) reactAndFail() {
	left, afterwards := rapid.IntRange(0, 1).Draw(m.r, "saves before"), rapid.Bool().Draw(m.r, "stored")
	m.store.fail = func(stored bool) error {
		if stored != afterwards {
			return nil
		}
		if left--; left < 0 {
			return errDown
		}
		return nil
	}
	defer func() { m.store.fail = nil }()
	m.react()
}

// die loses the last checkpoints, so that events come again.
func (m *machine) die() {
	for id, handled := range m.handled {
		m.handled[id] = max(0, handled-rapid.IntRange(0, 3).Draw(m.r, "again of "+id))
	}
}

// finish has the payments do all that is left, and checks what came of it.
func (m *machine) finish() {
	for ids := m.waiting(); len(ids) > 0; ids = m.waiting() {
		m.reactTo(ids[0])
	}
	spent := make(map[string]map[string]int64) // by wallet and order
	for n := range m.placed {
		m.finished(numbered("order", n).AggregateID, spent)
	}
	for n := range machineWallets {
		id := numbered("wallet", n).AggregateID
		err := m.wallets.Read(m.t.Context(), id, func(w *Wallet) error {
			want := m.deposited[id]
			for order, total := range spent[id] {
				if want -= total; w.Charged[order] != total {
					m.t.Errorf("%s was charged %d for %s, which costs %d", id, w.Charged[order], order, total)
				}
			}
			if w.Balance != want || w.Balance < 0 || len(w.Charged) != len(spent[id]) {
				m.t.Errorf("%s has %d and was charged for %d orders, want %d and %d", id, w.Balance, len(w.Charged), want, len(spent[id]))
			}
			return nil
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// finished checks that an order waits for nothing, and adds what was spent for it.
func (m *machine) finished(id string, spent map[string]map[string]int64) {
	err := m.orders.Read(m.t.Context(), id, func(o *Order) error {
		switch o.State {
		case Paid, Shipped:
			if spent[o.WalletID] == nil {
				spent[o.WalletID] = make(map[string]int64)
			}
			spent[o.WalletID][id] = o.Total
		case Rejected, Cancelled:
		default:
			m.t.Errorf("%s is still %s", id, o.State)
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}
