package sqlstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/pgident"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// FuzzOptions checks that options are either accepted, and then only the pool is
// missing, or make every method say so.
func FuzzOptions(f *testing.F) {
	f.Add("", "events", true, sqlstore.DefaultMaxDataSize, int64(time.Minute), int64(time.Second))
	f.Add("app", "Order", true, 0, int64(0), int64(0))
	f.Add("app", "events", false, 1, int64(0), int64(0))
	f.Add("app", "events", true, -1, int64(0), int64(0))
	f.Add("app", "events", true, 512<<20+1, int64(0), int64(0))
	f.Add("app", "events", true, 512<<20, int64(-1), int64(0))
	f.Add("app", "events", true, 1, int64(0), int64(-1))
	f.Add(strings.Repeat("m", 64), strings.Repeat("m", 41), true, 1, int64(0), int64(0))
	f.Add("app", strings.Repeat("m", 42), true, 1, int64(0), int64(0))
	f.Fuzz(func(t *testing.T, schema, table string, clock bool, maxData int, ahead, outcome int64) {
		opts := []sqlstore.Option{
			sqlstore.WithSchema(schema), sqlstore.WithTable(table), sqlstore.WithMaxDataSize(maxData), nil,
			sqlstore.WithMaxClockAhead(time.Duration(ahead)), sqlstore.WithOutcomeTimeout(time.Duration(outcome)),
		}
		if !clock {
			opts = append(opts, sqlstore.WithClock(nil))
		}
		s := sqlstore.New(nil, opts...)
		accepted := strings.HasSuffix(s.Err().Error(), "pool is nil")
		sound := clock && maxData >= 0 && maxData <= 512<<20 && ahead >= 0 && outcome >= 0
		if accepted && !sound {
			t.Errorf("they were accepted: %v", s.Err())
		}
		if named := (schema == "" || pgident.CheckSchema(schema) == nil) && pgident.CheckTable(table) == nil; accepted && !named {
			t.Errorf("the names were accepted: %v", s.Err())
		} else if !accepted && sound && named {
			t.Errorf("they were refused: %v", s.Err())
		}
		_, appended := s.Append(t.Context(), eventsource.Record{AggregateID: "a", Type: "Opened"})
		_, begun := s.NewTransaction(t.Context())
		_, loaded := s.LoadByAggregate(t.Context(), "a")
		_, told := s.Horizon(t.Context())
		for _, err := range []error{s.Err(), appended, begun, loaded, told} {
			if !errors.Is(err, eventsource.ErrMisconfigured) {
				t.Errorf("error is %v", err)
			}
		}
	})
}

// FuzzNames migrates, saves, loads and takes back with any names. What is accepted
// makes what it names and changes nothing else in the database.
func FuzzNames(f *testing.F) {
	f.Add("app", "events")
	f.Add(`x"; DROP TABLE canary.kept; --`, `events"; DROP TABLE canary.kept; --`)
	f.Add("a.canary.(--/*", "%s$1:x@-+[]=,|")
	f.Add("É", "canary.kept")
	f.Add("", "UPDATE")
	pool := ownDatabase(f)
	f.Fuzz(func(t *testing.T, schema, table string) {
		// With a prefix, so that it is no schema that there is, and none of PostgreSQL's.
		schema = "app-" + schema
		except := strings.ToValidUTF8(strings.ReplaceAll(schema, "\x00", ""), "") // the server takes no other text
		before := catalog(t, pool, except)
		store := sqlstore.New(pool, sqlstore.WithSchema(schema), sqlstore.WithTable(table))
		db := stdlib.OpenDBFromPool(pool)
		defer func() { _ = db.Close() }()
		in := []migrations.Option{migrations.WithSchema(schema), migrations.WithTable(table)}
		err := migrations.Up(t.Context(), db, in...)
		if store.Err() != nil {
			if !errors.Is(err, eventsource.ErrMisconfigured) {
				t.Errorf("Up = %v, the store %v", err, store.Err())
			}
			unchanged(t, pool, except, before)
			return
		}
		defer func() {
			if _, err := pool.Exec(t.Context(), `DROP SCHEMA `+pgx.Identifier{schema}.Sanitize()+` CASCADE`); err != nil {
				t.Error(err)
			}
		}()
		if err != nil {
			t.Fatal(err)
		}
		checkRoundTrip(t, store, eventsource.Record{
			AggregateID: schema, Type: table, UserID: `'; DROP TABLE canary.kept; --`, Data: []byte(`"'\`), Metadata: eventsource.Metadata{schema: table},
		})
		want := []string{table + "_schema_version", table, table + "_projections", table + "_parked", table + "_reservations", table + "_snapshots"}
		if got := tables(t, pool, schema); !cmp.Equal(want, got, cmpopts.SortSlices(strings.Compare)) {
			t.Errorf("%q has the tables %q, want %q", schema, got, want)
		}
		unchanged(t, pool, except, before)

		applied, err := migrations.Status(t.Context(), db, in...)
		if err != nil {
			t.Fatal(err)
		}
		for range applied {
			if err := migrations.Down(t.Context(), db, append(in, migrations.WithDropEvents())...); err != nil {
				t.Fatal(err)
			}
		}
		if got := tables(t, pool, schema); !cmp.Equal(want[:1], got) {
			t.Errorf("%q has the tables %q after all was taken back", schema, got)
		}
		unchanged(t, pool, except, before)
	})
}

// FuzzValues saves any values and asks for them. What is accepted comes back as it
// was, and nothing else in the database changes.
func FuzzValues(f *testing.F) {
	const attack = `'); DROP TABLE canary.kept; --`
	f.Add("a", "Opened", "", "", "", []byte(`{}`))
	f.Add(attack, attack, attack, attack, attack, []byte(attack))
	f.Add(`\`, `\'`, `$1`, `"`, `{"k":"\u0000"}`, []byte{0, 0xff, '\\', 'x'})
	f.Add("{a,b}", "NULL", "\u2028", "é", "\U0001F600", []byte(nil))
	f.Add("a\x00", "Opened", "", "", "", []byte(nil))
	f.Add("a", "Opened\xff", "", "", "", []byte(nil))
	f.Add("a", "Opened", "\xed\xa0\x80", "", "", []byte(nil))
	f.Add("a", "Opened", "", "k", "\x00", []byte(nil))
	pool := ownDatabase(f)
	migrate(f, pool)
	store := sqlstore.New(pool)
	f.Fuzz(func(t *testing.T, aggregate, eventType, user, key, value string, data []byte) {
		r := eventsource.Record{AggregateID: aggregate, Type: eventType, UserID: user, Data: data}
		if key != "" || value != "" {
			r.Metadata = eventsource.Metadata{key: value}
		}
		before := catalog(t, pool, "public")
		if invalid := r.Validate(); invalid != nil {
			head, err := store.Horizon(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.Append(t.Context(), r); !errors.Is(err, eventsource.ErrInvalidEvent) {
				t.Errorf("Append = %v", err)
			}
			if after, err := store.Horizon(t.Context()); err != nil || after.Head != head.Head {
				t.Errorf("the end moved from %q to %q, error %v", head.Head, after.Head, err)
			}
		} else {
			checkRoundTrip(t, store, r)
		}
		// Where text is a cursor it is an ID or refused, whatever it is.
		if _, err := store.LoadBySequenceID(t.Context(), value, 1); err != nil && !errors.Is(err, eventsource.ErrInvalidSequenceID) {
			t.Errorf("LoadBySequenceID = %v", err)
		}
		if _, err := store.LoadBySequenceIDAndType(t.Context(), "", eventType, 1); err != nil && !errors.Is(err, eventsource.ErrInvalidQuery) {
			t.Errorf("LoadBySequenceIDAndType = %v", err)
		}
		for _, err := range store.Query(t.Context(), eventsource.Query{AggregateID: user, Types: []string{"Opened", aggregate}, Limit: 1}) {
			if err != nil && !errors.Is(err, eventsource.ErrInvalidQuery) {
				t.Errorf("Query = %v", err)
			}
		}
		unchanged(t, pool, "public", before)
	})
}

// checkRoundTrip saves a record, and asks for it by each of its values.
func checkRoundTrip(t *testing.T, store *sqlstore.Store, r eventsource.Record) {
	t.Helper()
	stored, err := store.Append(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for what, query := range map[string]eventsource.Query{
		"aggregate": {AggregateID: r.AggregateID, Descending: true, Limit: 1},
		"type":      {Types: []string{r.Type}, Descending: true, Limit: 1},
		"both":      {AggregateID: r.AggregateID, Types: []string{"unheard-of", r.Type}, Descending: true, Limit: 1},
	} {
		found := 0
		for got, err := range store.Query(t.Context(), query) {
			found++
			if err != nil {
				t.Fatalf("by %s: %v", what, err)
			}
			if diff := cmp.Diff(stored[0], got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("by %s: %s", what, diff)
			}
		}
		if found != 1 {
			t.Errorf("by %s: %d events", what, found)
		}
	}
	got := stored[0]
	if got.AggregateID != r.AggregateID || got.Type != r.Type || got.UserID != r.UserID || !bytes.Equal(got.Data, r.Data) ||
		!maps.Equal(got.Metadata, r.Metadata) {
		t.Errorf("%+v was stored as %+v", r, got)
	}
}

// ownDatabase makes a database in which nobody else changes anything, and in it a
// table that nobody should touch.
func ownDatabase(f *testing.F) *pgxpool.Pool {
	f.Helper()
	server := testenv.Pool(f, testenv.Server(f))
	name := "eventsource_fuzz_" + strings.ToLower(rand.Text())
	if _, err := server.Exec(f.Context(), "CREATE DATABASE "+name); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if _, err := server.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			f.Error(err)
		}
	})
	u, err := url.Parse(testenv.Server(f))
	if err != nil {
		f.Fatal(err)
	}
	u.Path = "/" + name
	pool := testenv.Pool(f, u.String(), func(c *pgxpool.Config) { c.MaxConns = 4 })
	if _, err := pool.Exec(f.Context(), `CREATE SCHEMA canary; CREATE TABLE canary.kept (id int); INSERT INTO canary.kept VALUES (42)`); err != nil {
		f.Fatal(err)
	}
	return pool
}

// catalog is everything that somebody made in the database, but what is in a
// schema, and what the canary's table holds. 16384 is the first OID that is not
// PostgreSQL's own.
func catalog(t *testing.T, pool *pgxpool.Pool, except string) string {
	t.Helper()
	var all string
	err := pool.QueryRow(t.Context(), `
		WITH here AS (SELECT oid, nspname FROM pg_namespace WHERE nspname <> $1 AND nspname NOT LIKE 'pg\_t%')
		SELECT concat_ws(E'\n',
			(SELECT string_agg(nspname, E'\n' ORDER BY nspname) FROM here),
			(SELECT string_agg(nspname || '.' || relname, E'\n' ORDER BY c.oid) FROM pg_class c JOIN here ON relnamespace = here.oid WHERE c.oid >= 16384),
			(SELECT string_agg(nspname || '.' || proname, E'\n' ORDER BY p.oid) FROM pg_proc p JOIN here ON pronamespace = here.oid WHERE p.oid >= 16384),
			(SELECT string_agg(nspname || '.' || typname, E'\n' ORDER BY t.oid) FROM pg_type t JOIN here ON typnamespace = here.oid WHERE t.oid >= 16384),
			(SELECT string_agg(extname, E'\n' ORDER BY oid) FROM pg_extension),
			(SELECT string_agg(setconfig::text, E'\n') FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()),
			(SELECT string_agg(id::text, ',') FROM canary.kept)
		)`, except).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func unchanged(t *testing.T, pool *pgxpool.Pool, except, before string) {
	t.Helper()
	if diff := cmp.Diff(before, catalog(t, pool, except)); diff != "" {
		t.Errorf("the rest of the database changed: %s", diff)
	}
}

func tables(t *testing.T, pool *pgxpool.Pool, schema string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = $1`, schema)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}
