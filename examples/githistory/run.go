package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/memstore"
)

const memoryStore = "memory"

// run is the program: it gives the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	switch err := runOptions(ctx, o, stdout, stderr); {
	case errors.Is(err, errEmpty):
		fmt.Fprintf(stdout, "%v: nothing to import, nothing to check\n", err)
		return 0
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(stderr, "githistory: interrupted; what was imported stays, another run goes on from there")
		return 1
	case err != nil:
		fmt.Fprintf(stderr, "githistory: %v\n", err)
		return 1
	}
	return 0
}

func runOptions(ctx context.Context, o options, stdout, stderr io.Writer) error {
	history, err := openSource(ctx, o, stderr)
	if err != nil {
		return err
	}
	store, closeStore, err := openStore(ctx, o.store)
	if err != nil {
		return fmt.Errorf("-store: %w", err)
	}
	defer closeStore()
	return importAndCheck(ctx, store, history, stdout, stderr)
}

// openStore gives the store that the option names, and how to close it.
func openStore(ctx context.Context, name string) (store eventsource.Store, closeStore func(), err error) {
	switch {
	case name == memoryStore:
		return memstore.New(), func() {}, nil
	case isDynamoDBURL(name):
		store, err = openDynamoDB(ctx, name)
		return store, func() {}, err
	}
	return openPostgres(ctx, name)
}

// importAndCheck is the job. The reader runs while the import does, and where
// one of them fails the other ends too.
func importAndCheck(ctx context.Context, store eventsource.Store, history source, stdout, stderr io.Writer) error {
	repo := newRepository(store)
	done, err := loadImported(ctx, repo, history.outline().first)
	if err != nil {
		return err
	}
	both, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	follower := newReader(store, repo, done.id)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		if err := follower.follow(both, history.outline().commits); err != nil {
			cancel(err)
		}
	}()

	step, finish := newProgress(stderr, history.outline().commits-done.commits)
	im := &importer{repo: repo, source: history, done: done, onCommit: step}
	stats, err := im.run(both)
	finish()
	if err != nil {
		cancel(err)
	}
	<-followed
	if err := context.Cause(both); err != nil {
		return err
	}
	summarize(stdout, history, done, stats, follower)
	if err := check(ctx, follower, history); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "check passed: %d paths and %d authors agree with git\n", len(follower.tree), len(follower.authors))
	return nil
}

func summarize(w io.Writer, history source, done *imported, stats importStats, r *reader) {
	fmt.Fprintf(w, "repository %s, in the store as %s\n", history.name(), done.id)
	if done.commits > 0 {
		fmt.Fprintf(w, "skipped    %d commits that were in the store\n", done.commits)
	}
	if done.changes > 0 {
		fmt.Fprintf(w, "skipped    %d changes of the next one that were in the store\n", done.changes)
	}
	fmt.Fprintf(w, "imported   %d commits, %d changes of files", stats.commits, stats.changes)
	if stats.parts > 0 {
		fmt.Fprintf(w, ", %d more saves for large commits", stats.parts)
	}
	fmt.Fprintf(w, ": %d events", stats.events())
	if stats.commits > 0 {
		fmt.Fprintf(w, " in %s, %s commits/s, %s events/s",
			seconds(stats.took), rate(stats.commits, stats.took), rate(stats.events(), stats.took))
	}
	fmt.Fprintf(w, "\nread       %d events", r.events)
	if r.own < r.events {
		fmt.Fprintf(w, ", %d of them of this repository,", r.own)
	}
	fmt.Fprintf(w, " in %s, %s events/s\n", seconds(r.busy), rate(r.events, r.busy))
	fmt.Fprintf(w, "rebuilt    %d files, %d authors\n", len(r.tree), len(r.authors))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// rate gives n a second, in groups of three digits.
func rate(n int, d time.Duration) string {
	if d <= 0 {
		return "?"
	}
	digits := fmt.Sprintf("%.0f", float64(n)/d.Seconds())
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, groups...), ",")
}
