//go:build unix

// Command run runs a command with a PostgreSQL for its tests:
//
//	go run ./internal/testenv/run -- go test ./...
//
// It starts one server in a container, unless EVENTSOURCE_TEST_POSTGRES has the
// URL of one already, and ends it with the command. The command gets the URL in
// EVENTSOURCE_TEST_POSTGRES, and EVENTSOURCE_TEST_REQUIRE=1 unless that is set.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		say("usage: run -- command [argument...]")
		return 2
	}

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)

	env := os.Environ()
	if os.Getenv(testenv.EnvPostgres) == "" {
		began := time.Now()
		url, stop, err := start(signals)
		if err != nil {
			say("no PostgreSQL: %v", err)
			return 1
		}
		defer func() {
			if err := stop(); err != nil {
				say("%v", err)
			}
		}()
		say("PostgreSQL started in %v", time.Since(began).Round(time.Millisecond))
		env = append(env, testenv.EnvPostgres+"="+url)
	}
	if os.Getenv(testenv.EnvRequire) == "" {
		env = append(env, testenv.EnvRequire+"=1")
	}
	return command(args, env, signals)
}

// start starts the server. A signal ends the attempt.
func start(signals <-chan os.Signal) (url string, stop func() error, err error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	started := make(chan struct{})
	defer close(started)
	go func() {
		select {
		case s := <-signals:
			cancel(fmt.Errorf("%v", s))
		case <-started:
		}
	}()
	url, stop, err = testenv.Start(ctx)
	if err == nil && ctx.Err() != nil {
		// The signal came with the last step.
		return "", nil, errors.Join(context.Cause(ctx), stop())
	}
	return url, stop, err
}

// command runs the command, hands signals on to it, and returns its exit code.
func command(args, env []string, signals <-chan os.Signal) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = env
	// A process group of its own: signals are to reach also the command's children
	// (go test hands on none), and each of them once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		say("%v", err)
		return 127
	}

	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-signals:
				_ = syscall.Kill(-cmd.Process.Pid, s.(syscall.Signal))
			case <-done:
				return
			}
		}
	}()

	err := cmd.Wait()
	if err == nil {
		return 0
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	}
	say("%v", err)
	return 1
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "testenv: "+format+"\n", args...)
}
