package workload

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource/bench/payload"
	"github.com/eventsource-go/eventsource/bench/system"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

// TestMain is also the program that is started to project.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "project" {
		os.Exit(projectAsProcess(os.Args[2], os.Args[3], os.Args[4]))
	}
	os.Exit(testenv.Main(m))
}

func projectAsProcess(name, projection, events string) int {
	systems, err := system.Named([]string{name})
	n := 0
	if err == nil {
		n, err = strconv.Atoi(events)
	}
	if err == nil {
		err = Project(context.Background(), systems[0], os.Getenv(EnvProjectURL), projection, n, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// fake is a session whose methods a test may replace. Without that, it keeps the
// IDs of what is saved, and Follow delivers them.
type fake struct {
	save   func(ctx context.Context, batch system.Batch) error
	load   func(ctx context.Context, aggregate string) (int, error)
	page   func(ctx context.Context, after string, limit int) (int, string, error)
	stream func(ctx context.Context, deliver func(system.ID) bool) error
	// times says how often the event that Follow comes to as number n, counted from
	// 0, is delivered.
	times func(number int) int
	// endsAfter is how many events Follow delivers before it returns endsWith, if not 0.
	endsAfter int
	endsWith  error

	mu    sync.Mutex
	saved []system.ID
	more  chan struct{} // closed when something is saved
}

func newFake() *fake { return &fake{more: make(chan struct{})} }

func (f *fake) Close() error { return nil }

func (f *fake) Save(ctx context.Context, batch system.Batch) error {
	if f.save != nil {
		return f.save(ctx, batch)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range batch.Events {
		f.saved = append(f.saved, system.ID{Aggregate: batch.Aggregate, Version: batch.Version + i + 1})
	}
	close(f.more)
	f.more = make(chan struct{})
	return ctx.Err()
}

func (f *fake) Load(ctx context.Context, aggregate string) (int, error) {
	return f.load(ctx, aggregate)
}

func (f *fake) Page(ctx context.Context, after string, limit int) (int, string, error) {
	return f.page(ctx, after, limit)
}

func (f *fake) Stream(ctx context.Context, deliver func(system.ID) bool) error {
	return f.stream(ctx, deliver)
}

func (f *fake) Follow(ctx context.Context, ready func(), deliver func(system.ID)) error {
	f.mu.Lock()
	before := len(f.saved)
	f.mu.Unlock()
	ready()
	number := 0
	for {
		f.mu.Lock()
		found, more := f.saved[before+number:], f.more
		f.mu.Unlock()
		for _, id := range found {
			times := 1
			if f.times != nil {
				times = f.times(number)
			}
			for range times {
				deliver(id)
			}
			number++
			if number == f.endsAfter {
				return f.endsWith
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
	}
}

var git = sync.OnceValues(payload.Git)

func gitEvents(t *testing.T) []payload.Event {
	t.Helper()
	events, err := git()
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// newRun is a short one.
func newRun(t *testing.T, session system.Session) *run {
	return &run{
		session: session, stored: &stored{total: 1000, events: gitEvents(t)},
		time: 5 * time.Millisecond, warmUp: time.Millisecond,
	}
}
