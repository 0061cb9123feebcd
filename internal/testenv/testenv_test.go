package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestPostgresGivesEachCallItsOwnSchema(t *testing.T) {
	server := Pool(t, Server(t))
	exists := func(t *testing.T, schema string) (found bool) {
		t.Helper()
		err := server.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&found)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}

	var schemas []string
	t.Run("in a test", func(t *testing.T) {
		for range 2 {
			pool := Pool(t, Postgres(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
			if got := pool.Config().MaxConns; got != 1 {
				t.Errorf("the pool has %d connections at most, want 1", got)
			}

			var schema string
			var tables int
			err := pool.QueryRow(t.Context(), `
				SELECT current_schema(), (SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace)`,
			).Scan(&schema, &tables)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(schema, "test_") || tables != 0 {
				t.Errorf("got schema %q with %d tables, want an empty one of its own", schema, tables)
			}
			// Fails for the second one if it is the first one's schema.
			if _, err := pool.Exec(t.Context(), "CREATE TABLE events (id int)"); err != nil {
				t.Error(err)
			}
			if !exists(t, schema) {
				t.Errorf("schema %q does not exist during the test", schema)
			}
			schemas = append(schemas, schema)
		}
	})

	for _, schema := range schemas {
		if exists(t, schema) {
			t.Errorf("schema %q is still there after the test", schema)
		}
	}
}

func TestServerIsDurableAndLargeEnough(t *testing.T) {
	// One of ours, since the one that other tests use may be somebody's own.
	server, err := postgres.start(t.Context())
	if err != nil {
		sharedPostgres.unavailable(t, err)
	}
	t.Cleanup(func() {
		if err := server.stop(); err != nil {
			t.Error(err)
		}
	})
	pool := Pool(t, server.url)
	for name, want := range map[string]string{
		"fsync":              "on",
		"synchronous_commit": "on",
		"full_page_writes":   "on",
		"max_connections":    "300",
		"shared_buffers":     "1GB",
	} {
		var got string
		if err := pool.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestStandbyReplaysThePrimary(t *testing.T) {
	primaryURL, standbyURL := Standby(t)
	primary, standby := Pool(t, primaryURL), Pool(t, standbyURL)
	ctx := t.Context()

	for _, c := range []struct {
		name string
		pool *pgxpool.Pool
		want bool
	}{{"primary", primary, false}, {"standby", standby, true}} {
		var got bool
		if err := c.pool.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("%s: pg_is_in_recovery() is %v, want %v", c.name, got, c.want)
		}
	}

	var lsn string
	if _, err := primary.Exec(ctx, "CREATE TABLE replayed AS SELECT 42 AS n"); err != nil {
		t.Fatal(err)
	}
	if err := primary.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&lsn); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var replayed bool
		if err := standby.QueryRow(ctx, "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", lsn).Scan(&replayed); err != nil {
			t.Fatal(err)
		}
		if replayed {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the standby does not replay")
		}
	}
	var n int
	if err := standby.QueryRow(ctx, "SELECT n FROM replayed").Scan(&n); err != nil || n != 42 {
		t.Errorf("got %d, %v from the standby, want 42", n, err)
	}
	if _, err := standby.Exec(ctx, "CREATE TABLE refused ()"); err == nil {
		t.Error("the standby takes writes")
	}
}

// recorder stands in for a test whose end is to be seen.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (*recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestWithoutServer(t *testing.T) {
	for _, k := range []*kind{postgres, dynamo} {
		t.Run(k.name, func(t *testing.T) { testWithoutServer(t, k) })
	}
}

func testWithoutServer(t *testing.T, k *kind) {
	// ask lets two tests, one after the other, ask for a server.
	ask := func(env map[string]string, start func(context.Context) (*server, error)) (tests [2]*recorder, urls [2]string) {
		e := &environment{kind: k, getenv: func(name string) string { return env[name] }, start: start}
		for i := range tests {
			tests[i] = new(recorder)
			done := make(chan struct{})
			go func() {
				defer close(done)
				urls[i] = e.server(tests[i])
			}()
			<-done
		}
		return tests, urls
	}

	attempts := 0
	fails := func(context.Context) (*server, error) {
		attempts++
		return nil, errors.New("nobody answers")
	}

	t.Run("skips", func(t *testing.T) {
		attempts = 0
		tests, _ := ask(nil, fails)
		for _, r := range tests {
			if r.failed != "" || !strings.Contains(r.skipped, k.urlVariable) || !strings.Contains(r.skipped, "nobody answers") {
				t.Errorf("got skipped %q, failed %q, want a skip with advice and cause", r.skipped, r.failed)
			}
		}
		if attempts != 1 {
			t.Errorf("tried %d times to start a server, want 1", attempts)
		}
	})
	t.Run("fails where a server is required", func(t *testing.T) {
		tests, _ := ask(map[string]string{EnvRequire: "1"}, fails)
		for _, r := range tests {
			if r.skipped != "" || !strings.Contains(r.failed, k.urlVariable) || !strings.Contains(r.failed, "nobody answers") {
				t.Errorf("got skipped %q, failed %q, want a failure with advice and cause", r.skipped, r.failed)
			}
		}
	})
	t.Run("starts none where a URL is given", func(t *testing.T) {
		attempts = 0
		_, urls := ask(map[string]string{k.urlVariable: "scheme://given"}, fails)
		if want := [2]string{"scheme://given", "scheme://given"}; urls != want || attempts != 0 {
			t.Errorf("got %v after %d attempts, want %v after none", urls, attempts, want)
		}
	})
	t.Run("shares the one it starts", func(t *testing.T) {
		started := 0
		_, urls := ask(nil, func(context.Context) (*server, error) {
			started++
			return &server{url: "scheme://started"}, nil
		})
		if want := [2]string{"scheme://started", "scheme://started"}; urls != want || started != 1 {
			t.Errorf("got %v after %d starts, want %v after 1", urls, started, want)
		}
	})
}

func TestImage(t *testing.T) {
	for _, k := range []*kind{postgres, dynamo, redisServer} {
		t.Setenv(k.imageVariable, "somebody/elses:1")
		if got, err := k.image(t.Context()); err != nil || got != "somebody/elses:1" {
			t.Errorf("%s: got %q, %v, want the image from the environment", k.name, got, err)
		}
		for _, c := range []struct {
			name string
			here []string
			want string
		}{
			{"none at hand", nil, k.official},
			{"only the built one", []string{k.built}, k.built},
			{"only the official one", []string{k.official}, k.official},
			{"both", []string{k.built, k.official}, k.official},
		} {
			here := make(map[string]bool)
			for _, name := range c.here {
				here[name] = true
			}
			if got := k.choose(here); got != c.want {
				t.Errorf("%s, %s: got %s, want %s", k.name, c.name, got, c.want)
			}
		}
	}
}

func TestWithParam(t *testing.T) {
	got, err := withParam("postgres://u:p%40@h:5432/d?sslmode=disable", "search_path", "test_1")
	if want := "postgres://u:p%40@h:5432/d?search_path=test_1&sslmode=disable"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"host=h dbname=d", "mysql://h/d", "postgres://h:port/d"} {
		if got, err := withParam(bad, "search_path", "test_1"); err == nil {
			t.Errorf("%q: got %q, want an error", bad, got)
		}
	}
}

func TestDefaults(t *testing.T) {
	const ryuk, host = "TESTCONTAINERS_RYUK_DISABLED", "TESTCONTAINERS_HOST_OVERRIDE"
	for _, c := range []struct {
		name      string
		env, want map[string]string
	}{
		{"nothing set", nil, map[string]string{ryuk: "true", host: "127.0.0.1"}},
		{"local socket", map[string]string{"DOCKER_HOST": "unix:///run/docker.sock"}, map[string]string{ryuk: "true", host: "127.0.0.1"}},
		{"elsewhere", map[string]string{"DOCKER_HOST": "tcp://engine:2375"}, map[string]string{ryuk: "true"}},
		{"all set", map[string]string{ryuk: "false", host: "gateway"}, map[string]string{}},
	} {
		got := defaults(func(name string) string { return c.env[name] })
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
	}
}
