package memstore_test

import (
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/memstore"
	"github.com/eventsource-go/eventsource/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: func(*testing.T) storetest.Storage { return openShared() }})
}

func BenchmarkStore(b *testing.B) {
	storetest.Benchmark(b, func(*testing.B) storetest.Storage { return openShared() })
}

// A store that has nothing but the methods of Store passes too, and shows that
// the repository does without the rest.
func TestStoreWithoutOptionalInterfaces(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(*testing.T) storetest.Storage {
			open := openShared()
			return func(clock func() time.Time) eventsource.Store {
				return struct{ eventsource.Store }{open(clock)}
			}
		},
		Lacks: []storetest.Ability{
			storetest.Append, storetest.LoadVersions, storetest.Query, storetest.Follow, storetest.Watch, storetest.Horizon, storetest.Reserve,
		},
	})
}

func TestStoreThatTakesNoLargeData(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(*testing.T) storetest.Storage {
			shared := memstore.New()
			return func(clock func() time.Time) eventsource.Store {
				return memstore.New(memstore.WithEventsOf(shared), memstore.WithClock(clock), memstore.WithMaxDataSize(400<<10))
			}
		},
		Lacks: []storetest.Ability{storetest.LargeData},
	})
}

func TestStoreThatTakesFewEventsAtOnce(t *testing.T) {
	const most = 12 // the least that the suite asks for
	storetest.Run(t, storetest.Harness{
		Open: func(*testing.T) storetest.Storage {
			shared := memstore.New()
			return func(clock func() time.Time) eventsource.Store {
				return memstore.New(memstore.WithEventsOf(shared), memstore.WithClock(clock), memstore.WithMaxSaveEvents(most))
			}
		},
		MaxSaveEvents: most,
	})
}

func openShared() storetest.Storage {
	shared := memstore.New()
	return func(clock func() time.Time) eventsource.Store {
		return memstore.New(memstore.WithEventsOf(shared), memstore.WithClock(clock))
	}
}
