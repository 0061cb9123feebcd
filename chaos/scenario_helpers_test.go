package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// patience is how long a scenario waits for what has to come.
const patience = time.Minute

// client is an application's access to events.
type client struct {
	pool  *pgxpool.Pool
	store *sqlstore.Store
	repo  eventsource.Repository
}

// newClient opens a pool of its own, on a server without a PgBouncer. Its transactions
// may be idle for as long as they take.
func newClient(t *testing.T, url string, options ...sqlstore.Option) *client {
	t.Helper()
	return clientOn(testenv.Pool(t, url, idleFor("0")), options...)
}

// idleFor sets for how long the transactions of a pool may be idle, "0" for ever.
func idleFor(limit string) func(*pgxpool.Config) {
	return func(config *pgxpool.Config) {
		config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = limit
	}
}

func clientOn(pool *pgxpool.Pool, options ...sqlstore.Option) *client {
	store := sqlstore.New(pool, options...)
	return &client{pool: pool, store: store, repo: eventsource.NewRepository(store, serializer())}
}

// behind is a clock that is wrong.
func behind(by time.Duration) sqlstore.Option {
	return sqlstore.WithClock(func() time.Time { return time.Now().Add(-by) })
}

// within returns a context for what must not take longer than a scenario waits.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// save saves an event and returns its sequence ID.
func (c *client) save(t *testing.T, key string) string {
	t.Helper()
	event := newEvent(key, "aggregate-"+key, 0, false)
	if err := c.repo.Save(within(t), event); err != nil {
		t.Fatalf("save %s: %v", key, err)
	}
	nextMillisecond()
	return event.GetSequenceID()
}

// nextMillisecond is waited for where the order of two saves matters: an open
// transaction holds back all of its millisecond, and others in it are in any order.
func nextMillisecond() { time.Sleep(2 * time.Millisecond) }

// open saves an event in a transaction that stays open.
func (c *client) open(t *testing.T, key string) eventsource.StoreTransaction {
	t.Helper()
	tx, err := c.repo.SaveTransaction(t.Context(), newEvent(key, "aggregate-"+key, 0, false))
	if err != nil {
		t.Fatalf("save %s: %v", key, err)
	}
	nextMillisecond()
	return tx
}

// keys reads what there is after a cursor, now.
func (c *client) keys(t *testing.T, cursor string) []string {
	t.Helper()
	events, err := c.repo.GetEventsBySequenceID(within(t), cursor, 0)
	if err != nil {
		t.Fatalf("read after %q: %v", cursor, err)
	}
	keys := []string{}
	for _, event := range allSeen(events) {
		keys = append(keys, event.Key)
	}
	return keys
}

// wantKeys checks what a reader is given, now.
func (c *client) wantKeys(t *testing.T, cursor string, want ...string) {
	t.Helper()
	if got := c.keys(t, cursor); !slices.Equal(got, want) {
		t.Errorf("a reader at %q is given %v, want %v", cursor, got, want)
	}
}

func (c *client) horizon(t *testing.T) eventsource.Horizon {
	t.Helper()
	h, err := c.store.Horizon(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// free says that nothing holds readers back.
func free(h eventsource.Horizon) bool {
	return h.HolderPID == 0 && h.Lag == 0 && h.SafeEnd == h.Head
}

// execute runs a statement.
func (c *client) execute(t *testing.T, statement string, arguments ...any) {
	t.Helper()
	if _, err := c.pool.Exec(within(t), statement, arguments...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// one returns the only value of a query.
func one[T any](t *testing.T, pool *pgxpool.Pool, query string, arguments ...any) T {
	t.Helper()
	var value T
	if err := pool.QueryRow(within(t), query, arguments...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for it, in vain: %s", patience, what)
		}
	}
}

// pidOf is the server's process behind a transaction.
func pidOf(t *testing.T, tx eventsource.StoreTransaction) int {
	t.Helper()
	return int(pgxOf(t, tx).Conn().PgConn().PID())
}

// wantOpen checks that the server has not ended a transaction.
func wantOpen(t *testing.T, tx eventsource.StoreTransaction) {
	t.Helper()
	if _, err := pgxOf(t, tx).Exec(within(t), "SELECT 1"); err != nil {
		t.Errorf("a transaction that was to be open: %v", err)
	}
}

func pgxOf(t *testing.T, tx eventsource.StoreTransaction) pgx.Tx {
	t.Helper()
	own, ok := sqlstore.Tx(tx)
	if !ok {
		t.Fatalf("%T is no transaction of PostgreSQL", tx)
	}
	return own
}

// newDatabase makes a database on a server and returns its URL.
func newDatabase(t *testing.T, serverURL, name, options string) string {
	t.Helper()
	conn, err := pgx.Connect(within(t), serverURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(within(t), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" "+options); err != nil {
		t.Fatal(err)
	}
	return withDatabase(t, serverURL, name)
}

func withDatabase(t *testing.T, rawURL, name string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// hosts returns a URL that lists several addresses of the server in rawURL, and has
// parameters, such as "target_session_attrs=read-write".
func hosts(t *testing.T, rawURL string, addresses []string, parameters ...string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = strings.Join(addresses, ",")
	u.RawQuery = strings.Join(append(parameters, u.RawQuery), "&")
	return u.String()
}

// networkTo is a network of a scenario's own.
func networkTo(t *testing.T, address string) *network {
	t.Helper()
	n, err := newNetwork(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	return n
}

// silence loses all that the server sends, until the network is renewed.
func (n *network) silence(t *testing.T) {
	t.Helper()
	if _, err := n.add("timeout", "downstream", map[string]any{"timeout": 0}); err != nil {
		t.Fatal(err)
	}
}

// renew cuts all connections. New ones are as they should be.
func (n *network) renew(t *testing.T) {
	t.Helper()
	n.proxy.Stop()
	n.proxy.Toxics.ResetToxics(within(t))
	if err := n.listen(within(t)); err != nil {
		t.Fatal(err)
	}
}

// answerLost begins to save an event through a network that then loses the answer. The
// client, which has one connection at most, has not been used yet. It returns once the
// event is stored, as the onlooker sees it. What the save returns, in the end, is on
// the channel.
func answerLost(t *testing.T, c *client, n *network, onlooker *client, event eventsource.Event) <-chan error {
	t.Helper()
	c.save(t, event.GetAggregateID()+"-before") // its connection has all it needs
	c.untilIdle(t)
	n.silence(t)
	result := make(chan error, 1)
	go func() { result <- c.repo.Save(context.WithoutCancel(t.Context()), event) }()
	eventually(t, "the event is stored", func() bool {
		return one[int](t, onlooker.pool, `SELECT count(*) FROM events WHERE aggregate_id = $1`, event.GetAggregateID()) == 1
	})
	select {
	case err := <-result:
		t.Fatalf("the answer was to be lost, but is %v", err)
	default:
	}
	return result
}

// untilIdle waits until nobody uses the connections of a client after its first save,
// which takes one twice, the second time to wake readers.
func (c *client) untilIdle(t *testing.T) {
	t.Helper()
	eventually(t, "the connections are idle", func() bool {
		stat := c.pool.Stat()
		return stat.AcquireCount() >= 3 && stat.AcquiredConns() == 0 // with testenv's own
	})
}

// receive waits for a save that answerLost began.
func receive(t *testing.T, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(2 * patience):
		t.Fatal("the save does not return")
		return nil
	}
}

// wantRefused checks that a save is known not to be stored.
func wantRefused(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, eventsource.ErrOutcomeUnknown) {
		t.Errorf("the save gets %v, want an error that says that nothing is stored", err)
	}
}

// cut disconnects a standby from its primary, and waits until it is.
func cut(t *testing.T, standby *pgxpool.Pool) {
	t.Helper()
	reconnect(t, standby, "")
	eventually(t, "the standby is disconnected", func() bool {
		return one[int](t, standby, `SELECT count(*) FROM pg_stat_wal_receiver`) == 0
	})
}

// reconnect sets where a standby connects to.
func reconnect(t *testing.T, standby *pgxpool.Pool, to string) {
	t.Helper()
	for _, statement := range []string{
		"ALTER SYSTEM SET primary_conninfo = '" + strings.ReplaceAll(to, "'", "''") + "'", "SELECT pg_reload_conf()",
	} {
		if _, err := standby.Exec(within(t), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// mixConfigs are those of workers that all use one URL.
func mixConfigs(t *testing.T, folder, url string, workers int) []Config {
	t.Helper()
	configs := configs(folder, seed(t), workers)
	for i := range configs {
		configs[i].URL = url
	}
	return configs
}

// goOn lets workers work until they have saved something, and for a while.
func goOn(t *testing.T, pool *pgxpool.Pool, while time.Duration) {
	t.Helper()
	count := func() int { return one[int](t, pool, `SELECT count(*) FROM events`) }
	before := count()
	time.Sleep(while)
	eventually(t, "workers save events", func() bool { return count() > before+20 })
}

// calm waits until nothing holds readers back. It starts no server.
func (c *client) calm(ctx context.Context) error {
	for {
		h, err := c.store.Horizon(ctx)
		if err == nil && free(h) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("readers are still held back: %+v, %w", h, errors.Join(err, ctx.Err()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// caughtUp waits until a standby has replayed all that its primary has written.
func caughtUp(t *testing.T, primary, standby *pgxpool.Pool) {
	t.Helper()
	written := one[string](t, primary, `SELECT pg_current_wal_lsn()::text`)
	eventually(t, "the standby has replayed everything", func() bool {
		return one[bool](t, standby, `SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn`, written)
	})
}
