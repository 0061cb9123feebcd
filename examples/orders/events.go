package main

import (
	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
)

// All amounts and prices are in cents.

// WalletOpened is the first event of a wallet.
type WalletOpened struct {
	eventsource.BaseEvent
	Email string `json:"email"`
}

// MoneyDeposited puts money into a wallet.
type MoneyDeposited struct {
	eventsource.BaseEvent
	Amount int64 `json:"amount"`
}

// WalletCharged takes the price of an order out of a wallet.
type WalletCharged struct {
	eventsource.BaseEvent
	OrderID string `json:"order_id"`
	Amount  int64  `json:"amount"`
}

// WalletRefunded puts back what an order was charged.
type WalletRefunded struct {
	eventsource.BaseEvent
	OrderID string `json:"order_id"`
	Amount  int64  `json:"amount"`
}

// OrderPlaced is the first event of an order. It keeps the prices as they were then.
type OrderPlaced struct {
	eventsource.BaseEvent
	WalletID string `json:"wallet_id"`
	Lines    []Line `json:"lines"`
	Total    int64  `json:"total"`
}

// Line is one product of an order.
type Line struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
	Price    int64  `json:"price"` // of one
}

// OrderPaid says that the wallet was charged.
type OrderPaid struct {
	eventsource.BaseEvent
}

// OrderRejected ends an order that could not be paid.
type OrderRejected struct {
	eventsource.BaseEvent
	Reason string `json:"reason"`
}

// OrderShipped ends an order well.
type OrderShipped struct {
	eventsource.BaseEvent
}

// OrderCancelled ends an order at the customer's wish. If it was paid, the wallet is
// to be refunded.
type OrderCancelled struct {
	eventsource.BaseEvent
	WalletID string `json:"wallet_id"`
	Paid     bool   `json:"paid"`
}

// The events of each aggregate, for the serializer and for the appliers.
var (
	walletEvents = []eventsource.Event{&WalletOpened{}, &MoneyDeposited{}, &WalletCharged{}, &WalletRefunded{}}
	orderEvents  = []eventsource.Event{&OrderPlaced{}, &OrderPaid{}, &OrderRejected{}, &OrderShipped{}, &OrderCancelled{}}
)

func newSerializer() eventsource.Serializer {
	return json.NewSerializer(append(walletEvents[:len(walletEvents):len(walletEvents)], orderEvents...)...)
}
