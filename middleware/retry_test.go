package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/failures"
	"github.com/eventsource-go/eventsource/middleware"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// flaky makes the first calls of each operation fail.
type flaky struct {
	times int
	err   error
	tries map[eventsource.Operation]int
	at    []time.Time
}

func (f *flaky) middleware() eventsource.Middleware {
	f.tries = make(map[eventsource.Operation]int)
	return eventsource.Intercept(func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
		f.tries[call.Operation]++
		f.at = append(f.at, time.Now())
		if f.tries[call.Operation] <= f.times {
			return f.err
		}
		return next(ctx)
	})
}

func ExampleRetry() {
	flaky := &flaky{times: 2, err: errors.New("connection reset")}
	store := eventsource.Wrap(memstore.New(), middleware.Retry(middleware.WithBackoff(time.Millisecond, time.Second)), flaky.middleware())

	records, err := store.LoadByAggregate(context.Background(), "account-1")
	fmt.Println(len(records), err, flaky.tries)
	// Output: 0 <nil> map[LoadByAggregate:3]
}

func exhaust(records iter.Seq2[eventsource.Record, error]) (err error) {
	for _, err = range records {
	}
	return err
}

// reserving lets a memory store answer for the interfaces that it does not have.
type reserving struct{ *memstore.Store }

func (reserving) Holder(context.Context, string, string) (eventsource.Holder, error) {
	return eventsource.Holder{}, nil
}

func (r reserving) LoadByAggregateVersions(ctx context.Context, id string, _, _ int) ([]eventsource.Record, error) {
	return r.LoadByAggregate(ctx, id)
}

var record = eventsource.Record{AggregateID: "a", Type: "t"}

// safe are the operations that may be repeated.
var safe = map[eventsource.Operation]func(ctx context.Context, s eventsource.Store) error{
	eventsource.OperationNewTransaction: func(ctx context.Context, s eventsource.Store) error {
		tx, err := s.NewTransaction(ctx, record)
		if err == nil {
			_ = tx.Rollback() // which fails too, and is not what is looked at
		}
		return err
	},
	eventsource.OperationAppend: func(ctx context.Context, s eventsource.Store) error {
		_, err := s.(eventsource.Appender).Append(ctx, record)
		return err
	},
	eventsource.OperationLoadByAggregate: func(ctx context.Context, s eventsource.Store) error {
		_, err := s.LoadByAggregate(ctx, "a")
		return err
	},
	eventsource.OperationLoadByAggregateVersions: func(ctx context.Context, s eventsource.Store) error {
		_, err := s.(eventsource.VersionLoader).LoadByAggregateVersions(ctx, "a", 0, 0)
		return err
	},
	eventsource.OperationLoadBySequenceID: func(ctx context.Context, s eventsource.Store) error {
		_, err := s.LoadBySequenceID(ctx, "", 0)
		return err
	},
	eventsource.OperationLoadBySequenceIDAndType: func(ctx context.Context, s eventsource.Store) error {
		_, err := s.LoadBySequenceIDAndType(ctx, "", "t", 0)
		return err
	},
	eventsource.OperationLoadByTimestamp: func(ctx context.Context, s eventsource.Store) error {
		_, err := s.LoadByTimestamp(ctx, 0, 0)
		return err
	},
	eventsource.OperationQuery: func(ctx context.Context, s eventsource.Store) error {
		return exhaust(s.(eventsource.Querier).Query(ctx, eventsource.Query{}))
	},
	eventsource.OperationFollow: func(ctx context.Context, s eventsource.Store) error {
		return exhaust(s.(eventsource.Follower).Follow(ctx, eventsource.Query{}, func(string) {}))
	},
	eventsource.OperationCount: func(ctx context.Context, s eventsource.Store) error {
		_, err := s.(eventsource.Counter).Count(ctx, eventsource.Query{})
		return err
	},
	eventsource.OperationWatch: func(ctx context.Context, s eventsource.Store) error {
		_, err := s.(eventsource.Watcher).Watch(ctx)
		return err
	},
	eventsource.OperationHorizon: func(ctx context.Context, s eventsource.Store) error {
		_, err := s.(eventsource.HorizonReporter).Horizon(ctx)
		return err
	},
	eventsource.OperationHolder: func(ctx context.Context, s eventsource.Store) error {
		_, err := s.(eventsource.Reserver).Holder(ctx, "s", "v")
		return err
	},
}

func TestRetry_repeats_what_is_safe(t *testing.T) {
	for operation, do := range safe {
		t.Run(string(operation), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				flaky := &flaky{times: 4, err: errFake}
				below := reserving{memstore.New()}
				store := eventsource.Wrap(below, middleware.Retry(nil, middleware.WithRetryIf(nil)), flaky.middleware())
				if err := do(ctx, store); err != nil {
					t.Error(err)
				}
				if flaky.tries[operation] != 5 {
					t.Errorf("%d tries were made, want 5", flaky.tries[operation])
				}
				records, err := below.LoadByAggregate(ctx, "a")
				if want := map[eventsource.Operation]int{eventsource.OperationAppend: 1}[operation]; err != nil || len(records) != want {
					t.Errorf("%d records are stored, error %v, want %d", len(records), err, want)
				}
			})
		})
	}
}

func TestRetry_returns_the_last_error_with_the_number_of_tries(t *testing.T) {
	for operation, do := range safe {
		t.Run(string(operation), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				flaky := &flaky{times: 100, err: errFake}
				store := eventsource.Wrap(reserving{memstore.New()}, middleware.Retry(middleware.WithTries(3)), flaky.middleware())
				err := do(t.Context(), store)
				if !errors.Is(err, errFake) || !strings.Contains(fmt.Sprint(err), "tried 3 times") {
					t.Errorf("error is %v", err)
				}
				if flaky.tries[operation] != 3 {
					t.Errorf("%d tries were made, want 3", flaky.tries[operation])
				}
			})
		})
	}
}

func TestRetry_never_repeats_the_end_of_a_transaction(t *testing.T) {
	for _, end := range []func(eventsource.StoreTransaction) error{eventsource.StoreTransaction.Commit, eventsource.StoreTransaction.Rollback} {
		ends := 0
		store := eventsource.Wrap(memstore.New(), middleware.Retry(), eventsource.Intercept(func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
			if call.Operation == eventsource.OperationNewTransaction {
				return next(ctx)
			}
			ends++
			return errFake
		}))
		tx, err := store.NewTransaction(t.Context(), record)
		if err != nil {
			t.Fatal(err)
		}
		if err := end(tx); !errors.Is(err, errFake) || strings.Contains(err.Error(), "tried") {
			t.Errorf("error is %v", err)
		}
		if ends != 1 {
			t.Errorf("%d tries were made", ends)
		}
	}
}

// Each sentinel of package eventsource says something that another try does not change,
// or must not try to.
func TestRetry_returns_at_once_what_another_try_cannot_change(t *testing.T) {
	final := map[string]error{
		"ErrNoHistory": eventsource.ErrNoHistory, "ErrDeleted": eventsource.ErrDeleted, "ErrConflict": &eventsource.ConflictError{},
		"ErrTaken": &eventsource.TakenError{}, "ErrInvalidCommand": eventsource.ErrInvalidCommand, "ErrUnchanged": eventsource.ErrUnchanged,
		"ErrInvalidSequenceID": eventsource.ErrInvalidSequenceID, "ErrInvalidQuery": eventsource.ErrInvalidQuery,
		"ErrInvalidEvent": eventsource.ErrInvalidEvent, "ErrUnknownType": eventsource.ErrUnknownType,
		"ErrTooLarge": &eventsource.SaveTooLargeError{}, "ErrTransactionDone": eventsource.ErrTransactionDone,
		"ErrOutcomeUnknown": &eventsource.OutcomeUnknownError{Err: errFake}, "ErrMisconfigured": eventsource.ErrMisconfigured,
	}
	source, err := os.ReadFile("../errors.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^\t(Err\w+) += errors\.New`).FindAllStringSubmatch(string(source), -1) {
		if final[match[1]] == nil {
			t.Errorf("nobody has decided whether %s can be tried again", match[1])
		}
	}
	final["unsupported"], final["canceled"], final["deadline"] = errors.ErrUnsupported, context.Canceled, context.DeadlineExceeded
	for name, err := range final {
		flaky := &flaky{times: 100, err: fmt.Errorf("wrapped: %w", err)}
		store := eventsource.Wrap(memstore.New(), middleware.Retry(), flaky.middleware())
		_, got := store.(eventsource.Appender).Append(t.Context(), record)
		if got != flaky.err { //nolint:errorlint // it is to be the very same
			t.Errorf("%s: error is %v, want %v", name, got, flaky.err)
		}
		if n := flaky.tries[eventsource.OperationAppend]; n != 1 {
			t.Errorf("%s: %d tries were made", name, n)
		}
		if failures.Kind(err) == "" {
			t.Errorf("%s has no name", name)
		}
	}
}

func TestRetry_asks_whether_to_try_again(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []error
		again := func(err error) bool {
			asked = append(asked, err)
			return len(asked) < 2
		}
		flaky := &flaky{times: 100, err: errFake}
		store := eventsource.Wrap(memstore.New(), middleware.Retry(middleware.WithRetryIf(again)), flaky.middleware())
		_, err := store.LoadByAggregate(t.Context(), "a")
		if !errors.Is(err, errFake) || !reflect.DeepEqual(asked, []error{errFake, errFake}) {
			t.Errorf("error is %v, asked of %v", err, asked)
		}
		never := func(err error) bool { t.Errorf("asked of %v", err); return true }
		store = eventsource.Wrap(memstore.New(), middleware.Retry(middleware.WithRetryIf(never)), failing(eventsource.ErrOutcomeUnknown))
		_, _ = store.(eventsource.Appender).Append(t.Context(), record)
	})
}

func TestRetry_waits_longer_each_time_up_to_a_bound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flaky := &flaky{times: 100, err: errFake}
		store := eventsource.Wrap(memstore.New(), middleware.Retry(
			middleware.WithTries(6), middleware.WithBackoff(time.Second, 5*time.Second), middleware.WithMaxElapsed(time.Hour)), flaky.middleware())
		_, err := store.LoadByAggregate(t.Context(), "a")
		if !errors.Is(err, errFake) {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
			if pause := flaky.at[i+1].Sub(flaky.at[i]); pause < want/2 || pause > want*3/2+1 {
				t.Errorf("pause %d took %v, want about %v", i+1, pause, want)
			}
		}
	})
}

func TestRetry_stops_when_it_has_tried_for_long_enough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 10 * time.Second
		flaky := &flaky{times: 1000, err: errFake}
		store := eventsource.Wrap(memstore.New(), middleware.Retry(
			middleware.WithTries(1000), middleware.WithBackoff(time.Second, time.Second), middleware.WithMaxElapsed(most)), flaky.middleware())
		began := time.Now()
		_, err := store.LoadByAggregate(t.Context(), "a")
		if elapsed := time.Since(began); elapsed > most || elapsed < most-2*time.Second {
			t.Errorf("it took %v", elapsed)
		}
		if tries := len(flaky.at); !errors.Is(err, errFake) || !strings.Contains(err.Error(), fmt.Sprintf("tried %d times", tries)) {
			t.Errorf("after %d tries the error is %v", tries, err)
		}
	})
}

func TestRetry_is_ended_by_the_context(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		flaky := &flaky{times: 1000, err: errFake}
		store := eventsource.Wrap(memstore.New(), middleware.Retry(middleware.WithTries(1000),
			middleware.WithBackoff(time.Hour, time.Hour), middleware.WithMaxElapsed(100*time.Hour)), flaky.middleware())
		began := time.Now()
		_, err := store.LoadByAggregate(ctx, "a")
		if elapsed := time.Since(began); elapsed != time.Minute {
			t.Errorf("it took %v", elapsed)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errFake) || !strings.Contains(err.Error(), "tried 1 times") {
			t.Errorf("error is %v", err)
		}
		if _, err := store.LoadByAggregate(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) || len(flaky.at) != 2 {
			t.Errorf("with an ended context %d tries were made, error %v", len(flaky.at)-1, err)
		}
	})
}

// halfway gives one record, then an error.
type halfway struct{ *memstore.Store }

func (halfway) Query(context.Context, eventsource.Query) iter.Seq2[eventsource.Record, error] {
	return func(yield func(eventsource.Record, error) bool) {
		_ = yield(record, nil) && yield(eventsource.Record{}, errFake)
	}
}

func TestRetry_does_not_begin_a_query_again_that_has_given_something(t *testing.T) {
	store := eventsource.Wrap(halfway{memstore.New()}, middleware.Retry())
	given := 0
	var last error
	for _, err := range store.(eventsource.Querier).Query(t.Context(), eventsource.Query{}) {
		if last = err; err == nil {
			given++
		}
	}
	if given != 1 || last != errFake { //nolint:errorlint // it is to be the very same
		t.Errorf("%d were given, error %v", given, last)
	}
}

func TestRetry_with_options_that_cannot_be_is_misconfigured(t *testing.T) {
	for mention, option := range map[string]middleware.RetryOption{
		"0 tries":       middleware.WithTries(0),
		"from 0s to 1s": middleware.WithBackoff(0, time.Second),
		"from 2s to 1s": middleware.WithBackoff(2*time.Second, time.Second),
		"for 0s":        middleware.WithMaxElapsed(0),
	} {
		store := eventsource.Wrap(memstore.New(), middleware.Retry(option))
		_, err := store.LoadByAggregate(t.Context(), "a")
		for _, err := range []error{err, store.(interface{ Err() error }).Err()} {
			if !errors.Is(err, eventsource.ErrMisconfigured) || !strings.Contains(fmt.Sprint(err), mention) {
				t.Errorf("error is %v, want one that mentions %q", err, mention)
			}
		}
	}
}
