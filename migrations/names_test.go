package migrations_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

func TestTablesMayHaveAnyNameThatIsNotSQL(t *testing.T) {
	names := []string{
		"order", "Order", "ORDER", "events", "Events", "user-events", "user--events", "user.events", "50%", "%s",
		"Ereignisse_für_Ümläute", "イベント", "events,events", "(events)", "/*", "42", "e", "l", "h", "n",
		strings.Repeat("m", 41), "W" + strings.Repeat("é", 20),
	}
	url := testenv.Postgres(t)
	db, pool := open(t, url), testenv.Pool(t, url)
	// All of them side by side in one schema.
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			checkApplied(t, db, false, migrations.WithTable(name))
			up(t, db, migrations.WithTable(name))
			up(t, db, migrations.WithTable(name))
			checkApplied(t, db, true, migrations.WithTable(name))
			checkSavesAndReads(t, sqlstore.New(pool, sqlstore.WithTable(name)))
		})
	}
	for _, name := range names {
		t.Run(name+" goes alone", func(t *testing.T) {
			downTo(t, db, onlyEvents, migrations.WithTable(name))
			if err := migrations.Down(t.Context(), db, migrations.WithTable(name)); code(err) != "23001" {
				t.Errorf("Down = %v", err)
			}
			down(t, db, migrations.WithTable(name), migrations.WithDropEvents())
			checkApplied(t, db, false, migrations.WithTable(name))
		})
	}
	var left []string
	for line := range strings.Lines(catalog(t, db)) {
		if strings.HasPrefix(line, "table ") {
			left = append(left, strings.TrimSuffix(strings.TrimSpace(line), "_schema_version"))
		}
	}
	if len(left) != len(names) {
		t.Errorf("beside goose's there are left: %q", left)
	}
}

func TestSchemasMayHaveAnyNameThatIsNotSQL(t *testing.T) {
	url := testenv.Postgres(t)
	db, pool := open(t, url), testenv.Pool(t, url)
	id := one[string](t, db, `SELECT right(current_schema(), 8)`)
	for _, schema := range []string{
		"User-" + id, "ünï.cödé." + id, "select," + id, "50%" + id, "x" + id + strings.Repeat("é", 27), strings.Repeat("m", 55) + id,
	} {
		t.Run(schema, func(t *testing.T) {
			t.Cleanup(func() { execute(t, db, `DROP SCHEMA IF EXISTS "`+schema+`" CASCADE`) })
			for _, table := range []string{"events", "order"} {
				in := []migrations.Option{migrations.WithSchema(schema), migrations.WithTable(table)}
				up(t, db, in...)
				up(t, db, in...)
				checkApplied(t, db, true, in...)
				checkSavesAndReads(t, sqlstore.New(pool, sqlstore.WithSchema(schema), sqlstore.WithTable(table)))
				downTo(t, db, 0, append(in, migrations.WithDropEvents())...)
				checkApplied(t, db, false, in...)
			}
		})
	}
	if made := catalog(t, db); made != "" {
		t.Errorf("in the search path's own schema they made:\n%s", made)
	}
}

func TestNamesThatSuggestSQLAreRefused(t *testing.T) {
	url := testenv.Postgres(t)
	db, pool := open(t, url), testenv.Pool(t, url)
	check := func(t *testing.T, name string, err error) {
		t.Helper()
		if !errors.Is(err, eventsource.ErrMisconfigured) || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("error is %v, which does not name %q", err, name)
		}
	}
	for _, name := range []string{
		`ev"ents`, `"events"`, "ev'ents", "ev`ents", "my events", "events;", "events\x00", "\x00", "events\n", "events\u00a0", `e\v`,
		"$user", "{where}", "{events}", "ev\xffents", strings.Repeat("m", 64), strings.Repeat("é", 32), "",
	} {
		t.Run(name, func(t *testing.T) {
			for what, do := range map[string]func(...migrations.Option) error{
				"Up":   func(opts ...migrations.Option) error { return migrations.Up(t.Context(), db, opts...) },
				"Down": func(opts ...migrations.Option) error { return migrations.Down(t.Context(), db, opts...) },
				"Status": func(opts ...migrations.Option) error {
					_, err := migrations.Status(t.Context(), db, opts...)
					return err
				},
			} {
				t.Log(what)
				check(t, name, do(migrations.WithTable(name)))
				if name != "" { // which is the default
					check(t, name, do(migrations.WithSchema(name)))
				}
			}
			check(t, name, sqlstore.New(pool, sqlstore.WithTable(name)).Err())
			if name != "" {
				check(t, name, sqlstore.New(pool, sqlstore.WithSchema(name)).Err())
			}
		})
	}
	for _, tooLong := range []string{strings.Repeat("m", 42), strings.Repeat("é", 21)} {
		check(t, tooLong, migrations.Up(t.Context(), db, migrations.WithTable(tooLong)))
		check(t, tooLong, sqlstore.New(pool, sqlstore.WithTable(tooLong)).Err())
	}
	if made := catalog(t, db); made != "" {
		t.Errorf("they made:\n%s", made)
	}
}

// checkSavesAndReads checks that an empty store keeps what is saved, in order.
func checkSavesAndReads(t testing.TB, store *sqlstore.Store) {
	t.Helper()
	var want []eventsource.Record
	for i := range 3 {
		saved, err := store.Append(t.Context(), eventsource.Record{
			AggregateID: fmt.Sprint("aggregate ", i), Type: "Tested", Timestamp: int64(i + 1), Data: []byte(`{}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, saved...)
	}
	got, err := store.LoadBySequenceID(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var queried []eventsource.Record
	for record, err := range store.Query(t.Context(), eventsource.Query{Types: []string{"Tested", "Other"}, Descending: true, Limit: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		queried = append(queried, record)
	}
	if diff := cmp.Diff([]eventsource.Record{want[2], want[1]}, queried); diff != "" {
		t.Error(diff)
	}
	byAggregate, err := store.LoadByAggregate(t.Context(), "aggregate 1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:2], byAggregate); diff != "" {
		t.Error(diff)
	}
	horizon, err := store.Horizon(t.Context())
	if err != nil || horizon.SafeEnd != want[2].SequenceID || horizon.Head != want[2].SequenceID {
		t.Errorf("Horizon = %+v, %v", horizon, err)
	}
}
