package migrations_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// What a role needs, and no more. The README has this list.
const (
	nothing = `
		REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
		REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC;
		REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;`
	writerMay = `
		GRANT USAGE ON SCHEMA {schema} TO {role};
		GRANT SELECT, INSERT ON events TO {role};
		GRANT EXECUTE ON FUNCTION events_horizon, events_append TO {role};`
	readerMay = `
		GRANT USAGE ON SCHEMA {schema} TO {role};
		GRANT SELECT ON events TO {role};
		GRANT EXECUTE ON FUNCTION events_horizon TO {role};`
)

func TestAWriterMayAppendAndReadAndAReaderMayRead(t *testing.T) {
	url := testenv.Postgres(t)
	owner := open(t, url)
	schema := one[string](t, owner, `SELECT current_schema()`)
	up(t, owner)
	up(t, owner, migrations.WithTable("siblings")) // in the same schema
	grant(t, owner, nothing, schema, "")
	siblings := open(t, testenv.Postgres(t)) // in another one
	up(t, siblings)
	siblingSchema := one[string](t, siblings, `SELECT current_schema()`)

	writerURL := newRole(t, owner, url, writerMay)
	readerURL := newRole(t, owner, url, readerMay)
	writer := sqlstore.New(testenv.Pool(t, writerURL))
	reader := sqlstore.New(testenv.Pool(t, readerURL))

	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var wakeUps []<-chan struct{}
	for _, store := range []*sqlstore.Store{writer, reader} {
		wakeUp, err := store.Watch(ctx)
		if err != nil {
			t.Fatalf("Watch: %v", err)
		}
		wakeUps = append(wakeUps, wakeUp)
	}

	checkSavesAndReads(t, writer)
	for _, wakeUp := range wakeUps {
		select {
		case <-wakeUp:
		case <-time.After(10 * time.Second):
			t.Error("no wake-up arrived")
		}
	}
	record := eventsource.Record{AggregateID: "in a transaction", Type: "Tested", Data: []byte(`{}`)}
	tx, err := writer.NewTransaction(ctx, record)
	if err != nil {
		t.Fatalf("the writer's transaction: %v", err)
	}
	for who, store := range map[string]*sqlstore.Store{"writer": writer, "reader": reader} {
		h, err := store.Horizon(ctx)
		if err != nil || h.HolderPID == 0 {
			t.Errorf("the %s sees the horizon %+v, %v, and not who holds it", who, h, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}

	all, err := reader.LoadBySequenceID(ctx, "", 0)
	if err != nil || len(all) != 4 {
		t.Errorf("the reader loads %d events of 4, %v", len(all), err)
	}
	if _, err := reader.LoadByTimestamp(ctx, 1, 1); err != nil {
		t.Error(err)
	}
	for _, err := range reader.Query(ctx, eventsource.Query{AggregateID: "aggregate 1"}) {
		if err != nil {
			t.Error(err)
		}
	}
	const denied = "42501"
	if _, err := reader.Append(ctx, record); code(err) != denied {
		t.Errorf("the reader's Append = %v", err)
	}
	if _, err := reader.NewTransaction(ctx, record); code(err) != denied {
		t.Errorf("the reader's NewTransaction = %v", err)
	}

	for who, session := range map[string]*sql.DB{"writer": open(t, writerURL), "reader": open(t, readerURL)} {
		for _, statement := range []string{
			`UPDATE events SET user_id = ''`,
			`DELETE FROM events`,
			`TRUNCATE events`,
			`DROP TABLE events`,
			`ALTER TABLE events DISABLE TRIGGER ALL`,
			`DROP FUNCTION events_horizon`,
			`CREATE TABLE more (n integer)`,
			`SET session_replication_role = replica`,
			`SELECT * FROM siblings`,
			`SELECT * FROM siblings_horizon()`,
			`SELECT * FROM events_schema_version`,
			`SELECT * FROM ` + siblingSchema + `.events`,
			`SELECT * FROM ` + siblingSchema + `.events_horizon()`,
		} {
			if _, err := session.ExecContext(ctx, statement); code(err) != denied {
				t.Errorf("%s by the %s: %v", statement, who, err)
			}
		}
		if err := migrations.Down(ctx, session, migrations.WithDropEvents()); code(err) != denied {
			t.Errorf("Down by the %s: %v", who, err)
		}
	}
	if n := count(t, owner, "events"); n != 4 {
		t.Errorf("%d events are left of 4", n)
	}
}

func TestEveryGrantIsNeeded(t *testing.T) {
	url := testenv.Postgres(t)
	owner := open(t, url)
	schema := one[string](t, owner, `SELECT current_schema()`)
	up(t, owner)
	grant(t, owner, nothing, schema, "")

	for who, may := range map[string]string{"writer": writerMay, "reader": readerMay} {
		roleURL := newRole(t, owner, url, may)
		store := sqlstore.New(testenv.Pool(t, roleURL))
		use := func() error {
			if who == "writer" {
				if _, err := store.Append(t.Context(), eventsource.Record{AggregateID: "a", Type: "Tested"}); err != nil {
					return err
				}
			}
			_, err := store.LoadBySequenceID(t.Context(), "", 0) // a full page might need no horizon of its own
			return err
		}
		if err := use(); err != nil {
			t.Fatalf("the %s: %v", who, err)
		}
		for _, list := range []string{
			"USAGE ON SCHEMA {schema}", "SELECT ON events", "INSERT ON events",
			"EXECUTE ON FUNCTION events_horizon", "EXECUTE ON FUNCTION events_append",
		} {
			if who == "reader" && (strings.Contains(list, "INSERT") || strings.Contains(list, "append")) {
				continue // it has not got that
			}
			grant(t, owner, "REVOKE "+list+" FROM {role}", schema, roleOf(t, roleURL))
			if err := use(); err == nil {
				t.Errorf("the %s does without %s", who, list)
			}
			grant(t, owner, "GRANT "+list+" TO {role}", schema, roleOf(t, roleURL))
		}
		if err := use(); err != nil {
			t.Errorf("the %s: %v", who, err)
		}
	}
}

// A search path such as the default one, "$user", public, means other schemas to
// other roles, and temporary tables come first in it.
func TestTheFunctionsKnowTheirTableWhoeverCallsThem(t *testing.T) {
	url := testenv.Postgres(t)
	owner := open(t, url)
	schema := one[string](t, owner, `SELECT current_schema()`)
	migrator := newRole(t, owner, url, `GRANT CREATE ON DATABASE `+one[string](t, owner, `SELECT quote_ident(current_database())`)+` TO {role}`)
	name := roleOf(t, migrator)
	own := open(t, withParam(t, migrator, "search_path", `"$user",`+schema))
	execute(t, own, `CREATE SCHEMA `+name) // dropped with what the role owns
	up(t, own)
	execute(t, own, `GRANT USAGE ON SCHEMA `+name+` TO PUBLIC`)
	execute(t, own, `GRANT SELECT, INSERT ON `+name+`.events TO PUBLIC`)
	insert(t, own, "events", 2)

	other := newRole(t, owner, url, ``)
	session := testenv.Pool(t, other)
	conn, err := session.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `CREATE TEMPORARY TABLE events (sequence_id text)`); err != nil {
		t.Fatal(err)
	}
	// A lock on the real table, and none on the other.
	tx, err := own.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	execute(t, tx, `SELECT pg_advisory_xact_lock_shared((to_regclass($1)::oid::bigint & 65535) << 48 | 5)`, name+".events")

	var head string
	var heldAt int64
	if err := conn.QueryRow(t.Context(), `SELECT head, held_at FROM `+name+`.events_horizon()`).Scan(&head, &heldAt); err != nil {
		t.Fatal(err)
	}
	if head != "0000000002"+strings.Repeat("0", 16) || heldAt != 5 {
		t.Errorf("another role sees the head %q, held at %d", head, heldAt)
	}
}

// newRole makes a role that may log in and do what is granted to it, drops it
// when the test ends, and returns the URL with it.
func newRole(t testing.TB, owner *sql.DB, rawURL, may string) string {
	t.Helper()
	name := "es_test_" + strings.ToLower(rand.Text())
	execute(t, owner, `CREATE ROLE `+name+` LOGIN PASSWORD '`+name+`'`)
	t.Cleanup(func() {
		execute(t, owner, `DROP OWNED BY `+name+` CASCADE`)
		execute(t, owner, `DROP ROLE `+name)
	})
	grant(t, owner, may, one[string](t, owner, `SELECT current_schema()`), name)
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, name)
	return u.String()
}

func roleOf(t testing.TB, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.User.Username()
}

func grant(t testing.TB, owner *sql.DB, may, schema, role string) {
	t.Helper()
	execute(t, owner, strings.NewReplacer("{schema}", schema, "{role}", role).Replace(may))
}
