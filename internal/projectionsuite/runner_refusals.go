package projectionsuite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

func testRefusals(t *testing.T, open opener) {
	open.run(t, "a projection that asks for other types than it was started for is refused", func(w *world) {
		var j journal
		i := w.start(projection.ByType(j.handler("a"), projection.On(func(context.Context, *changed) error { return nil })))
		w.waitFor(w.open(1, "a"))
		err := projection.New(name, w.repository, projection.ByType(j.handler("a"), projection.On(func(context.Context, *noted) error { return nil })), w.options()...).Run(w.ctx())
		var definition *projection.DefinitionError
		if !errors.As(err, &definition) || !errors.Is(err, projection.ErrDefinitionChanged) {
			w.Fatalf("Run: %v", err)
		}
		equal(w, "error", projection.DefinitionError{
			Projection: name, Version: 1, Started: []string{"changed", "opened"}, Now: []string{"noted", "opened"},
		}, *definition)
		wantText(w.T, err, name, "version 1", "changed, opened", "noted, opened")
		all := projection.New(name, w.repository, projection.Each(func(context.Context, eventsource.Event) error { return nil }), w.options()...)
		err = all.Run(w.ctx())
		wantError(w.T, "Run for all types", err, projection.ErrDefinitionChanged)
		wantText(w.T, err, "all event types")
		w.stop(i)
		// The order of the types does not matter, and neither does who handles them.
		w.start(projection.Batch(func(ctx context.Context, events []eventsource.Event) error {
			for _, e := range events {
				j.add(entryOf(ctx, "b", e))
			}
			return nil
		}, &opened{}, &changed{}, &opened{}))
		w.waitFor(w.open(1, "a"))
		w.wantEach(j.all(""), true)
	})

	open.run(t, "a projection runs once at a time", func(w *world) {
		var j journal
		i := w.start(j.handler("a"))
		w.waitFor(w.open(1, "a"))
		err := i.Run(w.ctx())
		wantError(w.T, "Run", err, eventsource.ErrMisconfigured)
		wantText(w.T, err, name)
		w.stop(i)
		w.runInstance(i.Projection)
		w.waitFor(w.open(1, "a"))
		w.wantEach(j.all(""), true)
	})

	open.run(t, "WaitFor says why it does not wait", func(w *world) {
		var j journal
		last := w.open(1, "a")
		short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		err := w.manager.WaitFor(short, name, last)
		wantError(w.T, "WaitFor of nobody", err, context.DeadlineExceeded)
		wantText(w.T, err, name)
		i := w.start(j.handler("a"))
		w.until("it is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		for _, at := range []string{"", last, strings.ToLower(last)} {
			if err := w.manager.WaitFor(w.ctx(), name, at); err != nil {
				w.Errorf("WaitFor %q: %v", at, err)
			}
		}
		err = w.manager.WaitFor(w.ctx(), name, "yesterday")
		wantError(w.T, "WaitFor no sequence ID", err, eventsource.ErrInvalidSequenceID)
		wantText(w.T, err, "yesterday")
		w.stop(i)
		next := w.open(1, "a")
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		err = w.manager.WaitFor(ctx, name, next)
		wantError(w.T, "WaitFor what nobody handles", err, context.DeadlineExceeded)
		wantText(w.T, err, name)
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		wantError(w.T, "WaitFor with an ended context", w.manager.WaitFor(ended, name, next), context.Canceled)
	})

	open.run(t, "what cannot be is refused, and named", func(w *world) {
		var j journal
		good := j.handler("a")
		failing := repositoryOn(nil)
		long := strings.Repeat("n", 256)
		for _, c := range []struct {
			name       string
			repository eventsource.Repository
			handler    projection.Handler
			opts       []projection.Option
			named      string
		}{
			{"", w.repository, good, nil, `""`},
			{long, w.repository, good, nil, long},
			{"a\x00b", w.repository, good, nil, `a\x00b`},
			{"a\xffb", w.repository, good, nil, `a\xffb`},
			{name, nil, good, nil, "repository is nil"},
			{name, failing, good, nil, "store is nil"},
			{name, struct{ eventsource.Repository }{w.repository}, good, nil, "Feed"},
			{name, w.repository, nil, nil, "handler"},
			{name, w.repository, projection.ByType(), nil, "ByType"},
			{name, w.repository, projection.ByType(nil), nil, "handler 1"},
			{name, w.repository, projection.ByType(good, projection.Each(nil)), nil, "Each"},
			{name, w.repository, projection.Each(nil), nil, "Each"},
			{name, w.repository, projection.Batch(nil), nil, "Batch"},
			{name, w.repository, projection.On[*opened](nil), nil, "On"},
			{name, w.repository, projection.On(func(context.Context, eventsource.Event) error { return nil }), nil, "eventsource.Event"},
			{name, w.repository, projection.Each(func(context.Context, eventsource.Event) error { return nil }, nil), nil, "type 1"},
			{name, w.repository, projection.SideEffect(nil), nil, "SideEffect"},
			{name, w.repository, projection.InTransaction(nil), nil, "InTransaction"},
			{name, w.repository, good, []projection.Option{version(0)}, "version 0"},
			{name, w.repository, good, []projection.Option{version(-3)}, "version -3"},
			{name, w.repository, good, []projection.Option{projection.WithPartitions(0)}, "0 partitions"},
			{name, w.repository, good, []projection.Option{projection.WithPartitions(65)}, "65 partitions"},
			{name, w.repository, good, []projection.Option{projection.WithBatchSize(0)}, "size 0"},
			{name, w.repository, good, []projection.Option{projection.WithLease(99 * time.Millisecond)}, "99ms"},
			{name, w.repository, good, []projection.Option{projection.WithLease(-time.Second)}, "-1s"},
			{name, w.repository, good, []projection.Option{projection.WithPollInterval(0)}, "0s"},
			{name, w.repository, good, []projection.Option{projection.WithPollInterval(-time.Hour)}, "-1h0m0s"},
			{name, w.repository, good, []projection.Option{projection.WithRetry(0, 1, 1)}, "0 tries"},
			{name, w.repository, good, []projection.Option{projection.WithRetry(1, 0, time.Minute)}, "from 0s to 1m0s"},
			{name, w.repository, good, []projection.Option{projection.WithRetry(1, 2*time.Minute, time.Minute)}, "from 2m0s to 1m0s"},
			{name, w.repository, good, []projection.Option{projection.WithFailurePolicy(7)}, "policy 7"},
			{name, w.repository, good, []projection.Option{projection.WithFailurePolicy(-1)}, "policy -1"},
			{name, w.repository, good, []projection.Option{projection.WithStartAfter("yesterday")}, "YESTERDAY"},
		} {
			p := projection.New(c.name, c.repository, c.handler, w.options(c.opts...)...)
			what := fmt.Sprintf("%.20q, %T, %s", c.name, c.handler, c.named)
			for _, err := range []error{p.Err(), p.Run(w.ctx())} {
				if !errors.Is(err, eventsource.ErrMisconfigured) && !errors.Is(err, eventsource.ErrInvalidSequenceID) {
					w.Errorf("%s: error is %v", what, err)
				}
				if err != nil && !strings.Contains(strings.ToUpper(err.Error()), strings.ToUpper(c.named)) {
					w.Errorf("%s: error is %v, which does not name it", what, err)
				}
			}
		}
		names, err := w.manager.Names(w.ctx())
		if err != nil || len(names) != 0 {
			w.Errorf("projections: %v, error %v", names, err)
		}
	})

	open.run(t, "all mistakes are told at once", func(w *world) {
		err := projection.New("", nil, nil, projection.WithVersion(0), projection.WithBatchSize(-1)).Err()
		wantText(w.T, err, `name ""`, "repository is nil", "handler", "version 0", "size -1")
	})

	open.run(t, "options that are nil or set nothing leave the defaults", func(w *world) {
		var j journal
		p := projection.New(name, w.repository, j.handler("a"), nil, projection.WithLogger(nil), projection.WithTakeover(nil))
		i := w.runInstance(p)
		w.open(3, "a")
		w.until("all is handled", func() bool { return j.count() == 3 })
		w.stop(i)
	})

	open.run(t, "a manager of nothing refuses every call", func(w *world) {
		for what, m := range map[string]*projection.Manager{
			"repository is nil":  projection.NewManager(nil, w.checkpoints),
			"checkpoints":        projection.NewManager(w.repository, nil),
			"serializer is nil":  projection.NewManager(eventsource.NewRepository(w.store, nil), w.checkpoints),
			"repository, a stru": projection.NewManager(struct{ eventsource.Repository }{w.repository}, w.checkpoints),
		} {
			ctx := w.ctx()
			_, namesErr := m.Names(ctx)
			_, parkedErr := m.Parked(ctx, name, 1, "", 0)
			_, retryErr := m.RetryParked(ctx, name, 1, "")
			for call, err := range map[string]error{
				"Err": m.Err(), "Names": namesErr, "WaitFor": m.WaitFor(ctx, name, ""), "Parked": parkedErr, "RetryParked": retryErr,
				"DropParked": m.DropParked(ctx, name, 1, "x"), "Reset": m.Reset(ctx, name, 1, ""),
				"ResetToTime": m.ResetToTime(ctx, name, 1, time.Now()), "Promote": m.Promote(ctx, name, 1), "Drop": m.Drop(ctx, name, 1),
			} {
				wantError(w.T, call, err, eventsource.ErrMisconfigured)
				wantText(w.T, err, what)
			}
		}
	})

	open.run(t, "projections of several names do not meet", func(w *world) {
		var one, two journal
		w.runInstance(projection.New("one", w.repository, one.handler("a"), w.options()...))
		w.runInstance(projection.New("two", w.repository, two.handler("b"), w.options(projection.WithPartitions(2))...))
		last := w.open(20, many(4)...)
		w.until("both are known", func() bool {
			names, err := w.manager.Names(w.ctx())
			if err != nil {
				w.Fatal(err)
			}
			return fmt.Sprint(names) == "[one two]"
		})
		for _, name := range []string{"one", "two"} {
			if err := w.manager.WaitFor(w.ctx(), name, last); err != nil {
				w.Fatal(err)
			}
		}
		w.wantEach(one.all(""), true)
		w.wantEach(two.all(""), true)
	})
}
