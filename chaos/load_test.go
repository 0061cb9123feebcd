package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/history"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestAThousandSaversShareAPoolOfTen(t *testing.T) {
	for _, test := range []struct {
		savers, conns int
		duration      time.Duration
	}{
		{1000, 10, 6 * time.Second},
		{100, 2, 2 * time.Second},
		{50, 1, 2 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d savers, %d connections", test.savers, test.conns), func(t *testing.T) {
			address := named(t, testenv.Postgres(t), "load")
			migrate(t, testenv.Pool(t, address))
			load := &load{folder: t.TempDir(), seed: seed(t), address: address, conns: test.conns}
			load.recorder = record(t, load.folder, "test")
			before := goleak.IgnoreCurrent()
			load.run(t, test.savers, test.duration)
			if err := leftGoroutines(before); err != nil {
				t.Error(err)
			}
			load.check(t)
		})
	}
}

// load is many savers that share a pool.
type load struct {
	folder   string
	seed     uint64
	address  string
	conns    int
	recorder *history.Recorder
	worker   *worker
}

// reading is the name of the one that follows all events meanwhile.
const reading = "reading"

// run has the savers save for a while, and gives everything back.
func (l *load) run(t *testing.T, savers int, duration time.Duration) {
	t.Helper()
	saving, beQuiet := context.WithTimeout(t.Context(), duration)
	defer beQuiet()
	over, end := context.WithCancel(t.Context())
	defer end()
	l.worker = &worker{
		Config: Config{
			Name: reading, Folder: l.folder, Seed: l.seed, URL: l.address, Conns: l.conns,
			// More than anybody has to wait, unless for ever.
			Timeout: time.Minute,
		},
		recorder: l.recorder, quiet: saving, over: over,
	}
	if err := l.worker.connect(); err != nil {
		t.Fatal(err)
	}
	defer l.worker.pool.Close()

	var reads sync.WaitGroup
	reads.Go(func() { l.worker.newReader(0).run() })
	all := make([]*saver, savers)
	var saves sync.WaitGroup
	for i := range all {
		all[i] = &saver{writer: l.worker.newWriter(i), own: fmt.Sprint("own-", i)}
		saves.Go(all[i].run)
	}
	saves.Wait()
	end()
	reads.Wait()
	l.fair(t, all)
	l.givenBack(t)
}

// fair checks that each saver got its turn. How many saves are a turn depends on how
// fast the machine is.
func (l *load) fair(t *testing.T, all []*saver) {
	t.Helper()
	var (
		saves     []int
		latencies []time.Duration
	)
	for _, s := range all {
		if s.err != nil {
			t.Errorf("saver of %s: %v", s.own, s.err)
		}
		saves = append(saves, s.saves)
		latencies = append(latencies, s.latencies...)
	}
	slices.Sort(saves)
	slices.Sort(latencies)
	last := len(saves) - 1
	t.Logf("each saver saved %d to %d times, most of them about %d times", saves[0], saves[last], saves[last/2])
	if saves[0] == 0 || saves[0] < saves[last/2]/10 {
		t.Errorf("a saver saved %d times, while others saved %d times", saves[0], saves[last/2])
	}
	if len(latencies) == 0 {
		t.Fatal("nobody saved")
	}
	middle, longest := latencies[len(latencies)/2], latencies[len(latencies)-1]
	t.Logf("a save took %v, the longest %v", middle, longest)
	if longest > 100*middle && longest > 5*time.Second {
		t.Errorf("a save took %v, while others took %v", longest, middle)
	}
}

// givenBack checks that all connections are in the pool, and that sessions of the
// server hold no locks.
func (l *load) givenBack(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pool := l.worker.pool
	var all []*pgxpool.Conn
	for range l.conns {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			t.Errorf("the pool has %d of %d connections: %v", len(all), l.conns, err)
			break
		}
		all = append(all, conn)
	}
	const held = `SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE application_name = 'load' AND pid <> pg_backend_pid()`
	for locks := -1; len(all) > 0 && locks != 0; time.Sleep(10 * time.Millisecond) {
		before := locks
		if err := all[0].QueryRow(ctx, held).Scan(&locks); err != nil {
			t.Errorf("%d locks are still held: %v", before, err)
			break
		}
	}
	for _, conn := range all {
		conn.Release()
	}
	if stat := pool.Stat(); stat.AcquiredConns() != 0 || stat.TotalConns() > int32(l.conns) {
		t.Errorf("of %d connections of a pool of %d, %d are in use", stat.TotalConns(), l.conns, stat.AcquiredConns())
	}
}

// check reads what there is and checks the history.
func (l *load) check(t *testing.T) {
	t.Helper()
	last := &worker{Config: Config{URL: l.address, Timeout: time.Minute}}
	if err := last.connect(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = last.close() }()
	r := &run{folder: l.folder, readers: []string{readerName(reading, 0)}}
	r.check(t, last.repo, l.recorder, history.Options{RealTime: true})
}

// saver is one of many. Nobody but it saves to its own aggregate.
type saver struct {
	*writer
	own       string
	version   int // of its own aggregate
	saves     int
	latencies []time.Duration
	err       error // the first one that should not be
}

// run saves in turn in all ways, from a random one on, until it is to be quiet, and
// at least in each way once.
func (s *saver) run() {
	ways := []func(context.Context) error{
		s.saveToOwn, s.saveToHot, s.saveNextOfOwn, s.inTransaction, s.loadOwn, s.patient(10 * time.Millisecond),
		s.saveNextOfOwn, s.saveToOwn, s.rollBack, s.patient(100 * time.Millisecond), s.page, s.conflict,
	}
	first := s.random.IntN(len(ways))
	for i := 0; (i < len(ways) || s.quiet.Err() == nil) && s.err == nil; i++ {
		ctx, cancel := s.call()
		s.err = ways[(first+i)%len(ways)](ctx)
		cancel()
	}
}

// stored saves and counts.
func (s *saver) stored(ctx context.Context, events ...eventsource.Event) error {
	call := s.recorder.Save(wanted(events))
	began := time.Now()
	err := s.repo.Save(ctx, events...)
	s.latencies = append(s.latencies, time.Since(began))
	call.Return(allSeen(events), err)
	if err == nil {
		s.took(events)
	}
	return err
}

// took counts events that are stored.
func (s *saver) took(events []eventsource.Event) {
	s.saves++
	for _, event := range events {
		if event.GetAggregateID() == s.own {
			s.version++
		}
	}
}

func (s *saver) saveToOwn(ctx context.Context) error { return s.stored(ctx, s.event(s.own, 0)) }

func (s *saver) saveNextOfOwn(ctx context.Context) error {
	return s.stored(ctx, s.event(s.own, s.version+1), s.event(s.own, s.version+2))
}

func (s *saver) saveToHot(ctx context.Context) error {
	return s.stored(ctx, s.event(fmt.Sprint("hot-", s.random.IntN(5)), 0), s.event(s.own, 0))
}

// conflict asks for a version that there is.
func (s *saver) conflict(ctx context.Context) error {
	if s.version == 0 {
		return s.saveToOwn(ctx)
	}
	events := []eventsource.Event{s.event(s.own, 0), s.event(s.own, s.version)}
	call := s.recorder.Save(wanted(events))
	err := s.repo.Save(ctx, events...)
	call.Return(allSeen(events), err)
	if !errors.Is(err, eventsource.ErrConflict) {
		return fmt.Errorf("got %w, want a conflict", err)
	}
	return nil
}

// patient returns a save with little patience, which may end while it waits for its
// turn or for a connection.
func (s *saver) patient(most time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, rand.N(most))
		defer cancel()
		events := []eventsource.Event{s.event(s.own, 0)}
		call := s.recorder.Save(wanted(events))
		err := s.repo.Save(ctx, events...)
		call.Return(allSeen(events), err)
		switch {
		case err == nil:
			s.took(events)
		case errors.Is(err, eventsource.ErrOutcomeUnknown):
			return err // nothing is wrong with the server
		case errors.Is(err, context.DeadlineExceeded):
		default:
			return err
		}
		return nil
	}
}

func (s *saver) inTransaction(ctx context.Context) error {
	events := []eventsource.Event{s.event(s.own, s.version+1), s.event(s.own, 0)}
	call := s.recorder.Save(wanted(events))
	tx, err := s.repo.SaveTransaction(ctx, events...)
	if err != nil {
		call.Return(nil, err)
		return err
	}
	err = tx.Commit()
	call.Return(allSeen(events), err)
	if err == nil {
		s.took(events)
	}
	return err
}

func (s *saver) rollBack(ctx context.Context) error {
	events := []eventsource.Event{s.event(s.own, 0)}
	call := s.recorder.Save(wanted(events))
	tx, err := s.repo.SaveTransaction(ctx, events...)
	if err != nil {
		call.Return(nil, err)
		return err
	}
	err = tx.Rollback()
	call.RolledBack()
	return err
}

// loadOwn checks that there is nothing but what it was told is stored.
func (s *saver) loadOwn(ctx context.Context) error {
	call := s.recorder.Load(s.own)
	var loaded collected
	_, err := s.repo.Load(ctx, s.own, &loaded)
	if errors.Is(err, eventsource.ErrNoHistory) {
		err = nil
	}
	call.Return(loaded.events, err)
	if err == nil && len(loaded.events) != s.version {
		err = fmt.Errorf("it has %d events, want %d", len(loaded.events), s.version)
	}
	return err
}

func (s *saver) page(ctx context.Context) error {
	call := s.recorder.Page(s.name, "", 10, "")
	events, err := s.repo.GetEventsBySequenceID(ctx, "", 10)
	call.Return(allSeen(events), err)
	return err
}

func TestSixteenProcessesHammerTenThousandAggregates(t *testing.T) {
	// What is checked must fit in memory.
	const mostBytes = 200 << 20
	folder := t.TempDir()
	recorder := record(t, folder, "test")
	address := testenv.Postgres(t)
	pool := testenv.Pool(t, address)
	migrate(t, pool)
	configs := configs(folder, seed(t), 16)
	for i := range configs {
		configs[i].URL, configs[i].Conns, configs[i].Writers, configs[i].Pause = address, 4, 4, 0
		configs[i].Aggregates, configs[i].Hot, configs[i].Generation = 10_000, 50, 0
		configs[i].Timeout = time.Minute
		if i%8 != 0 {
			configs[i].Readers = 0
		}
	}
	r := runOf(t, folder, configs)
	atLeast, deadline := time.Now().Add(duration(t)), time.Now().Add(duration(t)+3*time.Minute)
	for aggregates := 0; time.Now().Before(atLeast) || aggregates < 1000; time.Sleep(500 * time.Millisecond) {
		size, err := folderSize(folder)
		if err != nil {
			t.Fatal(err)
		}
		if size > mostBytes {
			t.Logf("%d bytes of history after %v are enough", size, time.Since(r.began))
			break
		}
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM events WHERE version = 1").Scan(&aggregates); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("got events of %d aggregates only", aggregates)
		}
	}
	last := &worker{Config: Config{URL: address, Timeout: time.Minute}}
	if err := last.connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = last.close() })
	r.settle(t, func(context.Context) error { return nil })
	h := r.read(t, last.repo, recorder)
	if err := h.Check(history.Options{RealTime: true, ReadersFinished: r.readers}); err != nil {
		keep(t, folder)
		t.Error(err)
	}
	if h.Stats().Conflicts == 0 {
		t.Error("nobody was in anybody's way")
	}
}

// folderSize returns how many bytes the files in a folder have.
func folderSize(folder string) (size int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a cursor that was replaced meanwhile
		}
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
