package main

import (
	"context"
	"fmt"

	"github.com/eventsource-go/eventsource"
)

// maxDeposit is the most that can be deposited at once, in cents.
const maxDeposit = 1_000_000_00

// Wallet is the money of a customer. A customer orders more than once, so it has many
// events, and many who want to change it at once.
type Wallet struct {
	eventsource.AggregateBase
	Email   string `json:"email"`
	Balance int64  `json:"balance"`
	// Charged is what orders were charged and not refunded, by order.
	Charged map[string]int64 `json:"charged"`
}

// SnapshotVersion says that wallets may be loaded from snapshots. It is raised when the
// same events lead to another state.
func (*Wallet) SnapshotVersion() int { return 1 }

// OpenWallet asks for a new wallet. An e-mail address has one wallet at most.
type OpenWallet struct {
	eventsource.CommandBase
	Email string
}

// Deposit asks for money to be put into a wallet.
type Deposit struct {
	eventsource.CommandBase
	Amount int64
}

// Charge asks a wallet to pay for an order.
type Charge struct {
	eventsource.CommandBase
	OrderID string
	Amount  int64
}

// Refund asks a wallet to take back what an order was charged.
type Refund struct {
	eventsource.CommandBase
	OrderID string
}

// Handle decides.
func (w *Wallet) Handle(_ context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	if open, ok := command.(OpenWallet); ok {
		return w.open(open)
	}
	if w.Version == 0 {
		return nil, fmt.Errorf("%w: wallet %q", eventsource.ErrNoHistory, command.GetAggregateID())
	}
	switch c := command.(type) {
	case Deposit:
		return w.deposit(c)
	case Charge:
		return w.charge(c)
	case Refund:
		return w.refund(c)
	default:
		return nil, fmt.Errorf("%T is no command of a wallet", command)
	}
}

func (w *Wallet) open(c OpenWallet) ([]eventsource.Event, error) {
	if w.Version > 0 {
		return nil, fmt.Errorf("wallet %s %w", w.ID, ErrExists)
	}
	email, err := parseEmail(c.Email)
	if err != nil {
		return nil, err
	}
	return []eventsource.Event{&WalletOpened{Email: email}}, nil
}

func (w *Wallet) deposit(c Deposit) ([]eventsource.Event, error) {
	if c.Amount < 1 || c.Amount > maxDeposit {
		return nil, invalid("amount", "is %d, and has to be from 1 to %d cents", c.Amount, maxDeposit)
	}
	return []eventsource.Event{&MoneyDeposited{Amount: c.Amount}}, nil
}

func (w *Wallet) charge(c Charge) ([]eventsource.Event, error) {
	if _, done := w.Charged[c.OrderID]; done {
		return nil, eventsource.ErrUnchanged
	}
	if c.Amount > w.Balance {
		return nil, &NotEnoughMoneyError{WalletID: w.ID, Balance: w.Balance, Amount: c.Amount}
	}
	return []eventsource.Event{&WalletCharged{OrderID: c.OrderID, Amount: c.Amount}}, nil
}

func (w *Wallet) refund(c Refund) ([]eventsource.Event, error) {
	amount, charged := w.Charged[c.OrderID]
	if !charged {
		return nil, eventsource.ErrUnchanged
	}
	return []eventsource.Event{&WalletRefunded{OrderID: c.OrderID, Amount: amount}}, nil
}

var walletAppliers = eventsource.NewAppliers(walletEvents,
	eventsource.When((*Wallet).opened),
	eventsource.When((*Wallet).deposited),
	eventsource.When((*Wallet).charged),
	eventsource.When((*Wallet).refunded),
)

// On applies an event.
func (w *Wallet) On(_ context.Context, event eventsource.Event) error {
	return walletAppliers.Apply(w, event)
}

func (w *Wallet) opened(e *WalletOpened) error {
	w.Email, w.Charged = e.Email, make(map[string]int64)
	return nil
}

func (w *Wallet) deposited(e *MoneyDeposited) error {
	w.Balance += e.Amount
	return nil
}

func (w *Wallet) charged(e *WalletCharged) error {
	w.Balance -= e.Amount
	w.Charged[e.OrderID] = e.Amount
	return nil
}

func (w *Wallet) refunded(e *WalletRefunded) error {
	w.Balance += e.Amount
	delete(w.Charged, e.OrderID)
	return nil
}
