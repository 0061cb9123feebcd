package main

import (
	"context"
	_ "embed" // for the statements

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
)

var (
	//go:embed sql/transfer.sql
	transferSQL string
	//go:embed sql/balances.sql
	balancesSQL string
)

// The accounts, beside one for each wallet.
const (
	bank  = "bank"
	sales = "sales"
)

func walletAccount(id string) string { return "wallet:" + id }

// ledger keeps the books. Its entries are written in the transaction that moves the
// checkpoint: none is missing, and none is there twice.
func ledger() projection.Handler {
	return projection.ByType(
		sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *MoneyDeposited) error {
			return transfer(ctx, tx, e, bank, walletAccount(e.AggregateID), e.Amount)
		}),
		sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *WalletCharged) error {
			return transfer(ctx, tx, e, walletAccount(e.AggregateID), sales, e.Amount)
		}),
		sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *WalletRefunded) error {
			return transfer(ctx, tx, e, sales, walletAccount(e.AggregateID), e.Amount)
		}),
	)
}

// transfer writes both entries of an amount that leaves one account for another.
func transfer(ctx context.Context, tx pgx.Tx, e eventsource.Event, from, to string, amount int64) error {
	_, err := tx.Exec(ctx, transferSQL, pgx.NamedArgs{
		"sequence_id": e.GetSequenceID(), "from_account": from, "to_account": to, "amount": amount,
	})
	return err
}

// Balances are the sums of the ledger, in cents.
type Balances struct {
	Bank    int64 `json:"bank"`
	Sales   int64 `json:"sales"`
	Wallets int64 `json:"wallets"` // all of them
	Sum     int64 `json:"sum"`     // of everything: 0, or the books are wrong
}

func loadBalances(ctx context.Context, pool *pgxpool.Pool) (Balances, error) {
	var b Balances
	err := pool.QueryRow(ctx, balancesSQL).Scan(&b.Bank, &b.Sales, &b.Wallets, &b.Sum)
	return b, err
}
