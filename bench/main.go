// Command bench measures this module's event store beside others and beside what
// PostgreSQL itself gives, on one server, in one run. README.md explains the
// method; -h lists the options.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/eventsource-go/eventsource/bench/report"
	"github.com/eventsource-go/eventsource/bench/system"
	"github.com/eventsource-go/eventsource/bench/workload"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errUsage has been explained already.
var errUsage = errors.New("wrong usage")

type options struct {
	systems, workloads, levels string
	rounds                     int
	time, warmUp               time.Duration
	markdown, json             string
	profile                    string
	check, list                bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 3 && args[0] == "stream" { // a process that package workload starts
		return stream(ctx, args[1], args[2], stdout) //nolint:gosec // there are three
	}
	if len(args) == 4 && args[0] == "project" { // the same
		return project(ctx, args[1], args[2], args[3], stdout) //nolint:gosec // there are four
	}
	o, config, err := parse(args, stdout, stderr)
	if err != nil || o == nil {
		return err
	}
	if o.list {
		list(stdout, config)
		return nil
	}

	config.URL = os.Getenv(testenv.EnvPostgres)
	if config.URL == "" {
		fmt.Fprintln(stderr, "starting PostgreSQL in a container")
		url, end, err := testenv.Start(ctx)
		if err != nil {
			return fmt.Errorf("no PostgreSQL: set %s to the URL of a server, as a role that may create databases: %w", testenv.EnvPostgres, err)
		}
		config.URL = url
		defer func() {
			if err := end(); err != nil {
				fmt.Fprintln(stderr, "bench:", err)
			}
		}()
	}
	machine, err := report.NewMachine(ctx, config.URL)
	if err != nil {
		return err
	}

	if o.profile != "" {
		file, err := os.Create(filepath.Clean(o.profile))
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	began := time.Now()
	config.Progress = newProgress(stderr, began).show
	cells, databases, runErr := workload.Run(ctx, config)
	if len(cells) == 0 {
		if runErr == nil {
			runErr = errors.New("none of these workloads runs with so many events stored; -list says what they need")
		}
		return runErr
	}
	result := report.New(config.Systems, config.Workloads, cells, databases)
	result.Machine, result.Began, result.Took = machine, began, time.Since(began)
	result.Rounds, result.Time = config.Rounds, config.Time
	if err := write(result, o, stdout); err != nil {
		return errors.Join(runErr, err)
	}
	if runErr != nil {
		return fmt.Errorf("the run was not finished: %w", runErr)
	}
	return verdict(result, o.check)
}

// parse returns no options and no error where help was asked for.
func parse(args []string, stdout, stderr io.Writer) (*options, workload.Config, error) {
	o := new(options)
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors and help are printed below
	flags.StringVar(&o.systems, "systems", "", "the systems to measure, separated by semicolons; empty for all")
	flags.StringVar(&o.workloads, "workloads", "", "a regular `expression` that the names of the workloads match; empty for all")
	flags.StringVar(&o.levels, "events", "10k", "how many events are stored beforehand, separated by commas, as in 10k,1M,5M")
	flags.IntVar(&o.rounds, "rounds", 3, "how many turns each system has at each workload")
	flags.DurationVar(&o.time, "time", 500*time.Millisecond, "how long a turn takes")
	flags.DurationVar(&o.warmUp, "warm-up", 150*time.Millisecond, "how long a system runs before its turn is counted")
	flags.StringVar(&o.markdown, "markdown", "", "a `file` for the tables, besides the standard output")
	flags.StringVar(&o.json, "json", "bench.json", "a `file` for all figures of all rounds; empty for none")
	flags.StringVar(&o.profile, "cpuprofile", "", "a `file` for a profile of this process, for go tool pprof")
	flags.BoolVar(&o.check, "check", false, "exit with status 1 if a figure that is promised is not reached")
	flags.BoolVar(&o.list, "list", false, "list the systems and the workloads, and end")

	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, "Usage: bench [options]\n\n"+
			"Measures event stores on PostgreSQL: the server whose URL is in %s,\n"+
			"in databases that it creates and drops, or else one in a container of its own.\n\n", testenv.EnvPostgres)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return nil, workload.Config{}, nil
	}
	var config workload.Config
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if err == nil {
		config, err = o.config()
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v; -h lists the options\n", err)
		return nil, workload.Config{}, errUsage
	}
	return o, config, nil
}

func (o *options) config() (c workload.Config, err error) {
	c = workload.Config{Rounds: o.rounds, Time: o.time, WarmUp: o.warmUp, Systems: system.All()}
	switch {
	case o.rounds < 1:
		return c, fmt.Errorf("-rounds is %d, which is less than 1", o.rounds)
	case o.time <= 0:
		return c, fmt.Errorf("-time is %v, which is not above 0", o.time)
	case o.warmUp <= 0:
		return c, fmt.Errorf("-warm-up is %v, which is not above 0", o.warmUp)
	}
	if o.systems != "" {
		if c.Systems, err = system.Named(strings.Split(o.systems, ";")); err != nil {
			return c, fmt.Errorf("-systems: %w", err)
		}
	}
	if c.Workloads, err = workload.Match(workload.All(), o.workloads); err != nil {
		return c, fmt.Errorf("-workloads: %w", err)
	}
	if c.Levels, err = parseLevels(o.levels); err != nil {
		return c, fmt.Errorf("-events: %w", err)
	}
	return c, nil
}

// parseLevels reads numbers such as 500, 10k and 5M, which must rise.
func parseLevels(text string) ([]int, error) {
	const least, most = 1000, 1_000_000_000
	var levels []int
	for word := range strings.SplitSeq(text, ",") {
		number, factor := strings.TrimSpace(word), 1
		if n, ok := strings.CutSuffix(number, "k"); ok {
			number, factor = n, 1000
		} else if n, ok := strings.CutSuffix(number, "M"); ok {
			number, factor = n, 1_000_000
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > most/factor {
			return nil, fmt.Errorf("%q is no number of events such as 10k or 5M", word)
		}
		n *= factor
		switch {
		case n < least || n%least != 0:
			return nil, fmt.Errorf("%q is not a multiple of %d", word, least)
		case len(levels) > 0 && n <= levels[len(levels)-1]:
			return nil, fmt.Errorf("%q does not come after %d", word, levels[len(levels)-1])
		}
		levels = append(levels, n)
	}
	return levels, nil
}

func list(w io.Writer, c workload.Config) {
	fmt.Fprintln(w, "Systems:")
	for _, s := range c.Systems {
		fmt.Fprintf(w, "  %-18s %s %s\n", s.Name, s.Kind, s.Module)
	}
	fmt.Fprintln(w, "\nWorkloads:")
	for _, l := range c.Workloads {
		fmt.Fprintf(w, "  %-24s %s\n", l.Name, l.About)
	}
}

// write writes the report wherever it is wanted.
func write(result *report.Report, o *options, stdout io.Writer) error {
	err := result.WriteMarkdown(stdout)
	if o.markdown != "" {
		err = errors.Join(err, writeFile(o.markdown, result.WriteMarkdown))
	}
	if o.json != "" {
		err = errors.Join(err, writeFile(o.json, result.WriteJSON))
	}
	return err
}

func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(filepath.Clean(name))
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// verdict is an error if a system failed, or, if asked for, if a figure is not reached.
func verdict(result *report.Report, check bool) error {
	var problems []error
	for _, row := range result.Rows {
		if row.Failed != "" {
			problems = append(problems, fmt.Errorf("%s failed at %s: %s", row.System, row.Workload, row.Failed))
		}
	}
	if check {
		for _, f := range result.Figures() {
			if f.Measured != "" && !f.Reached {
				problems = append(problems, fmt.Errorf("%s: at least %s was promised, measured: %s", f.What, f.AtLeast, f.Measured))
			}
		}
	}
	return errors.Join(problems...)
}

// stream is the process that package workload starts to measure memory.
func stream(ctx context.Context, name, events string, stdout io.Writer) error {
	systems, err := system.Named([]string{name})
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(events)
	if err != nil {
		return err
	}
	done, err := workload.Stream(ctx, systems[0], os.Getenv(workload.EnvStreamURL), n)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(done)
}

// project is the process that package workload starts to measure projections.
func project(ctx context.Context, name, projection, events string, stdout io.Writer) error {
	systems, err := system.Named([]string{name})
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(events)
	if err != nil {
		return err
	}
	return workload.Project(ctx, systems[0], os.Getenv(workload.EnvProjectURL), projection, n, stdout)
}
