// Package snapshottest is the conformance suite for stores of snapshots: whoever writes
// a [snapshot.Store] runs it to see whether it keeps all promises.
//
//	func TestStore(t *testing.T) {
//		snapshottest.Run(t, func(t *testing.T) snapshot.Store {
//			return mystore.New(newEmptyDatabase(t))
//		})
//	}
package snapshottest

import (
	"testing"

	"github.com/eventsource-go/eventsource/internal/snapshotsuite"
	"github.com/eventsource-go/eventsource/snapshot"
)

// Run runs the suite. Each call of open makes an empty store, for one test.
func Run(t *testing.T, open func(t *testing.T) snapshot.Store) {
	snapshotsuite.Run(t, open)
}
