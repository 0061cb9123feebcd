package eventsource_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/combinations"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// interceptor is short for what the tests are full of.
type interceptor = func(ctx context.Context, call *eventsource.Call, next func(ctx context.Context) error) error

func passOn(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
	return next(ctx)
}

// capable is a store with all optional interfaces. It notes what arrives, and answers
// with what nobody else does.
type capable struct {
	arrived []string
	failing int // how many calls fail first
	rolled  int // transactions that were rolled back
	undone  int // calls of Rollback
}

// arrive notes a call and says whether it fails.
func (c *capable) arrive(ctx context.Context, operation eventsource.Operation, args ...any) error {
	c.arrived = append(c.arrived, strings.TrimSpace(fmt.Sprintln(append([]any{operation, ctx.Value(key{})}, args...)...)))
	if c.failing > 0 {
		c.failing--
		return errFake
	}
	return nil
}

type key struct{}

var answered = []eventsource.Record{{AggregateID: "one", Version: 7}, {AggregateID: "two", Version: 8}}

func (c *capable) NewTransaction(ctx context.Context, records ...eventsource.Record) (eventsource.StoreTransaction, error) {
	if err := c.arrive(ctx, eventsource.OperationNewTransaction, len(records)); err != nil {
		return (*fakeTransaction)(nil), err
	}
	return &fakeTransaction{store: c, records: records}, nil
}

func (c *capable) LoadByAggregate(ctx context.Context, id string) ([]eventsource.Record, error) {
	return answered, c.arrive(ctx, eventsource.OperationLoadByAggregate, id)
}

func (c *capable) LoadByAggregateVersions(ctx context.Context, id string, after, last int) ([]eventsource.Record, error) {
	return answered, c.arrive(ctx, eventsource.OperationLoadByAggregateVersions, id, after, last)
}

func (c *capable) LoadBySequenceID(ctx context.Context, id string, limit int) ([]eventsource.Record, error) {
	return answered, c.arrive(ctx, eventsource.OperationLoadBySequenceID, id, limit)
}

func (c *capable) LoadBySequenceIDAndType(ctx context.Context, id, eventType string, limit int) ([]eventsource.Record, error) {
	return answered, c.arrive(ctx, eventsource.OperationLoadBySequenceIDAndType, id, eventType, limit)
}

func (c *capable) LoadByTimestamp(ctx context.Context, timestamp int64, limit int) ([]eventsource.Record, error) {
	return answered, c.arrive(ctx, eventsource.OperationLoadByTimestamp, timestamp, limit)
}

func (c *capable) Append(ctx context.Context, records ...eventsource.Record) ([]eventsource.Record, error) {
	return answered, c.arrive(ctx, eventsource.OperationAppend, len(records))
}

func (c *capable) Query(ctx context.Context, query eventsource.Query) iter.Seq2[eventsource.Record, error] {
	return c.iterate(ctx, eventsource.OperationQuery, query, func() {})
}

func (c *capable) Follow(ctx context.Context, query eventsource.Query, reached func(string)) iter.Seq2[eventsource.Record, error] {
	return c.iterate(ctx, eventsource.OperationFollow, query, func() { reached("end") })
}

func (c *capable) iterate(ctx context.Context, operation eventsource.Operation, query eventsource.Query, end func()) iter.Seq2[eventsource.Record, error] {
	return func(yield func(eventsource.Record, error) bool) {
		if err := c.arrive(ctx, operation, query.AggregateID); err != nil {
			yield(eventsource.Record{}, err)
			return
		}
		for _, record := range answered {
			if !yield(record, nil) {
				return
			}
		}
		if query.Limit == failsAtTheEnd {
			yield(eventsource.Record{}, errFake)
			return
		}
		end()
	}
}

// failsAtTheEnd is the limit of a query that gives all records, and then an error.
const failsAtTheEnd = 99

func (c *capable) Count(ctx context.Context, query eventsource.Query) (int64, error) {
	return 42, c.arrive(ctx, eventsource.OperationCount, query.AggregateID)
}

func (c *capable) Watch(ctx context.Context) (<-chan struct{}, error) {
	if err := c.arrive(ctx, eventsource.OperationWatch); err != nil {
		return nil, err
	}
	wakeUps := make(chan struct{})
	context.AfterFunc(ctx, func() { close(wakeUps) })
	return wakeUps, nil
}

func (c *capable) Horizon(ctx context.Context) (eventsource.Horizon, error) {
	return eventsource.Horizon{Head: "head"}, c.arrive(ctx, eventsource.OperationHorizon)
}

func (c *capable) Holder(ctx context.Context, scope, value string) (eventsource.Holder, error) {
	return eventsource.Holder{AggregateID: "holder"}, c.arrive(ctx, eventsource.OperationHolder, scope, value)
}

type fakeTransaction struct {
	store   *capable
	records []eventsource.Record
	done    bool
}

func (t *fakeTransaction) Commit() error {
	if t.done {
		return eventsource.ErrTransactionDone
	}
	t.done = true
	return t.store.arrive(context.Background(), eventsource.OperationCommit)
}

func (t *fakeTransaction) Rollback() error {
	t.store.undone++
	if t.done {
		return eventsource.ErrTransactionDone
	}
	t.done = true
	t.store.rolled++
	return t.store.arrive(context.Background(), eventsource.OperationRollback)
}

func (t *fakeTransaction) Records() []eventsource.Record { return t.records }

var (
	_ eventsource.Store           = (*capable)(nil)
	_ eventsource.Appender        = (*capable)(nil)
	_ eventsource.VersionLoader   = (*capable)(nil)
	_ eventsource.Querier         = (*capable)(nil)
	_ eventsource.Follower        = (*capable)(nil)
	_ eventsource.Counter         = (*capable)(nil)
	_ eventsource.Watcher         = (*capable)(nil)
	_ eventsource.HorizonReporter = (*capable)(nil)
	_ eventsource.Reserver        = (*capable)(nil)
)

var twoRecords = []eventsource.Record{{AggregateID: "a"}, {AggregateID: "b"}}

// operation is a call of a method, and what is right of it.
type operation struct {
	name eventsource.Operation
	// has reports whether a store has the method; nil if all have.
	has func(store eventsource.Store) bool
	// do calls it. It returns the answer.
	do func(ctx context.Context, store eventsource.Store) (any, error)
	// arrives is what the store sees.
	arrives string
	// call is what the interceptor sees, at the end, and answer what the caller gets.
	call   eventsource.Call
	answer any
}

// collected is what a loop over all pairs gives.
type collected struct {
	records []eventsource.Record
	reached []string
}

func collectRecords(records iter.Seq2[eventsource.Record, error], reached func() []string) (any, error) {
	var c collected
	for record, err := range records {
		if err != nil {
			return c, err
		}
		c.records = append(c.records, record)
	}
	c.reached = reached()
	return c, nil
}

func is[T any](store eventsource.Store) bool {
	_, ok := store.(T)
	return ok
}

// operations are all but those of transactions.
func operations() []operation {
	query := eventsource.Query{AggregateID: "id"}
	return []operation{
		{
			name: eventsource.OperationLoadByAggregate, arrives: "LoadByAggregate value id", answer: answered,
			call: eventsource.Call{Query: query, Events: 2},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				return s.LoadByAggregate(ctx, "id")
			},
		}, {
			name: eventsource.OperationLoadBySequenceID, arrives: "LoadBySequenceID value id 5", answer: answered,
			call: eventsource.Call{Query: eventsource.Query{After: "id", Limit: 5}, Events: 2},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				return s.LoadBySequenceID(ctx, "id", 5)
			},
		}, {
			name: eventsource.OperationLoadBySequenceIDAndType, arrives: "LoadBySequenceIDAndType value id type 5", answer: answered,
			call: eventsource.Call{Query: eventsource.Query{After: "id", Types: []string{"type"}, Limit: 5}, Events: 2},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				return s.LoadBySequenceIDAndType(ctx, "id", "type", 5)
			},
		}, {
			name: eventsource.OperationLoadByTimestamp, arrives: "LoadByTimestamp value 3 5", answer: answered,
			call: eventsource.Call{Timestamp: 3, Query: eventsource.Query{Limit: 5}, Events: 2},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				return s.LoadByTimestamp(ctx, 3, 5)
			},
		}, {
			name: eventsource.OperationAppend, arrives: "Append value 2", answer: answered,
			has:  is[eventsource.Appender],
			call: eventsource.Call{Records: twoRecords, Events: 2},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				return s.(eventsource.Appender).Append(ctx, twoRecords...)
			},
		}, {
			name: eventsource.OperationLoadByAggregateVersions, arrives: "LoadByAggregateVersions value id 1 2", answer: answered,
			has:  is[eventsource.VersionLoader],
			call: eventsource.Call{Query: query, AfterVersion: 1, LastVersion: 2, Events: 2},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				return s.(eventsource.VersionLoader).LoadByAggregateVersions(ctx, "id", 1, 2)
			},
		}, {
			name: eventsource.OperationQuery, arrives: "Query value id", answer: collected{records: answered},
			has:  is[eventsource.Querier],
			call: eventsource.Call{Query: query, Events: 2},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				return collectRecords(s.(eventsource.Querier).Query(ctx, query), func() []string { return nil })
			},
		}, {
			name: eventsource.OperationFollow, arrives: "Follow value id", answer: collected{answered, []string{"end"}},
			has:  is[eventsource.Follower],
			call: eventsource.Call{Query: query, Events: 2},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				var reached []string
				records := s.(eventsource.Follower).Follow(ctx, query, func(id string) { reached = append(reached, id) })
				return collectRecords(records, func() []string { return reached })
			},
		}, {
			name: eventsource.OperationCount, arrives: "Count value id", answer: int64(42),
			has:  is[eventsource.Counter],
			call: eventsource.Call{Query: query, Events: 42},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				return s.(eventsource.Counter).Count(ctx, query)
			},
		}, {
			name: eventsource.OperationWatch, arrives: "Watch value", answer: true,
			has:  is[eventsource.Watcher],
			call: eventsource.Call{},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				wakeUps, err := s.(eventsource.Watcher).Watch(ctx)
				return wakeUps != nil, err
			},
		}, {
			name: eventsource.OperationHorizon, arrives: "Horizon value", answer: eventsource.Horizon{Head: "head"},
			has:  is[eventsource.HorizonReporter],
			call: eventsource.Call{},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				return s.(eventsource.HorizonReporter).Horizon(ctx)
			},
		}, {
			name: eventsource.OperationHolder, arrives: "Holder value scope value", answer: eventsource.Holder{AggregateID: "holder"},
			has:  is[eventsource.Reserver],
			call: eventsource.Call{Scope: "scope", Value: "value"},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				return s.(eventsource.Reserver).Holder(ctx, "scope", "value")
			},
		}, {
			name: eventsource.OperationNewTransaction, arrives: "NewTransaction value 2", answer: true,
			call: eventsource.Call{Records: twoRecords, Events: 2},
			do: func(ctx context.Context, s eventsource.Store) (any, error) {
				tx, err := s.NewTransaction(ctx, twoRecords...)
				return tx != nil, err
			},
		},
	}
}

// has tells which optional interfaces a store has, as users find out.
func has(store eventsource.Store) (names []string) {
	for name, found := range map[string]bool{
		"Appender":        is[eventsource.Appender](store),
		"VersionLoader":   is[eventsource.VersionLoader](store),
		"Querier":         is[eventsource.Querier](store),
		"Follower":        is[eventsource.Follower](store),
		"Counter":         is[eventsource.Counter](store),
		"Watcher":         is[eventsource.Watcher](store),
		"HorizonReporter": is[eventsource.HorizonReporter](store),
		"Reserver":        is[eventsource.Reserver](store),
	} {
		if found {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestInterceptedStores_have_exactly_the_interfaces_of_the_store_below(t *testing.T) {
	interfaces := combinations.Interfaces()
	for bits := range 1 << len(interfaces) {
		var want []string
		for bit, name := range interfaces {
			if bits&(1<<bit) != 0 {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		below := &capable{}
		hiding := eventsource.WithAbilities(below, bits)
		if diff := cmp.Diff(want, has(hiding)); diff != "" {
			t.Fatalf("the store below, combination %d (-want +got):\n%s", bits, diff)
		}
		var calls []eventsource.Operation
		store := eventsource.Wrap(hiding, eventsource.Intercept(func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
			calls = append(calls, call.Operation)
			return next(context.WithValue(ctx, key{}, "value"))
		}))
		if diff := cmp.Diff(want, has(store)); diff != "" {
			t.Fatalf("combination %d (-want +got):\n%s", bits, diff)
		}
		for _, o := range operations() {
			if o.has != nil && !o.has(store) {
				continue
			}
			calls, below.arrived = nil, nil
			answer, err := o.do(t.Context(), store)
			if err != nil || !reflect.DeepEqual(answer, o.answer) {
				t.Errorf("combination %d: %s gives %v, error %v, want %v", bits, o.name, answer, err, o.answer)
			}
			if !slices.Equal(calls, []eventsource.Operation{o.name}) {
				t.Errorf("combination %d: the interceptor saw %v, want %s", bits, calls, o.name)
			}
			if !slices.Equal(below.arrived, []string{o.arrives}) {
				t.Errorf("combination %d: what arrived is %q, want %q", bits, below.arrived, o.arrives)
			}
		}
	}
}

func TestInterceptedStores_on_real_ones_have_their_interfaces(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		wrapped := eventsource.Wrap(store, eventsource.Intercept(passOn), nil, eventsource.Intercept(passOn))
		if diff := cmp.Diff(has(store), has(wrapped)); diff != "" {
			t.Errorf("(-below +wrapped):\n%s", diff)
		}
	})
}

// A ninth optional interface would be hidden by every wrapper.
func TestTheDocumentationOfStore_names_the_interfaces_that_are_generated(t *testing.T) {
	source, err := os.ReadFile("store.go")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?s)is an optional interface, found by type assertion:(.*?)\.\n`).FindSubmatch(source)
	if list == nil {
		t.Fatal("store.go does not list the optional interfaces any more")
	}
	var names []string
	for _, match := range regexp.MustCompile(`\[(\w+)\]`).FindAllSubmatch(list[1], -1) {
		names = append(names, string(match[1]))
	}
	if diff := cmp.Diff(names, combinations.Interfaces()); diff != "" {
		t.Errorf("(-documented +generated):\n%s", diff)
	}
}

func TestTheGeneratedCombinations_are_up_to_date(t *testing.T) {
	want, err := combinations.Source()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("middleware_combinations.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))) {
		t.Error("middleware_combinations.go is not what go generate writes")
	}
}

func TestInterceptors_see_each_call_as_it_was_made(t *testing.T) {
	for _, o := range operations() {
		t.Run(string(o.name), func(t *testing.T) {
			var seen []eventsource.Call
			store := eventsource.Intercept(func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
				if err := next(ctx); err != nil {
					t.Error(err)
				}
				seen = append(seen, eventsource.Call{
					Operation: call.Operation, Records: call.Records, Query: call.Query, AfterVersion: call.AfterVersion,
					LastVersion: call.LastVersion, Timestamp: call.Timestamp, Scope: call.Scope, Value: call.Value, Events: call.Events,
				})
				return nil
			})(&capable{})
			if _, err := o.do(t.Context(), store); err != nil {
				t.Fatal(err)
			}
			want := o.call
			want.Operation = o.name
			if !reflect.DeepEqual(seen, []eventsource.Call{want}) {
				t.Errorf("the interceptor saw %+v, want %+v", seen, want)
			}
		})
	}
}

func TestWrap_puts_the_first_middleware_outermost(t *testing.T) {
	var order []string
	noting := func(name string) eventsource.Middleware {
		return eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
			order = append(order, name+" before")
			defer func() { order = append(order, name+" after") }()
			return next(ctx)
		})
	}
	below := memstore.New()
	store := eventsource.Wrap(below, nil, noting("first"), nil, noting("second"))
	if _, err := store.LoadBySequenceID(t.Context(), "", 0); err != nil {
		t.Fatal(err)
	}
	want := []string{"first before", "second before", "second after", "first after"}
	if !slices.Equal(order, want) {
		t.Errorf("order is %q, want %q", order, want)
	}
	if store := eventsource.Wrap(below); store != eventsource.Store(below) {
		t.Errorf("without middleware the store is %T", store)
	}
}

func TestInterceptors_decide_what_the_caller_gets(t *testing.T) {
	const (
		refuses = "refuses"
		skips   = "does not call next and returns nil"
		fails   = "makes up an error afterwards"
	)
	interceptors := map[string]interceptor{
		refuses: func(context.Context, *eventsource.Call, func(context.Context) error) error { return errFake },
		skips:   func(context.Context, *eventsource.Call, func(context.Context) error) error { return nil },
		fails: func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
			return errors.Join(next(ctx), errFake)
		},
	}
	for name, intercept := range interceptors {
		for _, o := range operations() {
			t.Run(name+" "+string(o.name), func(t *testing.T) {
				below := &capable{}
				answer, err := o.do(t.Context(), eventsource.Intercept(intercept)(below))
				var want error
				switch {
				case name != skips:
					want = errFake
				case o.name == eventsource.OperationNewTransaction || o.name == eventsource.OperationWatch:
					want = eventsource.ErrMisconfigured
				}
				if !errors.Is(err, want) {
					t.Errorf("error is %v, want %v", err, want)
				}
				got := reflect.ValueOf(answer)
				if c, ok := answer.(collected); ok && name == fails { // what was given cannot be taken back
					got = reflect.ValueOf(c.reached)
				}
				if !got.IsZero() {
					t.Errorf("the answer is %v", answer)
				}
				if arrived := len(below.arrived) > 0; arrived != (name == fails) {
					t.Errorf("what arrived is %q", below.arrived)
				}
				if o.name == eventsource.OperationNewTransaction && name == fails && below.rolled != 1 {
					t.Error("the transaction was not rolled back")
				}
			})
		}
	}
}

func TestInterceptors_may_try_again_until_it_succeeds(t *testing.T) {
	for _, o := range operations() {
		t.Run(string(o.name), func(t *testing.T) {
			below := &capable{failing: 2}
			store := eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
				ctx = context.WithValue(ctx, key{}, "value")
				for range 2 {
					if err := next(ctx); !errors.Is(err, errFake) {
						t.Errorf("error is %v, want %v", err, errFake)
					}
				}
				for range 3 { // once it has succeeded it does nothing
					if err := next(ctx); err != nil {
						t.Error(err)
					}
				}
				return nil
			})(below)
			answer, err := o.do(t.Context(), store)
			if err != nil || !reflect.DeepEqual(answer, o.answer) {
				t.Errorf("got %v, error %v, want %v", answer, err, o.answer)
			}
			if want := slices.Repeat([]string{o.arrives}, 3); !slices.Equal(below.arrived, want) {
				t.Errorf("what arrived is %q, want %q", below.arrived, want)
			}
		})
	}
}

func TestInterceptors_that_swallow_an_error_give_an_empty_answer(t *testing.T) {
	for _, o := range operations() {
		t.Run(string(o.name), func(t *testing.T) {
			store := eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
				_ = next(ctx)
				return nil
			})(&capable{failing: 1})
			answer, err := o.do(t.Context(), store)
			var want error
			if o.name == eventsource.OperationNewTransaction || o.name == eventsource.OperationWatch {
				want = eventsource.ErrMisconfigured
			}
			if !errors.Is(err, want) || !reflect.ValueOf(answer).IsZero() {
				t.Errorf("got %v, error %v, want nothing and %v", answer, err, want)
			}
		})
	}
}

func TestInterceptors_cannot_call_next_after_they_have_returned(t *testing.T) {
	for _, o := range operations() {
		t.Run(string(o.name), func(t *testing.T) {
			below := &capable{}
			var kept func(context.Context) error
			store := eventsource.Intercept(func(_ context.Context, _ *eventsource.Call, next func(context.Context) error) error {
				kept = next
				return errFake
			})(below)
			_, err := o.do(t.Context(), store)
			wantError(t, err, errFake)
			wantError(t, kept(t.Context()), eventsource.ErrMisconfigured, string(o.name))
			if len(below.arrived) > 0 {
				t.Errorf("%q arrived", below.arrived)
			}
		})
	}
}

func TestInterceptors_that_panic_or_exit_leave_nothing_behind(t *testing.T) {
	type end struct{}
	for name, leave := range map[string]func(){"panic": func() { panic(end{}) }, "exit": runtime.Goexit} {
		for _, o := range operations() {
			t.Run(name+" "+string(o.name), func(t *testing.T) {
				below := &capable{}
				var watching context.Context
				inner := eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
					watching = ctx
					return next(ctx)
				})
				store := eventsource.Wrap(below, eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
					if err := next(ctx); err != nil {
						t.Error(err)
					}
					leave()
					return nil
				}), inner)
				left := make(chan any)
				go func() {
					returned := false
					defer func() {
						if returned {
							t.Error("it returned")
						}
						left <- recover()
					}()
					_, _ = o.do(t.Context(), store)
					returned = true
				}()
				var want any
				if name == "panic" {
					want = end{}
				}
				if got := <-left; got != want {
					t.Errorf("recovered %v, want %v", got, want)
				}
				if o.name == eventsource.OperationNewTransaction && below.rolled != 1 {
					t.Error("the transaction was not rolled back")
				}
				if o.name == eventsource.OperationWatch && watching.Err() == nil {
					t.Error("the watch goes on")
				}
			})
		}
	}
}

func TestInterceptedTransactions(t *testing.T) {
	// begin begins a transaction whose end a function intercepts.
	begin := func(t *testing.T, below *capable, intercept interceptor) eventsource.StoreTransaction {
		t.Helper()
		store := eventsource.Intercept(func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
			if call.Operation == eventsource.OperationNewTransaction {
				return next(ctx)
			}
			return intercept(ctx, call, next)
		})(below)
		tx, err := store.NewTransaction(context.WithValue(t.Context(), key{}, "the caller's"), twoRecords...)
		if err != nil {
			t.Fatal(err)
		}
		below.arrived = nil
		return tx
	}
	refuse := func(context.Context, *eventsource.Call, func(context.Context) error) error { return errFake }

	t.Run("have their ends intercepted, with the context that they were begun with", func(t *testing.T) {
		for _, o := range []struct {
			name eventsource.Operation
			end  func(eventsource.StoreTransaction) error
		}{
			{eventsource.OperationCommit, eventsource.StoreTransaction.Commit},
			{eventsource.OperationRollback, eventsource.StoreTransaction.Rollback},
		} {
			below := &capable{failing: 0}
			seen := 0
			tx := begin(t, below, func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
				seen++
				if call.Operation != o.name || call.Events != 2 || ctx.Value(key{}) != "the caller's" {
					t.Errorf("the interceptor of %s saw %s of %d events with %v", o.name, call.Operation, call.Events, ctx.Value(key{}))
				}
				return next(ctx)
			})
			if diff := cmp.Diff(twoRecords, tx.Records()); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if err := o.end(tx); err != nil {
				t.Error(err)
			}
			if below.undone != below.rolled {
				t.Errorf("after %s Rollback was called", o.name)
			}
			if err := tx.Rollback(); !errors.Is(err, eventsource.ErrTransactionDone) {
				t.Errorf("the deferred Rollback is %v", err)
			}
			if want := []string{string(o.name) + " <nil>"}; seen != 1 || !slices.Equal(below.arrived, want) {
				t.Errorf("%d calls were seen, %q arrived, want %q", seen, below.arrived, want)
			}
		}
	})

	t.Run("end even when their end is refused, or swallowed", func(t *testing.T) {
		swallow := func(context.Context, *eventsource.Call, func(context.Context) error) error { return nil }
		for _, intercept := range []interceptor{refuse, swallow} {
			for _, end := range []func(eventsource.StoreTransaction) error{eventsource.StoreTransaction.Commit, eventsource.StoreTransaction.Rollback} {
				below := &capable{}
				tx := begin(t, below, intercept)
				_ = end(tx)
				if below.rolled != 1 {
					t.Errorf("%d transactions were rolled back", below.rolled)
				}
				wantError(t, tx.Rollback(), eventsource.ErrTransactionDone)
			}
		}
		wantError(t, begin(t, &capable{}, refuse).Commit(), errFake)
	})

	t.Run("end when their interceptor panics", func(t *testing.T) {
		below := &capable{}
		tx := begin(t, below, func(context.Context, *eventsource.Call, func(context.Context) error) error { panic("oh no") })
		func() {
			defer func() {
				if p := recover(); p != "oh no" {
					t.Errorf("recovered %v", p)
				}
			}()
			_ = tx.Commit()
		}()
		if below.rolled != 1 {
			t.Error("the transaction was not rolled back")
		}
	})

	t.Run("are not committed twice", func(t *testing.T) {
		below := &capable{}
		tx := begin(t, below, func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
			return errors.Join(next(ctx), next(ctx))
		})
		if err := tx.Commit(); err != nil || len(below.arrived) != 1 {
			t.Errorf("error %v, %q arrived", err, below.arrived)
		}
		wantError(t, tx.Commit(), eventsource.ErrTransactionDone)
	})

	t.Run("give what is below them", func(t *testing.T) {
		below := &capable{}
		tx := begin(t, below, refuse)
		inside, ok := tx.(interface {
			Unwrap() eventsource.StoreTransaction
		})
		if !ok {
			t.Fatalf("%T has no Unwrap", tx)
		}
		if _, ok := inside.Unwrap().(*fakeTransaction); !ok {
			t.Errorf("inside is %T", inside.Unwrap())
		}
	})
}

func TestInterceptedIterations(t *testing.T) {
	query := func(below *capable, intercept interceptor, query eventsource.Query) iter.Seq2[eventsource.Record, error] {
		return eventsource.Intercept(intercept)(below).(eventsource.Querier).Query(context.Background(), query)
	}

	t.Run("are calls of their own, as often as they are ranged over", func(t *testing.T) {
		var events []int
		records := query(&capable{}, func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
			defer func() { events = append(events, call.Events) }()
			return next(ctx)
		}, eventsource.Query{})
		if len(events) > 0 {
			t.Error("the call was made before the loop began")
		}
		for range 2 {
			if _, err := collectRecords(records, func() []string { return nil }); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(events, []int{2, 2}) {
			t.Errorf("the calls had %v events", events)
		}
	})

	t.Run("last as long as the loop", func(t *testing.T) {
		inside := false
		for range query(&capable{}, func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
			inside = true
			defer func() { inside = false }()
			return next(ctx)
		}, eventsource.Query{}) {
			if !inside {
				t.Error("the interceptor has returned before the loop has")
			}
		}
		if inside {
			t.Error("the interceptor has not returned")
		}
	})

	t.Run("that are broken off have no error", func(t *testing.T) {
		var returned []error
		for range query(&capable{}, func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
			returned = append(returned, next(ctx), next(ctx))
			if call.Events != 1 {
				t.Errorf("%d events were given", call.Events)
			}
			return errFake // nobody is there to be told
		}, eventsource.Query{}) {
			break
		}
		if !slices.Equal(returned, []error{nil, nil}) {
			t.Errorf("next returned %v", returned)
		}
	})

	t.Run("are not begun again once an event was given", func(t *testing.T) {
		below := &capable{}
		answer, err := collectRecords(query(below, func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
			wantError(t, next(ctx), errFake)
			wantError(t, next(ctx), errFake)
			return next(ctx)
		}, eventsource.Query{Limit: failsAtTheEnd}), func() []string { return nil })
		wantError(t, err, errFake)
		if got := answer.(collected).records; len(got) != 2 || len(below.arrived) != 1 {
			t.Errorf("%d events were given by %q", len(got), below.arrived)
		}
	})

	t.Run("do not say that they have reached anything after an error", func(t *testing.T) {
		store := eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
			return errors.Join(next(ctx), errFake)
		})(&capable{}).(eventsource.Follower)
		reached := func(string) { t.Error("it has reached something") }
		_, err := collectRecords(store.Follow(t.Context(), eventsource.Query{}, reached), func() []string { return nil })
		wantError(t, err, errFake)
	})

	t.Run("pass on what the loop's body panics with", func(t *testing.T) {
		defer func() {
			if p := recover(); p != "in the loop" {
				t.Errorf("recovered %v", p)
			}
		}()
		for range query(&capable{}, passOn, eventsource.Query{}) {
			panic("in the loop")
		}
	})
}

// The context of what lasts longer than the call must last longer too.
func TestInterceptedWatches_end_with_the_context(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	store := eventsource.Wrap(memstore.New(), eventsource.Intercept(passOn))
	wakeUps, err := store.(eventsource.Watcher).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.(eventsource.Appender).Append(ctx, eventsource.Record{AggregateID: "a", Type: "t"}); err != nil {
		t.Fatal(err)
	}
	if _, open := <-wakeUps; !open {
		t.Fatal("the channel was closed")
	}
	cancel()
	if _, open := <-wakeUps; open {
		t.Fatal("there was another wake-up")
	}
}

func TestInterceptedWatches_that_fail_leave_nothing_when_they_are_tried_again(t *testing.T) {
	var contexts []context.Context
	store := eventsource.Wrap(&capable{failing: 2}, eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
		for next(ctx) != nil {
		}
		return nil
	}), eventsource.Intercept(func(ctx context.Context, _ *eventsource.Call, next func(context.Context) error) error {
		contexts = append(contexts, ctx)
		return next(ctx)
	}))
	if _, err := store.(eventsource.Watcher).Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(contexts) != 3 || contexts[0].Err() == nil || contexts[1].Err() == nil || contexts[2].Err() != nil {
		t.Errorf("the contexts of %d tries are not ended all but the last", len(contexts))
	}
}

func TestMiddleware_that_is_misconfigured_says_so_everywhere(t *testing.T) {
	broken := fmt.Errorf("%w: it is Tuesday", eventsource.ErrMisconfigured)
	for name, middleware := range map[string]eventsource.Middleware{
		"interceptor is nil":          eventsource.Intercept(nil),
		"it is Tuesday":               eventsource.Misconfigured(broken),
		"middleware does not say why": eventsource.Misconfigured(nil),
	} {
		below := &capable{}
		store := eventsource.Wrap(below, eventsource.Intercept(passOn), middleware, eventsource.Intercept(passOn))
		for _, o := range operations() {
			_, err := o.do(t.Context(), store)
			wantError(t, err, eventsource.ErrMisconfigured, name)
		}
		if len(below.arrived) > 0 {
			t.Errorf("%q arrived", below.arrived)
		}
		wantError(t, store.(interface{ Err() error }).Err(), eventsource.ErrMisconfigured, name)
		repository := eventsource.NewRepository(store, accounts())
		wantError(t, repository.Save(t.Context(), deposit("a", 1)), eventsource.ErrMisconfigured, name)
	}
}

// madeWrongly is a store that says so.
type madeWrongly struct{ eventsource.Store }

func (madeWrongly) Err() error { return eventsource.ErrMisconfigured }

func TestInterceptedStores_pass_on_what_is_wrong_below(t *testing.T) {
	for store, want := range map[eventsource.Store]error{
		madeWrongly{memstore.New()}: eventsource.ErrMisconfigured,
		memstore.New():              nil,
	} {
		wrapped := eventsource.Wrap(store, eventsource.Intercept(passOn), eventsource.Intercept(passOn))
		if err := wrapped.(interface{ Err() error }).Err(); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("Err is %v, want %v", err, want)
		}
		_, err := eventsource.NewRepository(wrapped, accounts()).GetEventsBySequenceID(t.Context(), "", 0)
		if !errors.Is(err, want) {
			t.Errorf("error is %v, want %v", err, want)
		}
	}
	for _, none := range []eventsource.Store{nil, (*memstore.Store)(nil)} {
		repository := eventsource.NewRepository(eventsource.Wrap(none, eventsource.Intercept(passOn)), accounts())
		wantError(t, repository.Save(t.Context(), deposit("a", 1)), eventsource.ErrMisconfigured, "store is nil")
	}
}

func TestErrors_name_the_store_that_is_wrapped(t *testing.T) {
	store := eventsource.Wrap(plain{memstore.New()}, eventsource.Intercept(passOn), eventsource.Intercept(passOn))
	repository := eventsource.NewRepository(store, accounts())
	_, err := repository.(eventsource.Feeder).Feed().Count(t.Context(), eventsource.Query{})
	wantError(t, err, errors.ErrUnsupported, "plain")
	for _, err := range repository.Events(t.Context(), eventsource.Query{Descending: true}) {
		wantError(t, err, errors.ErrUnsupported, "plain")
	}
}

func TestRepositories_work_on_intercepted_stores(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		operations := make(map[eventsource.Operation]int)
		wrapped := eventsource.Wrap(store, eventsource.Intercept(func(ctx context.Context, call *eventsource.Call, next func(context.Context) error) error {
			operations[call.Operation]++
			return next(ctx)
		}))
		repository := eventsource.NewRepository(wrapped, json.NewSerializer(&Opened{}, &Deposited{}, &Closed{}))
		mustSave(t, repository, &Opened{BaseEvent: of("a"), Owner: "Ann"}, deposit("a", 3))
		tx, err := repository.SaveTransaction(t.Context(), deposit("a", 4))
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		var account Account
		if _, err := repository.Load(t.Context(), "a", &account); err != nil || account.Balance != 7 || account.Version != 3 {
			t.Errorf("loaded %+v, error %v", account, err)
		}
		events := 0
		for _, err := range repository.Events(t.Context(), eventsource.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			events++
		}
		if events != 3 {
			t.Errorf("there are %d events", events)
		}
		if _, all := store.(eventsource.Appender); all {
			want := map[eventsource.Operation]int{"Append": 1, "NewTransaction": 1, "Commit": 1, "LoadByAggregate": 1, "Query": 1}
			if diff := cmp.Diff(want, operations); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		}
	})
}
