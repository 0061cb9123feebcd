package migrations_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestTheTableRefusesChanges(t *testing.T) {
	url := testenv.Postgres(t)
	up(t, open(t, url))
	for _, role := range []string{"origin", "replica", "local"} {
		db := open(t, withParam(t, url, "session_replication_role", role)) // as a superuser
		for what, statement := range map[string]string{
			"UPDATE":              `UPDATE events SET user_id = 'somebody else'`,
			"UPDATE of no rows":   `UPDATE events SET user_id = '' WHERE false`,
			"DELETE":              `DELETE FROM events`,
			"DELETE of no rows":   `DELETE FROM events WHERE false`,
			"TRUNCATE":            `TRUNCATE events`,
			"TRUNCATE CASCADE":    `TRUNCATE events RESTART IDENTITY CASCADE`,
			"INSERT that updates": `INSERT INTO events TABLE events ON CONFLICT (sequence_id) DO UPDATE SET user_id = ''`,
			"MERGE": `MERGE INTO events USING (VALUES (1)) AS v (n) ON true
				WHEN MATCHED THEN DELETE`,
		} {
			if strings.HasPrefix(what, "MERGE") && one[int](t, db, `SELECT current_setting('server_version_num')::integer`) < 150000 {
				continue
			}
			t.Run(what+" with session_replication_role "+role, func(t *testing.T) {
				_, err := db.ExecContext(t.Context(), statement)
				if code(err) != "23001" || !strings.Contains(err.Error(), "never changed or deleted") {
					t.Errorf("%s: %v", statement, err)
				}
			})
		}
		if count(t, db, "events") == 0 { // once more with events
			insert(t, db, "events", 2)
		}
	}
	if n := count(t, open(t, url), "events"); n != 2 {
		t.Errorf("%d events are left of 2", n)
	}
}

func TestTheTableRefusesWhatNoStoreWrites(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	insert(t, db, "events", 1)
	// An event that is taken, and each column of it with a value that is not.
	good := map[string]string{
		"sequence_id": "'01ARZ3NDEKTSV4RRFFQ69G5FAV'", "aggregate_id": "'a1'", "version": "2", "type": "'type1'",
		"timestamp": "2", "user_id": "''", "data": `'\x00'`, "metadata": `'{"k": "v"}'`,
	}
	insertWith := func(column, value string) error {
		var columns, values []string
		for name, v := range good {
			if name == column {
				v = value
			}
			columns, values = append(columns, name), append(values, v)
		}
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		_, err = tx.ExecContext(t.Context(), `INSERT INTO events (`+strings.Join(columns, ", ")+`) VALUES (`+strings.Join(values, ", ")+`)`)
		return err
	}
	if err := insertWith("", ""); err != nil {
		t.Fatalf("a good event: %v", err)
	}
	for _, test := range []struct{ column, value, code string }{
		{"sequence_id", "''", "23514"},
		{"sequence_id", "'01ARZ3NDEKTSV4RRFFQ69G5FA'", "23514"},
		{"sequence_id", "'01ARZ3NDEKTSV4RRFFQ69G5FAVV'", "23514"},
		{"sequence_id", "'01ARZ3NDEKTSV4RRFFQ69G5FAé'", "23514"},
		{"sequence_id", "'0000000001' || repeat('0', 16)", "23505"},
		{"aggregate_id", "''", "23514"},
		{"version", "0", "23514"},
		{"version", "-1", "23514"},
		{"version", "1", "23505"},
		{"type", "''", "23514"},
	} {
		if err := insertWith(test.column, test.value); code(err) != test.code {
			t.Errorf("an event with %s %s: %v, want SQLSTATE %s", test.column, test.value, err, test.code)
		}
	}
	for column := range good {
		if err := insertWith(column, "NULL"); code(err) != "23502" {
			t.Errorf("an event without %s: %v", column, err)
		}
	}
}

// With the settings that the store has for pages, the planner never sorts a table
// for one, also while it knows nothing of the table.
func TestPagesAreReadAlongAnIndex(t *testing.T) {
	url := withParam(t, withParam(t, testenv.Postgres(t), "enable_sort", "off"), "enable_seqscan", "off")
	db := open(t, url)
	up(t, db)
	execute(t, db, `ALTER TABLE events SET (autovacuum_enabled = false)`)
	insert(t, db, "events", 20_000)
	for _, known := range []string{"before", "after"} {
		for what, test := range map[string]struct{ query, index string }{
			"all events": {`SELECT * FROM events WHERE sequence_id > $1 AND sequence_id <= $2 ORDER BY sequence_id LIMIT 100`, "events_pkey"},
			"the newest": {`SELECT * FROM events WHERE sequence_id > $1 AND sequence_id < $2 ORDER BY sequence_id DESC LIMIT 1`, "events_pkey"},
			"of a rare type": {`SELECT * FROM events WHERE sequence_id > $1 AND sequence_id <= $2 AND type = 'rare'
				ORDER BY sequence_id LIMIT 100`, "events_type_idx"},
			"of an aggregate": {`SELECT * FROM events WHERE $1::text < $2::text AND aggregate_id = 'a1' AND version > 1
				ORDER BY version`, "events_aggregate_version_key"},
		} {
			plan := explain(t, db, test.query, "0000010000", "0000019999")
			if !strings.Contains(plan, "Index Scan using "+test.index) && !strings.Contains(plan, "Index Scan Backward using "+test.index) ||
				strings.Contains(plan, "Sort") {
				t.Errorf("%s, %s ANALYZE:\n%s", what, known, plan)
			}
		}
		execute(t, db, `ANALYZE events`)
	}
}

func TestOldTimestampsAreSkippedByBlocks(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	insert(t, db, "events", 20_000)
	execute(t, db, `SELECT brin_summarize_new_values('events_timestamp_idx')`)
	execute(t, db, `ANALYZE events`)
	plan := explain(t, db, `SELECT * FROM events WHERE timestamp > $1 AND $2 = ''`, 19_990, "")
	if !strings.Contains(plan, "events_timestamp_idx") {
		t.Error(plan)
	}
}

func explain(t testing.TB, db *sql.DB, query string, args ...any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
