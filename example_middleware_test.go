package eventsource_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/middleware"
	"github.com/eventsource-go/eventsource/otel"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// The first one is the outermost: here each span has its retries in it.
func ExampleWrap() {
	logger := slog.New(slog.DiscardHandler)

	store := eventsource.Wrap(memstore.New(),
		otel.Middleware(otel.WithSystem("postgresql"), otel.WithCollection("events")),
		middleware.Logging(logger),
		middleware.Retry(),
	)
	repo := eventsource.NewRepository(store, json.NewSerializer(&Opened{}, &Deposited{}, &Closed{}))

	event := &Opened{BaseEvent: of("account-1"), Owner: "Ann"}
	if err := repo.Save(context.Background(), event); err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", event.Version)
	// Output: version 1
}

// slow tells of calls that take long.
func slow(limit time.Duration, tell func(operation eventsource.Operation, took time.Duration)) eventsource.Middleware {
	if limit <= 0 || tell == nil {
		return eventsource.Misconfigured(fmt.Errorf("%w: calls longer than %v cannot be told of", eventsource.ErrMisconfigured, limit))
	}
	return eventsource.Intercept(func(ctx context.Context, call *eventsource.Call, next func(ctx context.Context) error) error {
		began := time.Now()
		err := next(ctx)
		if took := time.Since(began); took > limit {
			tell(call.Operation, took)
		}
		return err
	})
}

func ExampleIntercept() {
	tell := func(operation eventsource.Operation, _ time.Duration) { fmt.Println(operation, "was slow") }
	store := eventsource.Wrap(memstore.New(), slow(time.Nanosecond, tell))

	if _, err := store.LoadByAggregate(context.Background(), "account-1"); err != nil {
		log.Fatal(err)
	}
	_, watches := store.(eventsource.Watcher)
	fmt.Println("it can still be watched:", watches)
	// Output:
	// LoadByAggregate was slow
	// it can still be watched: true
}

var errReadOnly = errors.New("the store is read only")

// An interceptor that does not call next refuses.
func ExampleIntercept_refuse() {
	readOnly := eventsource.Intercept(func(ctx context.Context, call *eventsource.Call, next func(ctx context.Context) error) error {
		switch call.Operation {
		case eventsource.OperationAppend, eventsource.OperationNewTransaction:
			return errReadOnly
		}
		return next(ctx)
	})
	repo := eventsource.NewRepository(eventsource.Wrap(memstore.New(), readOnly), accounts())

	fmt.Println(repo.Save(context.Background(), deposit("account-1", 100)))
	// Output: the store is read only
}

func ExampleMisconfigured() {
	repo := eventsource.NewRepository(eventsource.Wrap(memstore.New(), slow(0, nil)), accounts())

	fmt.Println(repo.Save(context.Background(), deposit("account-1", 100)))
	// Output: eventsource: misconfigured: calls longer than 0s cannot be told of
}
