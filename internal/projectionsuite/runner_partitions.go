package projectionsuite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

func testPartitions(t *testing.T, open opener) {
	open.run(t, "partitions share the aggregates, and keep the order of each", func(w *world) {
		var j journal
		last := w.open(300, many(40)...)
		w.start(j.handler("a"), projection.WithPartitions(5), projection.WithBatchSize(20))
		w.until("it is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		w.wantEach(j.all(""), true)
		handled := int64(0)
		for _, r := range w.rows(1) {
			if handled += r.Handled; r.Handled == 0 {
				w.Errorf("partition %d has handled nothing", r.Partition)
			}
		}
		if handled != 300 {
			w.Errorf("%d events count as handled", handled)
		}
	})

	open.run(t, "partitions work side by side", func(w *world) {
		const n = 4
		var mu sync.Mutex
		working, most := 0, 0
		all := make(chan struct{})
		var j journal
		w.start(j.handler("a", func(ctx context.Context, _ *opened) error {
			mu.Lock()
			working++
			if most = max(most, working); most == n {
				select {
				case <-all:
				default:
					close(all)
				}
			}
			mu.Unlock()
			select {
			case <-all:
			case <-ctx.Done():
			}
			mu.Lock()
			working--
			mu.Unlock()
			return ctx.Err()
		}), projection.WithPartitions(n), projection.WithBatchSize(1))
		last := w.open(200, many(40)...)
		receive(w, "all partitions work at once", all)
		w.waitFor(last)
		w.wantEach(j.all(""), true)
	})

	open.run(t, "as many instances as partitions end with one each", func(w *world) {
		const n = 4
		var j journal
		for i := range n {
			w.start(j.handler(fmt.Sprint(i)), projection.WithPartitions(n))
			w.until("all partitions are worked on", func() bool {
				owners := w.owners()
				return len(owners) == n && !slices.Contains(owners, "")
			})
		}
		w.until("each instance has one partition", func() bool {
			owners := w.owners()
			slices.Sort(owners)
			return len(owners) == n && owners[0] != "" && len(slices.Compact(owners)) == n
		})
		w.waitFor(w.open(100, many(30)...))
		w.wantEach(j.all(""), true)
	})

	open.run(t, "the number of partitions changes under load, while instances come and go", func(w *world) {
		var j journal
		stopLoad := w.backgroundLoad(time.Millisecond, many(50)...)
		var last string
		for round, n := range []int{1, 4, 3, w.Partitions, 2} {
			var now []*instance
			for i := range 3 {
				now = append(now, w.start(j.handler(fmt.Sprint(round, "/", i)), projection.WithPartitions(n), projection.WithBatchSize(10)))
			}
			w.until(fmt.Sprintf("there are %d partitions", n), func() bool {
				owners := w.owners()
				return len(owners) == n && !slices.Contains(owners, "")
			})
			w.stop(now[0])
			last = w.open(30, many(50)...)
			w.waitFor(last)
			w.stop(now[1:]...)
		}
		last = stopLoad()
		w.start(j.handler("last"))
		w.waitFor(last)
		w.wantEach(j.all(""), false)
	})

	open.run(t, "an instance with another number of partitions changes it for those that run", func(w *world) {
		var j journal
		stopLoad := w.backgroundLoad(time.Millisecond, many(30)...)
		for _, n := range []int{2, 5, 1} {
			w.start(j.handler(fmt.Sprint(n)), projection.WithPartitions(n))
			w.until(fmt.Sprintf("there are %d partitions", n), func() bool {
				owners := w.owners()
				return len(owners) == n && !slices.Contains(owners, "")
			})
		}
		w.waitFor(stopLoad())
		w.wantEach(j.all(""), false)
	})

	open.run(t, "a slot that is ahead of its new partition does not see events again", func(w *world) {
		// One partition stands still, the others go on, so that positions differ.
		aggregates := many(40)
		var j journal
		blocked := make(chan struct{})
		var once sync.Once
		i := w.start(j.handler("a", func(ctx context.Context, e *opened) error {
			if e.AggregateID != aggregates[0] {
				return nil
			}
			once.Do(func() { close(blocked) })
			<-ctx.Done()
			return ctx.Err()
		}), projection.WithPartitions(8))
		last := w.open(200, aggregates...)
		receive(w, "one partition stands still", blocked)
		w.until("the others are done", func() bool {
			behind := 0
			for _, r := range w.rows(1) {
				if r.Position < last {
					behind++
				}
			}
			return behind == 1
		})
		w.stop(i)
		for _, n := range []int{3, w.Partitions, 5, 1} {
			i := w.start(j.handler("never", func(ctx context.Context, _ *opened) error {
				<-ctx.Done()
				return ctx.Err()
			}), projection.WithPartitions(n))
			w.until(fmt.Sprintf("there are %d partitions", n), func() bool { return len(w.rows(1)) == n })
			w.stop(i)
		}
		w.start(j.handler("b"))
		w.waitFor(last)
		w.wantEach(j.all(""), true)
	})

	open.run(t, "in a transaction, each event counts exactly once while partitions change and instances freeze", func(w *world) {
		if w.Ledger == nil {
			w.refusesTransactions()
			return
		}
		stopLoad := w.backgroundLoad(2*time.Millisecond, many(30)...)
		handler := w.ledger(func(ctx context.Context, e eventsource.Event) (Entry, error) {
			return entryOf(ctx, "a", e), nil
		})
		for _, n := range []int{1, 4, 3, w.Partitions, 2} {
			g := newGate()
			frozen := w.start(handler, projection.WithPartitions(n), projection.WithCheckpoints(intercept(w.checkpoints, g.around)), projection.WithBatchSize(5))
			other := w.start(handler, projection.WithPartitions(n), projection.WithBatchSize(5))
			w.until(fmt.Sprintf("there are %d partitions", n), func() bool {
				owners := w.owners()
				return len(owners) == n && !slices.Contains(owners, "")
			})
			time.Sleep(rand.N(20 * time.Millisecond)) //nolint:gosec // freeze it anywhere
			g.shut(true)
			w.waitFor(w.open(10, many(30)...))
			g.reopen()
			w.stop(frozen, other)
		}
		last := stopLoad()
		w.start(handler, projection.WithPartitions(2))
		w.waitFor(last)
		w.wantEach(w.Ledger.Entries(w), true)
	})
}
