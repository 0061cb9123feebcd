package sqlstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// BenchmarkSave saves one event at a time to new aggregates, with the store and
// with what a program without a store would do, unsafely: a one-row INSERT into the
// same table, with an ID made beforehand, as a statement on its own and as BEGIN,
// INSERT and COMMIT. They take turns, so that a noisy machine hurts all alike.
//
//	go test ./store/sqlstore -run '^$' -bench Save -benchtime 20000x
//
// saves/insert and saves/transaction are how many events the store saves in the
// time of one of the others.
func BenchmarkSave(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			url := migrated(b)
			pool := testenv.Pool(b, url, func(c *pgxpool.Config) { c.MaxConns = int32(clients) })
			store := sqlstore.New(testenv.Pool(b, url)) // with a pool as small as the default
			data := []byte(`{"path":"examples/githistory/main.go","mode":"100644","blob":"0026861 4f04567605359c96e714e834db9cebab6"}`)

			var last atomic.Int64
			ours := func(ctx context.Context) error {
				_, err := store.Append(ctx, eventsource.Record{
					AggregateID: fmt.Sprint("file ", last.Add(1)), Type: "FileAdded", UserID: "user", Data: data,
				})
				return err
			}
			type execer interface {
				Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
			}
			insertOn := func(ctx context.Context, db execer) error {
				_, err := db.Exec(ctx, `INSERT INTO events
					(sequence_id, aggregate_id, version, type, timestamp, user_id, data, metadata)
					VALUES ($1, $2, 1, 'FileAdded', $3, 'user', $4, '{}')`,
					ulid.Make().String(), fmt.Sprint("file ", last.Add(1)), time.Now().UnixNano(), data)
				return err
			}
			insert := func(ctx context.Context) error { return insertOn(ctx, pool) }
			transaction := func(ctx context.Context) error {
				return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return insertOn(ctx, tx) })
			}

			ways := []func(context.Context) error{ours, insert, transaction}
			spent := make([]time.Duration, len(ways))
			const rounds = 10
			each := max(b.N/rounds, clients)
			for round := range len(ways) * rounds {
				which := (round + round/len(ways)) % len(ways) // nobody is always first
				save := ways[which]
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
			b.ReportMetric(saves/spent[2].Seconds(), "transactions/s")
			b.ReportMetric(spent[1].Seconds()/spent[0].Seconds(), "saves/insert")
			b.ReportMetric(spent[2].Seconds()/spent[0].Seconds(), "saves/transaction")
			b.ReportMetric(0, "ns/op") // all kinds together mean nothing
		})
	}
}

// BenchmarkSaveReserving saves one event at a time to new aggregates, with a value that
// it reserves and without. They take turns. reserving/plain is how many events are saved
// with a value in the time of one without.
//
//	go test ./store/sqlstore -run '^$' -bench SaveReserving -benchtime 5000x
func BenchmarkSaveReserving(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			store := sqlstore.New(testenv.Pool(b, migrated(b)))
			var last atomic.Int64
			var spent [2]time.Duration
			const rounds = 10
			each := max(b.N/rounds, clients) / clients
			for round := range 2 * rounds {
				which := (round + round/2) % 2
				began := time.Now()
				var wg sync.WaitGroup
				for range clients {
					wg.Go(func() {
						for range each {
							r := plain(fmt.Sprint("user ", last.Add(1)))
							if which == 1 {
								r.Reservations = []eventsource.Reservation{take(r.AggregateID + "@example.com")}
							}
							if _, err := store.Append(b.Context(), r); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				spent[which] += time.Since(began)
			}
			saves := float64(rounds * each * clients)
			b.ReportMetric(saves/spent[0].Seconds(), "plain/s")
			b.ReportMetric(saves/spent[1].Seconds(), "reserving/s")
			b.ReportMetric(spent[0].Seconds()/spent[1].Seconds(), "reserving/plain")
			b.ReportMetric(0, "ns/op") // both kinds together mean nothing
		})
	}
}
