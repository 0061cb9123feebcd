package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(withServers{m}) }

// withServers ends the containers of the benchmarks.
type withServers struct{ *testing.M }

func (w withServers) Run() int { return testenv.Main(w.M) }

// onlyState compares accounts without what is no state; nil and empty are not the same.
var onlyState = cmpopts.IgnoreFields(Account{}, "clock", "Notes")

// A history of random events with loads in between, by processes that come and go, each
// with a policy of its own; also at earlier versions.
func TestAnAggregateThatIsLoadedThroughSnapshotsEqualsOneThatIsLoadedWithout(t *testing.T) {
	restored := int64(0)
	rapid.Check(t, func(t *rapid.T) {
		store, kept := memstore.New(), snapshot.NewMemory()
		without := eventsource.NewRepository(store, serializer())
		var snapshots *snapshot.Snapshots
		var with eventsource.Repository
		restart := func() {
			opts := []snapshot.Option{snapshot.Every(rapid.IntRange(1, 6).Draw(t, "every"))}
			if rapid.Bool().Draw(t, "in the background") {
				opts = append(opts, snapshot.InBackground(rapid.IntRange(1, 3).Draw(t, "pending")))
			}
			snapshots = snapshot.New(kept, opts...)
			with = eventsource.NewRepository(store, serializer(), eventsource.WithSnapshots(snapshots))
		}
		restart()
		versions := 0
		compare := func(at eventsource.AsOf) {
			a, b := &Account{}, &Account{}
			deletedA, errA := without.LoadAt(context.Background(), "a", a, at)
			deletedB, errB := with.LoadAt(context.Background(), "a", b, at)
			if diff := cmp.Diff(a, b, onlyState); diff != "" || deletedA != deletedB || fmt.Sprint(errA) != fmt.Sprint(errB) {
				t.Fatalf("deleted %v and %v, errors %v and %v (-without +with):\n%s", deletedA, deletedB, errA, errB, diff)
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				if err := snapshots.Wait(context.Background()); err != nil {
					t.Fatal(err)
				}
				restored += snapshots.Stats().Restored
				restart()
			case 1:
				compare(eventsource.AtVersion(rapid.IntRange(1, versions+2).Draw(t, "version")))
			case 2, 3, 4:
				compare(eventsource.AsOf{})
			default:
				event := rapid.OneOf(
					rapid.Map(rapid.IntRange(-2, 9), func(n int) eventsource.Event { return deposit("a", n) }),
					rapid.Map(rapid.SliceOfN(rapid.String(), 0, 3), func(tags []string) eventsource.Event {
						return &Tagged{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}, Tags: tags}
					}),
				).Draw(t, "event")
				if versions > 20 && rapid.IntRange(0, 9).Draw(t, "close") == 0 {
					event = &Closed{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}}
				}
				if err := with.Save(context.Background(), event); err != nil {
					t.Fatal(err)
				}
				versions++
			}
		}
		compare(eventsource.AsOf{})
		if err := snapshots.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
		stats := snapshots.Stats()
		restored += stats.Restored
		if stats.Failed+stats.Refused != 0 {
			t.Fatalf("stats are %+v", stats)
		}
	})
	if restored == 0 {
		t.Error("no load began from a snapshot")
	}
}

// bank is a repository with snapshots every 10 events.
type bank struct {
	eventsource.Repository
	store     *counting
	kept      *fake
	snapshots *snapshot.Snapshots
	log       *logged
}

func newBank(opts ...snapshot.Option) *bank {
	b := &bank{store: &counting{Store: memstore.New()}, kept: &fake{Store: snapshot.NewMemory()}, log: &logged{}}
	b.restart(opts...)
	return b
}

// restart makes new snapshots and a new repository on the same stores.
func (b *bank) restart(opts ...snapshot.Option) {
	b.snapshots = snapshot.New(b.kept, append([]snapshot.Option{snapshot.Every(10), b.log.logger()}, opts...)...)
	b.Repository = eventsource.NewRepository(b.store, serializer(), eventsource.WithSnapshots(b.snapshots))
}

func (b *bank) wantStats(t testing.TB, want snapshot.Stats) {
	t.Helper()
	if diff := cmp.Diff(want, b.snapshots.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// wantRead loads "a", and checks its balance and how many events that took.
func (b *bank) wantRead(t testing.TB, balance, read int) {
	t.Helper()
	b.store.wasRead()
	if a := load(t, b, "a"); a.Balance != balance || a.Version != balance || a.ID != "a" {
		t.Errorf("%q has %d at version %d, want %d", a.ID, a.Balance, a.Version, balance)
	}
	if n := b.store.wasRead(); n != read {
		t.Errorf("%d events were read, want %d", n, read)
	}
}

func TestALoadReadsWhatCameAfterTheSnapshot(t *testing.T) {
	b := newBank()
	saveMany(t, b, "a", 9)
	b.wantRead(t, 9, 9)
	b.wantStats(t, snapshot.Stats{}) // not due yet
	saveMany(t, b, "a", 1)
	b.wantRead(t, 10, 10)
	b.wantStats(t, snapshot.Stats{Stored: 1})
	b.wantRead(t, 10, 1) // its own event is read again, to see whether it is still there
	saveMany(t, b, "a", 9)
	b.wantRead(t, 19, 10)
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 2})
	saveMany(t, b, "a", 2)
	b.wantRead(t, 21, 12)
	b.wantRead(t, 21, 1)
	b.wantStats(t, snapshot.Stats{Stored: 2, Restored: 4})
	if lines := b.log.lines(); lines != nil {
		t.Errorf("logged: %s", lines)
	}
}

func TestAnAggregateThatDoesNotOptInIsLoadedAsEver(t *testing.T) {
	b := newBank(snapshot.Every(1))
	saveMany(t, b, "a", 3)
	for range 2 {
		var p Plain
		if _, err := b.Load(t.Context(), "a", &p); err != nil || p.events != 3 {
			t.Errorf("%d events, error %v", p.events, err)
		}
	}
	b.wantStats(t, snapshot.Stats{})
}

func TestEarlierVersionsAreLoadedFromSnapshotsThatAreNotLater(t *testing.T) {
	b := newBank()
	saveMany(t, b, "a", 10)
	load(t, b, "a")
	saveMany(t, b, "a", 5)
	for version, read := range map[int]int{9: 9, 10: 1, 13: 4} {
		b.store.wasRead()
		a := &Account{}
		if _, err := b.LoadAt(t.Context(), "a", a, eventsource.AtVersion(version)); err != nil || a.Balance != version || a.Version != version {
			t.Errorf("at %d it has %d, version %d, %v", version, a.Balance, a.Version, err)
		}
		if n := b.store.wasRead(); n != read {
			t.Errorf("at %d, %d events were read, want %d", version, n, read)
		}
	}
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 2}) // and no snapshot was taken
}

// restored is a store of one aggregate that was restored from a backup.
type restored struct {
	eventsource.Store // of what came later
	backup            []eventsource.Record
}

func (r *restored) LoadByAggregate(ctx context.Context, id string) ([]eventsource.Record, error) {
	later, err := r.Store.LoadByAggregate(ctx, id)
	all := eventsource.CloneRecords(r.backup)
	for _, record := range later {
		record.Version = len(all) + 1
		all = append(all, record)
	}
	return all, err
}

// A part of the events is gone, and others come in their place.
func TestASnapshotOfEventsThatTheStoreDoesNotHaveIsNotBelieved(t *testing.T) {
	b := newBank()
	saveMany(t, b, "a", 20)
	backup, err := b.store.LoadByAggregate(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	load(t, b, "a") // takes one at version 20

	b.store.Store = &restored{Store: memstore.New(), backup: backup[:15]}
	b.wantRead(t, 15, 15) // its snapshot is ahead
	saveMany(t, b, "a", 5)
	b.wantRead(t, 20, 1+20) // its snapshot is of another event with that version
	b.wantRead(t, 20, 1)    // and was replaced
}

// repriced is an Account whose On has changed.
type repriced struct{ Account }

func (*repriced) SnapshotVersion() int { return 2 }

func (*repriced) SnapshotType() string { return "Account" }

func (a *repriced) On(ctx context.Context, event eventsource.Event) error {
	if e, ok := event.(*Deposited); ok {
		event = deposit(e.AggregateID, 100*e.Amount)
	}
	return a.Account.On(ctx, event)
}

func TestTwoReleasesSideBySideEachHaveSnapshotsOfTheirOwn(t *testing.T) {
	b := newBank()
	older, newer := b, &bank{store: b.store, kept: b.kept, log: b.log}
	newer.restart()
	saveMany(t, b, "a", 10)
	total := 0
	for range 5 {
		older.store.wasRead()
		load(t, older, "a")
		r := &repriced{}
		if _, err := newer.Load(t.Context(), "a", r); err != nil || r.Balance != 100*r.Version {
			t.Errorf("it has %d at version %d, %v", r.Balance, r.Version, err)
		}
		total += older.store.wasRead()
		saveMany(t, b, "a", 1)
	}
	if want := 2 * (10 + 2 + 3 + 4 + 5); total != want {
		t.Errorf("%d events were read, want %d", total, want)
	}
	older.wantStats(t, snapshot.Stats{Stored: 1, Restored: 4})
	newer.wantStats(t, snapshot.Stats{Stored: 1, Restored: 4})
}

type counterV1 struct {
	eventsource.AggregateBase
	N int
}

func (*counterV1) SnapshotVersion() int                          { return 1 }
func (*counterV1) SnapshotType() string                          { return "Counter" }
func (c *counterV1) On(context.Context, eventsource.Event) error { c.N++; return nil }

// counterV2 has a field more, and the author forgot to raise the version.
type counterV2 struct {
	eventsource.AggregateBase
	N, Sum int
}

func (*counterV2) SnapshotVersion() int { return 1 }
func (*counterV2) SnapshotType() string { return "Counter" }
func (c *counterV2) On(_ context.Context, event eventsource.Event) error {
	c.N++
	c.Sum += event.(*Deposited).Amount
	return nil
}

func TestASnapshotOfOtherFieldsIsNotUsed(t *testing.T) {
	b := newBank()
	saveMany(t, b, "a", 10)
	var v1 counterV1
	if _, err := b.Load(t.Context(), "a", &v1); err != nil || v1.N != 10 {
		t.Fatal(v1, err)
	}
	b.restart()
	for range 2 {
		var v2 counterV2
		if _, err := b.Load(t.Context(), "a", &v2); err != nil || v2.N != 10 || v2.Sum != 10 {
			t.Errorf("%+v, %v", v2, err)
		}
	}
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 1})
}

func TestRestoreIgnoresSnapshotsOfOtherTypesAndVersions(t *testing.T) {
	b := newBank()
	saveMany(t, b, "a", 10)
	load(t, b, "a")
	a := &Account{}
	found := b.snapshots.Find(t.Context(), "a", a, 0)
	if found == nil || found.Version != 10 || found.SchemaVersion != 1 {
		t.Fatalf("found %+v", found)
	}
	other, newer := *found, *found
	other.Type, newer.SchemaVersion = "Other", 2
	if b.snapshots.Restore(t.Context(), a, &other) || b.snapshots.Restore(t.Context(), a, &newer) || a.Balance != 0 {
		t.Errorf("it was restored: %+v", a)
	}
	if !b.snapshots.Restore(t.Context(), a, found) || a.Balance != 10 {
		t.Errorf("it was not restored: %+v", a)
	}
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 1})
}

func TestTwoTypesOfOneNameAreNotMixedUp(t *testing.T) {
	b := newBank(snapshot.Every(1))
	saveMany(t, b, "a", 1)
	var v1 counterV1
	var v2 counterV2
	for range 2 {
		_, err1 := b.Load(t.Context(), "a", &v1)
		_, err2 := b.Load(t.Context(), "a", &v2)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
	}
	b.log.wantLog(t, `called \"Counter\"`, "counterV1", "counterV2", "SnapshotType")
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 1})
}

func TestWhatIsNoStateIsLeftAsItIs(t *testing.T) {
	b := newBank()
	saveMany(t, b, "a", 10)
	load(t, b, "a")
	now := time.Unix(1, 0)
	a := &Account{clock: func() time.Time { return now }, Notes: []string{"mine"}}
	// What the application has set of the state is not to shine through.
	a.Balance, a.Tags, a.History = 1000, map[string]int{"default": 1}, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	tags := a.Tags
	a.ByAmount = map[int]*Entry{99: {}} // which package json would add to
	byAmount := a.ByAmount
	if _, err := b.Load(t.Context(), "a", a); err != nil {
		t.Fatal(err)
	}
	if a.clock == nil || !a.clock().Equal(now) || !cmp.Equal(a.Notes, []string{"mine"}) {
		t.Errorf("what is no state is %v, clock %v", a.Notes, a.clock != nil)
	}
	if a.Balance != 10 || a.Tags != nil || len(a.History) != 10 || len(a.ByAmount) != 1 || a.ByAmount[1] == nil {
		t.Errorf("state is %+v", a)
	}
	if len(tags) != 1 || len(byAmount) != 1 || byAmount[99] == nil {
		t.Errorf("the maps of before are %v and %v", tags, byAmount)
	}
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 1})
}

func TestADeletedAggregateHasNoSnapshotTaken(t *testing.T) {
	b := newBank(snapshot.Every(1))
	saveMany(t, b, "a", 3)
	load(t, b, "a")
	save(t, b, &Closed{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}})
	for range 2 {
		if deleted, err := b.Load(t.Context(), "a", &Account{}); err != nil || !deleted {
			t.Errorf("deleted is %v, %v", deleted, err)
		}
	}
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 2})
}

var errFake = errors.New("it is broken")

// misbehaviours are what a store of snapshots may do.
func misbehaviours() map[string]*fake {
	change := func(change func(*eventsource.Snapshot)) *fake {
		kept := snapshot.NewMemory()
		return &fake{Store: kept, load: func(ctx context.Context, key snapshot.Key) (*eventsource.Snapshot, error) {
			found, err := kept.Load(ctx, key)
			if found != nil {
				change(found)
			}
			return found, err
		}}
	}
	return map[string]*fake{
		"fails": {
			load: func(context.Context, snapshot.Key) (*eventsource.Snapshot, error) { return nil, errFake },
			save: func(context.Context, eventsource.Snapshot) error { return errFake },
		},
		"panics": {
			load: func(context.Context, snapshot.Key) (*eventsource.Snapshot, error) { panic("out of order") },
			save: func(context.Context, eventsource.Snapshot) error { panic(errFake) },
		},
		"does not answer": {
			load: func(ctx context.Context, _ snapshot.Key) (*eventsource.Snapshot, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			save: func(ctx context.Context, _ eventsource.Snapshot) error { <-ctx.Done(); return ctx.Err() },
		},
		"is of another aggregate":    change(func(s *eventsource.Snapshot) { s.AggregateID = "b" }),
		"is of another type":         change(func(s *eventsource.Snapshot) { s.Type = "Other" }),
		"is of another version":      change(func(s *eventsource.Snapshot) { s.SchemaVersion = 2 }),
		"has version 0":              change(func(s *eventsource.Snapshot) { s.Version = 0 }),
		"has a negative version":     change(func(s *eventsource.Snapshot) { s.Version = -1 }),
		"has no sequence ID":         change(func(s *eventsource.Snapshot) { s.SequenceID = "" }),
		"has a wrong sequence ID":    change(func(s *eventsource.Snapshot) { s.SequenceID = "garbage" }),
		"has one in lower case":      change(func(s *eventsource.Snapshot) { s.SequenceID = strings.ToLower(s.SequenceID) }),
		"has no state":               change(func(s *eventsource.Snapshot) { s.State = nil }),
		"has the state null":         change(func(s *eventsource.Snapshot) { s.State = []byte(" null") }),
		"has a cut state":            change(func(s *eventsource.Snapshot) { s.State = s.State[:len(s.State)-1] }),
		"has more than a state":      change(func(s *eventsource.Snapshot) { s.State = append(s.State, "{}"...) }),
		"has unknown fields":         change(func(s *eventsource.Snapshot) { s.State = []byte(`{"balance":1000,"Unknown":1}`) }),
		"has a state of other types": change(func(s *eventsource.Snapshot) { s.State = []byte(`{"balance":1000,"History":{}}`) }),
		"has a list as its state":    change(func(s *eventsource.Snapshot) { s.State = []byte(`[1000]`) }),
	}
}

func TestAStoreOfSnapshotsThatMisbehavesHarmsNoLoadAndNoCommand(t *testing.T) {
	for _, background := range []bool{false, true} {
		for name, kept := range misbehaviours() {
			t.Run(fmt.Sprintf("it %s, in the background %v", name, background), func(t *testing.T) {
				opts := []snapshot.Option{snapshot.Every(1), snapshot.WithTimeout(20 * time.Millisecond)}
				if background {
					opts = append(opts, snapshot.InBackground(10))
				}
				b := newBank()
				b.kept = kept
				b.restart(opts...)
				dispatcher := eventsource.NewDispatcher(b.Repository, func() *Account { return &Account{} })
				for i := range 3 {
					result, err := dispatcher.Dispatch(t.Context(), Deposit{CommandBase: eventsource.CommandBase{AggregateID: "a"}, Amount: 1})
					if err != nil || result.Version != i+1 {
						t.Fatalf("Dispatch = %+v, %v", result, err)
					}
					if a := load(t, b, "a"); a.Balance != i+1 || a.Version != i+1 || len(a.History) != i+1 {
						t.Errorf("it has %d at version %d, %v", a.Balance, a.Version, a.History)
					}
					if err := b.snapshots.Wait(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				stats := b.snapshots.Stats()
				lines := b.log.lines()
				if stats.Failed == 0 || stats.Restored != 0 || int64(len(lines)) != stats.Failed {
					t.Errorf("stats are %+v, logged:\n%s", stats, strings.Join(lines, "\n"))
				}
				for _, line := range lines {
					for _, mention := range []string{"aggregate_id=a", "version=", "type=Account#", "store=*snapshot_test.fake", "error="} {
						if !strings.Contains(line, mention) {
							t.Errorf("logged without %s: %s", mention, line)
						}
					}
				}
			})
		}
	}
}

func TestACallerWhoGaveUpIsNoFailureOfTheStore(t *testing.T) {
	b := newBank(snapshot.Every(1))
	saveMany(t, b, "a", 1)
	ctx, cancel := context.WithCancel(t.Context())
	b.kept.load = func(ctx context.Context, _ snapshot.Key) (*eventsource.Snapshot, error) {
		cancel()
		return nil, ctx.Err()
	}
	if _, err := b.Load(ctx, "a", &Account{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Load = %v", err)
	}
	b.kept.load = nil
	ctx, cancel = context.WithCancel(t.Context())
	b.kept.save = func(ctx context.Context, _ eventsource.Snapshot) error {
		cancel()
		return ctx.Err()
	}
	if _, err := b.Load(ctx, "a", &Account{}); err != nil {
		t.Errorf("Load = %v", err)
	}
	b.wantStats(t, snapshot.Stats{})
}

func TestACommandsSnapshotIsWrittenAfterItsEventsAreAndOfTheStateBefore(t *testing.T) {
	b := newBank()
	saveMany(t, b, "a", 10)
	stored := 0
	b.kept.save = func(_ context.Context, s eventsource.Snapshot) error {
		records, err := b.store.Store.LoadByAggregate(t.Context(), "a")
		if err != nil || len(records) != 11 || s.Version != 10 || s.SequenceID != records[9].SequenceID || !strings.Contains(string(s.State), `"balance":10,`) {
			t.Errorf("%d events, snapshot at %d: %s", len(records), s.Version, s.State)
		}
		stored++
		return b.kept.Store.Save(t.Context(), s)
	}
	dispatcher := eventsource.NewDispatcher(b.Repository, func() *Account { return &Account{} })
	dispatch := func(amount int) error {
		_, err := dispatcher.Dispatch(t.Context(), Deposit{CommandBase: eventsource.CommandBase{AggregateID: "a"}, Amount: amount})
		return err
	}
	b.store.err = errFake
	if err := dispatch(5); !errors.Is(err, errFake) || stored != 0 {
		t.Errorf("a save that fails: %v, %d snapshots", err, stored)
	}
	b.store.err = nil
	if err := dispatch(5); err != nil || stored != 1 {
		t.Errorf("a save: %v, %d snapshots", err, stored)
	}
	if a := load(t, b, "a"); a.Balance != 15 {
		t.Errorf("it has %d", a.Balance)
	}
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 1})
}

func TestWhenIsToldWhatALoadHasDone(t *testing.T) {
	var told []snapshot.Info
	b := newBank(snapshot.When(func(i snapshot.Info) bool {
		told = append(told, i)
		return i.Version == 2
	}))
	for range 3 {
		saveMany(t, b, "a", 1)
		load(t, b, "a")
	}
	want := []snapshot.Info{
		{AggregateID: "a", Type: "Account", Version: 1, Read: 1}, {AggregateID: "a", Type: "Account", Version: 2, Read: 2},
		{AggregateID: "a", Type: "Account", Version: 3, Read: 1},
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	b.wantStats(t, snapshot.Stats{Stored: 1, Restored: 1})

	b.restart(snapshot.When(func(snapshot.Info) bool { panic("no policy") }))
	load(t, b, "a")
	b.log.wantLog(t, "could not take a snapshot", "no policy", "aggregate_id=a", "version=3")
}

func TestDeleteForgetsAnAggregate(t *testing.T) {
	b := newBank()
	saveMany(t, b, "a", 10)
	load(t, b, "a")
	if err := b.snapshots.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	b.wantStats(t, snapshot.Stats{Stored: 1})
	b.wantRead(t, 10, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.snapshots.Delete(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete = %v", err)
	}
}

// misconfiguredStore was made with arguments that it cannot work with.
type misconfiguredStore struct{ snapshot.Store }

func (misconfiguredStore) Err() error { return fmt.Errorf("%w: no pool", eventsource.ErrMisconfigured) }

func TestWhatCannotBeIsRefusedByTheRepository(t *testing.T) {
	kept := snapshot.NewMemory()
	for mention, s := range map[string]*snapshot.Snapshots{
		"store is nil":                snapshot.New(nil),
		"store is nil ":               snapshot.New((*snapshot.Memory)(nil)),
		"no pool":                     snapshot.New(misconfiguredStore{}),
		"every 0 events":              snapshot.New(kept, snapshot.Every(0)),
		"function that says when":     snapshot.New(kept, snapshot.When(nil)),
		"timeout is 0s":               snapshot.New(kept, snapshot.WithTimeout(0)),
		"fewer than 1 snapshot":       snapshot.New(kept, snapshot.InBackground(0)),
		"codec is nil":                snapshot.New(kept, snapshot.WithCodec(nil)),
		"every -1 events cannot be\n": snapshot.New(kept, snapshot.Every(-1), snapshot.WithTimeout(-1)),
	} {
		repo := eventsource.NewRepository(memstore.New(), serializer(), eventsource.WithSnapshots(s))
		_, err := repo.Load(t.Context(), "a", &Account{})
		for what, err := range map[string]error{"Err": s.Err(), "Load": err, "Wait": s.Wait(t.Context()), "Delete": s.Delete(t.Context(), "a")} {
			if !errors.Is(err, eventsource.ErrMisconfigured) || !strings.Contains(err.Error(), strings.TrimSuffix(mention, " ")) {
				t.Errorf("%s is %v, want %s", what, err, mention)
			}
		}
		if s.Find(t.Context(), "a", &Account{}, 0) != nil || s.Restore(t.Context(), &Account{}, &eventsource.Snapshot{}) ||
			s.Restore(t.Context(), &Account{}, nil) || s.Loaded(t.Context(), &Account{}, eventsource.Snapshot{}, 1000) != nil {
			t.Errorf("%s: it works all the same", mention)
		}
	}
	if err := snapshot.New(kept, nil, snapshot.WithLogger(nil), snapshot.When(nil), snapshot.Every(1)).Err(); err != nil {
		t.Error(err)
	}
}

func TestAnIDThatNoAggregateHasIsNotLookedFor(t *testing.T) {
	b := newBank()
	b.kept.load = func(context.Context, snapshot.Key) (*eventsource.Snapshot, error) {
		t.Error("it was looked for")
		return nil, nil
	}
	for _, id := range []string{"a\x00b", "\xff"} {
		if _, err := b.Load(t.Context(), id, &Account{}); err == nil {
			t.Errorf("%q is loaded", id)
		}
	}
}
