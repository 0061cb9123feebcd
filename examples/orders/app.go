package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/middleware"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/snapshot/sqlsnapshot"
)

// The names by which the checkpoints know the projections.
const (
	paymentsName = "payments"
	ordersName   = "orders"
	ledgerName   = "ledger"
)

const (
	// paymentWorkers is how many orders are paid at once, in all processes together.
	paymentWorkers = 4
	// snapshotEvery is after how many events a wallet gets a snapshot. Orders are short, and
	// have none.
	snapshotEvery = 100
)

// app is everything but the network.
type app struct {
	pool        *pgxpool.Pool
	logger      *slog.Logger
	repository  eventsource.Repository
	wallets     *eventsource.Dispatcher[*Wallet]
	orders      *eventsource.Dispatcher[*Order]
	projections []*projection.Projection
	manager     *projection.Manager
}

// newApp puts the parts together. The tables have to be there: see migrate.
func newApp(store eventsource.Store, pool *pgxpool.Pool, logger *slog.Logger) *app {
	snapshots := snapshot.New(sqlsnapshot.New(pool), snapshot.Every(snapshotEvery), snapshot.WithLogger(logger))
	repository := newRepository(eventsource.Wrap(store, middleware.Logging(logger)), eventsource.WithSnapshots(snapshots))
	checkpoints := sqlprojection.NewCheckpoints(pool)
	a := &app{
		pool: pool, logger: logger, repository: repository,
		wallets: newWallets(repository), orders: newOrders(repository),
		manager: projection.NewManager(repository, checkpoints),
	}
	// An event that cannot be handled, although it was tried for half a minute, stops its
	// projection and the process: whoever starts it again, starts it where it was.
	paying := &payments{wallets: a.wallets, orders: a.orders}
	project := func(name string, handler projection.Handler, opts ...projection.Option) {
		opts = append(opts, projection.WithCheckpoints(checkpoints), projection.WithLogger(logger))
		a.projections = append(a.projections, projection.New(name, repository, handler, opts...))
	}
	project(paymentsName, paying.handler(), projection.WithPartitions(paymentWorkers))
	project(ordersName, orderList())
	project(ledgerName, ledger())
	return a
}

func newRepository(store eventsource.Store, opts ...eventsource.RepositoryOption) eventsource.Repository {
	return eventsource.NewRepository(store, newSerializer(), opts...)
}

func newWallets(repository eventsource.Repository) *eventsource.Dispatcher[*Wallet] {
	return eventsource.NewDispatcher(repository, func() *Wallet { return new(Wallet) })
}

func newOrders(repository eventsource.Repository) *eventsource.Dispatcher[*Order] {
	return eventsource.NewDispatcher(repository, func() *Order { return new(Order) })
}

// project runs the projections until the context ends, or one of them fails. Several
// processes may do so at once: they share the work.
func (a *app) project(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	errs := make([]error, len(a.projections))
	for i, p := range a.projections {
		running.Go(func() {
			defer cancel()
			if err := p.Run(ctx); err != nil {
				errs[i] = fmt.Errorf("projection: %w", err)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
