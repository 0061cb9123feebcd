package migrations_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/projectionsuite"
	"github.com/eventsource-go/eventsource/internal/snapshotsuite"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/snapshot/sqlsnapshot"
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
		GRANT SELECT, INSERT, UPDATE, DELETE ON events_reservations TO {role};
		GRANT EXECUTE ON FUNCTION events_horizon, events_append, events_append_reserving TO {role};`
	readerMay = `
		GRANT USAGE ON SCHEMA {schema} TO {role};
		GRANT SELECT ON events, events_reservations TO {role};
		GRANT EXECUTE ON FUNCTION events_horizon TO {role};`
	// Where the checkpoints are, which may be another database.
	projectorMay = `
		GRANT USAGE ON SCHEMA {schema} TO {role};
		GRANT SELECT, INSERT, UPDATE, DELETE ON events_projections, events_parked TO {role};`
	// Where the snapshots are, which may be another database.
	snapshotterMay = `
		GRANT USAGE ON SCHEMA {schema} TO {role};
		GRANT SELECT, INSERT, UPDATE, DELETE ON events_snapshots TO {role};`
)

func TestAWriterMayAppendAndReadAndAReaderMayRead(t *testing.T) {
	url := testenv.Postgres(t)
	owner := open(t, url)
	schema := one[string](t, owner, `SELECT current_schema()`)
	up(t, owner)
	grant(t, owner, nothing, schema, "")
	writer := sqlstore.New(testenv.Pool(t, newRole(t, owner, url, writerMay)))
	reader := sqlstore.New(testenv.Pool(t, newRole(t, owner, url, readerMay)))

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
	if _, err := reader.Append(ctx, record); code(err) != denied {
		t.Errorf("the reader's Append = %v", err)
	}
	if _, err := reader.NewTransaction(ctx, record); code(err) != denied {
		t.Errorf("the reader's NewTransaction = %v", err)
	}

	taking := eventsource.Record{AggregateID: "a", Type: "Tested", Reservations: []eventsource.Reservation{
		{Scope: "email", Value: "old", Release: true}, {Scope: "email", Value: "new"}, {Scope: "email", Value: "ended", Until: 1},
	}}
	if _, err := writer.Append(ctx, taking); err != nil {
		t.Errorf("the writer reserves: %v", err)
	}
	for who, store := range map[string]*sqlstore.Store{"writer": writer, "reader": reader} {
		if holder, err := store.Holder(ctx, "email", "new"); err != nil || holder.AggregateID != "a" {
			t.Errorf("the %s's Holder = %+v, %v", who, holder, err)
		}
	}
	if _, err := reader.Append(ctx, taking); code(err) != denied {
		t.Errorf("the reader reserves: %v", err)
	}
	if _, err := reader.PurgeReservations(ctx); code(err) != denied {
		t.Errorf("the reader's PurgeReservations = %v", err)
	}
	if n, err := writer.PurgeReservations(ctx); err != nil || n != 1 {
		t.Errorf("the writer's PurgeReservations = %d, %v", n, err)
	}
}

func TestAProjectorMayKeepCheckpoints(t *testing.T) {
	projectionsuite.Run(t, func(t *testing.T) projection.Checkpoints {
		url := testenv.Postgres(t)
		owner := open(t, url)
		up(t, owner)
		grant(t, owner, nothing, one[string](t, owner, `SELECT current_schema()`), "")
		return sqlprojection.NewCheckpoints(testenv.Pool(t, newRole(t, owner, url, projectorMay)))
	})
}

func TestASnapshotterMayKeepSnapshots(t *testing.T) {
	snapshotsuite.Run(t, func(t *testing.T) snapshot.Store {
		url := testenv.Postgres(t)
		owner := open(t, url)
		up(t, owner)
		grant(t, owner, nothing, one[string](t, owner, `SELECT current_schema()`), "")
		return sqlsnapshot.New(testenv.Pool(t, newRole(t, owner, url, snapshotterMay)))
	})
}

// SQLSTATEs of what is refused.
const (
	denied  = "42501" // insufficient_privilege
	refused = "23001" // restrict_violation, by the trigger
)

func TestTheGrantsAreThoseOfTheREADME(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for who, may := range map[string]string{"writer": writerMay, "reader": readerMay, "projector": projectorMay, "snapshotter": snapshotterMay} {
		want := "-- a " + who + "\n"
		for line := range strings.Lines(strings.NewReplacer("{schema}", "app", "{role}", who).Replace(may)) {
			if line = strings.TrimSpace(line); line != "" {
				want += line + "\n"
			}
		}
		_, after, found := strings.Cut(string(readme), want)
		if !found || !strings.HasPrefix(after, "\n") && !strings.HasPrefix(after, "```") {
			t.Errorf("the README does not say this and no more:\n%s", want)
		}
	}
}

// oneEvent is an event of the aggregate "mine", as arguments of events_append.
const oneEvent = `1, 1, 0, 0, '000000000100000000', ARRAY['00000001'], ARRAY['mine'], ARRAY[1], ARRAY[1], NULL,
	ARRAY['Tested'], ARRAY[1::bigint], ARRAY[''], ARRAY[''::bytea], ARRAY['{}']`

// oneChange are the further arguments of events_append_reserving.
const oneChange = `ARRAY['email'], ARRAY['mine'], ARRAY['mine'], ARRAY['mine'], ARRAY[0::bigint], ARRAY[1], ARRAY[''], ARRAY[0::bigint]`

// changes are the ways in which a statement can change or remove events.
var changes = []string{
	`UPDATE events SET user_id = ''`,
	`UPDATE ONLY events SET data = data WHERE false`,
	`DELETE FROM events`,
	`DELETE FROM events WHERE aggregate_id = 'a1' AND version = 1`,
	`WITH gone AS (DELETE FROM events RETURNING *) SELECT count(*) FROM gone`,
	`TRUNCATE events`,
	`TRUNCATE events CASCADE`,
	`INSERT INTO events SELECT * FROM events ON CONFLICT (sequence_id) DO UPDATE SET data = ''`,
	`MERGE INTO events e USING (SELECT 1) s ON e.version = 1 WHEN MATCHED THEN UPDATE SET data = ''`,
	`MERGE INTO events e USING (SELECT 1) s ON e.version = 1 WHEN MATCHED THEN DELETE`,
}

// takeovers are what only owners, or the server's superuser, may do.
var takeovers = []string{
	`SELECT * FROM events FOR UPDATE`,
	`SELECT * FROM events FOR KEY SHARE`,
	`LOCK TABLE events`,
	`ALTER TABLE events DISABLE TRIGGER ALL`,
	`ALTER TABLE events DISABLE TRIGGER events_append_only`,
	`ALTER TABLE events ENABLE REPLICA TRIGGER events_append_only`,
	`DROP TRIGGER events_append_only ON events`,
	`CREATE TRIGGER mine BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
	`CREATE RULE mine AS ON INSERT TO events DO INSTEAD NOTHING`,
	`CREATE POLICY mine ON events USING (false)`,
	`CREATE INDEX mine ON events (user_id)`,
	`CREATE STATISTICS mine ON type, user_id FROM events`,
	`ALTER TABLE events ADD COLUMN mine integer`,
	`ALTER TABLE events DROP CONSTRAINT events_aggregate_version_key`,
	`ALTER TABLE events RENAME TO mine`,
	`ALTER TABLE events OWNER TO CURRENT_USER`,
	`DROP TABLE events`,
	`DROP INDEX events_type_idx`,
	`REINDEX TABLE events`,
	`COMMENT ON TABLE events IS ''`,
	`CREATE TEMPORARY TABLE mine () INHERITS (events)`,
	`COPY events TO '/dev/null'`,
	`COPY events FROM '/dev/null'`,
	`COPY events FROM PROGRAM 'true'`,

	`ALTER FUNCTION events_append SECURITY DEFINER`,
	`ALTER FUNCTION events_append RESET search_path`,
	`CREATE OR REPLACE FUNCTION events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
	`DROP FUNCTION events_refuse_change CASCADE`,
	`DROP FUNCTION events_horizon`,
	`SELECT events_refuse_change()`,

	`CREATE TABLE {schema}.mine (n integer)`,
	`CREATE SEQUENCE {schema}.mine`,
	`CREATE VIEW {schema}.mine AS SELECT 1`,
	`CREATE FUNCTION {schema}.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'`,
	`CREATE OPERATOR {schema}.* (FUNCTION = numeric_mul, LEFTARG = numeric, RIGHTARG = numeric)`,
	`CREATE SCHEMA mine`,
	`CREATE ROLE mine`,
	`DROP SCHEMA {schema} CASCADE`,
	`SET session_replication_role = replica`,
	`SET ROLE {owner}`,
	`SET SESSION AUTHORIZATION {owner}`,

	`TRUNCATE events_projections`,
	`ALTER TABLE events_projections ADD COLUMN mine integer`,
	`CREATE INDEX mine ON events_parked (error)`,
	`DROP TABLE events_projections, events_parked`,
	`TRUNCATE events_snapshots`,
	`DROP TABLE events_snapshots`,
	`SELECT * FROM siblings_projections`,

	`TRUNCATE events_reservations`,
	`ALTER TABLE events_reservations ADD COLUMN mine integer`,
	`CREATE INDEX mine ON events_reservations (aggregate_id)`,
	`DROP TABLE events_reservations`,
	`ALTER FUNCTION events_append_reserving SECURITY DEFINER`,
	`SELECT * FROM siblings_reservations`,
	`SELECT * FROM siblings_append_reserving({event}, {change})`,

	`SELECT * FROM events_schema_version`,
	`UPDATE events_schema_version SET version_id = 0`,
	`SELECT nextval('{schema}.events_schema_version_id_seq')`,
	`SELECT * FROM siblings`,
	`INSERT INTO siblings SELECT * FROM events`,
	`SELECT * FROM siblings_horizon()`,
	`SELECT * FROM siblings_append({event})`,
	`SELECT * FROM {sibling}.events`,
	`INSERT INTO {sibling}.events SELECT * FROM events`,
	`SELECT * FROM {sibling}.events_horizon()`,
	`SELECT * FROM {sibling}.events_append({event})`,
}

// appends are what a reader may not do either.
var appends = []string{
	`INSERT INTO events SELECT * FROM events`,
	`COPY events FROM STDIN`,
	`SELECT * FROM events_append({event})`,
	`LOCK TABLE events IN ROW EXCLUSIVE MODE`,
	`SELECT * FROM events_append_reserving({event}, {change})`,
	`INSERT INTO events_reservations VALUES ('email', 'x', 'mine', '1', 1, 0)`,
	`UPDATE events_reservations SET aggregate_id = 'mine'`,
	`DELETE FROM events_reservations`,
}

// reads are what nobody may do without a grant.
var reads = []string{
	`SELECT count(*) FROM {schema}.events`,
	`TABLE {schema}.events`,
	`COPY {schema}.events TO STDOUT`,
	`LOCK TABLE {schema}.events IN ACCESS SHARE MODE`,
	`CREATE TEMPORARY TABLE mine (LIKE {schema}.events)`,
	`SELECT * FROM {schema}.events_horizon()`,
	`SELECT * FROM {schema}.events_append({event})`,
	`INSERT INTO {schema}.events VALUES ('00000000010000000000000000', 'mine', 1, 'Tested', 1, '', '', '{}')`,
	`SELECT * FROM {schema}.events_reservations`,
	`SELECT * FROM {schema}.events_append_reserving({event}, {change})`,
}

// keeps are what only those who keep snapshots may do.
var keeps = []string{
	`SELECT * FROM events_snapshots`,
	`INSERT INTO events_snapshots VALUES ('mine', 'T', 1, 1, '', '')`,
	`UPDATE events_snapshots SET state = ''`,
	`DELETE FROM events_snapshots`,
}

// steps are what only those who run projections may do.
var steps = []string{
	`SELECT * FROM events_projections`,
	`SELECT * FROM events_parked`,
	`INSERT INTO events_projections VALUES ('mine', 0, 0, 1, 0, '', '', 0, '', '', 0, NULL)`,
	`UPDATE events_projections SET position = ''`,
	`UPDATE events_parked SET request = 'drop'`,
	`DELETE FROM events_projections`,
	`DELETE FROM events_parked`,
}

func TestWhatIsNotGrantedIsDenied(t *testing.T) {
	url := testenv.Postgres(t)
	owner := open(t, url)
	up(t, owner)
	up(t, owner, migrations.WithTable("siblings")) // in the same schema
	schema := one[string](t, owner, `SELECT current_schema()`)
	sibling := open(t, testenv.Postgres(t)) // in another one
	up(t, sibling)
	insert(t, owner, "events", 3)
	render := strings.NewReplacer("{schema}", schema, "{event}", oneEvent, "{change}", oneChange,
		"{sibling}", one[string](t, sibling, `SELECT current_schema()`), "{owner}", one[string](t, owner, `SELECT quote_ident(current_user)`))

	check := func(who, may string, statements ...[]string) {
		t.Helper()
		session := open(t, newRole(t, owner, url, may))
		catalogBefore, eventsBefore := catalog(t, owner), contents(t, owner)
		for _, statement := range slices.Concat(statements...) {
			tx, err := session.BeginTx(t.Context(), nil) // which LOCK needs
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), render.Replace(statement)); code(err) != denied {
				t.Errorf("%s by the %s: %v", statement, who, err)
			}
			if err := tx.Commit(); err == nil {
				t.Errorf("%s by the %s was committed", statement, who)
			}
		}
		if err := migrations.Down(t.Context(), session, migrations.WithSchema(schema), migrations.WithDropEvents()); code(err) != denied {
			t.Errorf("Down by the %s: %v", who, err)
		}
		if diff := cmp.Diff(catalogBefore, catalog(t, owner)); diff != "" {
			t.Errorf("the %s changed what there is:\n%s", who, diff)
		}
		if diff := cmp.Diff(eventsBefore, contents(t, owner)); diff != "" {
			t.Errorf("the %s changed the events:\n%s", who, diff)
		}
	}
	// Everybody may execute functions, unless that was revoked. These work with the
	// rights of who calls them, so that it is of no use.
	check("stranger, while PUBLIC may execute", `GRANT USAGE ON SCHEMA {schema} TO {role}`, reads)
	grant(t, owner, nothing, schema, "")
	check("writer", writerMay, changes, takeovers, steps, keeps)
	check("reader", readerMay, changes, takeovers, appends, steps, keeps)
	check("projector", projectorMay, changes, takeovers, appends, reads, keeps)
	check("snapshotter", snapshotterMay, changes, takeovers, appends, reads, steps)
	check("stranger", ``, reads)
	check("stranger who finds the schema", `GRANT USAGE ON SCHEMA {schema} TO {role}`, changes, takeovers, appends, reads, steps, keeps)
}

// contents are all events, with everything that is stored of them.
func contents(t testing.TB, s session) string {
	t.Helper()
	return one[string](t, s, `SELECT coalesce(string_agg(e::text, E'\n' ORDER BY sequence_id), '') FROM events e`)
}

func TestNotEvenTheOwnerOrASuperuserChangesEvents(t *testing.T) {
	url := testenv.Postgres(t)
	superuser := open(t, url)
	ownerURL := newRole(t, superuser, url, `GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}`)
	owner := open(t, ownerURL)
	up(t, owner)
	insert(t, owner, "events", 3)
	execute(t, superuser, `CREATE TABLE others (id text); GRANT ALL ON others TO PUBLIC`)
	before := contents(t, owner)

	for who, session := range map[string]*sql.DB{
		"owner": owner, "superuser": superuser,
		// What replication applies, and what dumps are restored with.
		"superuser as a replica": open(t, withParam(t, url, "session_replication_role", "replica")),
	} {
		for _, statement := range slices.Concat(changes, []string{
			`TRUNCATE others, events`,
			`DO $$ BEGIN DELETE FROM events; END $$`,
		}) {
			if _, err := session.ExecContext(t.Context(), statement); code(err) != refused {
				t.Errorf("%s by the %s: %v", statement, who, err)
			}
			if diff := cmp.Diff(before, contents(t, owner)); diff != "" {
				t.Fatalf("%s by the %s changed the events:\n%s", statement, who, diff)
			}
		}
	}
}

func TestTheFunctionsHaveTheRightsOfTheirCallerAndTheSearchPathOfTheirSchema(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	got := one[string](t, db, `SELECT string_agg(concat_ws(' ', proname, CASE WHEN prosecdef THEN 'definer' ELSE 'invoker' END,
			(SELECT replace(c, current_schema(), 'here') FROM unnest(proconfig) c WHERE c LIKE 'search_path=%')), E'\n' ORDER BY proname)
		FROM pg_proc WHERE pronamespace = current_schema()::regnamespace`)
	want := "events_append invoker search_path=here, pg_temp\nevents_append_reserving invoker search_path=here, pg_temp\n" +
		"events_horizon invoker search_path=here, pg_temp\nevents_refuse_change invoker"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// decoys are what somebody could put in the way of events_append: where one of
// them is used, the call fails or its event goes elsewhere.
const decoys = `
	CREATE TABLE %[1]s.events (LIKE %[2]s.events);
	CREATE TABLE %[1]s.events_reservations (LIKE %[2]s.events_reservations INCLUDING INDEXES);
	CREATE FUNCTION %[1]s.trap(numeric, integer) RETURNS numeric LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
	CREATE OPERATOR %[1]s.* (FUNCTION = %[1]s.trap, LEFTARG = numeric, RIGHTARG = integer);
	CREATE FUNCTION %[1]s.trap(bigint, integer) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
	CREATE OPERATOR %[1]s.& (FUNCTION = %[1]s.trap, LEFTARG = bigint, RIGHTARG = integer);
	CREATE FUNCTION %[1]s.to_regclass(text) RETURNS regclass LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
	GRANT USAGE ON SCHEMA %[1]s TO PUBLIC;
	GRANT ALL ON %[1]s.events, %[1]s.events_reservations TO PUBLIC`

// A table or a function is taken from the first schema in the search path, or from
// among the temporary ones before that, and an operator from any, if it fits better
// than PostgreSQL's own.
func TestNothingInTheCallersSearchPathTakesThePlaceOfTheEvents(t *testing.T) {
	url := testenv.Postgres(t)
	superuser := open(t, url)
	up(t, superuser)
	schema := one[string](t, superuser, `SELECT current_schema()`)
	grant(t, superuser, nothing, schema, "")
	attackerURL := newRole(t, superuser, url, `GRANT CREATE ON DATABASE `+one[string](t, superuser, `SELECT quote_ident(current_database())`)+` TO {role};`+writerMay)
	attacker := open(t, attackerURL)
	trap := roleOf(t, attackerURL)
	execute(t, attacker, `CREATE SCHEMA `+trap) // dropped with what the role owns
	execute(t, attacker, fmt.Sprintf(decoys, trap, schema))
	victimURL := newRole(t, superuser, url, writerMay)

	append1 := func(setup, call string, reservations int) error {
		tx, err := open(t, victimURL).BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		execute(t, tx, setup)
		var outcome string
		if err := tx.QueryRowContext(t.Context(), `SELECT outcome FROM `+schema+`.`+call).Scan(&outcome); err != nil {
			return err
		}
		if n := count(t, tx, schema+".events"); n != 1 || outcome != "stored" {
			return fmt.Errorf("%s, and the table has %d events", outcome, n)
		}
		if n := count(t, tx, schema+".events_reservations"); n != reservations {
			return fmt.Errorf("the table has %d reservations, not %d", n, reservations)
		}
		var head string
		if err := tx.QueryRowContext(t.Context(), `SELECT head FROM `+schema+`.events_horizon()`).Scan(&head); err != nil || head == "" {
			return fmt.Errorf("the head is %q, %w", head, err)
		}
		return nil
	}
	calls := map[string]int{`events_append(` + oneEvent + `)`: 0, `events_append_reserving(` + oneEvent + `, ` + oneChange + `)`: 1}
	setups := map[string]string{
		"temporary tables": `CREATE TEMPORARY TABLE events (LIKE ` + schema + `.events);
			CREATE TEMPORARY TABLE events_reservations (LIKE ` + schema + `.events_reservations INCLUDING INDEXES)`,
		"a schema of the attacker's first": `SET LOCAL search_path TO ` + trap + `, ` + schema,
		"a schema of the attacker's last":  `SET LOCAL search_path TO ` + schema + `, ` + trap,
	}
	for name, setup := range setups {
		for call, reservations := range calls {
			if err := append1(setup, call, reservations); err != nil {
				t.Errorf("%.25s with %s: %v", call, name, err)
			}
		}
	}
	// Without a search path of their own the functions are only safe from operators.
	execute(t, superuser, `ALTER FUNCTION events_append RESET search_path; ALTER FUNCTION events_horizon RESET search_path;
		ALTER FUNCTION events_append_reserving RESET search_path`)
	for name, setup := range setups {
		for call, reservations := range calls {
			err := append1(setup, call, reservations)
			if operators := strings.HasSuffix(name, "last"); operators && err != nil {
				t.Errorf("%.25s with %s: %v", call, name, err)
			} else if !operators && err == nil {
				t.Errorf("%s is no attack at all on %.25s", name, call)
			}
		}
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
				// A value is reserved, reserved again and released.
				for _, reservation := range []eventsource.Reservation{
					{Scope: "email", Value: "x"}, {Scope: "email", Value: "x"}, {Scope: "email", Value: "x", Release: true},
				} {
					r := eventsource.Record{AggregateID: "a", Type: "Tested", Reservations: []eventsource.Reservation{reservation}}
					if _, err := store.Append(t.Context(), r); err != nil {
						return err
					}
				}
				if _, err := store.Append(t.Context(), eventsource.Record{AggregateID: "a", Type: "Tested"}); err != nil {
					return err
				}
			}
			if _, err := store.Holder(t.Context(), "email", "x"); err != nil {
				return err
			}
			_, err := store.LoadBySequenceID(t.Context(), "", 0) // a full page might need no horizon of its own
			return err
		}
		if err := use(); err != nil {
			t.Fatalf("the %s: %v", who, err)
		}
		for _, list := range []string{
			"USAGE ON SCHEMA {schema}", "SELECT ON events", "INSERT ON events",
			"EXECUTE ON FUNCTION events_horizon", "EXECUTE ON FUNCTION events_append", "EXECUTE ON FUNCTION events_append_reserving",
			"SELECT ON events_reservations", "INSERT ON events_reservations", "UPDATE ON events_reservations", "DELETE ON events_reservations",
		} {
			if who == "reader" && !strings.Contains(list, "USAGE") && !strings.Contains(list, "SELECT") && !strings.Contains(list, "horizon") {
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

func TestEveryGrantOfAProjectorIsNeeded(t *testing.T) {
	url := testenv.Postgres(t)
	owner := open(t, url)
	schema := one[string](t, owner, `SELECT current_schema()`)
	up(t, owner)
	grant(t, owner, nothing, schema, "")
	roleURL := newRole(t, owner, url, projectorMay)
	checkpoints := sqlprojection.NewCheckpoints(testenv.Pool(t, roleURL))
	use := func() error {
		row, step := projection.Row{Name: "p", Version: 1}, projection.Move{Name: "p", Version: 1}
		if rows, err := checkpoints.Load(t.Context(), "p"); err != nil {
			return err
		} else if len(rows) > 0 {
			row = rows[0]
		}
		if err := checkpoints.Update(t.Context(), []projection.Row{row}, nil); err != nil {
			return err
		}
		step.Park = []projection.Parked{{SequenceID: "1", AggregateID: "a"}}
		if _, err := checkpoints.Advance(t.Context(), step); err != nil {
			return err
		}
		return checkpoints.DeleteParked(t.Context(), "p", 1)
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	lists := []string{"USAGE ON SCHEMA {schema}"}
	for _, table := range []string{"events_projections", "events_parked"} {
		for _, privilege := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
			lists = append(lists, privilege+" ON "+table)
		}
	}
	for _, list := range lists {
		grant(t, owner, "REVOKE "+list+" FROM {role}", schema, roleOf(t, roleURL))
		if err := use(); code(err) != denied && !errors.Is(err, sqlprojection.ErrNotMigrated) { // what may not be seen is not there
			t.Errorf("without %s: %v", list, err)
		}
		grant(t, owner, "GRANT "+list+" TO {role}", schema, roleOf(t, roleURL))
	}
	if err := use(); err != nil {
		t.Error(err)
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
