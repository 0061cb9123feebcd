package system

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

// testProject checks that a projection makes each event part of the read model
// once, says so, and goes on where it was if the system keeps a place.
func testProject(t *testing.T, s testedSystem) {
	f := openFixture(t, s)
	if _, ok := f.session.(Projector); !ok {
		return // as TestSystemsCanDoWhatIsMeasured says
	}
	f.settle(t)
	admin := testenv.Pool(t, s.database.url)
	if err := CreateModel(f.ctx, admin); err != nil {
		t.Fatal(err)
	}
	name := uuid.NewString()
	p := startProjector(t, f, name)
	p.wait(t, len(f.stored))
	fresh := uuid.NewString()
	saveEvents(t, f, fresh, 0, 2)
	saveEvents(t, f, fresh, 2, 1)
	want := append([]ID{{fresh, 1}, {fresh, 2}, {fresh, 3}}, f.stored...)
	p.wait(t, len(want))
	p.stop(t)
	wantOnce(t, "Project", p.ids, want)
	wantModel(t, admin, filledAggregates+1, len(want))

	if s.Kind == Limit {
		return // a plain loop keeps no place
	}
	again := startProjector(t, f, name)
	saveEvents(t, f, fresh, 3, 1)
	again.wait(t, 1)
	again.stop(t)
	wantOnce(t, "Project with the same name", again.ids, []ID{{fresh, 4}})
	wantModel(t, admin, filledAggregates+1, len(want)+1)
}

func wantModel(t *testing.T, admin *pgxpool.Pool, wantAggregates, wantEvents int) {
	t.Helper()
	aggregates, events, err := CheckModel(t.Context(), admin)
	if err != nil || aggregates != wantAggregates || events != wantEvents {
		t.Errorf("the read model has %d events of %d aggregates, %v, want %d of %d", events, aggregates, err, wantEvents, wantAggregates)
	}
}

// testProjector collects what a Project says that it has applied.
type testProjector struct {
	cancel context.CancelFunc
	done   chan error

	mu  sync.Mutex
	ids []ID
}

func startProjector(t *testing.T, f *fixture, name string) *testProjector {
	t.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	t.Cleanup(cancel)
	p := &testProjector{cancel: cancel, done: make(chan error, 1)}
	go func() {
		p.done <- f.session.(Projector).Project(ctx, name, func(ids []ID) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ids = append(p.ids, ids...)
		})
	}()
	return p
}

// wait waits until so many events were applied.
func (p *testProjector) wait(t *testing.T, want int) {
	t.Helper()
	n := 0
	for deadline := time.Now().Add(testLimit); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		n = len(p.ids)
		p.mu.Unlock()
		if n >= want {
			return
		}
		select {
		case err := <-p.done:
			t.Fatalf("Project ended: %v", err)
		default:
		}
	}
	t.Fatalf("Project applied %d events, want %d", n, want)
}

// stop ends the context and checks that Project returns nil.
func (p *testProjector) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	if err := mustEnd(t, "Project whose context ended", func() error { return <-p.done }); err != nil {
		t.Fatalf("Project whose context ended returned %v, want nil", err)
	}
}

func TestCheckOfTheReadModelSeesWhatIsMissingTwiceOrOutOfOrder(t *testing.T) {
	pool := testenv.Pool(t, testenv.Postgres(t))
	for _, c := range []struct {
		about    string
		versions []int
		wrong    bool
	}{
		{"in order", []int{1, 2, 3}, false}, {"one left out", []int{1, 3}, true}, {"one twice", []int{1, 2, 2}, true}, {"out of order", []int{1, 3, 2}, true},
	} {
		if err := CreateModel(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		for _, version := range c.versions {
			if _, err := pool.Exec(t.Context(), upsertModel, "a", version, "T"); err != nil {
				t.Fatal(err)
			}
		}
		aggregates, events, err := CheckModel(t.Context(), pool)
		if (err != nil) != c.wrong || aggregates != 1 || events != len(c.versions) {
			t.Errorf("%s: got %d events of %d aggregates, %v", c.about, events, aggregates, err)
		}
	}
	for aggregate, want := range map[string]bool{"a": true, "b": false} {
		if found, err := InModel(t.Context(), pool, aggregate); found != want || err != nil {
			t.Errorf("%s is in the read model: %v, %v, want %v", aggregate, found, err, want)
		}
	}
	if _, err := pool.Exec(t.Context(), "DROP TABLE bench_model"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := CheckModel(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "check the read model") {
		t.Errorf("got %v of a read model that is not there, want an error that says what failed", err)
	}
}
