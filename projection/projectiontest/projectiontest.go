// Package projectiontest is the conformance suite for checkpoints: whoever writes
// [projection.Checkpoints] runs it to see whether they keep all promises.
//
//	func TestCheckpoints(t *testing.T) {
//		projectiontest.Run(t, func(t *testing.T) projection.Checkpoints {
//			return mycheckpoints.New(newEmptyDatabase(t))
//		})
//	}
package projectiontest

import (
	"testing"

	"github.com/eventsource-go/eventsource/internal/projectionsuite"
	"github.com/eventsource-go/eventsource/projection"
)

// Run runs the suite. Each call of open makes empty checkpoints, for one test.
// Transactions are tested where they are a [projection.Transactor].
func Run(t *testing.T, open func(t *testing.T) projection.Checkpoints) {
	projectionsuite.Run(t, open)
}
