package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
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
	b, err := openBackend(ctx, o, stderr)
	if err != nil {
		return fmt.Errorf("-store: %w", err)
	}
	defer b.close()
	return importAndCheck(ctx, b.store, b.model, history, stdout, stderr)
}

// backend is where the events go, and the read model that is made of them.
type backend struct {
	store eventsource.Store
	model readModel
	close func()
}

// openBackend opens the store that the options name.
func openBackend(ctx context.Context, o options, stderr io.Writer) (*backend, error) {
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	options := []projection.Option{projection.WithLease(o.lease), projection.WithLogger(logger)}
	if isPostgresURL(o.store) {
		return openPostgres(ctx, o.store, o.rebuild, options...)
	}
	b := &backend{store: memstore.New(), model: newMemoryModel(options...), close: func() {}}
	var err error
	if isDynamoDBURL(o.store) {
		b.store, err = openDynamoDB(ctx, o.store)
	}
	return b, err
}

// importAndCheck is the job. The reader and the read model follow the events while the
// import goes on, and where one of the three fails the others end too.
func importAndCheck(ctx context.Context, store eventsource.Store, model readModel, history source, stdout, stderr io.Writer) error {
	repo := newRepository(store)
	done, err := loadImported(ctx, repo, history.outline().first)
	if err != nil {
		return err
	}
	all, cancel := context.WithCancelCause(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel(nil)

	follower := newReader(store, repo, done.id)
	followed := make(chan struct{})
	background.Go(func() {
		defer close(followed)
		if err := follower.follow(all, history.outline().commits); err != nil {
			cancel(err)
		}
	})
	halfway, countCommit := newHalfway(done.commits, history.outline().commits)
	background.Go(func() {
		if err := model.run(all, repo, halfway); err != nil {
			cancel(fmt.Errorf("read model: %w", err))
		}
	})

	step, finish := newProgress(stderr, history.outline().commits-done.commits)
	im := &importer{repo: repo, source: history, done: done, onCommit: func() { step(); countCommit() }}
	stats, err := im.run(all)
	finish()
	if err != nil {
		cancel(err)
	}
	<-followed
	if err := context.Cause(all); err != nil {
		return err
	}
	says, err := model.upTo(all, repo, done.id, follower.last)
	if err != nil {
		return cmp.Or(context.Cause(all), err)
	}
	cancel(nil)
	background.Wait()

	summarize(stdout, history, done, stats, follower)
	fmt.Fprintf(stdout, "read model %d files, %d authors, %d weeks\n", len(says.files), len(says.authors), len(says.weeks))
	if says.version > 0 {
		fmt.Fprintf(stdout, "           of version %d of its projection\n", says.version)
	}
	drawWeeks(stdout, says.weeks)
	if err := check(ctx, follower, says, history); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "check passed: %d paths and %d authors agree with git\n", len(follower.tree), len(follower.authors))
	return nil
}

// newHalfway gives a channel that is closed at half of the commits, and what counts
// one.
func newHalfway(done, total int) (halfway chan struct{}, countCommit func()) {
	halfway = make(chan struct{})
	arrive := sync.OnceFunc(func() { close(halfway) })
	count := func() {
		if 2*done >= total {
			arrive()
		}
	}
	count()
	return halfway, func() { done++; count() }
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
