package projection_test

import (
	"flag"
	"strconv"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/projectionsuite"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/store/memstore"
)

func TestRunner(t *testing.T) {
	projectionsuite.RunRunner(t, inMemory)
}

func inMemory(*testing.T) projectionsuite.Backend {
	store, checkpoints := memstore.New(), projection.NewMemory()
	return projectionsuite.Backend{
		Store: func(clock func() time.Time) eventsource.Store {
			return memstore.New(memstore.WithEventsOf(store), memstore.WithClock(clock))
		},
		Checkpoints: func() projection.Checkpoints { return checkpoints },
		Lease:       300 * time.Millisecond,
		Partitions:  projection.MaxPartitions,
	}
}

func TestNothingIsLostInRandomHistories(t *testing.T) {
	// A history takes about a second. -rapid.checks counts for it as well if it is lower.
	checks := flag.Lookup("rapid.checks").Value
	before := checks.String()
	if n, err := strconv.Atoi(before); err == nil && n > 15 {
		if err := checks.Set("15"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = checks.Set(before) }()
	}
	projectionsuite.RunHistories(t, inMemory)
}

// opened is an event of the tests of this package.
type opened struct {
	eventsource.BaseEvent
	N int
}
