package sqlstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// BenchmarkSave saves one event at a time to new aggregates, with the store and
// with what a program without a store would do: a one-row INSERT that is its own
// transaction, into a table with the same columns and indexes, with an ID made
// beforehand. The two take turns, so that a noisy machine hurts both alike.
//
//	go test ./store/sqlstore -run '^$' -bench Save -benchtime 20000x
//
// ratio is saves of the store for each INSERT in the same time.
func BenchmarkSave(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			pool := testenv.Pool(b, migrated(b), func(c *pgxpool.Config) { c.MaxConns = int32(clients) + 8 })
			store := sqlstore.New(pool)
			data := []byte(`{"path":"examples/githistory/main.go","mode":"100644","blob":"0026861 4f04567605359c96e714e834db9cebab6"}`)

			var last atomic.Int64
			ours := func(ctx context.Context) error {
				_, err := store.Append(ctx, eventsource.Record{
					AggregateID: fmt.Sprint("file ", last.Add(1)), Type: "FileAdded", UserID: "user", Data: data,
				})
				return err
			}
			insert := func(ctx context.Context) error {
				_, err := pool.Exec(ctx, `INSERT INTO events
					(sequence_id, aggregate_id, version, type, timestamp, user_id, data, metadata)
					VALUES ($1, $2, 1, 'FileAdded', $3, 'user', $4, '{}')`,
					ulid.Make().String(), fmt.Sprint("file ", last.Add(1)), time.Now().UnixNano(), data)
				return err
			}

			var spent [2]time.Duration
			const rounds = 10
			each := max(b.N/rounds, clients)
			for round := range 2 * rounds {
				// ours, raw, raw, ours, ours, ...
				which := (round + 1) / 2 % 2
				save := []func(context.Context) error{ours, insert}[which]
				began := time.Now()
				var wg sync.WaitGroup
				for range clients {
					wg.Go(func() {
						for range each / clients {
							if err := save(b.Context()); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				spent[which] += time.Since(began)
			}
			saves := float64(rounds * (each / clients) * clients)
			b.ReportMetric(saves/spent[0].Seconds(), "saves/s")
			b.ReportMetric(saves/spent[1].Seconds(), "inserts/s")
			b.ReportMetric(spent[1].Seconds()/spent[0].Seconds(), "ratio")
			b.ReportMetric(0, "ns/op") // both kinds together mean nothing
		})
	}
}
