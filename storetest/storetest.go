// Package storetest is the conformance suite for stores: whoever writes a
// [eventsource.Store] runs it to see whether the store keeps all promises.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{Open: func(t *testing.T) storetest.Storage {
//			database := newEmptyDatabase(t)
//			return func(clock func() time.Time) eventsource.Store {
//				return mystore.New(database, mystore.WithClock(clock))
//			}
//		}})
//	}
//
// [Benchmark] measures a store, so that it can be compared with others and with
// what it was before.
package storetest

import (
	"testing"

	"github.com/eventsource-go/eventsource/internal/testsuite"
)

// Harness is what the suite needs of a backend.
type Harness = testsuite.Harness

// Storage opens a store on one and the same storage, each time as another
// process would: with connections of its own, where there are any, and the given
// clock. What it opens is closed when the test ends.
type Storage = testsuite.Storage

// Ability is what a store may lack. A store that declares to lack one in
// [Harness].Lacks is shown to refuse it, instead of answering wrongly.
type Ability = testsuite.Ability

// The abilities. All but LargeData are optional interfaces of package eventsource.
const (
	Append       = testsuite.Append
	LoadVersions = testsuite.LoadVersions
	Query        = testsuite.Query
	Follow       = testsuite.Follow
	Watch        = testsuite.Watch
	Horizon      = testsuite.Horizon
	Reserve      = testsuite.Reserve
	LargeData    = testsuite.LargeData // events of 1 MB
)

// Run runs the suite.
func Run(t *testing.T, h Harness) { testsuite.Run(t, h) }

// Benchmark measures a store: saves, transactions, loads of an aggregate, and
// reading all events in order. Each sub-benchmark reports events per second and
// allocations, and fails when a save or a load is not of as many events as it
// should be. Streams are left out where the store is no [eventsource.Querier],
// saves of 100 events where it refuses them with [eventsource.SaveTooLargeError].
// It must take saves of 50.
//
// Each call of open makes an empty storage, outside the measured time, for one
// benchmark or several:
//
//	func BenchmarkStore(b *testing.B) {
//		storetest.Benchmark(b, func(b *testing.B) storetest.Storage {
//			database := newEmptyDatabase(b)
//			return func(clock func() time.Time) eventsource.Store {
//				return mystore.New(database, mystore.WithClock(clock))
//			}
//		})
//	}
func Benchmark(b *testing.B, open func(b *testing.B) Storage) { testsuite.Benchmark(b, open) }
