package migrations_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// Every version of the schema is kept as a dump of a database with events in it.
// CONTRIBUTING.md says how to make one.
const (
	dumpFolder = "testdata/schema"
	// dumpSchema is the schema in all dumps. A test puts the name of its own in its
	// place, so the word is nowhere else in them.
	dumpSchema = "schema_of_the_dump"
	// otherTable is what each dump has beside the table of the default name.
	otherTable = "Order"
)

var updateDumps = flag.Bool("update", false, "make the dump of the newest version of the schema, if there is none")

// byteSlices compares them whole, which is much faster than byte by byte.
var byteSlices = gocmp.Comparer(bytes.Equal)

func TestEveryVersionOfTheSchemaHasADump(t *testing.T) {
	files := migrationFiles(t)
	if newest := files[len(files)-1]; *updateDumps && !exists(dumpOf(newest)) {
		makeDump(t, dumpOf(newest))
	}
	for i, name := range files {
		switch {
		case exists(dumpOf(name)):
		case i == len(files)-1:
			t.Errorf("%s has no dump: run go test ./migrations -run %s -update, and commit %s with it", name, t.Name(), dumpOf(name))
		default:
			t.Errorf("%s has no dump, and there are later migrations: make %s where it is the newest, and bring it here", name, dumpOf(name))
		}
	}
	if dumps := dumps(t); len(dumps) > len(files) {
		t.Errorf("there are dumps of no migration: %q of %q", dumps, files)
	}
}

func TestADumpOfEveryVersionMigrates(t *testing.T) {
	for _, dump := range dumps(t) {
		for name, bySchema := range map[string]bool{"in the first schema of the search path": false, "in a schema by its name": true} {
			t.Run(filepath.Base(dump)+" "+name, func(t *testing.T) {
				url, schema := restore(t, dump)
				db := open(t, url)
				for _, table := range []string{migrations.DefaultTable, otherTable} {
					var options []migrations.Option
					storeOptions := []sqlstore.Option{sqlstore.WithTable(table)}
					from := db
					if bySchema {
						options = append(options, migrations.WithSchema(schema))
						storeOptions = append(storeOptions, sqlstore.WithSchema(schema))
						from = open(t, testenv.Postgres(t)) // whose search path is another one
					}
					if table != migrations.DefaultTable {
						options = append(options, migrations.WithTable(table))
					}
					upgrade(t, db, from, table, options, sqlstore.New(testenv.Pool(t, url), storeOptions...))
				}
				fresh := open(t, testenv.Postgres(t))
				up(t, fresh)
				up(t, fresh, migrations.WithTable(otherTable))
				if diff := gocmp.Diff(structure(t, fresh), structure(t, db)); diff != "" {
					t.Errorf("Up made another schema of the dump (+) than of nothing (-):\n%s", diff)
				}
			})
		}
	}
}

// upgrade migrates a table of a dump, with a session of which db may know nothing,
// and checks that what was there is there, and that the store goes on from it.
func upgrade(t *testing.T, db, from *sql.DB, table string, options []migrations.Option, store *sqlstore.Store) {
	before := tableRows(t, db, table)
	if len(before) < 20 {
		t.Fatalf("the dump has %d events in %s", len(before), table)
	}
	check := func(doing string) {
		t.Helper()
		if diff := gocmp.Diff(before, tableRows(t, db, table), byteSlices); diff != "" {
			t.Fatalf("%s: events of %s have changed:\n%s", doing, table, diff)
		}
	}
	reserved := reservations(t, db, table)
	up(t, from, options...)
	check("Up")
	if after := reservations(t, db, table); reserved != "" && after != reserved {
		t.Errorf("Up made of the reservations\n%s\nthese:\n%s", reserved, after)
	}
	checkAllApplied(t, from, options...)
	migrated := structure(t, db)
	up(t, from, options...)
	check("a second Up")
	if diff := gocmp.Diff(migrated, structure(t, db)); diff != "" {
		t.Errorf("a second Up changed something:\n%s", diff)
	}
	checkFeed(t, store, before)

	// Down as far as events may stay, and Up again.
	for range len(migrationFiles(t)) - 1 {
		down(t, from, append(options, migrations.WithDropEvents())...) // the positions of projections may go
		check("Down")
	}
	if err := migrations.Down(t.Context(), from, options...); code(err) != "23001" {
		t.Errorf("Down of the first migration = %v", err)
	}
	check("the refused Down")
	up(t, from, options...)
	check("Up after Down")
	if diff := gocmp.Diff(migrated, structure(t, db)); diff != "" {
		t.Errorf("Down and Up changed something:\n%s", diff)
	}
	checkFeed(t, store, before)
	checkNewSaves(t, store, before)
}

// reservations are all that there are, "" in a version that has none.
func reservations(t *testing.T, db *sql.DB, table string) string {
	t.Helper()
	name := pgx.Identifier{table + "_reservations"}.Sanitize()
	if !one[bool](t, db, `SELECT to_regclass($1) IS NOT NULL`, name) {
		return ""
	}
	return one[string](t, db, `SELECT coalesce(string_agg(concat_ws(' ', scope, value, aggregate_id, sequence_id, version, until), E'\n' ORDER BY scope, value), '')
		FROM `+name)
}

var columnNumber = regexp.MustCompile(`^(column \S+) \d+ `)

// structure is the catalog, without the places of columns and those that have been
// dropped: a column that comes again after Down is the last one.
func structure(t testing.TB, db *sql.DB) []string {
	t.Helper()
	var kept []string
	for line := range strings.Lines(catalog(t, db)) {
		if !strings.Contains(line, "........pg.dropped.") {
			kept = append(kept, columnNumber.ReplaceAllString(line, "$1 "))
		}
	}
	slices.Sort(kept)
	return kept
}

// checkFeed checks that the store has these events, and a page after each of them.
func checkFeed(t *testing.T, store *sqlstore.Store, rows []row) {
	t.Helper()
	want := make([]eventsource.Record, len(rows))
	byAggregate := map[string][]eventsource.Record{}
	byType := map[string][]eventsource.Record{}
	for i, r := range rows {
		want[i] = r.record(t)
		byAggregate[r.AggregateID] = append(byAggregate[r.AggregateID], want[i])
		byType[r.Type] = append(byType[r.Type], want[i])
	}
	compare := func(what string, want, got []eventsource.Record, err error) {
		t.Helper()
		if len(want)+len(got) == 0 && err == nil {
			return
		}
		if diff := gocmp.Diff(want, got, byteSlices); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", what, err, diff)
		}
	}
	all, err := store.LoadBySequenceID(t.Context(), "", 0)
	compare("all events", want, all, err)
	const limit = 7
	for i := range want {
		page, err := store.LoadBySequenceID(t.Context(), want[i].SequenceID, limit)
		compare("page after "+want[i].SequenceID, want[i+1:min(i+1+limit, len(want))], page, err)
	}
	for name, want := range byType {
		got, err := store.LoadBySequenceIDAndType(t.Context(), "", name, 0)
		compare("type "+name, want, got, err)
	}
	for id, want := range byAggregate {
		slices.SortFunc(want, func(a, b eventsource.Record) int { return cmp.Compare(a.Version, b.Version) })
		got, err := store.LoadByAggregate(t.Context(), id)
		compare("aggregate "+id, want, got, err)
	}
	horizon, err := store.Horizon(t.Context())
	if head := want[len(want)-1].SequenceID; err != nil || horizon.Head != head || horizon.SafeEnd != head {
		t.Errorf("Horizon = %+v, %v, want head %s", horizon, err, head)
	}
}

// checkNewSaves checks that events that are saved now come after those that were there.
func checkNewSaves(t *testing.T, store *sqlstore.Store, rows []row) {
	t.Helper()
	head := rows[len(rows)-1].SequenceID
	versions := map[string]int64{"a new aggregate": 0}
	for _, r := range rows {
		versions[r.AggregateID] = max(versions[r.AggregateID], r.Version)
	}
	var saved []eventsource.Record
	for id, version := range versions {
		records, err := store.Append(t.Context(), eventsource.Record{AggregateID: id, Type: "Upgraded", Data: []byte(`{}`)})
		if err != nil {
			t.Fatalf("save to %q: %v", id, err)
		}
		if got := records[0]; int64(got.Version) != version+1 || got.SequenceID <= head {
			t.Errorf("%q: saved version %d as %s, want version %d above %s", id, got.Version, got.SequenceID, version+1, head)
		}
		_, err = store.Append(t.Context(), eventsource.Record{AggregateID: id, Version: int(version) + 1, Type: "Upgraded", Data: []byte(`{}`)})
		if !errors.Is(err, eventsource.ErrConflict) {
			t.Errorf("%q: saved version %d twice: %v", id, version+1, err)
		}
		saved = append(saved, records...)
	}
	after, err := store.LoadBySequenceID(t.Context(), head, 0)
	if diff := gocmp.Diff(saved, after, byteSlices); diff != "" || err != nil {
		t.Errorf("after the old head: %v\n%s", err, diff)
	}
}

func TestEveryFunctionHasANameOfItsOwn(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	// GRANT EXECUTE ON FUNCTION with the name alone, as in the README, fails if there are two.
	if twice := one[string](t, db, `SELECT coalesce(string_agg(proname, ', '), '') FROM (SELECT p.proname FROM pg_proc p
		WHERE p.pronamespace = current_schema()::regnamespace GROUP BY 1 HAVING count(*) > 1) f`); twice != "" {
		t.Errorf("there are several functions of the name: %s", twice)
	}
}

func TestADumpHasOnlyWhatServersOfAllVersionsKnow(t *testing.T) {
	for _, dump := range dumps(t) {
		script := readDump(t, dump)
		for _, bad := range []string{"\n\\", "transaction_timeout", "OWNER TO", "\nGRANT", "\nCOPY", "public."} {
			if strings.Contains(script, bad) {
				t.Errorf("%s contains %q", dump, bad)
			}
		}
	}
}

// migrationFiles returns the names of the migrations, in order.
func migrationFiles(t testing.TB) []string {
	t.Helper()
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("migrations: %q, %v", names, err)
	}
	return names
}

// dumps returns the names of all dumps, in order.
func dumps(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dumpFolder, "*.sql"))
	if err != nil || len(names) == 0 {
		t.Fatalf("dumps: %q, %v", names, err)
	}
	return names
}

func dumpOf(migration string) string {
	number, _, _ := strings.Cut(migration, "_")
	return filepath.Join(dumpFolder, number+".sql")
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func readDump(t testing.TB, dump string) string {
	t.Helper()
	script, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// restore makes of a dump a schema of the test's own. The URL has it as the search path.
func restore(t testing.TB, dump string) (url, schema string) {
	t.Helper()
	url = testenv.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	// It is closed: the dump changes the settings of the session.
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if err := conn.QueryRow(t.Context(), `SELECT current_schema()`).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	script := "DROP SCHEMA " + schema + ";\n" + strings.ReplaceAll(readDump(t, dump), dumpSchema, schema)
	if _, err := conn.PgConn().Exec(t.Context(), script).ReadAll(); err != nil {
		t.Fatalf("restore %s: %v", dump, err)
	}
	return url, schema
}

// row is an event as it is in the table. These columns are in every version.
type row struct {
	SequenceID, AggregateID string
	Version                 int64
	Type                    string
	Timestamp               int64
	UserID                  string
	Data                    []byte
	Metadata                map[string]string
	MetadataText            string
}

func (r row) record(t testing.TB) eventsource.Record {
	t.Helper()
	record := eventsource.Record{
		SequenceID: r.SequenceID, AggregateID: r.AggregateID, Version: int(r.Version), Type: r.Type,
		Timestamp: r.Timestamp, UserID: r.UserID, Data: r.Data,
	}
	if len(r.Metadata) > 0 {
		record.Metadata = r.Metadata
	}
	return record
}

// tableRows returns all events of a table, in order.
func tableRows(t testing.TB, db *sql.DB, table string) []row {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var all []row
	err = conn.Raw(func(driver any) error {
		pgxConn := driver.(interface{ Conn() *pgx.Conn }).Conn()
		found, err := pgxConn.Query(t.Context(), `SELECT sequence_id, aggregate_id, version, type, timestamp, user_id, data, metadata, metadata::text
			FROM `+pgx.Identifier{table}.Sanitize()+` ORDER BY sequence_id`)
		if err == nil {
			all, err = pgx.CollectRows(found, pgx.RowToStructByPos[row])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func checkAllApplied(t testing.TB, db *sql.DB, opts ...migrations.Option) {
	t.Helper()
	got, err := migrations.Status(t.Context(), db, opts...)
	if err != nil || len(got) < len(migrationFiles(t)) {
		t.Fatalf("Status = %+v, %v", got, err)
	}
	for _, m := range got {
		if m.AppliedAt.IsZero() {
			t.Errorf("%s is not applied", m.Name)
		}
	}
}

// makeDump makes the file. It never overwrites one: what was released stays as it is.
func makeDump(t *testing.T, name string) {
	t.Helper()
	server := testenv.NewCluster(t)
	execute(t, open(t, server.URL()), `CREATE SCHEMA `+dumpSchema)
	url := withParam(t, server.URL(), "search_path", dumpSchema)
	fill(t, url, migrations.DefaultTable)
	fill(t, url, otherTable)
	script, err := server.Dump(t.Context(), "--schema="+dumpSchema, "--column-inserts", "--no-owner", "--no-privileges")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(portable(string(script)))
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// portable takes out of a dump what only some versions of PostgreSQL and psql know.
func portable(script string) string {
	var kept strings.Builder
	for line := range strings.Lines(script) {
		if !strings.HasPrefix(line, `\`) && !strings.HasPrefix(line, "SET transaction_timeout") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// fill migrates a table and saves events in it, as a shop would, and such as are
// at the limits of what the table takes.
func fill(t *testing.T, url, table string) {
	t.Helper()
	db := open(t, url)
	up(t, db, migrations.WithTable(table))
	now := time.UnixMilli(0)
	random := rand.New(rand.NewPCG(1, 2))
	store := sqlstore.New(testenv.Pool(t, url), sqlstore.WithTable(table),
		sqlstore.WithMaxClockAhead(math.MaxInt64), sqlstore.WithClock(func() time.Time { return now }))
	save := func(records ...eventsource.Record) {
		t.Helper()
		if _, err := store.Append(t.Context(), records...); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Duration(random.Int64N(int64(3 * time.Hour))))
	}

	// The lowest IDs, and a timestamp of 0.
	save(eventsource.Record{AggregateID: "epoch", Type: "EpochBegan", Data: []byte(`{}`)})

	now = time.Date(2024, 2, 28, 23, 59, 59, 999_999_999, time.UTC)
	for i := range 12 {
		id, user := fmt.Sprintf("order-%d", 1000+i), []string{"ann", "bo", "", "Zoë"}[i%4]
		trace := eventsource.Metadata{eventsource.MetadataCorrelationID: fmt.Sprintf("request-%d", i), "tenant": "acme"}
		save(
			eventsource.Record{AggregateID: id, Type: "OrderPlaced", UserID: user, Metadata: trace, Data: fmt.Appendf(nil, `{"customer":"c%d","total":%d}`, i, random.IntN(10_000))},
			eventsource.Record{AggregateID: id, Type: "ItemAdded", UserID: user, Metadata: trace, Data: fmt.Appendf(nil, `{"sku":"☂-%d","price":"9.90"}`, i)},
		)
		if i%3 == 0 {
			save(eventsource.Record{AggregateID: id, Type: "OrderCancelled", UserID: "support", Data: []byte(`{"why":"müde"}`)})
		}
	}

	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	large := make([]byte, 5000) // stored outside of the row
	for i := range large {
		large[i] = byte(random.Uint32())
	}
	for _, r := range []eventsource.Record{
		{AggregateID: "binary", Type: "Uploaded", Data: every},
		{AggregateID: "binary", Type: "Uploaded", Data: large},
		{AggregateID: "binary", Type: "Uploaded", Data: []byte(strings.Repeat("again and ", 1000))},
		{AggregateID: "binary", Type: "Uploaded", Data: []byte{}},
		{AggregateID: `it's "quoted" \ and -- ; $eventsource$ $$ E'\n'`, Type: `Odd'"\;--`, UserID: "a\tb\r\nc", Data: []byte(`'"\`)},
		{AggregateID: "日本語/注文.取消 🛒", Type: "注文取消", UserID: "e\u0301 ≠ é \u202e", Data: []byte(`"日本"`)},
		{AggregateID: "upper", Type: "upper", Data: []byte(`1`)},
		{AggregateID: "UPPER", Type: "UPPER", Data: []byte(`2`)},
		{AggregateID: "metadata", Type: "Described", Data: []byte(`{}`), Metadata: eventsource.Metadata{
			"ключ": "значение", "": "no key", "empty": "", "quote": `"'\`, "lines": "a\nb\r\n\tc", "emoji": "👩‍👩‍👧", "json": `{"a":[1,null]}`, "number": "1e400",
		}},
		{AggregateID: "times", Type: "Timed", Timestamp: -1, Data: []byte(`{}`)},
		{AggregateID: "times", Type: "Timed", Timestamp: math.MinInt64, Data: []byte(`{}`)},
		{AggregateID: "times", Type: "Timed", Timestamp: math.MaxInt64, Data: []byte(`{}`)},
		{AggregateID: "times", Type: "Timed", Timestamp: 1, Data: []byte(`{}`)},
	} {
		save(r)
	}
	save(
		eventsource.Record{AggregateID: "order-1000", Type: "CustomerNamed", Data: []byte(`{}`), Reservations: []eventsource.Reservation{
			{Scope: "email", Value: "ann@example.com"}, {Scope: "名前", Value: `日本 'quoted" \ 🛒`},
			{Scope: "seat", Value: "1A", Until: math.MaxInt64}, {Scope: "seat", Value: "1B", Until: 1}, // which has ended
		}},
		eventsource.Record{AggregateID: "order-1001", Type: "CustomerNamed", Data: []byte(`{}`), Reservations: []eventsource.Reservation{
			{Scope: "email", Value: strings.Repeat("é", eventsource.MaxReservedLength/2)},
		}},
	)

	// What no store saves, but the table takes: a version near the last one of 64
	// bits, and IDs of the end of time.
	insert := func(id, aggregate string, version int64) {
		t.Helper()
		execute(t, db, `INSERT INTO `+pgx.Identifier{table}.Sanitize()+` (sequence_id, aggregate_id, version, type, timestamp, user_id, data, metadata)
			VALUES ($1, $2, $3, 'Inserted', 0, '', '', '{"a": "b"}')`, id, aggregate, version)
	}
	insert(ulid.MustNew(uint64(now.UnixMilli()), ulid.DefaultEntropy()).String(), "old and busy", math.MaxInt64-7)
	execute(t, db, `INSERT INTO `+pgx.Identifier{table + "_projections"}.Sanitize()+` VALUES ('Übersicht', 3, 7, 12345678901, 9, 'host/1', '', 10000000000,
		'01HQXM8RVW9VS4MCDB2D2K2W9V', '01HQXJW9Q96T7WYDMW1A52X7KV', 42, '{"b": 1,  "a": [null, 1e400]}')`)
	execute(t, db, `INSERT INTO `+pgx.Identifier{table + "_parked"}.Sanitize()+` VALUES ('Übersicht', 3, '01HQXJW9Q96T7WYDMW1A52X7KV', 'times', 4, 'Timed',
		'parked', 'retry', 'no such account', 3, '2024-03-01 10:20:30.123456+00')`)
	if table != migrations.DefaultTable {
		insert("7ZZZZZZZZZ0000000000000000", "the end of time", 1)
	}
}
