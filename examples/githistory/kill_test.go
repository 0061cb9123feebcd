package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

// The program is killed twenty times, each time somewhere else: while it starts, imports,
// keeps its read model, or builds version 2 of it. Then it is left alone.
func TestKilledTwentyTimesItEndsWithItsCheckPassed(t *testing.T) {
	const kills = 20
	log, tree, allEvents := shortHistory(t)
	url := testenv.Postgres(t)
	mustOpenPostgres(t, url)
	pool := testenv.Pool(t, url)
	slowDown(t, pool)
	// The server is not killed, so that it need not wait for its disk.
	args := []string{"-log", log, "-tree", tree, "-store", url + "&synchronous_commit=off", "-rebuild"}

	var now progress
	lives, moved := 0, 0 // moved is in how many the read model did
	for killed := 0; killed < kills; lives++ {
		p := startProgram(t, append(args, "-lease", "200ms")) // so that the next one soon goes on
		before := now
		share := allEvents / (kills + 4)
		now = p.killWhen(t, pool, someMoment(lives, before, killed*share), (killed+2)*share)
		if p.killed {
			killed++
		} else if !p.wasRefused() {
			t.Fatalf("it ended before it was killed for the %d. time: %v: %s", killed+1, p.err, &p.output)
		}
		if now.handled != before.handled {
			moved++
		}
	}
	t.Logf("after %d kills %d events of %d were there; the read model moved in %d lives of %d", kills, now.events, allEvents, moved, lives)
	if now.events >= allEvents || moved == 0 || now.version != 2 {
		t.Error("the kills came too late, or the read model never moved, or version 2 had not begun: this was no test")
	}

	p := startProgram(t, args)
	for p.wait(); p.wasRefused(); p.wait() {
		p = startProgram(t, args)
	}
	if got := p.output.String(); p.err != nil || !strings.Contains(got, "of version 2 of its projection") || !strings.Contains(got, "check passed: ") {
		t.Errorf("%v: %s", p.err, got)
	}
	if now = look(t, pool); now.events != allEvents {
		t.Errorf("%d events are there, and not %d", now.events, allEvents)
	}
}

// someMoment says when the program is to be killed: after some time, when some commits
// have come since it was killed last, or when its read model has moved and that many
// events are there.
func someMoment(life int, before progress, events int) func(now progress) bool {
	switch life % 4 {
	case 0:
		at := time.Now().Add(rand.N(500 * time.Millisecond))
		return func(progress) bool { return time.Now().After(at) }
	case 1:
		more := rand.IntN(50)
		return func(now progress) bool { return now.events > before.events+more }
	default:
		return func(now progress) bool { return now.handled != before.handled && now.events >= events }
	}
}

// shortHistory is so much of the history of pgx that a slow machine imports it soon.
func shortHistory(t *testing.T) (log, tree string, events int) {
	t.Helper()
	commits, err := parseAll(strings.NewReader(unzip(t, pgxLog)))
	if err != nil {
		t.Fatal(err)
	}
	commits = commits[:200]
	for _, c := range commits {
		events += len(c.changes) + 1
	}
	log, tree = writeHistory(t, commits)
	return log, tree, events
}

// slowDown makes each save take longer, so that on a fast machine too there is time to
// kill somebody.
func slowDown(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `
		CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.020); RETURN NULL; END $$;
		CREATE TRIGGER slow AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION slow();`)
	if err != nil {
		t.Fatal(err)
	}
}

// progress is how far the import and the read model are, and which version of that is the
// latest.
type progress struct{ events, handled, version int }

func look(t *testing.T, pool *pgxpool.Pool) (p progress) {
	t.Helper()
	err := pool.QueryRow(t.Context(),
		`SELECT (SELECT count(*) FROM events), coalesce(sum(handled), 0), coalesce(max(version), 0) FROM events_projections`).
		Scan(&p.events, &p.handled, &p.version)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// program is the program as a process of its own.
type program struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
	err    error
	killed bool
}

func startProgram(t *testing.T, args []string) *program {
	t.Helper()
	p := &program{cmd: exec.CommandContext(t.Context(), os.Args[0], args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p
}

func (p *program) wait() { <-p.ended }

// killWhen kills the program at a moment, or when that many events are there, and says how
// far all is then.
func (p *program) killWhen(t *testing.T, pool *pgxpool.Pool, moment func(now progress) bool, events int) progress {
	t.Helper()
	for {
		select {
		case <-p.ended:
			return look(t, pool)
		case <-time.After(2 * time.Millisecond):
		}
		if now := look(t, pool); now.events >= events || moment(now) {
			_ = p.cmd.Process.Kill() // unless it has ended
			p.wait()
			var exit *exec.ExitError
			p.killed = errors.As(p.err, &exit) && exit.ExitCode() == -1
			return look(t, pool)
		}
	}
}

// wasRefused reports whether the server was still at the last save of the one that was
// killed before. Then the program says that it has to be started again.
func (p *program) wasRefused() bool {
	return !p.killed && strings.Contains(p.output.String(), "imported by somebody else")
}
