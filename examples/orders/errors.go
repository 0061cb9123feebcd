package main

import (
	"errors"
	"fmt"
)

// ErrNotEnoughMoney is returned when a wallet cannot pay a charge. The details are in a
// [NotEnoughMoneyError].
var ErrNotEnoughMoney = errors.New("not enough money")

// ErrWrongState is returned when an order, as it is now, cannot do what it is asked
// for. The details are in a [WrongStateError].
var ErrWrongState = errors.New("wrong state")

// ErrExists is returned when a wallet or an order that exists is to be made again.
var ErrExists = errors.New("exists already")

// ErrBehind is returned when what was written is not shown in time.
var ErrBehind = errors.New("what was written is not shown yet")

// InputError says which input cannot be, and why.
type InputError struct {
	// Field names the input, as it is in the request.
	Field  string
	Reason string
}

func (e *InputError) Error() string { return e.Field + " " + e.Reason }

// invalid returns an InputError.
func invalid(field, reason string, args ...any) error {
	return &InputError{Field: field, Reason: fmt.Sprintf(reason, args...)}
}

// NotEnoughMoneyError says how much is missing. It unwraps to [ErrNotEnoughMoney].
type NotEnoughMoneyError struct {
	WalletID        string
	Balance, Amount int64
}

func (e *NotEnoughMoneyError) Error() string {
	return fmt.Sprintf("%v: %s is asked for, %s is left", ErrNotEnoughMoney, money(e.Amount), money(e.Balance))
}

// Unwrap returns [ErrNotEnoughMoney].
func (e *NotEnoughMoneyError) Unwrap() error { return ErrNotEnoughMoney }

// WrongStateError says what the order is. It unwraps to [ErrWrongState].
type WrongStateError struct {
	OrderID string
	State   State
	// Wish is what it was asked for, such as "shipped".
	Wish string
}

func (e *WrongStateError) Error() string {
	return fmt.Sprintf("order %s is %s and cannot be %s", e.OrderID, e.State, e.Wish)
}

// Unwrap returns [ErrWrongState].
func (e *WrongStateError) Unwrap() error { return ErrWrongState }

// money writes an amount, for people.
func money(cents int64) string {
	return fmt.Sprintf("%d.%02d", cents/100, cents%100)
}
