//go:build unix

// Command run runs a command with servers for its tests:
//
//	go run ./internal/testenv/run postgres dynamodb redis -- go test ./...
//
// It starts each of the named servers in a container, unless the server's variable,
// EVENTSOURCE_TEST_POSTGRES, EVENTSOURCE_TEST_DYNAMODB or EVENTSOURCE_TEST_REDIS, has
// the URL of one already, and ends them with the command. The command gets the URLs in these variables, and
// EVENTSOURCE_TEST_REQUIRE=1 unless that is set.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// server is what can be asked for.
type server struct {
	name     string
	title    string
	variable string // where the command finds its URL
	start    func(context.Context) (url string, stop func() error, err error)
}

var servers = []server{
	{"postgres", "PostgreSQL", testenv.EnvPostgres, testenv.Start},
	{"dynamodb", "DynamoDB", testenv.EnvDynamoDB, testenv.StartDynamoDB},
	{"redis", "Redis", testenv.EnvRedis, testenv.StartRedis},
}

func run(args []string) int {
	wanted, args, err := parse(args)
	if err != nil {
		say("%v\nusage: run server... -- command [argument...]", err)
		return 2
	}

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)

	// A server that there is already need not be started.
	wanted = slices.DeleteFunc(wanted, func(s server) bool { return os.Getenv(s.variable) != "" })
	urls, stop, err := start(wanted, signals)
	defer func() {
		if err := stop(); err != nil {
			say("%v", err)
		}
	}()
	if err != nil {
		say("%v", err)
		return 1
	}
	env := append(os.Environ(), urls...)
	if os.Getenv(testenv.EnvRequire) == "" {
		env = append(env, testenv.EnvRequire+"=1")
	}
	return command(args, env, signals)
}

// parse splits the arguments into servers and the command.
func parse(args []string) (wanted []server, command []string, err error) {
	end := slices.Index(args, "--")
	if end < 1 || end == len(args)-1 {
		return nil, nil, errors.New("a server, -- or the command is missing")
	}
	for _, name := range args[:end] {
		i := slices.IndexFunc(servers, func(s server) bool { return s.name == name })
		if i < 0 {
			return nil, nil, fmt.Errorf("%q is no server", name)
		}
		wanted = append(wanted, servers[i])
	}
	return wanted, args[end+1:], nil
}

// start starts the servers, all at once, and returns their variables. What has been
// started is to be stopped even if there is an error. A signal ends the attempt.
func start(wanted []server, signals <-chan os.Signal) (env []string, stop func() error, err error) {
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

	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		stops []func() error
	)
	for _, s := range wanted {
		all.Go(func() {
			began := time.Now()
			url, end, err := s.start(ctx)
			if err != nil {
				// The others are of no use now.
				cancel(fmt.Errorf("no %s: %w", s.title, err))
				return
			}
			say("%s started in %v", s.title, time.Since(began).Round(time.Millisecond))
			mu.Lock()
			defer mu.Unlock()
			env = append(env, s.variable+"="+url)
			stops = append(stops, end)
		})
	}
	all.Wait()
	return env, func() error { return together(stops) }, context.Cause(ctx)
}

// together calls all functions at once and returns their errors.
func together(functions []func() error) error {
	errs := make([]error, len(functions))
	var all sync.WaitGroup
	for i, f := range functions {
		all.Go(func() { errs[i] = f() })
	}
	all.Wait()
	return errors.Join(errs...)
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
