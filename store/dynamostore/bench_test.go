package dynamostore_test

import (
	"testing"

	"github.com/eventsource-go/eventsource/store/dynamostore"
	"github.com/eventsource-go/eventsource/storetest"
)

// The local server is one process in memory, so the figures say little about AWS:
// compare them with each other.
func BenchmarkStore(b *testing.B) {
	storetest.Benchmark(b, func(b *testing.B) storetest.Storage { return openTable(b, dynamostore.TableOptions{}) })
}
