package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/middleware"
	"github.com/eventsource-go/eventsource/store/memstore"
)

func ExampleLogging() {
	withoutTimes := &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	}}
	logger := slog.New(slog.NewTextHandler(os.Stdout, withoutTimes))

	store := eventsource.Wrap(memstore.New(), middleware.Logging(logger))
	_, _ = store.LoadByAggregate(context.Background(), "account-1")
	_, _ = store.LoadBySequenceID(context.Background(), "not a ULID", 0)
	// Output:
	// level=DEBUG msg="eventsource: store call" operation=LoadByAggregate events=0
	// level=WARN msg="eventsource: store call failed" operation=LoadBySequenceID events=0 error="eventsource: invalid sequence ID \"not a ULID\": ulid: bad data size when unmarshaling"
}

// failing makes every call of a store fail, without reaching it.
func failing(err error) eventsource.Middleware {
	return eventsource.Intercept(func(context.Context, *eventsource.Call, func(context.Context) error) error { return err })
}

func TestLogging_logs_calls_with_what_came_of_them(t *testing.T) {
	notes := &noted{}
	store := eventsource.Wrap(memstore.New(), middleware.Logging(logger(notes, slog.LevelDebug), nil))
	ctx := t.Context()
	record := eventsource.Record{AggregateID: "a", Type: "t", Data: []byte("secret"), UserID: "secret", Metadata: eventsource.Metadata{"k": "secret"}}
	if _, err := store.(eventsource.Appender).Append(ctx, record, record, record); err != nil {
		t.Fatal(err)
	}
	tx, err := store.NewTransaction(ctx, record)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	_ = tx.Rollback()
	for range store.(eventsource.Querier).Query(ctx, eventsource.Query{}) {
		break
	}
	if _, err := store.(eventsource.Counter).Count(ctx, eventsource.Query{}); err != nil {
		t.Fatal(err)
	}
	record.Version = 1
	_, _ = store.(eventsource.Appender).Append(ctx, record)
	ok := `level=DEBUG msg="eventsource: store call" operation=%s events=%d`
	want := []string{
		fmt.Sprintf(ok, "Append", 3), fmt.Sprintf(ok, "NewTransaction", 1), fmt.Sprintf(ok, "Commit", 1),
		fmt.Sprintf(ok, "Query", 1), fmt.Sprintf(ok, "Count", 4),
		`level=DEBUG msg="eventsource: store call failed" operation=Append events=1 ` +
			`error="eventsource: version conflict: aggregate \"a\" is at version 4, its next event cannot have version 1"`,
	}
	if got := notes.all(); !slices.Equal(got, want) {
		t.Errorf("logged:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLogging_levels(t *testing.T) {
	unknown := &eventsource.OutcomeUnknownError{Err: context.Canceled}
	for _, test := range []struct {
		err  error
		want slog.Level
	}{
		{&eventsource.ConflictError{}, slog.LevelDebug},
		{&eventsource.TakenError{}, slog.LevelDebug},
		{fmt.Errorf("wrapped: %w", context.Canceled), slog.LevelDebug},
		{context.DeadlineExceeded, slog.LevelDebug},
		{eventsource.ErrTransactionDone, slog.LevelWarn},
		{eventsource.ErrInvalidEvent, slog.LevelWarn},
		{&eventsource.TooLargeError{}, slog.LevelWarn},
		{errors.ErrUnsupported, slog.LevelWarn},
		{unknown, slog.LevelError},
		{errFake, slog.LevelError},
	} {
		notes := &noted{}
		store := eventsource.Wrap(memstore.New(), middleware.Logging(logger(notes, test.want)), failing(test.err))
		_, err := store.LoadByAggregate(t.Context(), "a")
		if !errors.Is(err, test.err) {
			t.Errorf("error is %v, want %v", err, test.err)
		}
		lines := notes.all()
		if len(lines) != 1 || !strings.Contains(lines[0], "level="+test.want.String()+" ") {
			t.Errorf("%v is logged as %q, want level %v", test.err, lines, test.want)
		}
		quiet := &noted{}
		store = eventsource.Wrap(memstore.New(), middleware.Logging(logger(quiet, test.want+1)), failing(test.err))
		_, _ = store.LoadByAggregate(t.Context(), "a")
		if lines := quiet.all(); len(lines) > 0 {
			t.Errorf("%v is logged as %q at a higher level", test.err, lines)
		}
	}
}

func TestLogging_at_a_level_of_ones_own(t *testing.T) {
	notes := &noted{}
	level := func(call *eventsource.Call, err error) slog.Level {
		if call.Operation == eventsource.OperationAppend && err == nil {
			return slog.LevelInfo
		}
		return slog.LevelDebug
	}
	store := eventsource.Wrap(memstore.New(), middleware.Logging(logger(notes, slog.LevelInfo), middleware.WithLevel(level), middleware.WithLevel(nil)))
	if _, err := store.(eventsource.Appender).Append(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _ = store.LoadByAggregate(t.Context(), "a")
	if lines := notes.all(); len(lines) != 1 || !strings.Contains(lines[0], "level=INFO") {
		t.Errorf("logged %q", lines)
	}
}

// What a log keeps may be read by anybody.
func TestLogging_keeps_what_events_contain_to_itself(t *testing.T) {
	invalid := eventsource.Record{AggregateID: "a", Type: "t", Metadata: eventsource.Metadata{"k": "secret\x00"}}
	for _, err := range []error{
		invalid.Validate(),
		fmt.Errorf("saving: %w", &eventsource.TakenError{Scope: "email", Value: "secret", AggregateID: "a", Holder: "b"}),
		errors.Join(eventsource.ErrTaken, errors.New("secret")),
	} {
		if !strings.Contains(fmt.Sprint(err), "secret") {
			t.Fatalf("%v has no secret", err)
		}
		notes := &noted{}
		store := eventsource.Wrap(memstore.New(), middleware.Logging(logger(notes, slog.LevelDebug)), failing(err))
		_, _ = store.LoadByAggregate(t.Context(), "a")
		if lines := notes.all(); len(lines) != 1 || strings.Contains(lines[0], "secret") || !strings.Contains(lines[0], "error=") {
			t.Errorf("%v is logged as %q", err, lines)
		}
	}
}

func TestLogging_without_a_logger_is_misconfigured(t *testing.T) {
	store := eventsource.Wrap(memstore.New(), middleware.Logging(nil))
	if err := store.(interface{ Err() error }).Err(); !errors.Is(err, eventsource.ErrMisconfigured) {
		t.Errorf("error is %v", err)
	}
}
