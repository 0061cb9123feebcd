package sqlprojection_test

import (
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/scenario"
	"github.com/eventsource-go/eventsource/serializer/json"
)

func TestScenariosOfHandlersInTransactions(t *testing.T) {
	pool := migrated(t, testenv.Postgres(t))
	if _, err := pool.Exec(t.Context(), "CREATE TABLE balances (account text PRIMARY KEY, amount bigint NOT NULL CHECK (amount < 200))"); err != nil {
		t.Fatal(err)
	}
	account := eventsource.BaseEvent{AggregateID: "account-1"}
	scenario.NewProjection(t, deposits(),
		scenario.WithProjection(projection.WithCheckpoints(sqlprojection.NewCheckpoints(pool))),
		scenario.WithSerializer(json.NewSerializer(&Deposited{}))).
		Given(&Deposited{BaseEvent: account, Amount: 100}, &Deposited{BaseEvent: account, Amount: 30}).
		ThenState(130, func() any {
			var amount int
			if err := pool.QueryRow(t.Context(), "SELECT amount FROM balances WHERE account = 'account-1'").Scan(&amount); err != nil {
				t.Error(err)
			}
			return amount
		}).
		Given(&Deposited{BaseEvent: account, Amount: 70}).
		ThenErrorContains("balances_amount_check")
}
