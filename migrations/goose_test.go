package migrations_test

import (
	"database/sql"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
)

// applicationFS are migrations of an application, whose numbers are those of ours.
var applicationFS = fstest.MapFS{
	"00001_create_users.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE users (id text);\n-- +goose Down\nDROP TABLE users;\n")},
	"00002_create_orders.sql": {Data: []byte("-- +goose Up\nCREATE TABLE orders (id text);\n-- +goose Down\nDROP TABLE orders;\n")},
}

func TestAnApplicationsOwnMigrationsDoNotCollide(t *testing.T) {
	for name, oursFirst := range map[string]bool{"ours first": true, "the application's first": false} {
		t.Run(name, func(t *testing.T) {
			db := open(t, testenv.Postgres(t))
			application := provider(t, db, applicationFS)
			if oursFirst {
				up(t, db)
			}
			if _, err := application.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			up(t, db)
			checkApplied(t, db, true)
			insert(t, db, "events", 1)
			if version, err := application.GetDBVersion(t.Context()); err != nil || version != 2 {
				t.Errorf("the application is at version %d, %v", version, err)
			}

			if _, err := application.DownTo(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			checkApplied(t, db, true)
			if n := count(t, db, "events"); n != 1 {
				t.Errorf("%d events are left of 1", n)
			}
			downTo(t, db, 0, migrations.WithDropEvents())
			if got := one[int](t, db, `SELECT count(*) FROM goose_db_version`); got != 1 {
				t.Errorf("the application's version table has %d rows", got)
			}
		})
	}
}

// The goose command works on the folder as these providers do, with
// -table events_schema_version for the table's name.
func TestGooseOnTheFilesMakesTheSameTablesAsUp(t *testing.T) {
	byUp := open(t, testenv.Postgres(t))
	up(t, byUp)
	want := catalog(t, byUp)

	for name, files := range map[string]fs.FS{"embedded": migrations.FS, "in the folder": os.DirFS(".")} {
		t.Run(name, func(t *testing.T) {
			db := open(t, testenv.Postgres(t))
			byGoose := provider(t, db, files, goose.WithTableName("events_schema_version"))
			if _, err := byGoose.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, catalog(t, db)); diff != "" {
				t.Errorf("Up made other tables (-) than goose (+):\n%s", diff)
			}

			// Either goes on where the other has ended.
			checkApplied(t, db, true)
			up(t, db)
			if diff := cmp.Diff(want, catalog(t, db)); diff != "" {
				t.Errorf("Up after goose changed something:\n%s", diff)
			}
			insert(t, db, "events", 1)
			if _, err := byGoose.DownTo(t.Context(), onlyEvents); err != nil {
				t.Fatal(err)
			}
			if _, err := byGoose.Down(t.Context()); code(err) != "23001" {
				t.Errorf("goose took back the migration: %v", err)
			}
			down(t, db, migrations.WithDropEvents())
			if pending, err := byGoose.HasPending(t.Context()); err != nil || !pending {
				t.Errorf("after Down, goose says that pending is %t, %v", pending, err)
			}
		})
	}
}

func TestGooseMayUseItsDefaultVersionTable(t *testing.T) {
	byUp, db := open(t, testenv.Postgres(t)), open(t, testenv.Postgres(t))
	up(t, byUp)
	if _, err := provider(t, db, migrations.FS).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	withoutVersions := func(catalog string) (kept string) {
		for line := range strings.Lines(catalog) {
			if !strings.Contains(line, "_version_id") && !strings.Contains(line, "events_schema_version") && !strings.Contains(line, "goose_db_version") {
				kept += line
			}
		}
		return kept
	}
	if diff := cmp.Diff(withoutVersions(catalog(t, byUp)), withoutVersions(catalog(t, db))); diff != "" {
		t.Errorf("Up made other tables (-) than goose (+):\n%s", diff)
	}
	// Up does not know of that table, and leaves alone what it did not make.
	checkApplied(t, db, false)
	if err := migrations.Up(t.Context(), db); code(err) != "42P07" {
		t.Errorf("Up = %v, want that the table exists", err)
	}
	insert(t, db, "events", 1)
}

func provider(t testing.TB, db *sql.DB, files fs.FS, opts ...goose.ProviderOption) *goose.Provider {
	t.Helper()
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
