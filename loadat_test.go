package eventsource_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
)

// threeDeposits saves deposits of 1, 2 and 4, a second apart, and others in between.
func threeDeposits(t *testing.T, repo eventsource.Repository) (deposits [3]*Deposited) {
	t.Helper()
	for i := range deposits {
		deposits[i] = &Deposited{BaseEvent: of("account-1"), Amount: 1 << i}
		deposits[i].Timestamp = time.Unix(int64(100+i), 0).UnixNano()
		if err := repo.Save(t.Context(), deposits[i], &Deposited{BaseEvent: of("account-2"), Amount: 100}); err != nil {
			t.Fatal(err)
		}
	}
	return deposits
}

func TestLoadAt_gives_the_aggregate_as_it_was(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, accounts())
		deposits := threeDeposits(t, repo)
		for i, want := range []int{1, 3, 7} {
			for name, at := range map[string]eventsource.AsOf{
				"version":             eventsource.AtVersion(i + 1),
				"sequence ID":         eventsource.AtSequenceID(deposits[i].SequenceID),
				"lower-case ID":       eventsource.AtSequenceID(strings.ToLower(deposits[i].SequenceID)),
				"time":                eventsource.AtTime(time.Unix(int64(100+i), 0)),
				"time before another": eventsource.AtTime(time.Unix(int64(101+i), 0).Add(-1)),
			} {
				var account Account
				deleted, err := repo.LoadAt(t.Context(), "account-1", &account, at)
				if err != nil || deleted || account.Balance != want || account.Version != i+1 || account.ID != "account-1" {
					t.Errorf("%s of version %d: got %+v, deleted %v, error %v", name, i+1, account, deleted, err)
				}
			}
		}
		var latest Account
		if _, err := repo.LoadAt(t.Context(), "account-1", &latest, eventsource.AsOf{}); err != nil || latest.Balance != 7 {
			t.Errorf("the latest: got %+v, error %v", latest, err)
		}
	})
}

func TestLoadAt_before_the_first_event_is_ErrNoHistory(t *testing.T) {
	repo := newAccounts()
	threeDeposits(t, repo)
	for name, at := range map[string]eventsource.AsOf{
		"sequence ID": eventsource.AtSequenceID("00000000000000000000000000"),
		"time":        eventsource.AtTime(time.Unix(99, 0)),
	} {
		var account Account
		if _, err := repo.LoadAt(t.Context(), "account-1", &account, at); !errors.Is(err, eventsource.ErrNoHistory) || account != (Account{}) {
			t.Errorf("%s: got %+v, error %v", name, account, err)
		}
	}
	if _, err := repo.LoadAt(t.Context(), "account-3", new(Account), eventsource.AtVersion(1)); !errors.Is(err, eventsource.ErrNoHistory) {
		t.Errorf("of nothing: got error %v", err)
	}
}

func TestLoadAt_refuses_points_that_cannot_be_and_names_them(t *testing.T) {
	repo := newAccounts()
	threeDeposits(t, repo)
	for name, test := range map[string]struct {
		at   eventsource.AsOf
		is   error
		want string
	}{
		"version 0":         {eventsource.AtVersion(0), eventsource.ErrInvalidQuery, "version 0"},
		"version -1":        {eventsource.AtVersion(-1), eventsource.ErrInvalidQuery, "version -1"},
		"version 4":         {eventsource.AtVersion(4), eventsource.ErrInvalidQuery, `"account-1" has no version 4, its last is 3`},
		"no sequence ID":    {eventsource.AtSequenceID(""), eventsource.ErrInvalidQuery, "empty"},
		"other sequence ID": {eventsource.AtSequenceID("x"), eventsource.ErrInvalidSequenceID, `"x"`},
		"no time":           {eventsource.AtTime(time.Time{}), eventsource.ErrInvalidQuery, "zero time"},
	} {
		_, err := repo.LoadAt(t.Context(), "account-1", new(Account), test.at)
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

// A state that the aggregate never had helps nobody.
func TestLoadAt_a_time_stops_at_the_first_later_event_whatever_comes_after_it(t *testing.T) {
	repo := newAccounts()
	for i, second := range []int64{100, 200, 150} {
		e := &Deposited{BaseEvent: of("account-1"), Amount: 1 << i}
		e.Timestamp = time.Unix(second, 0).UnixNano()
		if err := repo.Save(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	var account Account
	if _, err := repo.LoadAt(t.Context(), "account-1", &account, eventsource.AtTime(time.Unix(160, 0))); err != nil || account.Balance != 1 {
		t.Errorf("got %+v, error %v", account, err)
	}
}

func TestLoadAt_knows_when_the_aggregate_was_deleted(t *testing.T) {
	repo := newAccounts()
	if err := repo.Save(t.Context(), &Opened{BaseEvent: of("account-1")}, &Closed{BaseEvent: of("account-1")}); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[int]bool{1: false, 2: true} {
		deleted, err := repo.LoadAt(t.Context(), "account-1", new(Account), eventsource.AtVersion(version))
		if err != nil || deleted != want {
			t.Errorf("version %d: deleted %v, error %v", version, deleted, err)
		}
	}
}

// snapshots is a snapshotter that says what it is told.
type snapshots struct {
	found    *eventsource.Snapshot
	atMost   int // what Find was asked for
	restores bool
	restored int // the balance
	loaded   []eventsource.Snapshot
	read     []int
	stored   int // how often a snapshot was stored
}

func (s *snapshots) Find(_ context.Context, _ string, _ eventsource.Aggregate, atMost int) *eventsource.Snapshot {
	s.atMost = atMost
	return s.found
}

func (s *snapshots) Restore(_ context.Context, aggr eventsource.Aggregate, _ *eventsource.Snapshot) bool {
	if s.restores {
		aggr.(*till).Amount = s.restored
	}
	return s.restores
}

func (s *snapshots) Loaded(_ context.Context, _ eventsource.Aggregate, snapshot eventsource.Snapshot, read int) func(context.Context) {
	s.loaded, s.read = append(s.loaded, snapshot), append(s.read, read)
	return func(context.Context) { s.stored++ }
}

func TestLoad_reads_only_what_comes_after_a_snapshot(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		deposits := threeDeposits(t, eventsource.NewRepository(store, accounts()))
		s := &snapshots{restores: true, restored: 1000, found: &eventsource.Snapshot{Version: 2, SequenceID: deposits[1].SequenceID}}
		repo := eventsource.NewRepository(store, accounts(), eventsource.WithSnapshots(s))

		var aggr till
		if _, err := repo.Load(t.Context(), "account-1", &aggr); err != nil || aggr.Amount != 1004 || aggr.Version != 3 || aggr.ID != "account-1" {
			t.Errorf("got %+v, error %v", aggr, err)
		}
		want := eventsource.Snapshot{AggregateID: "account-1", Version: 3, SequenceID: deposits[2].SequenceID}
		if len(s.loaded) != 1 || fmt.Sprint(s.loaded[0]) != fmt.Sprint(want) || s.read[0] != 1 || s.stored != 1 {
			t.Errorf("it was told of %+v, %v events read, stored %d times", s.loaded, s.read, s.stored)
		}

		aggr = till{} // as it was: no snapshot is taken of that
		if _, err := repo.LoadAt(t.Context(), "account-1", &aggr, eventsource.AtVersion(2)); err != nil || aggr.Amount != 1000 || aggr.Version != 2 || s.atMost != 2 {
			t.Errorf("got %+v, error %v", aggr, err)
		}
		aggr = till{} // nobody knows which snapshot would do
		if _, err := repo.LoadAt(t.Context(), "account-1", &aggr, eventsource.AtSequenceID(deposits[2].SequenceID)); err != nil || aggr.Amount != 7 {
			t.Errorf("got %+v, error %v", aggr, err)
		}
		if len(s.loaded) != 1 {
			t.Errorf("it was told of %+v", s.loaded)
		}
	})
}

func TestLoad_does_not_believe_a_snapshot_of_events_that_the_store_does_not_have(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		deposits := threeDeposits(t, eventsource.NewRepository(store, accounts()))
		for name, found := range map[string]*eventsource.Snapshot{
			"of another event":     {Version: 2, SequenceID: deposits[0].SequenceID},
			"behind the end":       {Version: 4, SequenceID: deposits[2].SequenceID},
			"far behind the end":   {Version: 40, SequenceID: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"},
			"not to be restored":   {Version: 2, SequenceID: deposits[1].SequenceID},
			"without a version":    {},
			"of a negative number": {Version: -1},
		} {
			s := &snapshots{restores: name != "not to be restored", restored: 1000, found: found}
			repo := eventsource.NewRepository(store, accounts(), eventsource.WithSnapshots(s))
			var aggr till
			if _, err := repo.Load(t.Context(), "account-1", &aggr); err != nil || aggr.Amount != 7 || aggr.Version != 3 || s.read[0] != 3 {
				t.Errorf("%s: got %+v, error %v", name, aggr, err)
			}
		}
	})
}

func TestLoad_takes_no_snapshot_of_a_deleted_aggregate_or_of_none(t *testing.T) {
	s := new(snapshots)
	repo := newAccounts(eventsource.WithSnapshots(s))
	if _, err := repo.Load(t.Context(), "account-1", new(till)); !errors.Is(err, eventsource.ErrNoHistory) {
		t.Errorf("got error %v", err)
	}
	if err := repo.Save(t.Context(), &Opened{BaseEvent: of("account-1")}, &Closed{BaseEvent: of("account-1")}); err != nil {
		t.Fatal(err)
	}
	if deleted, err := repo.Load(t.Context(), "account-1", new(till)); err != nil || !deleted {
		t.Errorf("deleted %v, error %v", deleted, err)
	}
	if len(s.loaded) > 0 {
		t.Errorf("it was told of %+v", s.loaded)
	}
}

// A snapshot holds nothing that may still fail to be saved, and is in nobody's way.
func TestDispatch_stores_a_snapshot_of_what_it_loaded_after_it_has_saved(t *testing.T) {
	s := new(snapshots)
	repo := newAccounts(eventsource.WithSnapshots(s), eventsource.WithObserver(func(context.Context, []eventsource.Event) error {
		if s.stored > 0 {
			t.Error("a snapshot was stored before the commit")
		}
		return nil
	}))
	d := eventsource.NewDispatcher(repo, func() *till { return new(till) })
	mustDispatch(t, d, putInto("till-1", 1))
	if s.stored != 0 {
		t.Errorf("a snapshot of a new aggregate was stored")
	}
	mustDispatch(t, d, putInto("till-1", 1))
	if len(s.loaded) != 1 || s.loaded[0].Version != 1 || s.stored != 1 {
		t.Errorf("it was told of %+v, and stored %d", s.loaded, s.stored)
	}
	if _, err := d.Dispatch(t.Context(), closeTill{}); err == nil || s.stored != 1 {
		t.Errorf("after an error: error %v, stored %d", err, s.stored)
	}
}

func ExampleRepository_LoadAt() {
	ctx := context.Background()
	repo := newAccounts()
	err := repo.Save(ctx, &Opened{BaseEvent: of("account-1"), Owner: "Ann"},
		&Deposited{BaseEvent: of("account-1"), Amount: 100}, &Deposited{BaseEvent: of("account-1"), Amount: 200})
	if err != nil {
		log.Fatal(err)
	}

	var account Account
	if _, err := repo.LoadAt(ctx, "account-1", &account, eventsource.AtVersion(2)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(account.Balance)
	// Output: 100
}
