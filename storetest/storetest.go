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
	Append    = testsuite.Append
	Query     = testsuite.Query
	Watch     = testsuite.Watch
	Horizon   = testsuite.Horizon
	LargeData = testsuite.LargeData // events of 1 MB
)

// Run runs the suite.
func Run(t *testing.T, h Harness) { testsuite.Run(t, h) }
