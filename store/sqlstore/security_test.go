package sqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// FuzzStatements makes a store and its migrations send everything that they ever
// send, with any names and values. It has to be the same statements as with other
// names and values, but for the quoted names: so no value is in one of them. And
// they have to do what they are for, and leave the rest of the database alone,
// also where pgx writes the values into the statements itself (simple).
func FuzzStatements(f *testing.F) {
	const attack = `x'); DROP TABLE canary.kept; --`
	f.Add("app", "events", "a", "Opened", "ann", "k", "v", false)
	f.Add("app", "events", attack, attack, attack, attack, attack, false)
	f.Add("app", "events", attack, attack, attack, attack, attack, true)
	f.Add("--/*", "?1", "a", "Opened", "", "", "", false)
	f.Add("--/*", "*/--", `\`, `\'; --`, `$1`, `"`, `{"k":"\u0000"}`, true)
	f.Add("canary.kept", "canary.kept,", "{a,b}", "NULL", "\u2028", "é", "\U0001F600", true)
	f.Add("%s", "@a", " $1 ", "$$", "$eventsource$", "{where}", "-1", true)
	pool := ownDatabase(f)
	var sample map[string]bool
	f.Fuzz(func(t *testing.T, schema, table, aggregate, eventType, user, key, value string, simple bool) {
		schema = "app-" + schema // no schema that there is
		r := eventsource.Record{
			AggregateID: aggregate, Type: eventType, UserID: user, Data: []byte(value + "\x00'"), Metadata: eventsource.Metadata{key: value},
		}
		named := sqlstore.New(pool, sqlstore.WithSchema(schema), sqlstore.WithTable(table))
		if named.Err() != nil || r.Validate() != nil {
			return // FuzzNames and FuzzValues see to what is refused
		}
		if sample == nil {
			sample = sampleStatements(t, pool)
		}
		before := catalog(t, pool, schema)
		allowed := renamed(sample, schema, table)
		for sql := range everyStatement(t, pool, schema, table, r, simple) {
			if !allowed[sql] {
				t.Errorf("with other names and values this is not sent: %s", sql)
			}
		}
		unchanged(t, pool, schema, before)
	})
}

func TestTheFuzzedStatementsAreAllThatThereAre(t *testing.T) {
	sample := slices.Collect(maps.Keys(sampleStatements(t, testenv.Pool(t, testenv.Server(t)))))
	starts := []string{
		`CREATE TABLE "` + sampleTable + `" (`, `DROP TABLE "` + sampleTable + `"`,
		`SET LOCAL search_path TO "` + sampleSchema + `"`, `LISTEN "eventsource_`, "savepoint ",
	}
	files, err := filepath.Glob("sql/*.sql")
	if err != nil || len(files) < 10 {
		t.Fatalf("the files are %q, %v", files, err)
	}
	names := strings.NewReplacer("{events}", sampleName(""), "{append}", sampleName("_append"), "{horizon}", sampleName("_horizon"),
		"{append_reserving}", sampleName("_append_reserving"), "{reservations}", sampleName("_reservations"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile(`(?m)^--.*\n`).ReplaceAll(text, nil)
		start, _, _ := strings.Cut(names.Replace(strings.TrimSpace(string(text))), "{where}")
		starts = append(starts, start)
	}
	for _, start := range starts {
		if !slices.ContainsFunc(sample, func(sql string) bool { return strings.HasPrefix(strings.TrimSpace(sql), start) }) {
			t.Errorf("this is not among %d statements: %s", len(sample), start)
		}
	}
}

// Names that are in no statement of themselves, so that others can take their place.
const (
	sampleSchema = "sample-schema"
	sampleTable  = "sample_table"
)

func sampleName(suffix string) string {
	return pgx.Identifier{sampleSchema, sampleTable + suffix}.Sanitize()
}

// sampleStatements are all statements, with the sample's names.
func sampleStatements(t *testing.T, pool *pgxpool.Pool) map[string]bool {
	t.Helper()
	return everyStatement(t, pool, sampleSchema, sampleTable, eventsource.Record{
		AggregateID: "sample", Type: "Sampled", Data: []byte("{}"), Metadata: eventsource.Metadata{"k": "v"},
	}, false)
}

// renamed are the sample's statements with other names in place of its own.
func renamed(sample map[string]bool, schema, table string) map[string]bool {
	quoted := pgx.Identifier{schema}.Sanitize()
	names := strings.NewReplacer(
		`"`+sampleSchema+`"`, quoted,
		`"`+sampleTable, strings.TrimSuffix(pgx.Identifier{table}.Sanitize(), `"`),
	)
	all := make(map[string]bool)
	for sql := range sample {
		all[names.Replace(sql)] = true
	}
	return all
}

// statements are those that connections of a pool have sent.
type statements struct {
	mu   sync.Mutex
	sent map[string]bool
}

// channel is the number in the name of a channel.
var channel = regexp.MustCompile(`^(LISTEN "eventsource_)\d+"$`)

func (s *statements) add(sql string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sql != "-- ping" { // of a pool whose connection was idle
		s.sent[channel.ReplaceAllString(sql, `${1}0"`)] = true
	}
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s.add(data.SQL)
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, query := range data.Batch.QueuedQueries {
		s.add(query.SQL)
	}
	return ctx
}

func (s *statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (s *statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// everyStatement has everything done that sends statements, checks what comes of
// it, drops the schema, and returns the statements.
func everyStatement(t *testing.T, server *pgxpool.Pool, schema, table string, r eventsource.Record, simple bool) map[string]bool {
	t.Helper()
	defer func() {
		if _, err := server.Exec(context.Background(), `DROP SCHEMA IF EXISTS `+pgx.Identifier{schema}.Sanitize()+` CASCADE`); err != nil {
			t.Error(err)
		}
	}()
	p := newProxy(t, server.Config().ConnString())
	seen := &statements{sent: make(map[string]bool)}
	traced := func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = seen
		if simple {
			c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		}
	}
	pool := testenv.Pool(t, p.url, traced)
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	in := []migrations.Option{migrations.WithSchema(schema), migrations.WithTable(table)}
	if err := migrations.Up(t.Context(), db, in...); err != nil {
		t.Fatal(err)
	}
	applied, err := migrations.Status(t.Context(), db, in...)
	if err != nil || len(applied) == 0 || applied[0].AppliedAt.IsZero() {
		t.Fatalf("Status = %+v, %v", applied, err)
	}

	store := sqlstore.New(pool, sqlstore.WithSchema(schema), sqlstore.WithTable(table))
	sendWakeUps(t, store)
	sendSaves(t, store, p, pool, r)
	sendLoads(t, store, r)
	serializable := testenv.Pool(t, p.url, traced, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable"
	})
	sendLoads(t, sqlstore.New(serializable, sqlstore.WithSchema(schema), sqlstore.WithTable(table)), r)

	for range applied {
		if err := migrations.Down(t.Context(), db, append(in, migrations.WithDropEvents())...); err != nil {
			t.Fatal(err)
		}
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	return maps.Clone(seen.sent)
}

func sendWakeUps(t *testing.T, store *sqlstore.Store) {
	t.Helper()
	watching, cancel := context.WithCancel(t.Context())
	defer cancel()
	wake, err := store.Watch(watching)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Notify(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, "the wake-up", wake)
}

// sendSaves saves in every way, also one that has to find out what became of it.
func sendSaves(t *testing.T, store *sqlstore.Store, p *proxy, pool *pgxpool.Pool, r eventsource.Record) {
	t.Helper()
	with := r
	with.Reservations = []eventsource.Reservation{{Scope: r.Type, Value: r.AggregateID}}
	checkRoundTrip(t, store, with)
	tx, err := store.NewTransaction(t.Context(), r)
	if err == nil {
		err = tx.Rollback()
	}
	if err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), pool, func(own pgx.Tx) error {
		part, err := store.WithTx(own).NewTransaction(t.Context(), r)
		if err != nil {
			return err
		}
		if _, err := store.WithTx(own).LoadBySequenceID(t.Context(), "", 0); err != nil {
			return err
		}
		return part.Commit()
	})
	if err != nil {
		t.Fatal(err)
	}
	lost := r
	lost.UserID = marker
	cutAtCommit(p, true)
	if _, err := store.Append(t.Context(), lost, lost); err != nil {
		t.Fatal(err)
	}
	cutAtCommit(p, true)
	if tx, err = store.NewTransaction(t.Context(), r); err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.set(func(p *proxy) { p.fromServer, p.toServer = nil, nil })
	if stored, err := store.LoadByAggregate(t.Context(), r.AggregateID); err != nil || len(stored) != 5 {
		t.Fatalf("%d events are stored, %v", len(stored), err)
	}
}

// sendLoads loads in every way, each of which finds the five events of r's aggregate.
func sendLoads(t *testing.T, store *sqlstore.Store, r eventsource.Record) {
	t.Helper()
	ctx := t.Context()
	check := func(what string, got []eventsource.Record, err error) {
		t.Helper()
		if err != nil || len(got) == 0 || got[0].AggregateID != r.AggregateID || got[0].Type != r.Type {
			t.Fatalf("%s = %+v, %v", what, got, err)
		}
	}
	all, err := store.LoadBySequenceID(ctx, "", 0)
	check("LoadBySequenceID", all, err)
	first, last := all[0], all[len(all)-1]
	got, err := store.LoadBySequenceID(ctx, first.SequenceID, 1) // up to a known horizon
	check("LoadBySequenceID after the first", got, err)
	got, err = store.LoadBySequenceIDAndType(ctx, "", r.Type, 1)
	check("LoadBySequenceIDAndType", got, err)
	got, err = store.LoadByTimestamp(ctx, first.Timestamp-1, 0)
	check("LoadByTimestamp", got, err)
	for _, query := range []eventsource.Query{
		{Types: []string{r.Type, "Other"}, Limit: 3},
		{Types: []string{r.Type, "Other"}},
		{Types: []string{r.Type, "Other"}, AggregateID: r.AggregateID},
		{After: first.SequenceID, Before: last.SequenceID, From: first.Timestamp, Until: last.Timestamp + 1},
		{AggregateID: r.AggregateID, Descending: true},
	} {
		check(fmt.Sprintf("Query %+v", query), collect(t, store, query), nil)
	}
	for _, query := range []eventsource.Query{{}, {AggregateID: r.AggregateID}, {Types: []string{r.Type, "Other"}, Limit: 5}} {
		if n, err := store.Count(ctx, query); err != nil || n != 5 {
			t.Fatalf("Count %+v = %d, %v", query, n, err)
		}
	}
	got, err = store.LoadByAggregateVersions(ctx, r.AggregateID, 1, 3)
	check("LoadByAggregateVersions", got, err)
	if holder, err := store.Holder(ctx, r.Type, r.AggregateID); err != nil || holder.AggregateID != r.AggregateID {
		t.Fatalf("Holder = %+v, %v", holder, err)
	}
	if n, err := store.PurgeReservations(ctx); err != nil || n != 0 {
		t.Fatalf("PurgeReservations = %d, %v", n, err)
	}
	if h, err := store.Horizon(ctx); err != nil || h.Head != last.SequenceID {
		t.Fatalf("Horizon = %+v, %v", h, err)
	}
}

// Passwords as they stand in URLs, and as they are meant.
var passwords = map[string]string{
	"plain":   "hushhush",
	"encoded": "hush%40%2F%3A%25%27hush",
	"long":    strings.Repeat("hush", 50),
}

func TestPasswordsAreInNoErrorAndNoLog(t *testing.T) {
	hangs := newLoginServer(t, func(_ *pgproto3.Backend, conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) })
	refuses := newLoginServer(t, refuseLogin)
	garbles := newLoginServer(t, func(_ *pgproto3.Backend, conn net.Conn) {
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	})
	hangsUp := newLoginServer(t, func(*pgproto3.Backend, net.Conn) {})
	for _, test := range []struct {
		name, host, sslmode string
		patience            time.Duration
		want                string
	}{
		{"wrong password", refuses, "disable", time.Minute, "password authentication failed"},
		{"no TLS", refuses, "require", time.Minute, "TLS"},
		{"garbage", garbles, "disable", time.Minute, "failed to"},
		{"no answer", hangs, "disable", 50 * time.Millisecond, "timeout"},
		{"connection closed", hangsUp, "disable", time.Minute, "EOF"},
		{"nobody there", "127.0.0.1:1", "prefer", time.Minute, "connection refused"},
		{"no such host", "host.invalid:5432", "prefer", time.Minute, "host.invalid"},
	} {
		for kind, password := range passwords {
			t.Run(test.name+", "+kind, func(t *testing.T) {
				dsn := fmt.Sprintf("postgres://user:%s@%s/d?sslmode=%s", password, test.host, test.sslmode)
				checkHush(t, dsn, test.patience, test.want)
			})
		}
	}
}

// checkHush uses a database that cannot be used in every way, and looks for the
// password in what is said of it.
func checkHush(t *testing.T, dsn string, patience time.Duration, want string) {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.ConnectTimeout = patience
	config.ConnConfig.LookupFunc = func(_ context.Context, host string) ([]string, error) {
		switch {
		case net.ParseIP(host) != nil:
			return []string{host}, nil
		case host == "localhost":
			return []string{"127.0.0.1"}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true} // a name server may take its time
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	check := func(method string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, without %q", method, err, want)
		}
		for ; err != nil; err = errors.Unwrap(err) {
			hush(t, method, fmt.Sprintf("%v %+v %q", err, err, err))
		}
	}
	store := sqlstore.New(pool)
	everyMethod(t, store, check)
	check("Notify", store.Notify(t.Context()))

	var log lockedBuffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		logger := slog.New(handler)
		db := stdlib.OpenDBFromPool(pool)
		check("Up", migrations.Up(t.Context(), db, migrations.WithLogger(logger), migrations.WithSchema("app")))
		check("Down", migrations.Down(t.Context(), db, migrations.WithLogger(logger)))
		_, err := migrations.Status(t.Context(), db, migrations.WithLogger(logger))
		check("Status", err)
		_ = db.Close()
		logger.Error("failed", "error", err)
	}
	if log.Len() == 0 {
		t.Error("nothing was logged")
	}
	hush(t, "the log", log.String())
}

// lockedBuffer is a buffer that goroutines may write to at once.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func hush(t *testing.T, what, text string) {
	t.Helper()
	if strings.Contains(strings.ToLower(text), "hush") {
		t.Errorf("%s shows the password: %s", what, text)
	}
}

// newLoginServer returns the address of what speaks as PostgreSQL does, without
// TLS, until it would ask for a password.
func newLoginServer(t *testing.T, then func(*pgproto3.Backend, net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				backend := pgproto3.NewBackend(conn, conn)
				for {
					message, err := backend.ReceiveStartupMessage()
					if err != nil {
						return
					}
					if _, ok := message.(*pgproto3.StartupMessage); ok {
						then(backend, conn)
						return
					}
					if _, err := conn.Write([]byte("N")); err != nil { // no TLS
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// refuseLogin asks for the password in plain text, and does not like it.
func refuseLogin(backend *pgproto3.Backend, _ net.Conn) {
	backend.Send(&pgproto3.AuthenticationCleartextPassword{})
	if err := backend.Flush(); err != nil {
		return
	}
	if err := backend.SetAuthType(pgproto3.AuthTypeCleartextPassword); err != nil {
		return
	}
	if _, err := backend.Receive(); err != nil {
		return
	}
	backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: `password authentication failed for user "user"`})
	_ = backend.Flush()
}
