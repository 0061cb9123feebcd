//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestRun(t *testing.T) {
	// No server is needed: run uses the given ones, and the commands here none.
	t.Setenv(testenv.EnvPostgres, "postgres://given")
	t.Setenv(testenv.EnvDynamoDB, "http://given")
	t.Setenv(testenv.EnvRedis, "redis://given")
	t.Setenv(testenv.EnvRequire, "")

	for _, c := range []struct {
		name string
		args []string
		want int
	}{
		{"no arguments", nil, 2},
		{"no command", []string{"postgres", "--"}, 2},
		{"no server", []string{"--", "true"}, 2},
		{"no end of the servers", []string{"postgres", "true"}, 2},
		{"no such server", []string{"postgres", "mysql", "--", "true"}, 2},
		{"success", []string{"postgres", "--", "true"}, 0},
		{"several servers", []string{"dynamodb", "redis", "postgres", "--", "true"}, 0},
		{"failure", []string{"postgres", "--", "sh", "-c", "exit 7"}, 7},
		{"killed", []string{"postgres", "--", "sh", "-c", "kill -KILL $$"}, 128 + 9},
		{"no such command", []string{"postgres", "--", "./no-such-command"}, 127},
		{"a command's own --", []string{"postgres", "--", "sh", "-c", `[ "$1" = -- ]`, "sh", "--"}, 0},
		{"environment", []string{"postgres", "dynamodb", "redis", "--", "sh", "-c",
			`[ "$EVENTSOURCE_TEST_POSTGRES $EVENTSOURCE_TEST_DYNAMODB $EVENTSOURCE_TEST_REDIS $EVENTSOURCE_TEST_REQUIRE" = "postgres://given http://given redis://given 1" ]`}, 0},
	} {
		if got := run(c.args); got != c.want {
			t.Errorf("%s: got exit code %d, want %d", c.name, got, c.want)
		}
	}
}

func TestRunStartsWhatIsAskedFor(t *testing.T) {
	t.Setenv(testenv.EnvPostgres, "")
	t.Setenv(testenv.EnvDynamoDB, "")
	t.Setenv(testenv.EnvRedis, "")
	original := servers
	t.Cleanup(func() { servers = original })

	var mu sync.Mutex
	var got []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, what)
	}
	servers = slices.Clone(original)
	for i, s := range servers {
		servers[i].start = func(context.Context) (string, func() error, error) {
			note("start " + s.name)
			return "url-of-" + s.name, func() error { note("stop " + s.name); return nil }, nil
		}
	}

	for _, c := range []struct {
		args []string
		urls string // as the command sees them
		want []string
	}{
		{[]string{"postgres"}, "url-of-postgres,,", []string{"start postgres", "stop postgres"}},
		{[]string{"dynamodb"}, ",url-of-dynamodb,", []string{"start dynamodb", "stop dynamodb"}},
		{[]string{"redis"}, ",,url-of-redis", []string{"start redis", "stop redis"}},
		{[]string{"postgres", "dynamodb"}, "url-of-postgres,url-of-dynamodb,",
			[]string{"start dynamodb", "start postgres", "stop dynamodb", "stop postgres"}},
	} {
		got = nil
		check := []string{"--", "sh", "-c", `[ "$EVENTSOURCE_TEST_POSTGRES,$EVENTSOURCE_TEST_DYNAMODB,$EVENTSOURCE_TEST_REDIS" = "$0" ]`, c.urls}
		if code := run(append(c.args, check...)); code != 0 {
			t.Errorf("%v: the command did not see %q", c.args, c.urls)
		}
		slices.Sort(got) // they start and stop at the same time
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.args, got, c.want)
		}
	}
}

func TestStartStartsAllAtTheSameTime(t *testing.T) {
	here := make(chan struct{})
	meet := func(name string, send bool) server {
		return server{name, name, name, func(ctx context.Context) (string, func() error, error) {
			if send {
				here <- struct{}{}
			} else {
				<-here
			}
			return "url", func() error { return nil }, nil
		}}
	}
	env, _, err := start([]server{meet("a", true), meet("b", false)}, nil)
	slices.Sort(env)
	if want := []string{"a=url", "b=url"}; err != nil || !slices.Equal(env, want) {
		t.Errorf("got %v, %v, want %v", env, err, want)
	}
}

func TestStartThatFailsLeavesNoServer(t *testing.T) {
	stopped := false
	up := make(chan struct{})
	works := server{"a", "A", "A", func(context.Context) (string, func() error, error) {
		defer close(up)
		return "url", func() error { stopped = true; return nil }, nil
	}}
	fails := server{"b", "B", "B", func(context.Context) (string, func() error, error) {
		<-up
		return "", nil, errors.New("nobody answers")
	}}
	waits := server{"c", "C", "C", func(ctx context.Context) (string, func() error, error) {
		<-ctx.Done()
		return "", nil, ctx.Err()
	}}

	_, stop, err := start([]server{works, fails, waits}, nil)
	if err == nil || err.Error() != "no B: nobody answers" {
		t.Errorf("got error %v, want that of B, the first one", err)
	}
	if err := stop(); err != nil || !stopped {
		t.Errorf("got %v, stopped: %v, want A to be stopped", err, stopped)
	}
}

func TestSignalEndsTheStart(t *testing.T) {
	signals := make(chan os.Signal, 1)
	waits := server{"a", "A", "A", func(ctx context.Context) (string, func() error, error) {
		signals <- syscall.SIGTERM
		<-ctx.Done()
		return "", nil, ctx.Err()
	}}
	if _, _, err := start([]server{waits}, signals); err == nil || err.Error() != syscall.SIGTERM.String() {
		t.Errorf("got error %v, want the signal", err)
	}
}

func TestStopReturnsAllErrors(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	err := together([]func() error{
		func() error { return a },
		func() error { return nil },
		func() error { return b },
	})
	if !errors.Is(err, a) || !errors.Is(err, b) {
		t.Errorf("got %v, want both", err)
	}
}

func TestRunKeepsRequire(t *testing.T) {
	t.Setenv(testenv.EnvPostgres, "postgres://given")
	t.Setenv(testenv.EnvRequire, "0")
	if got := run([]string{"postgres", "--", "sh", "-c", `[ "$EVENTSOURCE_TEST_REQUIRE" = 0 ]`}); got != 0 {
		t.Errorf("got exit code %d, want 0", got)
	}
}

func TestRunHandsSignalsOn(t *testing.T) {
	t.Setenv(testenv.EnvPostgres, "postgres://given")
	began := filepath.Join(t.TempDir(), "began")
	go func() {
		for {
			if _, err := os.Stat(began); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}()
	// The shell waits for its child, which the signal has to reach, too.
	code := run([]string{"postgres", "--", "sh", "-c", `trap 'exit 5' TERM; : >"$0"; sleep 60`, began})
	if code != 5 {
		t.Errorf("got exit code %d, want that of the command's own handler, 5", code)
	}
}
