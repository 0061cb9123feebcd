package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource/bench/system"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

func dial(t *testing.T, address string) (net.Conn, error) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return conn, err
}

func TestProjectionsAreMeasuredOnWhoeverHasThem(t *testing.T) {
	t.Parallel()
	c := config(t, `^project/`, system.Raw(), system.Records(), system.Events())
	watermill := system.Watermill()
	watermill.Database = c.Systems[0].Database + "w"
	c.Systems = append(c.Systems, watermill)
	c.Rounds = 1
	cells, _, err := Run(t.Context(), *c)
	if err != nil {
		t.Fatal(err)
	}
	can := map[string]string{
		"project/catch-up": "raw; ours, JSON; watermill", "project/latency": "ours, JSON; watermill", "project/idle": "ours, JSON", "project/takeover": "ours, JSON",
	}
	did := map[string][]string{}
	for _, cell := range cells {
		if cell.Failed != "" {
			t.Errorf("%s, %s: %s", cell.Workload, cell.System, cell.Failed)
			continue
		}
		if cell.Missing != "" {
			continue
		}
		did[cell.Workload] = append(did[cell.Workload], cell.System)
		s := cell.Samples[0]
		if s.Missed != 0 || s.Twice != 0 {
			t.Errorf("%s, %s: %+v", cell.Workload, cell.System, s)
		}
		switch cell.Workload {
		case "project/catch-up":
			if s.Events == 0 || s.Events%1000 != 0 || s.Rate() <= 0 || s.Allocs <= 0 {
				t.Errorf("%s, %s: %+v, want all of 1000 events once or more", cell.Workload, cell.System, s)
			}
		case "project/latency":
			if s.P50 <= 0 || s.P99 < s.P50 || s.Saved != 2000 {
				t.Errorf("%s, %s: %+v", cell.Workload, cell.System, s)
			}
		case "project/idle":
			if s.Seconds < 0.4 { // what is asked in so short a time is left to chance
				t.Errorf("%s, %s: %+v", cell.Workload, cell.System, s)
			}
		case "project/takeover":
			if s.TakeoverSeconds < 0.1 || s.TakeoverSeconds > takeoverLimit.Seconds() {
				t.Errorf("%s, %s: %+v", cell.Workload, cell.System, s)
			}
		}
	}
	for name, want := range can {
		if got := strings.Join(did[name], "; "); got != want {
			t.Errorf("%s was measured of %q, want %q", name, got, want)
		}
	}
	if len(did) != len(can) {
		t.Errorf("measured were %v, want those of %v", did, can)
	}
}

func TestWorkloadsAreLeftOutWhereTooManyEventsAreStored(t *testing.T) {
	t.Parallel()
	c := config(t, `^load/10$`, system.Raw())
	c.Workloads[0].BelowEvents = 1000
	if cells, _, err := Run(t.Context(), *c); err != nil || len(cells) != 0 {
		t.Errorf("got %d cells and %v, want none", len(cells), err)
	}
}

// projects is a session whose projection is a function.
type projects struct {
	system.Session
	project func(ctx context.Context, name string, applied func([]system.ID)) error
}

func (p projects) Project(ctx context.Context, name string, applied func([]system.ID)) error {
	return p.project(ctx, name, applied)
}

// numbered are the first n events of an aggregate.
func numbered(n int) (ids []system.ID) {
	for i := range n {
		ids = append(ids, system.ID{Aggregate: "a", Version: i + 1})
	}
	return ids
}

func TestProjectionThatDoesNotDoItsWorkIsAnError(t *testing.T) {
	t.Parallel()
	admin := testenv.Pool(t, testenv.Postgres(t))
	broken := errors.New("broken")
	for _, c := range []struct {
		about   string
		project func(ctx context.Context, _ string, applied func([]system.ID)) error
		want    string
	}{
		{"it says more than it writes", func(ctx context.Context, _ string, applied func([]system.ID)) error {
			applied(numbered(1000))
			<-ctx.Done()
			return nil
		}, "1000 events of 1 aggregates were applied, and the read model has 0 of 0"},
		{"it applies too many", func(ctx context.Context, _ string, applied func([]system.ID)) error {
			applied(numbered(1001))
			<-ctx.Done()
			return nil
		}, "1001 events were applied, and 1000 are stored"},
		{"it ends early", func(_ context.Context, _ string, applied func([]system.ID)) error {
			applied(numbered(999))
			return nil
		}, "the projection ended early"},
		{"it fails", func(context.Context, string, func([]system.ID)) error { return broken }, "broken"},
		{"it fails at the end", func(_ context.Context, _ string, applied func([]system.ID)) error {
			applied(numbered(1000))
			return broken
		}, "broken"},
	} {
		r := newRun(t, projects{newFake(), c.project})
		r.admin = admin
		if _, err := projectCatchUp(t.Context(), r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.about, err, c.want)
		}
	}
}

func TestModelThatIsNotReachedInTimeIsAnError(t *testing.T) {
	t.Parallel()
	m := startModel(t.Context(), projects{newFake(), func(ctx context.Context, _ string, applied func([]system.ID)) error {
		applied(numbered(3))
		<-ctx.Done()
		return nil
	}}, "", nil)
	if err := m.await(t.Context(), 3, testLimit); err != nil {
		t.Fatal(err)
	}
	if err := m.await(t.Context(), 4, time.Millisecond); err == nil || !strings.Contains(err.Error(), "3 of 4 events were applied") {
		t.Errorf("got %v, want an error with 3 of 4", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.await(ctx, 4, testLimit); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
}

const testLimit = 30 * time.Second

func TestProcessPrintsWhatItHasApplied(t *testing.T) {
	t.Parallel()
	open := func(session system.Session) system.System {
		return system.System{Name: "fake", Open: func(context.Context, string, int) (system.Session, error) { return session, nil }}
	}
	threes := projects{newFake(), func(ctx context.Context, _ string, applied func([]system.ID)) error {
		for ctx.Err() == nil {
			applied(numbered(3))
		}
		return nil
	}}
	var stdout bytes.Buffer
	if err := Project(t.Context(), open(threes), "", "name", 5, &stdout); err != nil {
		t.Fatal(err)
	}
	var events []int
	for decoder := json.NewDecoder(&stdout); decoder.More(); {
		var line Applied
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if line.Events > 0 && line.Peak < 1<<20 {
			t.Errorf("the peak of the process is %d bytes", line.Peak)
		}
		events = append(events, line.Events)
	}
	if len(events) != 3 || events[0] != 0 || events[1] != 3 || events[2] != 6 {
		t.Errorf("it printed %v events, want 0, 3 and 6", events)
	}

	if err := Project(t.Context(), open(newFake()), "", "name", 5, &stdout); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v of a session without projections, want %v", err, errors.ErrUnsupported)
	}
	broken := errors.New("broken")
	fails := projects{newFake(), func(context.Context, string, func([]system.ID)) error { return broken }}
	if err := Project(t.Context(), open(fails), "", "name", 5, &stdout); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if err := Project(t.Context(), open(threes), "", "name", 0, brokenWriter{after: 2, err: broken}.new()); !errors.Is(err, broken) {
		t.Errorf("got %v where nothing can be printed, want %v", err, broken)
	}
}

// brokenWriter fails after some writes.
type brokenWriter struct {
	after int
	err   error
}

func (w brokenWriter) new() *brokenWriter { return &w }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, w.err
	}
	return len(b), nil
}

func TestMemoryOfAProcessIsTakenAfterATenthAndAtTheEnd(t *testing.T) {
	t.Parallel()
	c := config(t, `^project/memory$`, system.Events())
	c.Workloads[0].FromEvents, c.Workloads[0].run = 0, projectMemory(1000)
	cells, _, err := Run(t.Context(), *c)
	if err != nil || len(cells) != 1 || len(cells[0].Samples) != 1 {
		t.Fatalf("got %+v, %v", cells, err)
	}
	if s := cells[0].Samples[0]; s.Events != 1000 || s.EarlyMiB < 1 || s.MemoryMiB < s.EarlyMiB || s.Seconds <= 0 {
		t.Errorf("got %+v", s)
	}
}

func TestProcessThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	r := newRun(t, newFake())
	r.system.Name = "nobody"
	p, err := startProcess(t.Context(), r, "name", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	if _, err := p.next(t.Context(), testLimit); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("got %v, want an error that names nobody", err)
	}
}
