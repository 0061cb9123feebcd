package main

import (
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/scenario"
)

func TestAppliersKnowAllEvents(t *testing.T) {
	if err := walletAppliers.Err(); err != nil {
		t.Error(err)
	}
	if err := orderAppliers.Err(); err != nil {
		t.Error(err)
	}
}

// wallet is the base of commands to the wallet of a scenario.
var wallet = eventsource.CommandBase{AggregateID: "wallet-1"}

func aWallet(t *testing.T) *scenario.Scenario[*Wallet] {
	t.Helper()
	return scenario.New(t, &Wallet{}, scenario.WithSerializer(newSerializer()))
}

func TestAWalletIsOpenedOnce(t *testing.T) {
	aWallet(t).
		When(OpenWallet{wallet, " Ann@example.org "}).
		Then(&WalletOpened{Email: "Ann@example.org"}).
		When(OpenWallet{wallet, "ann@example.org"}).
		ThenError(ErrExists)
}

func TestWhatIsNoAddressOpensNoWallet(t *testing.T) {
	for _, email := range []string{"", "ann", "ann@", "Ann <ann@example.org>", "ann@example.org, ben@example.org"} {
		var wrong *InputError
		aWallet(t).When(OpenWallet{wallet, email}).ThenErrorAs(&wrong)
		if wrong.Field != "email" {
			t.Errorf("%q: the field is %q", email, wrong.Field)
		}
	}
}

func TestADepositIsOfSomethingAndNotTooMuch(t *testing.T) {
	for _, amount := range []int64{1, maxDeposit} {
		aWallet(t).Given(&WalletOpened{}).When(Deposit{wallet, amount}).Then(&MoneyDeposited{Amount: amount})
	}
	for _, amount := range []int64{-1, 0, maxDeposit + 1} {
		var wrong *InputError
		aWallet(t).Given(&WalletOpened{}).When(Deposit{wallet, amount}).ThenErrorAs(&wrong)
		if wrong.Field != "amount" {
			t.Errorf("%d: the field is %q", amount, wrong.Field)
		}
	}
}

func TestAWalletPaysWhatItHasAndNoMore(t *testing.T) {
	var missing *NotEnoughMoneyError
	aWallet(t).
		Given(&WalletOpened{}, &MoneyDeposited{Amount: 100}).
		When(Charge{wallet, "order-1", 60}).
		Then(&WalletCharged{OrderID: "order-1", Amount: 60}).
		When(Charge{wallet, "order-2", 41}).
		ThenErrorAs(&missing).
		When(Charge{wallet, "order-2", 40}).
		Then(&WalletCharged{OrderID: "order-2", Amount: 40})
	if missing.Balance != 40 || missing.Amount != 41 {
		t.Errorf("%+v", missing)
	}
}

func TestAnOrderIsChargedOnceAndRefundedOnce(t *testing.T) {
	aWallet(t).
		Given(&WalletOpened{Email: "ann@example.org"}, &MoneyDeposited{Amount: 100}, &WalletCharged{OrderID: "order-1", Amount: 60}).
		When(Charge{wallet, "order-1", 60}).
		ThenUnchanged().
		When(Refund{wallet, "order-1"}).
		Then(&WalletRefunded{OrderID: "order-1", Amount: 60}).
		When(Refund{wallet, "order-1"}).
		ThenUnchanged().
		ThenState(&Wallet{Email: "ann@example.org", Balance: 100, Charged: map[string]int64{}})
}

func TestAWalletThatWasNotOpenedDoesNothing(t *testing.T) {
	for _, command := range []eventsource.Command{Deposit{wallet, 1}, Charge{wallet, "order-1", 1}, Refund{wallet, "order-1"}} {
		aWallet(t).When(command).ThenError(eventsource.ErrNoHistory)
	}
}

func TestAWalletKnowsNoOtherCommands(t *testing.T) {
	aWallet(t).Given(&WalletOpened{}).When(Ship{wallet}).ThenErrorContains("main.Ship is no command of a wallet")
}
