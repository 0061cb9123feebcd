package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/history"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// settings are those of the servers. A client that is gone without a word must not
// hold readers back for long, so idle transactions end, as the README advises.
var settings = []string{
	"max_connections=200",
	"max_prepared_transactions=20",
	"idle_in_transaction_session_timeout=3s",
	"max_wal_size=128MB",
	"log_min_messages=fatal",
}

// postgres is a PostgreSQL with events, and a network in front of it.
type postgres struct {
	cluster  *testenv.Cluster
	valve    *valve
	network  *network
	bouncer  string        // URL of a PgBouncer, through a network of its own
	bouncers *network      //
	pool     *pgxpool.Pool // of the test itself, past the network
	store    *sqlstore.Store
	repo     eventsource.Repository
	recorder *history.Recorder // of the test's own saves
	keys     atomic.Int64
}

// newPostgres starts a server that has the table of events.
func newPostgres(t *testing.T, recorder *history.Recorder, options ...testenv.ClusterOption) *postgres {
	t.Helper()
	p := &postgres{
		cluster:  testenv.NewCluster(t, append([]testenv.ClusterOption{testenv.WithSettings(settings...)}, options...)...),
		recorder: recorder,
	}
	p.pool = testenv.Pool(t, p.cluster.URL())
	migrate(t, p.pool)
	p.store = sqlstore.New(p.pool)
	p.repo = eventsource.NewRepository(p.store, serializer())

	var err error
	if p.valve, err = newValve(p.cluster.Address()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.valve.close)
	if p.network, err = newNetwork(p.cluster.Address()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.network.close)
	return p
}

// migrate makes the table of events, or brings it up to date.
func migrate(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
}

// withBouncer starts a PgBouncer in front of the server.
func (p *postgres) withBouncer(t *testing.T) {
	t.Helper()
	address, err := p.cluster.PgBouncer(t.Context(), "max_prepared_statements=200", "default_pool_size=8", "query_wait_timeout=10")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if p.bouncers, err = newNetwork(u.Host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.bouncers.close)
	p.bouncer = through(address, p.bouncers.address())
}

// through returns a URL with the address of a proxy.
func through(rawURL, address string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		panic(err) // it is one of testenv
	}
	u.Host = address
	return u.String()
}

// place says how workers reach the server: one through the valve, one through
// PgBouncer if there is one, and the others through the network.
func (p *postgres) place(configs []Config) {
	for i := range configs {
		switch {
		case i == 0:
			configs[i].URL = through(p.cluster.URL(), p.valve.address())
		case i == 1 && p.bouncer != "":
			configs[i].URL = p.bouncer
		default:
			configs[i].URL = through(p.cluster.URL(), p.network.address())
		}
	}
}

// networkFaults are what can happen to connections.
func (p *postgres) networkFaults() []fault {
	faults := append(p.network.faults(), p.valve.fault())
	if p.bouncers != nil {
		faults = append(faults, p.bouncers.faults()...)
	}
	return faults
}

// serverFaults are what can happen to the server. They take turns.
func (p *postgres) serverFaults() []fault {
	restart := func(mode string) func(context.Context, *rand.Rand) (healer, error) {
		return func(ctx context.Context, _ *rand.Rand) (healer, error) { return nil, p.cluster.Restart(ctx, mode) }
	}
	return []fault{
		{"backends terminated", 5, func(ctx context.Context, random *rand.Rand) (healer, error) {
			return nil, p.sql(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < $1`, random.Float64())
		}},
		{"statements cancelled", 3, func(ctx context.Context, random *rand.Rand) (healer, error) {
			return nil, p.sql(ctx, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
				WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < $1`, random.Float64())
		}},
		{"a backend killed", 2, func(ctx context.Context, _ *rand.Rand) (healer, error) {
			return nil, errors.Join(p.cluster.KillBackend(ctx), p.cluster.Start(ctx))
		}},
		{"the postmaster killed", 2, func(ctx context.Context, _ *rand.Rand) (healer, error) {
			return p.cluster.Start, p.cluster.Kill(ctx)
		}},
		{"restart -m immediate", 2, restart("immediate")},
		{"restart -m fast", 1, restart("fast")},
		{"maintenance", 2, p.maintenance},
	}
}

// openTransactions are those that hold readers back, whatever else happens.
func (p *postgres) openTransactions() []fault {
	return []fault{
		{"a long transaction", 1, p.longTransaction},
		{"a prepared transaction", 1, p.preparedTransaction},
	}
}

// maintenance is what an operator, or the server itself, does to the table.
func (p *postgres) maintenance(ctx context.Context, random *rand.Rand) (healer, error) {
	const lockNotAvailable = "55P03"
	statements := []string{
		"VACUUM events", "VACUUM FULL events", "ANALYZE events", "CHECKPOINT", "SELECT pg_switch_wal()",
		"REINDEX TABLE CONCURRENTLY events", "CLUSTER events USING events_pkey",
	}
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "SET lock_timeout TO '2s'")
	if err == nil {
		_, err = conn.Exec(ctx, statements[random.IntN(len(statements))])
	}
	if sqlState(err) == lockNotAvailable { // an open transaction is in the way
		return nil, errNotNow
	}
	return nil, err
}

// fullDisk is the disk running full. It takes a cluster with a disk of its own.
func (p *postgres) fullDisk() fault {
	return fault{"the disk full", 1, func(ctx context.Context, _ *rand.Rand) (healer, error) {
		return func(ctx context.Context) error {
			// The server has ended if it could not write its log.
			return errors.Join(p.cluster.FreeDisk(ctx), p.cluster.Start(ctx))
		}, p.cluster.FillDisk(ctx)
	}}
}

// sql runs a statement on a connection of its own, once there is one to be had.
func (p *postgres) sql(ctx context.Context, statement string, arguments ...any) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement, arguments...)
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// connect waits for the server, which may be starting.
func (p *postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	for {
		conn, err := pgx.Connect(ctx, p.cluster.URL())
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// own makes an event of the test itself.
func (p *postgres) own() []eventsource.Event {
	n := p.keys.Add(1)
	return []eventsource.Event{newEvent(fmt.Sprint("test-", n), fmt.Sprint("test-aggregate-", n%5), 0, false)}
}

// longTransaction is one that holds readers back, and is left alone.
func (p *postgres) longTransaction(ctx context.Context, random *rand.Rand) (healer, error) {
	events := p.own()
	call := p.recorder.Save(wanted(events))
	tx, err := p.repo.SaveTransaction(ctx, events...)
	if err != nil {
		call.Return(nil, err)
		return nil, errNotNow
	}
	return func(context.Context) error {
		if random.IntN(2) == 0 {
			_ = tx.Rollback() // whatever comes of it: what is not committed is gone
			call.RolledBack()
			return nil
		}
		err := tx.Commit() // the server may have ended it
		call.Return(allSeen(events), err)
		return nil
	}, nil
}

// preparedTransaction is the first half of a commit in two phases. It outlives
// its session, and the server's restarts.
func (p *postgres) preparedTransaction(ctx context.Context, random *rand.Rand) (healer, error) {
	events := p.own()
	name := events[0].(*Happened).Key
	call := p.recorder.Save(wanted(events))
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	tx, err := conn.Begin(ctx)
	if err == nil {
		err = eventsource.NewRepository(p.store.WithTx(tx), serializer()).Save(ctx, events...)
	}
	if err != nil {
		call.Return(nil, err)
		return nil, errNotNow
	}
	if _, err := conn.Exec(ctx, "PREPARE TRANSACTION '"+name+"'"); err != nil {
		// It may be prepared, or will be: the server's process may still be at it.
		call.RolledBack()
		err := p.untilGone(ctx, conn.PgConn().PID())
		return nil, errors.Join(err, p.untilDone(ctx, "ROLLBACK PREPARED '"+name+"'"))
	}
	commit := random.IntN(3) > 0
	return func(ctx context.Context) error {
		if !commit {
			call.RolledBack()
			return p.untilDone(ctx, "ROLLBACK PREPARED '"+name+"'")
		}
		err := p.untilDone(ctx, "COMMIT PREPARED '"+name+"'")
		if err != nil {
			call.Unknown(err)
		} else {
			call.Return(allSeen(events), nil)
		}
		return err
	}, nil
}

// untilGone waits until a process of the server has ended.
func (p *postgres) untilGone(ctx context.Context, pid uint32) error {
	for {
		conn, err := p.connect(ctx)
		if err != nil {
			return err
		}
		gone := false
		err = conn.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid).Scan(&gone)
		_ = conn.Close(ctx)
		if err == nil && gone {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// untilDone ends a prepared transaction, whatever happens to the server meanwhile.
func (p *postgres) untilDone(ctx context.Context, statement string) error {
	const noSuchTransaction = "42704" // it was ended, but the answer was lost, or there never was one
	for {
		err := p.sql(ctx, statement)
		if err == nil || sqlState(err) == noSuchTransaction {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// settle waits until nothing holds readers back.
func (p *postgres) settle(ctx context.Context) error {
	if err := p.cluster.Start(ctx); err != nil {
		return err
	}
	for {
		horizon, err := p.store.Horizon(ctx)
		if err == nil && horizon.HolderPID == 0 && horizon.SafeEnd == horizon.Head {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("readers are still held back: %+v, %w", horizon, errors.Join(err, ctx.Err()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
