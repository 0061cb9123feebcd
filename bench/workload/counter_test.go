package workload

import (
	"context"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestCounterCountsWhatTheServerIsAsked(t *testing.T) {
	t.Parallel()
	c, err := startCounter(t.Context(), testenv.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), c.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("SELECT $1::int", 1) // also prepares it
	for _, step := range []struct {
		about string
		do    func()
		want  Asked
	}{
		{"nothing", func() {}, Asked{}},
		{"a prepared statement", func() { exec("SELECT $1::int", 2) }, Asked{Statements: 1, RoundTrips: 1}},
		{"a simple query", func() { exec("SELECT 1", pgx.QueryExecModeSimpleProtocol) }, Asked{Statements: 1, RoundTrips: 1}},
		{"a large message", func() { exec("SELECT length($1)", pgx.QueryExecModeExec, strings.Repeat("x", 1<<20)) }, Asked{Statements: 1, RoundTrips: 1}},
		{"three statements at once", func() {
			batch := &pgx.Batch{}
			for i := range 3 {
				batch.Queue("SELECT $1::int", i)
			}
			if err := conn.SendBatch(t.Context(), batch).Close(); err != nil {
				t.Fatal(err)
			}
		}, Asked{Statements: 3, RoundTrips: 1}},
		{"a ping", func() {
			if err := conn.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, Asked{Pings: 1}},
	} {
		before := c.read()
		step.do()
		if got := c.read().each(before, 1); got != step.want {
			t.Errorf("%s: counted %+v, want %+v", step.about, got, step.want)
		}
	}
	if got, want := (Asked{5, 3, 7}).each(Asked{1, 1, 1}, 2), (Asked{2, 1, 3}); got != want {
		t.Errorf("in 2 seconds that is %+v each, want %+v", got, want)
	}

	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the connection goes on after the counter was closed")
	}
}

func TestCounterThatIsClosedServesNobody(t *testing.T) {
	t.Parallel()
	c, err := startCounter(t.Context(), testenv.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if conn, err := pgx.Connect(ctx, c.url); err == nil {
		_ = conn.Close(ctx)
		t.Error("it was possible to connect")
	}
}

func TestCounterEndsAConnectionWhoseMessagesCannotBe(t *testing.T) {
	t.Parallel()
	c, err := startCounter(t.Context(), testenv.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.close() }()
	u, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []string{"\x00\x00\x00\x03", "\xff\xff\xff\xff"} {
		conn, err := dial(t, u.Host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, message); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("%q got an answer, want the connection to end", message)
		}
		_ = conn.Close()
	}
}

func TestCounterNeedsAURL(t *testing.T) {
	t.Parallel()
	if _, err := startCounter(t.Context(), "postgres://host:notaport/"); err == nil {
		t.Error("a URL that is none was accepted")
	}
}
