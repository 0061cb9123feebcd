package eventsource

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

//go:generate go run ./internal/combinations/generate middleware_combinations.go

// Middleware wraps a store, to do something around its calls. The store that it returns
// has those of the optional interfaces that the store below has, and no others, since
// they are looked for by type assertion. [Intercept] makes such stores.
type Middleware func(Store) Store

// Wrap returns the store with middleware around it. The first one is the outermost: it
// sees a call first, and its end last. Those that are nil are left out.
func Wrap(store Store, middleware ...Middleware) Store {
	for _, wrap := range slices.Backward(middleware) {
		if wrap != nil {
			store = wrap(store)
		}
	}
	return store
}

// Operation is the name of a method of [Store], of its optional interfaces, or of
// [StoreTransaction].
type Operation string

// The operations that an [Interceptor] sees.
const (
	OperationNewTransaction          Operation = "NewTransaction"
	OperationCommit                  Operation = "Commit"
	OperationRollback                Operation = "Rollback"
	OperationAppend                  Operation = "Append"
	OperationLoadByAggregate         Operation = "LoadByAggregate"
	OperationLoadByAggregateVersions Operation = "LoadByAggregateVersions"
	OperationLoadBySequenceID        Operation = "LoadBySequenceID"
	OperationLoadBySequenceIDAndType Operation = "LoadBySequenceIDAndType"
	OperationLoadByTimestamp         Operation = "LoadByTimestamp"
	OperationQuery                   Operation = "Query"
	OperationFollow                  Operation = "Follow"
	OperationCount                   Operation = "Count"
	OperationWatch                   Operation = "Watch"
	OperationHorizon                 Operation = "Horizon"
	OperationHolder                  Operation = "Holder"
)

// Call is a call of a store, as it was made. What is changed in it does not reach the
// store. It is not to be kept after the [Interceptor] has returned, and not safe for
// concurrent use.
type Call struct {
	// Operation is what is called.
	Operation Operation
	// Records are those of NewTransaction and Append. They belong to the caller and
	// must not be changed or kept.
	Records []Record
	// Query is what Query, Follow and Count were given. For the loads it has the
	// arguments that they were given: AggregateID, After, the type in Types, and Limit.
	// It has not been normalized.
	Query Query
	// AfterVersion and LastVersion are the bounds of LoadByAggregateVersions.
	AfterVersion, LastVersion int
	// Timestamp is that of LoadByTimestamp, in Unix nanoseconds.
	Timestamp int64
	// Scope and Value are those of Holder.
	Scope, Value string
	// Events is how many events it is about. For NewTransaction, Append, Commit and
	// Rollback these are the events to be stored, however the call ends; for loads those
	// that were read, when next has returned; for Query and Follow those that the
	// caller's loop has got so far; for Count those that were counted.
	Events int

	done bool // the store has done it
	over bool // the interceptor has returned
}

// Interceptor is called instead of a method of a store. It may do something before
// and after next, which makes the call, and what it returns is what the caller gets:
//
//   - If it returns an error, that is the call's. It must not make up an error for an
//     Append or a Commit that has succeeded: after an error the caller takes it that
//     nothing is stored.
//   - If it returns nil without a call of next that has succeeded, the caller gets an
//     empty answer. For Append and Commit that is a bug, since the caller takes the
//     events for stored. A NewTransaction or Watch without an answer is
//     [ErrMisconfigured].
//   - A panic goes through to the caller. A transaction that was begun is rolled back.
//
// next may be called again when it has returned an error, to try again; not for Commit
// and Rollback, which end the transaction however they end. Once it has succeeded it
// does nothing more. It may not be called by several goroutines at once, and once the
// interceptor has returned it is ErrMisconfigured.
//
// The context that next is given is the one that the store gets. It may carry more
// values or an earlier deadline, but that of NewTransaction and Watch must not end when
// the interceptor returns, since the transaction and the wake-ups end with it. Commit and
// Rollback have no context: the interceptor gets that of NewTransaction, and the store
// gets none.
//
// A call of Query or Follow lasts for as long as the caller's loop, and next returns when
// the loop has ended. When the loop breaks off, that is no error. An error that comes
// after an event ends the iteration: next then returns it again and does nothing.
//
// A Rollback of a transaction that has ended, as deferred ones often are, is not
// intercepted.
//
// An interceptor must be safe for concurrent use.
type Interceptor func(ctx context.Context, call *Call, next func(ctx context.Context) error) error

// Intercept returns a middleware that has all calls of the store go through a function,
// also those of its optional interfaces and of its transactions. A nil function is
// [ErrMisconfigured]; see [Misconfigured].
//
// The stores that it makes have a method Unwrap, which returns the store below, and
// their transactions one that returns the transaction below. Their method Err passes on
// what was wrong with the arguments of the store below, if it has one that says so.
// A nil store stays as it is.
func Intercept(intercept Interceptor) Middleware {
	if intercept == nil {
		return Misconfigured(fmt.Errorf("%w: interceptor is nil", ErrMisconfigured))
	}
	return wrapper(intercept, nil)
}

// Misconfigured returns what a constructor of middleware returns for arguments that
// cannot be: a middleware with which every method of the store returns err, and so does
// Err, which repositories ask. It is to wrap [ErrMisconfigured].
func Misconfigured(err error) Middleware {
	if err == nil {
		err = fmt.Errorf("%w: middleware does not say why", ErrMisconfigured)
	}
	return wrapper(func(context.Context, *Call, func(context.Context) error) error { return err }, err)
}

func wrapper(intercept Interceptor, err error) Middleware {
	return func(store Store) Store {
		if isNil(store) {
			return store
		}
		return (&intercepted{store: store, intercept: intercept, err: err}).exactly(abilities(store))
	}
}

// unwrapped returns the store that is wrapped in others, for messages that name it.
func unwrapped(store Store) Store {
	for {
		wrapper, ok := store.(interface{ Unwrap() Store })
		if !ok {
			return store
		}
		store = wrapper.Unwrap()
	}
}

// intercepted is a store whose calls go through an interceptor. It has no optional
// interfaces; the types of the same name and an interface's have that one each.
type intercepted struct {
	store     Store
	intercept Interceptor
	err       error
}

type (
	interceptedAppender        struct{ s *intercepted }
	interceptedVersionLoader   struct{ s *intercepted }
	interceptedQuerier         struct{ s *intercepted }
	interceptedFollower        struct{ s *intercepted }
	interceptedCounter         struct{ s *intercepted }
	interceptedWatcher         struct{ s *intercepted }
	interceptedHorizonReporter struct{ s *intercepted }
	interceptedReserver        struct{ s *intercepted }
)

// Unwrap returns the store below.
func (s *intercepted) Unwrap() Store { return s.store }

// Err returns what was wrong with the arguments of the middleware or the store below.
func (s *intercepted) Err() error { return errors.Join(s.err, madeWithError(s.store)) }

// through makes a call through the interceptor.
func (s *intercepted) through(ctx context.Context, call *Call, do func(ctx context.Context) error) error {
	defer func() { call.over = true }()
	return s.intercept(ctx, call, func(ctx context.Context) error {
		return call.attempt(func() error { return do(ctx) })
	})
}

// attempt does what next does.
func (c *Call) attempt(do func() error) error {
	if c.over {
		return fmt.Errorf("%w: the interceptor of %s called next after it had returned", ErrMisconfigured, c.Operation)
	}
	if c.done {
		return nil
	}
	err := do()
	c.done = err == nil
	return err
}

// question is a call that gives something. It is one piece of memory, since most calls
// are such.
type question[T any] struct {
	call   Call
	do     func(ctx context.Context, call *Call) (T, error)
	answer T
}

func (q *question[T]) next(ctx context.Context) error {
	return q.call.attempt(func() error {
		answer, err := q.do(ctx, &q.call)
		if err == nil {
			q.answer = answer
		}
		return err
	})
}

// ask makes a call that gives something through the interceptor.
func ask[T any](ctx context.Context, s *intercepted, call Call, do func(ctx context.Context, call *Call) (T, error)) (answer T, err error) {
	q := &question[T]{call: call, do: do}
	defer func() { q.call.over = true }()
	if err := s.intercept(ctx, &q.call, q.next); err != nil {
		return answer, err
	}
	return q.answer, nil
}

// read counts what was read.
func (c *Call) read(records []Record, err error) ([]Record, error) {
	c.Events = len(records)
	return records, err
}

// iterate makes a call for each iteration.
func (s *intercepted) iterate(ctx context.Context, call Call, do func(ctx context.Context) iter.Seq2[Record, error], finished func()) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		call := call
		var failed error
		stopped := false
		err := s.through(ctx, &call, func(ctx context.Context) error {
			if call.Events > 0 {
				return failed
			}
			for record, err := range do(ctx) {
				if err != nil {
					failed = err
					return err
				}
				call.Events++
				if !yield(record, nil) {
					stopped = true
					return nil
				}
			}
			return nil
		})
		switch {
		case stopped:
		case err != nil:
			yield(Record{}, err)
		default:
			finished()
		}
	}
}

func (s *intercepted) LoadByAggregate(ctx context.Context, aggregateID string) ([]Record, error) {
	call := Call{Operation: OperationLoadByAggregate, Query: Query{AggregateID: aggregateID}}
	return ask(ctx, s, call, func(ctx context.Context, call *Call) ([]Record, error) {
		return call.read(s.store.LoadByAggregate(ctx, aggregateID))
	})
}

func (s *intercepted) LoadBySequenceID(ctx context.Context, sequenceID string, limit int) ([]Record, error) {
	call := Call{Operation: OperationLoadBySequenceID, Query: Query{After: sequenceID, Limit: limit}}
	return ask(ctx, s, call, func(ctx context.Context, call *Call) ([]Record, error) {
		return call.read(s.store.LoadBySequenceID(ctx, sequenceID, limit))
	})
}

func (s *intercepted) LoadBySequenceIDAndType(ctx context.Context, sequenceID, eventType string, limit int) ([]Record, error) {
	call := Call{Operation: OperationLoadBySequenceIDAndType, Query: Query{After: sequenceID, Types: []string{eventType}, Limit: limit}}
	return ask(ctx, s, call, func(ctx context.Context, call *Call) ([]Record, error) {
		return call.read(s.store.LoadBySequenceIDAndType(ctx, sequenceID, eventType, limit))
	})
}

func (s *intercepted) LoadByTimestamp(ctx context.Context, timestamp int64, limit int) ([]Record, error) {
	call := Call{Operation: OperationLoadByTimestamp, Timestamp: timestamp, Query: Query{Limit: limit}}
	return ask(ctx, s, call, func(ctx context.Context, call *Call) ([]Record, error) {
		return call.read(s.store.LoadByTimestamp(ctx, timestamp, limit))
	})
}

//go:noinline
func (a *interceptedVersionLoader) LoadByAggregateVersions(ctx context.Context, aggregateID string, after, last int) ([]Record, error) {
	s := a.s
	call := Call{
		Operation: OperationLoadByAggregateVersions, Query: Query{AggregateID: aggregateID},
		AfterVersion: after, LastVersion: last,
	}
	return ask(ctx, s, call, func(ctx context.Context, call *Call) ([]Record, error) {
		return call.read(s.store.(VersionLoader).LoadByAggregateVersions(ctx, aggregateID, after, last))
	})
}

//go:noinline
func (a *interceptedAppender) Append(ctx context.Context, records ...Record) ([]Record, error) {
	s := a.s
	call := Call{Operation: OperationAppend, Records: records, Events: len(records)}
	return ask(ctx, s, call, func(ctx context.Context, _ *Call) ([]Record, error) {
		return s.store.(Appender).Append(ctx, records...)
	})
}

//go:noinline
func (a *interceptedQuerier) Query(ctx context.Context, query Query) iter.Seq2[Record, error] {
	s := a.s
	return s.iterate(ctx, Call{Operation: OperationQuery, Query: query}, func(ctx context.Context) iter.Seq2[Record, error] {
		return s.store.(Querier).Query(ctx, query)
	}, func() {})
}

//go:noinline
func (a *interceptedFollower) Follow(ctx context.Context, query Query, reached func(sequenceID string)) iter.Seq2[Record, error] {
	s := a.s
	return func(yield func(Record, error) bool) {
		// Only passed on when it is certain that there is no error.
		sequenceID, has := "", false
		s.iterate(ctx, Call{Operation: OperationFollow, Query: query}, func(ctx context.Context) iter.Seq2[Record, error] {
			return s.store.(Follower).Follow(ctx, query, func(id string) { sequenceID, has = id, true })
		}, func() {
			if has && reached != nil {
				reached(sequenceID)
			}
		})(yield)
	}
}

//go:noinline
func (a *interceptedCounter) Count(ctx context.Context, query Query) (int64, error) {
	s := a.s
	call := Call{Operation: OperationCount, Query: query}
	return ask(ctx, s, call, func(ctx context.Context, call *Call) (int64, error) {
		n, err := s.store.(Counter).Count(ctx, query)
		call.Events = int(n)
		return n, err
	})
}

//go:noinline
func (a *interceptedHorizonReporter) Horizon(ctx context.Context) (Horizon, error) {
	s := a.s
	return ask(ctx, s, Call{Operation: OperationHorizon}, func(ctx context.Context, _ *Call) (Horizon, error) {
		return s.store.(HorizonReporter).Horizon(ctx)
	})
}

//go:noinline
func (a *interceptedReserver) Holder(ctx context.Context, scope, value string) (Holder, error) {
	s := a.s
	call := Call{Operation: OperationHolder, Scope: scope, Value: value}
	return ask(ctx, s, call, func(ctx context.Context, _ *Call) (Holder, error) {
		return s.store.(Reserver).Holder(ctx, scope, value)
	})
}

//go:noinline
func (a *interceptedWatcher) Watch(ctx context.Context) (<-chan struct{}, error) {
	s := a.s
	var given bool
	stop := func() {}
	defer func() {
		if !given { // nobody reads them
			stop()
		}
	}()
	wakeUps, err := ask(ctx, s, Call{Operation: OperationWatch}, func(ctx context.Context, _ *Call) (<-chan struct{}, error) {
		stop() // what failed before
		ctx, stop = context.WithCancel(ctx)
		return s.store.(Watcher).Watch(ctx)
	})
	if err == nil && wakeUps == nil {
		err = noAnswer(OperationWatch)
	}
	given = err == nil
	return wakeUps, err
}

func (s *intercepted) NewTransaction(ctx context.Context, records ...Record) (StoreTransaction, error) {
	t := &interceptedTransaction{store: s, ctx: ctx, events: len(records)}
	var given bool
	defer func() {
		if !given { // nobody else can end it
			t.release()
		}
	}()
	call := &Call{Operation: OperationNewTransaction, Records: records, Events: len(records)}
	err := s.through(ctx, call, func(ctx context.Context) error {
		begun, err := s.store.NewTransaction(ctx, records...)
		if err == nil {
			t.StoreTransaction = begun
		}
		return err
	})
	if err == nil && t.StoreTransaction == nil {
		err = noAnswer(OperationNewTransaction)
	}
	if err != nil {
		return nil, err
	}
	given = true
	return t, nil
}

func noAnswer(operation Operation) error {
	return fmt.Errorf("%w: the interceptor of %s returned no error, and has no answer of the store", ErrMisconfigured, operation)
}

// interceptedTransaction is a transaction whose end goes through an interceptor.
type interceptedTransaction struct {
	StoreTransaction
	store  *intercepted
	ctx    context.Context
	events int
	ended  bool
}

func (t *interceptedTransaction) Commit() error {
	return t.end(OperationCommit, t.StoreTransaction.Commit)
}

func (t *interceptedTransaction) Rollback() error {
	if t.ended {
		return t.StoreTransaction.Rollback()
	}
	return t.end(OperationRollback, t.StoreTransaction.Rollback)
}

// Unwrap returns the transaction below.
func (t *interceptedTransaction) Unwrap() StoreTransaction { return t.StoreTransaction }

// end ends the transaction, whatever the interceptor does.
func (t *interceptedTransaction) end(operation Operation, end func() error) error {
	defer t.release()
	return t.store.through(t.ctx, &Call{Operation: operation, Events: t.events}, func(context.Context) error {
		t.ended = true
		return end()
	})
}

// release rolls back what nobody has ended.
func (t *interceptedTransaction) release() {
	if t.StoreTransaction != nil && !t.ended {
		t.ended = true
		_ = t.StoreTransaction.Rollback() // whoever is told of an error is told another one
	}
}
