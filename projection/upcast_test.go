package projection_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	jsonserializer "github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/serializer/upcast"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// moved is split into named and housed; called is the old name of named; noise is dropped.
type moved struct {
	eventsource.BaseEvent
	Name, Street string
}

type called struct {
	eventsource.BaseEvent
	Name string
}

type noise struct{ eventsource.BaseEvent }

type named struct {
	eventsource.BaseEvent
	Name string
}

type housed struct {
	eventsource.BaseEvent
	Street string
}

// evolved is what today's program reads events with.
func evolved(rules ...upcast.Rule) eventsource.Serializer {
	return upcast.NewSerializer(jsonserializer.NewSerializer(&named{}, &housed{}), append(rules,
		upcast.Rename("called", "named"), upcast.Drop("noise"),
		upcast.Split("moved", 1, func(old moved) ([]upcast.Part, error) {
			return []upcast.Part{{Type: "named", Data: named{Name: old.Name}}, {Type: "housed", Data: housed{Street: old.Street}}}, nil
		}, "named", "housed"))...)
}

// onlyStore hides the optional interfaces of a store.
type onlyStore struct{ eventsource.Store }

// evolution is a store with events of an older program.
type evolution struct {
	*testing.T
	store       eventsource.Store
	old, now    eventsource.Repository
	checkpoints projection.Checkpoints
	manager     *projection.Manager
	last        string

	mu   sync.Mutex
	seen []string
}

func newEvolution(t *testing.T, store eventsource.Store, rules ...upcast.Rule) *evolution {
	e := &evolution{T: t, store: store, checkpoints: projection.NewMemory()}
	e.old = eventsource.NewRepository(store, jsonserializer.NewSerializer(&moved{}, &called{}, &noise{}, &named{}, &housed{}))
	e.now = eventsource.NewRepository(store, evolved(rules...))
	e.manager = projection.NewManager(e.now, e.checkpoints)
	return e
}

// saveOld saves events as the older program did.
func (e *evolution) saveOld(events ...eventsource.Event) {
	e.Helper()
	if err := e.old.Save(e.Context(), events...); err != nil {
		e.Fatal(err)
	}
	e.last = events[len(events)-1].GetSequenceID()
}

// saw notes an event that a handler got.
func (e *evolution) saw(event eventsource.Event, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, fmt.Sprintf("%s%d %s", event.GetAggregateID(), event.(eventsource.Versioned).GetVersion(), text))
}

func (e *evolution) wantSeen(want ...string) {
	e.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if diff := cmp.Diff(want, e.seen); diff != "" {
		e.Errorf("handled (-want +got):\n%s", diff)
	}
}

func (e *evolution) run(h projection.Handler, opts ...projection.Option) (stop func()) {
	e.Helper()
	return runBeside(e.T, e.projection(h, opts...))
}

func (e *evolution) projection(h projection.Handler, opts ...projection.Option) *projection.Projection {
	return projection.New("p", e.now, h, append([]projection.Option{projection.WithCheckpoints(e.checkpoints), projection.WithLease(300 * time.Millisecond),
		projection.WithRetry(1, time.Millisecond, time.Millisecond), projection.WithFailurePolicy(projection.Park), unlogged}, opts...)...)
}

// wait waits until all that was saved is handled.
func (e *evolution) wait() {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), time.Minute)
	defer cancel()
	if err := e.manager.WaitFor(ctx, "p", e.last); err != nil {
		e.Fatal(err)
	}
}

func (e *evolution) parked() (parked []string) {
	e.Helper()
	all, err := e.manager.Parked(e.Context(), "p", 1, "", 0)
	if err != nil {
		e.Fatal(err)
	}
	for _, p := range all {
		parked = append(parked, fmt.Sprintf("%s%d %s", p.AggregateID, p.AggregateVersion, p.Type))
	}
	return parked
}

func (e *evolution) wantHandled(want int64) {
	e.Helper()
	status, err := e.manager.Status(e.Context(), "p")
	if err != nil || len(status) != 1 || status[0].Handled != want {
		e.Errorf("status is %+v, error %v, want %d handled", status, err, want)
	}
}

func base(aggregateID string) eventsource.BaseEvent {
	return eventsource.BaseEvent{AggregateID: aggregateID}
}

// namesOnly is a handler of one type.
func (e *evolution) namesOnly() projection.Handler {
	return projection.On(func(_ context.Context, event *named) error {
		e.saw(event, event.Name)
		return nil
	})
}

func (e *evolution) onEachStore(test func(e *evolution)) {
	for name, store := range map[string]eventsource.Store{"all interfaces": memstore.New(), "only Store": onlyStore{memstore.New()}} {
		e.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newEvolution(t, store))
		})
	}
}

func TestATypedHandlerGetsItsEventsUnderWhateverNameTheyAreStored(t *testing.T) {
	t.Parallel()
	(&evolution{T: t}).onEachStore(func(e *evolution) {
		e.saveOld(&called{base("a"), "Ann"}, &noise{base("a")}, &moved{base("a"), "Bea", "Long St"}, &housed{base("b"), "Short St"}, &named{base("b"), "Cem"}, &noise{base("c")})
		defer e.run(projection.ByType(e.namesOnly()))()
		e.wait()
		e.wantSeen("a1 Ann", "a3 Bea", "b2 Cem")
		e.wantHandled(3)

		if err := e.now.Save(e.Context(), &named{base("a"), "Dan"}); err != nil {
			e.Fatal(err)
		}
		e.saveOld(&moved{base("a"), "Eve", "x"}, &housed{base("a"), "x"}) // a process of the older program still runs
		e.wait()
		e.wantSeen("a1 Ann", "a3 Bea", "b2 Cem", "a4 Dan", "a5 Eve")
		e.wantHandled(5)
	})
}

func TestAHandlerOfBatchesOfOneTypeGetsNoOtherParts(t *testing.T) {
	t.Parallel()
	e := newEvolution(t, memstore.New())
	e.saveOld(&moved{base("a"), "Bea", "Long St"}, &moved{base("b"), "Cem", "Short St"}, &named{base("b"), "Cem"})
	defer e.run(projection.Batch(func(_ context.Context, events []eventsource.Event) error {
		for _, event := range events {
			e.saw(event, event.(*housed).Street)
		}
		return nil
	}, &housed{}))()
	e.wait()
	e.wantSeen("a1 Long St", "b1 Short St")
	e.wantHandled(2)
}

func TestAHandlerOfAllTypesGetsAllPartsAndNothingOfWhatIsDropped(t *testing.T) {
	t.Parallel()
	(&evolution{T: t}).onEachStore(func(e *evolution) {
		e.saveOld(&noise{base("a")}, &moved{base("a"), "Bea", "Long St"}, &noise{base("a")}, &called{base("a"), "Cem"}, &noise{base("a")})
		defer e.run(projection.Each(func(_ context.Context, event eventsource.Event) error {
			e.saw(event, eventsource.EventType(event))
			return nil
		}), projection.WithPartitions(3))()
		e.wait()
		e.wantSeen("a2 named", "a2 housed", "a4 named")
		e.wantHandled(5)
		status, err := e.manager.Status(e.Context(), "p")
		if err != nil || status[0].LagEvents > 0 || status[0].Lag > 0 {
			e.Errorf("status is %+v, error %v, want nothing left", status, err)
		}
	})
}

func TestTheEventsOfARecordAreHandledAtOnceWhateverTheBatchSize(t *testing.T) {
	t.Parallel()
	e := newEvolution(t, memstore.New())
	e.saveOld(&moved{base("a"), "Bea", "Long St"}, &noise{base("a")}, &moved{base("a"), "Cem", "Short St"}, &named{base("a"), "Dan"})
	defer e.run(projection.Batch(func(_ context.Context, events []eventsource.Event) error {
		e.saw(events[0], fmt.Sprint(len(events)))
		return nil
	}), projection.WithBatchSize(1))()
	e.wait()
	e.wantSeen("a1 2", "a3 2", "a4 1")
}

func TestAPartThatFailsParksItsRecordAndIsRetriedWithTheOthers(t *testing.T) {
	t.Parallel()
	e := newEvolution(t, memstore.New())
	ill := true
	handler := projection.Each(func(_ context.Context, event eventsource.Event) error {
		e.mu.Lock()
		fails := ill && event.GetAggregateID() == "a" && eventsource.EventType(event) == "housed"
		e.mu.Unlock()
		if fails {
			return errors.New("no such street")
		}
		e.saw(event, eventsource.EventType(event))
		return nil
	})
	e.saveOld(&named{base("a"), "x"}, &moved{base("b"), "x", "x"}, &moved{base("a"), "Bea", "Long St"}, &noise{base("a")}, &named{base("b"), "x"}, &named{base("a"), "x"})
	defer e.run(handler)()
	e.wait()
	if got, want := e.parked(), []string{"a2 moved", "a4 named"}; !slices.Equal(got, want) {
		t.Errorf("parked are %q, want %q", got, want)
	}
	e.wantSeen("a1 named", "b1 named", "b1 housed", "a2 named", "b2 named") // a2 named came before what fails
	e.wantHandled(4)                                                        // also the one that is dropped

	e.mu.Lock()
	ill, e.seen = false, nil
	e.mu.Unlock()
	if n, err := e.manager.RetryParked(t.Context(), "p", 1, "a"); err != nil || n != 2 {
		t.Fatalf("%d events are retried, error %v", n, err)
	}
	if !comesTrue(t, time.Minute, func() bool { return len(e.parked()) == 0 }) {
		t.Fatalf("parked are %q", e.parked())
	}
	e.wantSeen("a2 named", "a2 housed", "a4 named")
	e.wantHandled(6)
}

func TestABatchThatFailsAtAPartIsTriedRecordByRecord(t *testing.T) {
	t.Parallel()
	e := newEvolution(t, memstore.New())
	e.saveOld(&noise{base("z")}, &named{base("a"), "x"}, &noise{base("z")}, &moved{base("b"), "x", "bad"}, &moved{base("c"), "x", "good"}, &noise{base("b")})
	defer e.run(projection.Batch(func(_ context.Context, events []eventsource.Event) error {
		for _, event := range events {
			if h, ok := event.(*housed); ok && h.Street == "bad" {
				return errors.New("no such street")
			}
		}
		for _, event := range events {
			e.saw(event, eventsource.EventType(event))
		}
		return nil
	}))()
	e.wait()
	if got, want := e.parked(), []string{"b1 moved"}; !slices.Equal(got, want) {
		t.Errorf("parked are %q, want %q", got, want)
	}
	e.wantSeen("a1 named", "c1 named", "c1 housed")
}

func TestAProjectionThatIsToStopNamesTheEventThatFailedAndNotOneThatIsDropped(t *testing.T) {
	t.Parallel()
	e := newEvolution(t, memstore.New())
	e.saveOld(&noise{base("z")}, &noise{base("z")}, &moved{base("b"), "x", "bad"})
	fails := projection.Batch(func(context.Context, []eventsource.Event) error { return errors.New("no such street") })
	var failed *projection.EventError
	err := e.projection(fails, projection.WithFailurePolicy(projection.Stop)).Run(t.Context())
	if !errors.As(err, &failed) || failed.AggregateID != "b" || failed.Type != "moved" {
		t.Errorf("error is %v, want one about the event of b", err)
	}
}

func TestAnUpcasterThatFailsParksTheEventUntilItIsMended(t *testing.T) {
	t.Parallel()
	broken := upcast.Step("named", 1, func(old json.RawMessage) (json.RawMessage, error) {
		if strings.Contains(string(old), "Bea") {
			panic("no such name")
		}
		return old, nil
	})
	mended := upcast.Step("named", 1, func(old json.RawMessage) (json.RawMessage, error) { return old, nil })
	e := newEvolution(t, memstore.New(), broken)
	e.saveOld(&named{base("a"), "Ann"}, &moved{base("a"), "Bea", "Long St"}, &named{base("b"), "Cem"}, &named{base("a"), "Dan"})
	stop := e.run(e.namesOnly())
	e.wait()
	parked, err := e.manager.Parked(t.Context(), "p", 1, "", 0)
	if err != nil || len(parked) != 2 || parked[0].Type != "moved" {
		t.Fatalf("parked are %+v, error %v", parked, err)
	}
	for _, mention := range []string{"panic: no such name", `step of "named" from version 1 to 2`, `"moved" of schema version 1`, `version 2 of aggregate "a"`, parked[0].SequenceID} {
		if !strings.Contains(parked[0].Error, mention) {
			t.Errorf("error of the parked event %q does not mention %q", parked[0].Error, mention)
		}
	}
	stop()

	e.now = eventsource.NewRepository(e.store, evolved(mended))
	defer e.run(e.namesOnly())()
	if _, err := e.manager.RetryParked(t.Context(), "p", 1, "a"); err != nil {
		t.Fatal(err)
	}
	if !comesTrue(t, time.Minute, func() bool { return len(e.parked()) == 0 }) {
		t.Fatalf("parked are %q", e.parked())
	}
	e.wantSeen("a1 Ann", "b1 Cem", "a2 Bea", "a3 Dan")
}

// What was passed under another name would be missed.
func TestAProjectionIsRefusedWhenItsTypesAreStoredUnderMoreNamesThanBefore(t *testing.T) {
	t.Parallel()
	e := newEvolution(t, memstore.New())
	e.saveOld(&called{base("a"), "Ann"})
	e.now = e.old
	stop := e.run(e.namesOnly())
	e.wait()
	stop()
	e.wantSeen()

	e.now = eventsource.NewRepository(e.store, evolved())
	err := e.projection(e.namesOnly()).Run(t.Context())
	var changed *projection.DefinitionError
	if !errors.As(err, &changed) || !slices.Equal(changed.Started, []string{"named"}) || !slices.Equal(changed.Now, []string{"called", "moved", "named"}) {
		t.Errorf("error is %v, want one that says which names there are now", err)
	}
	defer e.run(e.namesOnly(), projection.WithVersion(2))()
	if !comesTrue(t, time.Minute, func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.seen) > 0 }) {
		t.Fatal("version 2 handles nothing")
	}
	e.wantSeen("a1 Ann")
}
