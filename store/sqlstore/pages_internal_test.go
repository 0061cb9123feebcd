package sqlstore

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
)

// What is known of one server or table says nothing of another one, which may have
// lost events, or have others.
func TestAHorizonOfAnotherServerOrTableIsNotReliedOn(t *testing.T) {
	pool := testenv.Pool(t, testenv.Postgres(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	store := New(pool)
	const count = 1000
	record := eventsource.Record{AggregateID: "a", Type: "Plain"}
	if _, err := store.Append(t.Context(), slices.Repeat([]eventsource.Record{record}, count)...); err != nil {
		t.Fatal(err)
	}
	if _, err := store.LoadBySequenceID(t.Context(), "", 1); err != nil {
		t.Fatal(err)
	}
	known := *store.known.Load()
	for name, other := range map[string]horizon{
		"server": {end: known.end, table: known.table, server: known.server.Add(time.Microsecond)},
		"table":  {end: known.end, table: known.table + 1, server: known.server},
	} {
		t.Run(name, func(t *testing.T) {
			after := ""
			for page := range 10 {
				store.known.Store(&other)
				records, err := store.LoadBySequenceID(t.Context(), after, count/10)
				if err != nil || len(records) != count/10 {
					t.Fatalf("page %d has %d records: %v", page, len(records), err)
				}
				after = records[len(records)-1].SequenceID
			}
			if now := *store.known.Load(); now.table != known.table || !now.server.Equal(known.server) {
				t.Errorf("the horizon that is known is still that of elsewhere: %+v", now)
			}
			store.known.Store(&other)
			sel := selection{Query: eventsource.Query{Limit: 10}, bound: other}
			if got, err := store.page(t.Context(), &sel); err != nil || len(got.records) != 10 {
				t.Errorf("a stream's page has %+v: %v, want 10 records", got, err)
			}
		})
	}
}
