//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestRun(t *testing.T) {
	// No server is needed: run uses the given one, and the commands here none.
	t.Setenv(testenv.EnvPostgres, "postgres://given")
	t.Setenv(testenv.EnvRequire, "")

	for _, c := range []struct {
		name string
		args []string
		want int
	}{
		{"no command", []string{"--"}, 2},
		{"success", []string{"--", "true"}, 0},
		{"failure", []string{"sh", "-c", "exit 7"}, 7},
		{"killed", []string{"sh", "-c", "kill -KILL $$"}, 128 + 9},
		{"no such command", []string{"./no-such-command"}, 127},
		{"environment", []string{"sh", "-c", `[ "$EVENTSOURCE_TEST_POSTGRES $EVENTSOURCE_TEST_REQUIRE" = "postgres://given 1" ]`}, 0},
	} {
		if got := run(c.args); got != c.want {
			t.Errorf("%s: got exit code %d, want %d", c.name, got, c.want)
		}
	}
}

func TestRunKeepsRequire(t *testing.T) {
	t.Setenv(testenv.EnvPostgres, "postgres://given")
	t.Setenv(testenv.EnvRequire, "0")
	if got := run([]string{"sh", "-c", `[ "$EVENTSOURCE_TEST_REQUIRE" = 0 ]`}); got != 0 {
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
	code := run([]string{"sh", "-c", `trap 'exit 5' TERM; : >"$0"; sleep 60`, began})
	if code != 5 {
		t.Errorf("got exit code %d, want that of the command's own handler, 5", code)
	}
}
