package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
)

const (
	clients = 50
	rounds  = 4 // of each client
	hot     = 4 // wallets
	// tries is how often a request is sent whose answer says so, or does not come.
	tries = 100
)

// Fifty customers share four wallets, and two instances a database. One instance is closed
// and started again meanwhile. In the end the books are balanced, and everything was done
// once.
func TestFiftyClientsOfTwoInstancesLeaveTheLedgerBalanced(t *testing.T) {
	c := &crowd{t: t, client: newClient(t), database: newDatabase(t), deposits: make(map[string]int64), orders: make(map[string]int64)}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for n := range c.instances {
		c.instances[n].Store(start(t, c.database))
	}
	for n := range hot {
		opened := c.do(ctx, "POST", "/wallets", fmt.Sprint("open ", n), fmt.Sprintf(`{"email": "customer-%d@example.org"}`, n), http.StatusCreated)
		c.wallets = append(c.wallets, opened.body.ID)
		c.fill(ctx, opened.body.ID)
	}

	var customers sync.WaitGroup
	for n := range clients {
		customers.Go(func() { c.visit(ctx, n) })
	}
	customers.Go(func() {
		c.awaitRounds(ctx, clients*rounds/3)
		second := c.instances[1].Load()
		second.close()
		c.awaitRounds(ctx, clients*rounds*2/3)
		c.instances[1].Store(start(t, c.database))
	})
	customers.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d requests, %d of them sent again, %d orders, %d cancelled, %d shipped", c.sent.Load(), c.again.Load(), len(c.orders), c.cancelled.Load(), c.shipped.Load())

	first := c.instances[0].Load()
	last := settle(ctx, t, first.store, first.manager)
	for _, name := range []string{ordersName, ledgerName} {
		if err := first.manager.WaitFor(ctx, name, last); err != nil {
			t.Fatal(err)
		}
	}
	c.check(ctx, first)
}

// fill gives a wallet a long history.
func (c *crowd) fill(ctx context.Context, wallet string) {
	deposits := make([]eventsource.Event, 2*snapshotEvery)
	for n := range deposits {
		deposits[n] = &MoneyDeposited{BaseEvent: eventsource.BaseEvent{AggregateID: wallet}, Amount: 100}
	}
	if err := c.instances[0].Load().repository.Save(ctx, deposits...); err != nil {
		c.t.Fatal(err)
	}
	for _, deposit := range deposits {
		c.deposits[deposit.GetSequenceID()] = 100
	}
}

// crowd is all customers, and what they know.
type crowd struct {
	t         testing.TB
	client    *http.Client
	database  string
	instances [2]atomic.Pointer[instance]
	wallets   []string

	sent, again, done, cancelled, shipped atomic.Int64

	mu       sync.Mutex
	deposits map[string]int64 // by the sequence ID that the shop gave
	orders   map[string]int64 // what each costs
}

// do sends a request until it has an answer, to whichever instance there is. What changes
// something has a key.
func (c *crowd) do(ctx context.Context, method, path, key, body string, want ...int) answer {
	c.t.Helper()
	var last error
	for try := range tries {
		c.sent.Add(1)
		to := c.instances[(len(key)+try)%len(c.instances)].Load()
		got, err := send(ctx, c.client, method, to.url+path, key, body)
		if err == nil && got.header.Get("Retry-After") == "" {
			for _, status := range want {
				if got.status == status {
					return got
				}
			}
			c.t.Errorf("%s %s %s: status %d, %s, want %v", method, path, body, got.status, got.text, want)
			return got
		}
		if last = err; ctx.Err() != nil {
			break
		}
		c.again.Add(1)
		pause(ctx)
	}
	c.t.Errorf("%s %s %s: no answer, the last error is %v", method, path, body, last)
	return answer{}
}

// pause lets others go first.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
}

// repeat sends a request that was answered twice more, at once, and checks that it is
// answered as before.
func (c *crowd) repeat(ctx context.Context, path, key, body string, before answer) {
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			got, want := c.do(ctx, "POST", path, key, body, before.status).body, before.body
			if want.Repeated = true; got != want {
				c.t.Errorf("POST %s, sent again: %+v, want %+v", path, got, want)
			}
		})
	}
	both.Wait()
}

// awaitRounds waits until the customers have done so many rounds together.
func (c *crowd) awaitRounds(ctx context.Context, n int64) {
	for c.done.Load() < n && ctx.Err() == nil {
		pause(ctx)
	}
}

// visit is what one customer does.
func (c *crowd) visit(ctx context.Context, customer int) {
	random := rand.New(rand.NewPCG(uint64(customer), 7))
	for round := range rounds {
		name := fmt.Sprintf("customer %d, round %d", customer, round)
		wallet := c.wallets[random.IntN(len(c.wallets))]
		if random.IntN(3) == 0 {
			c.deposit(ctx, random, name, wallet)
		} else {
			c.order(ctx, random, name, wallet)
		}
		c.done.Add(1)
	}
}

func (c *crowd) deposit(ctx context.Context, random *rand.Rand, name, wallet string) {
	amount := 1 + random.Int64N(20_000)
	path, body := "/wallets/"+wallet+"/deposits", fmt.Sprintf(`{"amount": %d}`, amount)
	got := c.do(ctx, "POST", path, name, body, http.StatusOK)
	if random.IntN(2) == 0 {
		c.repeat(ctx, path, name, body, got)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deposits[got.body.SequenceID] = amount
}

func (c *crowd) order(ctx context.Context, random *rand.Rand, name, wallet string) {
	product := []Product{catalogue[0], catalogue[1], catalogue[3]}[random.IntN(3)] // the last one is too expensive, mostly
	quantity := 1 + random.IntN(3)
	body := fmt.Sprintf(`{"wallet_id": %q, "items": [{"product": %q, "quantity": %d}]}`, wallet, product.ID, quantity)
	got := c.do(ctx, "POST", "/orders", name, body, http.StatusCreated)
	if random.IntN(3) == 0 {
		c.repeat(ctx, "/orders", name, body, got)
	}
	c.mu.Lock()
	c.orders[got.body.ID] = int64(quantity) * product.Price
	c.mu.Unlock()

	path := "/orders/" + got.body.ID
	switch random.IntN(4) {
	case 0: // while the wallet is charged, or before
		c.cancel(ctx, path, name)
	case 1:
		if c.awaitPayment(ctx, path) == Paid {
			c.cancel(ctx, path, name)
		}
	case 2:
		if c.awaitPayment(ctx, path) == Paid {
			c.do(ctx, "POST", path+"/ship", name, "", http.StatusOK)
			c.shipped.Add(1)
			c.do(ctx, "POST", path+"/cancel", name, "", http.StatusConflict)
		}
	default: // it is forgotten
	}
}

func (c *crowd) cancel(ctx context.Context, path, name string) {
	got := c.do(ctx, "POST", path+"/cancel", name, "", http.StatusOK, http.StatusConflict) // it may be rejected already
	if got.status == http.StatusOK {
		c.cancelled.Add(1)
		c.repeat(ctx, path+"/cancel", name, "", got)
	}
}

// awaitPayment waits until the order is not only placed any more.
func (c *crowd) awaitPayment(ctx context.Context, path string) State {
	for ctx.Err() == nil {
		if got := c.do(ctx, "GET", path, "", "", http.StatusOK); got.body.State != Placed {
			return got.body.State
		}
		pause(ctx)
	}
	return Placed
}

// check compares everything with everything.
func (c *crowd) check(ctx context.Context, shop *instance) {
	c.checkEvents(ctx, shop)
	rows, spent := c.checkOrders(ctx, shop)

	accounts := make(map[string]int64)
	ledger, err := shop.pool.Query(ctx, `SELECT account, sum(amount)::bigint FROM ledger GROUP BY account`)
	if err != nil {
		c.t.Fatal(err)
	}
	sum := int64(0)
	for ledger.Next() {
		var account string
		var amount int64
		if err := ledger.Scan(&account, &amount); err != nil {
			c.t.Fatal(err)
		}
		accounts[account], sum = amount, sum+amount
	}
	if err := ledger.Err(); err != nil {
		c.t.Fatal(err)
	}
	if sum != 0 {
		c.t.Errorf("the ledger's sum is %d", sum)
	}
	if accounts[sales] != spent || spent == 0 {
		c.t.Errorf("the sales are %d, and orders of %d were paid and not refunded", accounts[sales], spent)
	}
	var snapshots int
	if err := shop.pool.QueryRow(ctx, `SELECT count(*) FROM events_snapshots`).Scan(&snapshots); err != nil || snapshots != hot {
		c.t.Errorf("there are %d snapshots, error %v, want one of each wallet", snapshots, err)
	}
	for _, id := range c.wallets {
		c.checkSnapshot(ctx, shop, id)
		err := shop.wallets.Read(ctx, id, func(w *Wallet) error {
			if w.Balance < 0 || w.Balance != accounts[walletAccount(id)] {
				c.t.Errorf("%s has %d, and its account %d", id, w.Balance, accounts[walletAccount(id)])
			}
			return nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
	balances, err := loadBalances(ctx, shop.pool)
	if err != nil {
		c.t.Fatal(err)
	}
	want := Balances{Bank: accounts[bank], Sales: spent, Wallets: -accounts[bank] - spent}
	if diff := cmp.Diff(want, balances); diff != "" {
		c.t.Errorf("the balances are not those of the accounts (-want +got):\n%s", diff)
	}
	if len(rows) != len(c.orders) {
		c.t.Errorf("%d orders are in the list, and %d were placed", len(rows), len(c.orders))
	}
}

// checkSnapshot compares a wallet with what it is without its snapshot.
func (c *crowd) checkSnapshot(ctx context.Context, shop *instance, id string) {
	var with, without Wallet
	_, err := shop.repository.Load(ctx, id, &with)
	if err == nil {
		_, err = newRepository(shop.store).Load(ctx, id, &without)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if diff := cmp.Diff(without, with); diff != "" {
		c.t.Errorf("%s is not the same with its snapshot (-without +with):\n%s", id, diff)
	}
}

// checkEvents sees to it that each request was applied, and once.
func (c *crowd) checkEvents(ctx context.Context, shop *instance) {
	deposits, orders := make(map[string]int64), make(map[string]int64)
	for event, err := range shop.repository.Events(ctx, eventsource.Query{}) {
		if err != nil {
			c.t.Fatal(err)
		}
		switch e := event.(type) {
		case *MoneyDeposited:
			deposits[e.SequenceID] = e.Amount
		case *OrderPlaced:
			orders[e.AggregateID] = e.Total
		}
	}
	if diff := cmp.Diff(c.deposits, deposits); diff != "" {
		c.t.Errorf("deposits (-acknowledged +stored):\n%s", diff)
	}
	if diff := cmp.Diff(c.orders, orders); diff != "" {
		c.t.Errorf("orders (-acknowledged +stored):\n%s", diff)
	}
}

// checkOrders compares the list with the orders, and adds up what was paid and not
// refunded.
func (c *crowd) checkOrders(ctx context.Context, shop *instance) (rows map[string]OrderRow, spent int64) {
	rows = make(map[string]OrderRow)
	list, err := listOrders(ctx, shop.pool, clients*rounds)
	if err != nil {
		c.t.Fatal(err)
	}
	states := make(map[State]int)
	for _, row := range list {
		rows[row.ID] = row
		err := shop.orders.Read(ctx, row.ID, func(o *Order) error {
			want := OrderRow{
				ID: o.ID, WalletID: o.WalletID, State: o.State, Reason: o.Reason, Lines: o.Lines, Total: o.Total, Version: o.Version,
				SequenceID: row.SequenceID, PlacedAt: row.PlacedAt,
			}
			if diff := cmp.Diff(want, row); diff != "" {
				c.t.Errorf("the list is not as the order is (-order +list):\n%s", diff)
			}
			if o.State == Placed {
				c.t.Errorf("%s is still open", o.ID)
			}
			if states[o.State]++; o.State == Paid || o.State == Shipped {
				spent += o.Total
			}
			return nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
	c.t.Logf("orders: %v", states)
	for _, state := range []State{Paid, Shipped, Rejected, Cancelled} {
		if states[state] == 0 {
			c.t.Errorf("no order is %s: the test shows too little", state)
		}
	}
	return rows, spent
}
