package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// A PgBouncer gives a connection to the server to whoever has a transaction.
func TestBehindPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t, testenv.WithSettings(settings...))
	direct := newClient(t, cluster.URL())
	migrate(t, direct.pool)
	// Fewer connections than clients, so that they change hands.
	pooling := []string{"default_pool_size=3", "query_wait_timeout=20"}

	t.Run("with prepared statements", func(t *testing.T) {
		bouncer := bounce(t, cluster, append(pooling, "max_prepared_statements=200")...)
		for _, mode := range []pgx.QueryExecMode{
			pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
		} {
			t.Run(mode.String(), func(t *testing.T) { everythingWorks(t, bouncer, mode, direct) })
		}
		t.Run("a lost answer is looked up", func(t *testing.T) { aLostAnswerIsLookedUp(t, bouncer, direct) })
		t.Run("a save that is still under way is not said to have failed", func(t *testing.T) { aSaveIsStillUnderWay(t, bouncer, direct) })
		t.Run("nothing wrong is said of saves whose server is gone", func(t *testing.T) { nothingWrongIsSaid(t, bouncer, direct) })
		t.Run("wake-ups need a connection past it", func(t *testing.T) { wakeUpsNeedAnotherWay(t, bouncer, direct, cluster.URL()) })
	})
	t.Run("without prepared statements", func(t *testing.T) {
		bouncer := bounce(t, cluster, append(pooling, "max_prepared_statements=0")...)
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
			t.Run(mode.String(), func(t *testing.T) { everythingWorks(t, bouncer, mode, direct) })
		}
		t.Run("the default mode of pgx fails, but says nothing wrong", func(t *testing.T) {
			c := clientOn(testenv.Pool(t, bouncer, inMode(pgx.QueryExecModeCacheStatement)))
			if said := say(t, c, "unprepared"); said.check(t, direct) == nil {
				t.Error("everything works, but was not expected to")
			}
		})
	})
}

func bounce(t *testing.T, cluster *testenv.Cluster, settings ...string) (url string) {
	t.Helper()
	url, err := cluster.PgBouncer(t.Context(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func inMode(mode pgx.QueryExecMode) func(*pgxpool.Config) {
	return func(config *pgxpool.Config) {
		config.MaxConns = 10
		config.ConnConfig.DefaultQueryExecMode = mode
	}
}

func everythingWorks(t *testing.T, bouncer string, mode pgx.QueryExecMode, direct *client) {
	c := clientOn(testenv.Pool(t, bouncer, inMode(mode)))
	if err := say(t, c, mode.String()).check(t, direct); err != nil {
		t.Error(err)
	}
}

// said is what a client was told of its saves, by their keys.
type said struct {
	mu      sync.Mutex
	saves   map[string]error // of saves that were to be committed
	others  []error          // of all else
	claimed int
}

func (s *said) save(key string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves[key] = err
}

func (s *said) other(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.others = append(s.others, fmt.Errorf("%s: %w", what, err))
	}
}

// say uses everything there is, at the same time.
func say(t *testing.T, c *client, name string) *said {
	t.Helper()
	s := &said{saves: make(map[string]error)}
	ctx := within(t)
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			for round := range 4 {
				key := fmt.Sprintf("%s-%d-%d", name, worker, round)
				event := func(what string) eventsource.Event { return newEvent(key+what, "aggregate-"+key, 0, worker == 1) }
				s.save(key+" saved", c.repo.Save(ctx, event(" saved")))
				s.save(key+" committed", c.end(ctx, event(" committed"), eventsource.StoreTransaction.Commit))
				s.other("roll back", c.end(ctx, event(" rolled back"), eventsource.StoreTransaction.Rollback))
				s.save(key+" own", c.own(ctx, event(" own"), event(" rolled back")))
				s.other("notify", c.store.Notify(ctx))
				s.other("read", c.read(ctx, "aggregate-"+key))
			}
		})
	}
	wg.Wait()
	return s
}

func (c *client) end(ctx context.Context, event eventsource.Event, end func(eventsource.StoreTransaction) error) error {
	tx, err := c.repo.SaveTransaction(ctx, event)
	if err != nil {
		return err
	}
	time.Sleep(time.Millisecond)
	return end(tx)
}

// own saves an event in a transaction of the caller's own, and another one for nothing.
func (c *client) own(ctx context.Context, event, rolledBack eventsource.Event) error {
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		repo := eventsource.NewRepository(c.store.WithTx(tx), serializer())
		part, err := repo.SaveTransaction(ctx, rolledBack)
		if err == nil {
			err = part.Rollback()
		}
		return errors.Join(err, repo.Save(ctx, event))
	})
}

// read reads in all ways.
func (c *client) read(ctx context.Context, aggregate string) error {
	var loaded collected
	_, err := c.repo.Load(ctx, aggregate, &loaded)
	_, pageErr := c.repo.GetEventsBySequenceID(ctx, "", 10)
	_, typeErr := c.repo.GetEventsBySequenceIDAndType(ctx, "", &Noted{}, 10)
	_, horizonErr := c.store.Horizon(ctx)
	err = errors.Join(err, pageErr, typeErr, horizonErr)
	last := ""
	for event, streamErr := range c.repo.Events(ctx, eventsource.Query{}) {
		if streamErr != nil {
			return errors.Join(err, streamErr)
		}
		if event.GetSequenceID() <= last {
			return fmt.Errorf("%s comes after %s", event.GetSequenceID(), last)
		}
		last = event.GetSequenceID()
	}
	return err
}

// check fails the test if something wrong was said, and returns the errors that were.
func (s *said) check(t *testing.T, direct *client) error {
	t.Helper()
	stored := direct.keys(t, "")
	slices.Sort(stored)
	var errs []error
	for key, err := range s.saves {
		_, is := slices.BinarySearch(stored, key)
		switch {
		case err == nil && !is:
			t.Errorf("%s is not stored, but was said to be", key)
		case err != nil && is && !errors.Is(err, eventsource.ErrOutcomeUnknown):
			t.Errorf("%s is stored, but was said not to be: %v", key, err)
		}
		if err != nil {
			errs = append(errs, err)
		} else {
			s.claimed++
		}
	}
	if slices.ContainsFunc(stored, func(key string) bool { return strings.HasSuffix(key, "rolled back") }) {
		t.Errorf("something that was rolled back is stored")
	}
	return errors.Join(append(errs, s.others...)...)
}

func aLostAnswerIsLookedUp(t *testing.T, bouncer string, direct *client) {
	u, err := url.Parse(bouncer)
	if err != nil {
		t.Fatal(err)
	}
	n := networkTo(t, u.Host)
	pool := testenv.Pool(t, through(bouncer, n.address()), func(config *pgxpool.Config) { config.MaxConns = 1 })
	event := newEvent("unanswered", "unanswered", 0, false)
	result := answerLost(t, clientOn(pool, sqlstore.WithOutcomeTimeout(patience)), n, direct, event)
	n.renew(t)
	if err := receive(t, result); err != nil {
		t.Errorf("a save that is stored gets %v", err)
	}
	if event.GetSequenceID() == "" {
		t.Error("the event has no sequence ID")
	}
}

// aSaveIsStillUnderWay: the server's process that once served a connection is gone,
// but another one is at the save.
func aSaveIsStillUnderWay(t *testing.T, bouncer string, direct *client) {
	u, err := url.Parse(bouncer)
	if err != nil {
		t.Fatal(err)
	}
	n := networkTo(t, u.Host)
	pool := testenv.Pool(t, through(bouncer, n.address()), func(config *pgxpool.Config) { config.MaxConns = 1 })
	c := clientOn(pool, sqlstore.WithOutcomeTimeout(500*time.Millisecond))
	c.save(t, "served by the first")
	c.untilIdle(t)
	const first = `FROM pg_stat_activity WHERE backend_type = 'client backend' AND client_addr IS NULL AND backend_start < $1`
	now := one[time.Time](t, direct.pool, "SELECT clock_timestamp()")
	direct.execute(t, "SELECT pg_terminate_backend(pid) "+first, now)
	other := testenv.Pool(t, bouncer)
	eventually(t, "PgBouncer has noticed", func() bool {
		_, err := other.Exec(within(t), "SELECT 1")
		return err == nil && one[int](t, direct.pool, "SELECT count(*) "+first, now) == 0
	})

	lock, err := direct.pool.Begin(within(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(context.Background()) }()
	if _, err := lock.Exec(within(t), "LOCK TABLE events IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		result <- c.repo.Save(context.WithoutCancel(t.Context()), newEvent("under way", "under way", 0, false))
	}()
	eventually(t, "the save waits for as long as it takes", func() bool {
		return one[int](t, direct.pool, `SELECT count(*) FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '300 ms'`) == 1
	})
	n.renew(t)
	if err := receive(t, result); !errors.Is(err, eventsource.ErrOutcomeUnknown) {
		t.Errorf("the save gets %v, want ErrOutcomeUnknown", err)
	}
	if err := lock.Commit(within(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the save is stored after all", func() bool { return slices.Contains(direct.keys(t, ""), "under way") })
}

func nothingWrongIsSaid(t *testing.T, bouncer string, direct *client) {
	c := clientOn(testenv.Pool(t, bouncer), sqlstore.WithOutcomeTimeout(200*time.Millisecond))
	ctx, enough := context.WithCancel(within(t))
	defer enough()
	s := &said{saves: make(map[string]error)}
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				key := fmt.Sprintf("terminated-%d-%d", worker, round)
				event := newEvent(key, "aggregate-"+key, 0, false)
				if worker%2 == 0 {
					s.save(key, c.repo.Save(within(t), event))
				} else {
					s.save(key, c.end(within(t), event, eventsource.StoreTransaction.Commit))
				}
			}
		})
	}
	terminated := 0
	for terminated < 10 && ctx.Err() == nil {
		terminated += one[int](t, direct.pool, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()`)
		time.Sleep(5 * time.Millisecond)
	}
	enough()
	wg.Wait()
	err := s.check(t, direct)
	t.Logf("%d of %d saves are stored, %d processes were terminated", s.claimed, len(s.saves), terminated)
	if err == nil || s.claimed == 0 {
		t.Error("too little happened for the check to mean anything")
	}
}

// wakeUpsNeedAnotherWay: what is sent to listeners arrives at PgBouncer, which does
// not know for whom it is. A store on a pool past it hears of all saves.
func wakeUpsNeedAnotherWay(t *testing.T, bouncer string, direct *client, url string) {
	stray := make(chan string, 1000)
	c := clientOn(testenv.Pool(t, bouncer, func(config *pgxpool.Config) {
		config.ConnConfig.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
			select {
			case stray <- n.Channel:
			default:
			}
		}
	}))
	through, err := clientOn(testenv.Pool(t, bouncer)).store.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	past, err := newClient(t, url).store.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cursor := direct.horizon(t).Head
	for i := range 20 {
		key := fmt.Sprint("watched-", i)
		id := c.save(t, key)
		c.wantKeys(t, cursor, key) // polling does not need any wake-up
		cursor = id
	}
	select {
	case <-past:
	case <-time.After(patience):
		t.Error("the store past PgBouncer is not woken")
	}
	woken := 0
	for range 10 {
		select {
		case <-through:
			woken++
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Logf("%d wake-ups came through PgBouncer, %d to those who did not ask", woken, len(stray))
}
