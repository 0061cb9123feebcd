package sqlprojection_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// bankPaid and bankNoted are events of the tests below; the balances are of the first only.
type bankPaid struct {
	eventsource.BaseEvent
	Amount int `json:"amount"`
}

type bankNoted struct {
	eventsource.BaseEvent
}

func paid(account string, amount int) *bankPaid {
	return &bankPaid{BaseEvent: eventsource.BaseEvent{AggregateID: account}, Amount: amount}
}

// bankTables are those of version %d of the read model. Nothing keeps an event from being
// handled twice.
const bankTables = `
	CREATE TABLE balances_%[1]d (account text PRIMARY KEY, amount bigint NOT NULL);
	CREATE TABLE handled_%[1]d (sequence_id text NOT NULL)`

// bankSerializer is that of all banks.
func bankSerializer() eventsource.Serializer {
	return json.NewSerializer(&bankPaid{}, &bankNoted{})
}

// pay writes an event into the tables of a version.
func pay(ctx context.Context, tx pgx.Tx, version int, e *bankPaid) error {
	if _, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO handled_%d VALUES ($1)`, version), e.SequenceID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO balances_%d AS b VALUES ($1, $2)
		ON CONFLICT (account) DO UPDATE SET amount = b.amount + excluded.amount`, version), e.AggregateID, e.Amount)
	return err
}

// balances is a version of the read model. Before, if there is any, is called first.
func balances(version int, before func(ctx context.Context, tx pgx.Tx, e *bankPaid) error) sqlprojection.InlineProjection {
	return sqlprojection.InlineProjection{Name: "balances", Version: version, Handler: sqlprojection.On(
		func(ctx context.Context, tx pgx.Tx, e *bankPaid) error {
			if before != nil {
				if err := before(ctx, tx, e); err != nil {
					return err
				}
			}
			return pay(ctx, tx, version, e)
		})}
}

// bank is a process that saves events, with an inline projection.
type bank struct {
	t       *testing.T
	pool    *pgxpool.Pool
	inline  *sqlprojection.Inline
	store   *sqlstore.Store
	repo    eventsource.Repository
	options []projection.Option
}

// newBank opens a bank on a database with all tables.
func newBank(t *testing.T, url string, projections ...sqlprojection.InlineProjection) *bank {
	t.Helper()
	pool := testenv.Pool(t, url, func(c *pgxpool.Config) { c.MaxConns = 12 })
	b := &bank{t: t, pool: pool, options: []projection.Option{projection.WithLogger(slog.New(slog.DiscardHandler))}}
	b.inline = sqlprojection.NewInline(sqlprojection.NewCheckpoints(pool), bankSerializer(), projections...)
	b.store = sqlstore.New(pool, sqlstore.WithInTransaction(b.inline.Handle))
	b.repo = eventsource.NewRepository(b.store, bankSerializer())
	return b
}

// newBankDatabase makes the tables, those of versions 1 and 2 of the read model too.
func newBankDatabase(t *testing.T) (url string) {
	t.Helper()
	url = testenv.Postgres(t)
	pool := migrated(t, url)
	for version := 1; version <= 2; version++ {
		if _, err := pool.Exec(t.Context(), fmt.Sprintf(bankTables, version)); err != nil {
			t.Fatal(err)
		}
	}
	return url
}

// rebuild has a version built, and waits for it no longer than a minute.
func (b *bank) rebuild(version int) error {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	return b.inline.Rebuild(ctx, b.repo, "balances", version, b.options...)
}

func (b *bank) mustRebuild(version int) {
	b.t.Helper()
	if err := b.rebuild(version); err != nil {
		b.t.Fatal(err)
	}
}

// save saves in one of the ways that there are.
func (b *bank) save(ctx context.Context, way int, events ...eventsource.Event) error {
	end := func(tx eventsource.StoreTransaction, err error) error {
		if err != nil {
			return err
		}
		return tx.Commit()
	}
	switch way % bankWays {
	case 0:
		return b.repo.Save(ctx, events...)
	case 1:
		return end(b.repo.SaveTransaction(ctx, events...))
	default:
		return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
			return end(eventsource.NewRepository(b.store.WithTx(tx), bankSerializer()).SaveTransaction(ctx, events...))
		})
	}
}

const bankWays = 3

// mistakes are the events that version %d of the read model has not handled once, and
// the accounts whose balance is not the sum of their events.
const mistakes = `
	WITH paid AS (
		SELECT sequence_id, aggregate_id, (convert_from(data, 'UTF8')::jsonb ->> 'amount')::bigint AS amount
		FROM events WHERE type = 'bankPaid'
	), handled AS (SELECT sequence_id, count(*) AS times FROM handled_%[1]d GROUP BY sequence_id)
	SELECT
		(SELECT count(*) FROM paid),
		(SELECT count(*) FROM paid FULL JOIN handled USING (sequence_id) WHERE amount IS NULL OR times IS DISTINCT FROM 1),
		(SELECT count(*) FROM (SELECT aggregate_id AS account, sum(amount) AS amount FROM paid GROUP BY 1) s
			FULL JOIN balances_%[1]d b USING (account) WHERE s.amount IS DISTINCT FROM b.amount)`

// check compares a version of the read model with the events, in one snapshot. It
// returns how many events there are.
func (b *bank) check(version int) (events int) {
	b.t.Helper()
	var wrongEvents, wrongAccounts int
	err := pgx.BeginTxFunc(b.t.Context(), b.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		return tx.QueryRow(b.t.Context(), fmt.Sprintf(mistakes, version)).Scan(&events, &wrongEvents, &wrongAccounts)
	})
	if err != nil || wrongEvents != 0 || wrongAccounts != 0 {
		b.t.Errorf("version %d: of %d events %d were not handled once, %d balances are wrong, %v", version, events, wrongEvents, wrongAccounts, err)
	}
	return events
}

// count gives a number out of the database.
func (b *bank) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// saveUntil has savers save in all ways, some of it to accounts that all use, with
// transactions that stay open for a moment and some that are rolled back, until stop.
func (b *bank) saveUntil(stop <-chan struct{}, savers int) *sync.WaitGroup {
	var saving sync.WaitGroup
	for saver := range savers {
		saving.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				own, shared := paid(fmt.Sprint("account ", saver), rand.IntN(100)), paid(fmt.Sprint("shared ", rand.IntN(3)), 1)
				events := []eventsource.Event{own, &bankNoted{eventsource.BaseEvent{AggregateID: own.AggregateID}}, shared}
				var err error
				if n%4 == 3 {
					err = b.hold(events...)
				} else {
					err = b.save(b.t.Context(), rand.IntN(bankWays), events...)
				}
				if sqlState(err) == "40P01" {
					continue // WithTx leaves it to the caller to try again
				}
				if err != nil {
					b.t.Errorf("a save: %v", err)
					return
				}
			}
		})
	}
	return &saving
}

// hold keeps a transaction open for a moment, and then commits it or not.
func (b *bank) hold(events ...eventsource.Event) error {
	tx, err := b.repo.SaveTransaction(b.t.Context(), events...)
	if err != nil {
		return err
	}
	time.Sleep(rand.N(10 * time.Millisecond))
	if rand.IntN(3) == 0 {
		return tx.Rollback()
	}
	return tx.Commit()
}

func sqlState(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

func TestAnInlineReadModelIsLevelWithTheEventsAtEveryMoment(t *testing.T) {
	b := newBank(t, newBankDatabase(t), balances(1, nil))
	b.mustRebuild(1)
	stop := make(chan struct{})
	saving := b.saveUntil(stop, 4)
	for looks, events := 0, 0; (looks < 100 || events < 200) && !t.Failed(); looks++ {
		events = b.check(1)
	}
	close(stop)
	saving.Wait()
	b.check(1)
}

func TestARebuildHandlesEachEventOnceWhileOthersSaveAndRebuild(t *testing.T) {
	url := newBankDatabase(t)
	var banks []*bank
	for range 3 {
		banks = append(banks, newBank(t, url, balances(1, nil), balances(2, nil)))
	}
	b := banks[0]
	for n := range 50 {
		if err := b.save(t.Context(), n, paid(fmt.Sprint("old ", n%5), n)); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.count(`SELECT count(*) FROM handled_1`); n != 0 {
		t.Fatalf("%d events were handled before the projection was active", n)
	}
	stop := make(chan struct{})
	var saving []*sync.WaitGroup
	for _, b := range banks {
		saving = append(saving, b.saveUntil(stop, 2))
	}
	events := 0
	for version := 1; version <= 2; version++ {
		var rebuilding sync.WaitGroup
		for _, b := range banks {
			rebuilding.Go(func() {
				if err := b.rebuild(version); err != nil {
					t.Errorf("rebuild of version %d: %v", version, err)
				}
			})
		}
		rebuilding.Wait()
		before := b.count(`SELECT count(*) FROM events`)
		eventually(t, "more events", func() bool { return t.Failed() || b.count(`SELECT count(*) FROM events`) > before+100 })
		b.check(version)
		if version == 1 {
			events = before
		}
	}
	close(stop)
	for _, s := range saving {
		s.Wait()
	}
	b.check(2)
	if active, err := b.inline.Active(t.Context(), "balances"); active != 2 || err != nil {
		t.Errorf("version %d is active, %v", active, err)
	}
	if n := b.count(`SELECT count(*) FROM handled_2`); n <= events/4 {
		t.Errorf("only %d events were handled", n)
	}
	if n := b.count(`SELECT count(*) FROM events_projections WHERE name LIKE 'balances:inline:%'`); n != 0 {
		t.Errorf("%d rows of the rebuilds are left", n)
	}
}

// underLock reports whether a handler works in the last step of a rebuild.
func underLock(ctx context.Context, tx pgx.Tx) (locked bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks
		WHERE pid = pg_backend_pid() AND relation = 'events'::regclass AND mode = 'ShareLock' AND granted)`).Scan(&locked)
	return locked, err
}

// waitingFor counts those who wait for a lock on the events.
const waitingFor = `SELECT count(*) FROM pg_locks WHERE relation = 'events'::regclass AND mode = $1 AND NOT granted`

func TestARebuildWaitsForSavesThatAreOpenAndLaterOnesWaitForIt(t *testing.T) {
	arrived, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b := newBank(t, newBankDatabase(t), balances(1, func(ctx context.Context, tx pgx.Tx, _ *bankPaid) error {
		locked, err := underLock(ctx, tx)
		if locked {
			once.Do(func() {
				close(arrived)
				<-released
			})
		}
		return err
	}))
	if err := b.save(t.Context(), 0, paid("old", 1)); err != nil {
		t.Fatal(err)
	}
	open, err := b.repo.SaveTransaction(t.Context(), paid("open", 1)) // it has seen that version 1 is not active
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := make(chan error, 1)
	go func() { rebuilt <- b.rebuild(1) }()
	for held := false; !held; {
		eventually(t, "the rebuild to wait for the transaction", func() bool {
			select {
			case err := <-rebuilt:
				t.Fatalf("the rebuild did not wait for an open transaction: %v", err)
			default:
			}
			return b.count(waitingFor, "ShareLock") > 0
		})
		if err := open.Commit(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-arrived: // the last step handles what was committed
			held = true
		case <-time.After(300 * time.Millisecond): // it had just given up: once more
			if open, err = b.repo.SaveTransaction(t.Context(), paid("open", 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	saved := make(chan error, bankWays)
	for way := range bankWays {
		go func() { saved <- b.save(t.Context(), way, paid(fmt.Sprint("late ", way), 1)) }()
	}
	eventually(t, "the saves to wait for the rebuild", func() bool { return b.count(waitingFor, "RowExclusiveLock") == bankWays })
	close(released)
	for range bankWays {
		if err := <-saved; err != nil {
			t.Error(err)
		}
	}
	if err := <-rebuilt; err != nil {
		t.Error(err)
	}
	if n := b.check(1); n < 2+bankWays {
		t.Errorf("%d events are stored", n)
	}
}

// A process that still works on the rebuild when another one finishes it has its lease
// taken away. This one knows nothing of inline projections.
func TestAProjectionThatStillRunsElsewhereHandlesNothingAfterARebuild(t *testing.T) {
	url := newBankDatabase(t)
	b, elsewhere := newBank(t, url, balances(1, nil)), newBank(t, url, balances(1, nil))
	if err := b.save(t.Context(), 0, paid("old", 1)); err != nil {
		t.Fatal(err)
	}
	running := projection.New("balances:inline:1", elsewhere.repo, balances(1, nil).Handler,
		append(b.options, projection.WithCheckpoints(sqlprojection.NewCheckpoints(elsewhere.pool)), projection.WithPollInterval(10*time.Millisecond))...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx) }()
	eventually(t, "the other process to handle what there is", func() bool { return b.count(`SELECT count(*) FROM handled_1`) == 1 })

	open, err := b.repo.SaveTransaction(t.Context(), paid("open", 1))
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := make(chan error, 1)
	go func() { rebuilt <- b.rebuild(1) }()
	eventually(t, "the rebuild to wait for the transaction", func() bool { return b.count(waitingFor, "ShareLock") > 0 })
	if err := open.Commit(); err != nil {
		t.Error(err)
	}
	if err := <-rebuilt; err != nil {
		t.Error(err)
	}
	for n := range bankWays {
		if err := b.save(t.Context(), n, paid("new", 1)); err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-ended:
		if !errors.Is(err, projection.ErrSuperseded) {
			t.Errorf("the other process ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the other process goes on")
	}
	b.check(1)
}

func TestARebuildThatBeginsWhileAnotherOneFinishesHandlesNothing(t *testing.T) {
	url := newBankDatabase(t)
	b, late := newBank(t, url, balances(1, nil)), newBank(t, url, balances(1, nil))
	for n := range 10 {
		if err := b.save(t.Context(), n, paid("old", 1)); err != nil {
			t.Fatal(err)
		}
	}
	// The late one looks for the last event and at the state, and is then held up.
	var acquired atomic.Int32
	arrived, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	late.pool = testenv.Pool(t, url, func(c *pgxpool.Config) {
		c.PrepareConn = func(context.Context, *pgx.Conn) (bool, error) {
			if acquired.Add(1) > 3 { // one is the test's own
				once.Do(func() { close(arrived) })
				<-released
			}
			return true, nil
		}
	})
	late.inline = sqlprojection.NewInline(sqlprojection.NewCheckpoints(late.pool), bankSerializer(), balances(1, nil))
	rebuilt := make(chan error, 1)
	go func() { rebuilt <- late.rebuild(1) }()
	<-arrived
	b.mustRebuild(1)
	close(released)
	if err := <-rebuilt; err != nil {
		t.Error(err)
	}
	if n := b.check(1); n != 10 {
		t.Errorf("%d events are stored", n)
	}
	if n := b.count(`SELECT count(*) FROM events_projections WHERE name LIKE 'balances:inline:%'`); n != 0 {
		t.Errorf("%d rows of the rebuilds are left", n)
	}
}

func TestARebuildWhoseConnectionBreaksInItsLastStepGoesOn(t *testing.T) {
	var broken atomic.Int32
	b := newBank(t, newBankDatabase(t), balances(1, nil), balances(2, func(ctx context.Context, tx pgx.Tx, _ *bankPaid) error {
		locked, err := underLock(ctx, tx)
		if locked && broken.Add(1) <= 2 {
			_, err = tx.Exec(ctx, `SELECT pg_terminate_backend(pg_backend_pid())`)
		}
		return err
	}))
	b.mustRebuild(1)
	stop := make(chan struct{})
	saving := b.saveUntil(stop, 3)
	if err := b.rebuild(2); err != nil {
		t.Error(err)
	}
	close(stop)
	saving.Wait()
	b.check(2)
}

func TestAFailingInlineHandlerStoresNothing(t *testing.T) {
	errBroken := errors.New("broken")
	var fail atomic.Bool
	for name, broken := range map[string]func(ctx context.Context, tx pgx.Tx) error{
		"an error": func(context.Context, pgx.Tx) error { return errBroken },
		"a panic":  func(context.Context, pgx.Tx) error { panic(errBroken) },
		"a statement that fails and is not reported": func(ctx context.Context, tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, `SELECT 1/0`)
			return nil
		},
		"an attempt to commit": func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			fail.Store(false)
			b := newBank(t, newBankDatabase(t), balances(1, func(ctx context.Context, tx pgx.Tx, e *bankPaid) error {
				if fail.Load() && e.Amount < 0 {
					return broken(ctx, tx)
				}
				return nil
			}))
			b.mustRebuild(1)
			fail.Store(true)
			for way := range bankWays {
				err := b.save(t.Context(), way, paid("a", 1), paid("b", -1))
				var panicked *projection.PanicError
				switch {
				case err == nil:
					t.Errorf("way %d: it was saved", way)
				case name == "an error" && !errors.Is(err, errBroken):
					t.Errorf("way %d: %v", way, err)
				case name == "a panic" && (!errors.Is(err, errBroken) || !errors.As(err, &panicked) || len(panicked.Stack) == 0):
					t.Errorf("way %d: %v", way, err)
				case name == "an attempt to commit" && !errors.Is(err, sqlprojection.ErrNotInControl):
					t.Errorf("way %d: %v", way, err)
				}
				if err := b.save(t.Context(), way, paid("a", 1)); err != nil {
					t.Errorf("way %d, afterwards: %v", way, err)
				}
			}
			if n := b.check(1); n != bankWays {
				t.Errorf("%d events are stored", n)
			}
		})
	}
}

func TestARebuildWhoseHandlerFailsChangesNothing(t *testing.T) {
	errBroken := errors.New("broken")
	var fail atomic.Bool
	fail.Store(true)
	b := newBank(t, newBankDatabase(t), balances(1, nil), balances(2, func(context.Context, pgx.Tx, *bankPaid) error {
		if fail.Load() {
			return projection.Permanent(errBroken)
		}
		return nil
	}))
	b.mustRebuild(1)
	if err := b.save(t.Context(), 0, paid("a", 1)); err != nil {
		t.Fatal(err)
	}
	if err := b.rebuild(2); !errors.Is(err, errBroken) || !errors.Is(err, projection.ErrEventFailed) {
		t.Errorf("Rebuild = %v", err)
	}
	if active, err := b.inline.Active(t.Context(), "balances"); active != 1 || err != nil {
		t.Errorf("version %d is active, %v", active, err)
	}
	if err := b.save(t.Context(), 0, paid("a", 1)); err != nil {
		t.Error(err)
	}
	b.check(1)
	fail.Store(false)
	b.mustRebuild(2)
	b.check(2)
}

func TestASaveByAProcessWithoutTheActiveVersionFails(t *testing.T) {
	url := newBankDatabase(t)
	old, both := newBank(t, url, balances(1, nil)), newBank(t, url, balances(1, nil), balances(2, nil))
	old.mustRebuild(1)
	for way := range bankWays {
		if err := old.save(t.Context(), way, paid("a", 1)); err != nil {
			t.Fatal(err)
		}
	}
	both.mustRebuild(2)
	for way := range bankWays {
		// Also one whose types its own version does not ask for.
		for _, event := range []eventsource.Event{paid("a", 1), &bankNoted{eventsource.BaseEvent{AggregateID: "a"}}} {
			err := old.save(t.Context(), way, event)
			var version *sqlprojection.InlineVersionError
			if !errors.Is(err, sqlprojection.ErrInlineVersion) || !errors.As(err, &version) ||
				version.Projection != "balances" || version.Active != 2 || !slices.Equal(version.Known, []int{1}) {
				t.Errorf("way %d: %v", way, err)
			}
		}
		if err := both.save(t.Context(), way, paid("a", 1)); err != nil {
			t.Error(err)
		}
	}
	if n := both.check(2); n != 2*bankWays {
		t.Errorf("%d events are stored", n)
	}
}

func TestAVersionIsBuiltOnceAndNeverAgain(t *testing.T) {
	b := newBank(t, newBankDatabase(t), balances(1, nil), balances(2, nil))
	if active, err := b.inline.Active(t.Context(), "balances"); active != 0 || err != nil {
		t.Errorf("version %d is active, %v", active, err)
	}
	b.mustRebuild(1)
	if err := b.save(t.Context(), 0, paid("a", 1)); err != nil {
		t.Fatal(err)
	}
	b.mustRebuild(1)
	b.check(1)
	if err := b.inline.Deactivate(t.Context(), "balances"); err != nil {
		t.Fatal(err)
	}
	if err := b.save(t.Context(), 0, paid("a", 1)); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM handled_1`); n != 1 {
		t.Errorf("%d events were handled, one of them while nothing was active", n)
	}
	if err := b.rebuild(1); !errors.Is(err, projection.ErrSuperseded) {
		t.Errorf("Rebuild of a version that has missed an event = %v", err)
	}
	b.mustRebuild(2)
	b.check(2)
	if err := b.rebuild(1); !errors.Is(err, projection.ErrSuperseded) {
		t.Errorf("Rebuild of a lower version = %v", err)
	}
	if err := b.rebuild(3); !errors.Is(err, projection.ErrUnknown) {
		t.Errorf("Rebuild of a version that is not there = %v", err)
	}
	if err := b.inline.Deactivate(t.Context(), "others"); !errors.Is(err, projection.ErrUnknown) {
		t.Errorf("Deactivate of a projection that is not there = %v", err)
	}
}

func TestARebuildEndsWithItsContext(t *testing.T) {
	b := newBank(t, newBankDatabase(t), balances(1, nil))
	open, err := b.repo.SaveTransaction(t.Context(), paid("open", 1))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	rebuilt := make(chan error, 1)
	go func() { rebuilt <- b.inline.Rebuild(ctx, b.repo, "balances", 1, b.options...) }()
	eventually(t, "the rebuild to wait for the transaction", func() bool { return b.count(waitingFor, "ShareLock") > 0 })
	cancel()
	if err := <-rebuilt; !errors.Is(err, context.Canceled) {
		t.Errorf("Rebuild = %v", err)
	}
	if err := open.Commit(); err != nil {
		t.Error(err)
	}
	b.mustRebuild(1)
	b.check(1)
}

func TestARebuildThatWaitsForATransactionLetsSavesPass(t *testing.T) {
	b := newBank(t, newBankDatabase(t), balances(1, nil))
	open, err := b.repo.SaveTransaction(t.Context(), paid("open", 1))
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := make(chan error, 1)
	go func() { rebuilt <- b.rebuild(1) }()
	eventually(t, "the rebuild to wait for the transaction", func() bool { return b.count(waitingFor, "ShareLock") > 0 })
	for way := range bankWays {
		if err := b.save(t.Context(), way, paid("other", 1)); err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-rebuilt:
		t.Errorf("the rebuild has ended with %v", err)
	default:
	}
	if err := open.Commit(); err != nil {
		t.Error(err)
	}
	if err := <-rebuilt; err != nil {
		t.Error(err)
	}
	b.check(1)
}

func TestSeveralInlineProjectionsAreIndependent(t *testing.T) {
	url := newBankDatabase(t)
	var notes, all []string
	b := newBank(t, url, balances(1, nil),
		sqlprojection.InlineProjection{Name: "notes", Version: 4, Handler: sqlprojection.Batch(
			func(_ context.Context, _ pgx.Tx, events []eventsource.Event) error {
				for _, event := range events {
					notes = append(notes, event.GetSequenceID())
				}
				return nil
			}, &bankNoted{})},
		sqlprojection.InlineProjection{Name: "all", Version: 1, Handler: sqlprojection.Each(
			func(_ context.Context, _ pgx.Tx, event eventsource.Event) error {
				all = append(all, event.GetSequenceID())
				return nil
			})},
	)
	for name, version := range map[string]int{"notes": 4, "all": 1} {
		if err := b.inline.Rebuild(t.Context(), b.repo, name, version, b.options...); err != nil {
			t.Fatal(err)
		}
	}
	note, payment := &bankNoted{eventsource.BaseEvent{AggregateID: "a"}}, paid("a", 1)
	if err := b.repo.Save(t.Context(), payment, note); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(notes, []string{note.SequenceID}) || !slices.Equal(all, []string{payment.SequenceID, note.SequenceID}) {
		t.Errorf("notes got %v, all got %v, of %v and %v", notes, all, payment.SequenceID, note.SequenceID)
	}
	if n := b.count(`SELECT count(*) FROM handled_1`); n != 0 {
		t.Errorf("%d events were handled by a projection that is not active", n)
	}
}

func TestARebuildThatMayNotLockTheEventsSaysWhatItNeeds(t *testing.T) {
	url := newBankDatabase(t)
	owner := newBank(t, url, balances(1, nil))
	role := fmt.Sprintf("es_test_inline_%d", time.Now().UnixNano())
	schema := ""
	if err := owner.pool.QueryRow(t.Context(), `SELECT current_schema()`).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`CREATE ROLE ` + role,
		`GRANT USAGE ON SCHEMA ` + schema + ` TO ` + role,
		`GRANT SELECT, INSERT ON events TO ` + role,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON events_projections, events_parked, balances_1, handled_1 TO ` + role,
	} {
		if _, err := owner.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, statement := range []string{`DROP OWNED BY ` + role, `DROP ROLE ` + role} {
			if _, err := owner.pool.Exec(context.Background(), statement); err != nil {
				t.Error(err)
			}
		}
	})
	pool := testenv.Pool(t, url, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["role"] = role })
	inline := sqlprojection.NewInline(sqlprojection.NewCheckpoints(pool), bankSerializer(), balances(1, nil))
	repo := eventsource.NewRepository(sqlstore.New(pool, sqlstore.WithInTransaction(inline.Handle)), bankSerializer())
	if err := repo.Save(t.Context(), paid("a", 1)); err != nil {
		t.Fatal(err)
	}
	err := inline.Rebuild(t.Context(), repo, "balances", 1, owner.options...)
	if err == nil || !strings.Contains(err.Error(), "UPDATE") {
		t.Errorf("Rebuild = %v", err)
	}
	if _, err := owner.pool.Exec(t.Context(), `GRANT UPDATE ON events TO `+role); err != nil {
		t.Fatal(err)
	}
	if err := inline.Rebuild(t.Context(), repo, "balances", 1, owner.options...); err != nil {
		t.Error(err)
	}
	owner.check(1)
}

func TestInlineProjectionsThatCannotBeAreRefused(t *testing.T) {
	pool := testenv.Pool(t, testenv.Postgres(t))
	checkpoints := sqlprojection.NewCheckpoints(pool)
	good := balances(1, nil)
	with := func(change func(*sqlprojection.InlineProjection)) []sqlprojection.InlineProjection {
		p := good
		change(&p)
		return []sqlprojection.InlineProjection{p}
	}
	for name, inline := range map[string]*sqlprojection.Inline{
		"no checkpoints":         sqlprojection.NewInline(nil, bankSerializer(), good),
		"checkpoints of no pool": sqlprojection.NewInline(sqlprojection.NewCheckpoints(nil), bankSerializer(), good),
		"no serializer":          sqlprojection.NewInline(checkpoints, nil, good),
		"no projection":          sqlprojection.NewInline(checkpoints, bankSerializer()),
		"one twice":              sqlprojection.NewInline(checkpoints, bankSerializer(), good, good),
		"no name":                sqlprojection.NewInline(checkpoints, bankSerializer(), with(func(p *sqlprojection.InlineProjection) { p.Name = "" })...),
		"a long name":            sqlprojection.NewInline(checkpoints, bankSerializer(), with(func(p *sqlprojection.InlineProjection) { p.Name = strings.Repeat("x", 201) })...),
		"a name with NUL":        sqlprojection.NewInline(checkpoints, bankSerializer(), with(func(p *sqlprojection.InlineProjection) { p.Name = "\x00" })...),
		"version 0":              sqlprojection.NewInline(checkpoints, bankSerializer(), with(func(p *sqlprojection.InlineProjection) { p.Version = 0 })...),
		"no handler":             sqlprojection.NewInline(checkpoints, bankSerializer(), with(func(p *sqlprojection.InlineProjection) { p.Handler = nil })...),
		"a handler of nothing":   sqlprojection.NewInline(checkpoints, bankSerializer(), with(func(p *sqlprojection.InlineProjection) { p.Handler = sqlprojection.Each(nil) })...),
		"a handler without tx": sqlprojection.NewInline(checkpoints, bankSerializer(), with(func(p *sqlprojection.InlineProjection) {
			p.Handler = projection.Each(func(context.Context, eventsource.Event) error { return nil })
		})...),
	} {
		t.Run(name, func(t *testing.T) {
			repo := eventsource.NewRepository(sqlstore.New(pool, sqlstore.WithInTransaction(inline.Handle)), bankSerializer())
			_, activeErr := inline.Active(t.Context(), "balances")
			for method, err := range map[string]error{
				"Err": inline.Err(), "Active": activeErr, "Deactivate": inline.Deactivate(t.Context(), "balances"),
				"Handle": inline.Handle(t.Context(), nil, nil), "Rebuild": inline.Rebuild(t.Context(), repo, "balances", 1),
			} {
				if !errors.Is(err, eventsource.ErrMisconfigured) {
					t.Errorf("%s = %v", method, err)
				}
			}
		})
	}
	t.Run("no tables", func(t *testing.T) {
		inline := sqlprojection.NewInline(checkpoints, bankSerializer(), good)
		if _, err := inline.Active(t.Context(), "balances"); !errors.Is(err, sqlprojection.ErrNotMigrated) {
			t.Errorf("Active = %v", err)
		}
	})
	t.Run("no repository", func(t *testing.T) {
		inline := sqlprojection.NewInline(checkpoints, bankSerializer(), good)
		if err := inline.Rebuild(t.Context(), nil, "balances", 1); !errors.Is(err, eventsource.ErrMisconfigured) {
			t.Errorf("Rebuild = %v", err)
		}
	})
}
