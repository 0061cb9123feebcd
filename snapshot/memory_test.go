package snapshot_test

import (
	"testing"

	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/snapshot/snapshottest"
)

func TestMemory(t *testing.T) {
	snapshottest.Run(t, func(*testing.T) snapshot.Store { return snapshot.NewMemory() })
}
