package chaos

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/history"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// The test of the tests: with one mistake in the protocol, the same workers and the
// same check have to find it out, without any fault.
func TestAMistakeInTheProtocolIsFoundOut(t *testing.T) {
	for _, mutant := range []struct{ name, function, right, wrong string }{
		{"writers take no lock", "events_append", "PERFORM pg_advisory_xact_lock_shared(", "PERFORM ("},
		{"sequence IDs need not be above the head", "events_append", "left(head, 18) >= stem", "false AND left(head, 18) >= stem"},
		{"readers see no locks", "events_horizon", "l.locktype = 'advisory'", "l.locktype = 'none'"},
		{"readers go beyond what is locked", "events_horizon", "(held_at - 1)", "(held_at + 3000)"},
	} {
		t.Run(mutant.name, func(t *testing.T) {
			url := testenv.Postgres(t)
			pool := testenv.Pool(t, url)
			migrate(t, pool)
			replace(t, pool, mutant.function, mutant.right, mutant.wrong)
			err := workOn(t, url, pool)
			var found *history.CheckError
			if !errors.As(err, &found) || found.Counts[history.Skipped] == 0 {
				t.Fatalf("got %v, want events that were skipped", err)
			}
			t.Logf("found: %v", found.Counts)
		})
	}
	t.Run("and without one, nothing is found", func(t *testing.T) {
		url := testenv.Postgres(t)
		pool := testenv.Pool(t, url)
		migrate(t, pool)
		if err := workOn(t, url, pool); err != nil {
			t.Error(err)
		}
	})
}

// replace changes a function in the database.
func replace(t *testing.T, pool *pgxpool.Pool, function, old, now string) {
	t.Helper()
	var definition string
	err := pool.QueryRow(t.Context(), `SELECT pg_get_functiondef(oid) FROM pg_proc
		WHERE proname = $1 AND pronamespace = current_schema()::regnamespace`, function).Scan(&definition)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(definition, old) != 1 {
		t.Fatalf("%s has not %q in it once:\n%s", function, old, definition)
	}
	if _, err := pool.Exec(t.Context(), strings.Replace(definition, old, now, 1)); err != nil {
		t.Fatal(err)
	}
}

// workOn has workers use a store for a while and returns what the check says.
func workOn(t *testing.T, url string, pool *pgxpool.Pool) error {
	t.Helper()
	folder := t.TempDir()
	recorder := record(t, folder, "test")
	configs := configs(folder, 1, 3)
	for i := range configs {
		configs[i].URL = url
	}
	r := runOf(t, folder, configs)
	store := sqlstore.New(pool)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := saved(store, 400)(ctx); err != nil {
		t.Fatalf("not enough events are saved: %v", err)
	}
	r.settle(t, func(context.Context) error { return nil })
	repo := eventsource.NewRepository(store, serializer())
	h := r.read(t, repo, recorder)
	return h.Check(history.Options{RealTime: true, ReadersFinished: r.readers})
}
