// Command counter counts, over HTTP and in PostgreSQL: POST /NAME adds, GET /NAME shows.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/snapshot/sqlsnapshot"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// Added is what happens to a counter.
type Added struct {
	eventsource.BaseEvent
	N int `json:"n"`
}

// Add asks for it.
type Add struct {
	eventsource.CommandBase
	N int
}

var errNotPositive = errors.New("only what is positive can be added")

// Counter is rebuilt from its events, or from a snapshot and those after it.
type Counter struct {
	eventsource.AggregateBase
	Value int `json:"value"`
}

// SnapshotVersion is the version of the layout of its snapshots.
func (*Counter) SnapshotVersion() int { return 1 }

// On applies an event.
func (c *Counter) On(_ context.Context, event eventsource.Event) error {
	added, ok := event.(*Added)
	if !ok {
		return fmt.Errorf("%T is no event of a counter", event)
	}
	c.Value += added.N
	return nil
}

// Handle decides what comes of a command.
func (c *Counter) Handle(_ context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	n := command.(Add).N
	if n < 1 {
		return nil, fmt.Errorf("%w, and %d is not", errNotPositive, n)
	}
	return []eventsource.Event{&Added{N: n}}, nil
}

func newHandler(pool *pgxpool.Pool) http.Handler {
	repository := eventsource.NewRepository(sqlstore.New(pool), json.NewSerializer(&Added{}),
		eventsource.WithSnapshots(snapshot.New(sqlsnapshot.New(pool), snapshot.Every(100))))
	counters := eventsource.NewDispatcher(repository, func() *Counter { return new(Counter) })

	mux := http.NewServeMux()
	mux.HandleFunc("POST /{name}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(cmp.Or(r.FormValue("n"), "1"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		id := eventsource.CommandBase{AggregateID: r.PathValue("name"), CommandID: r.Header.Get("Idempotency-Key")}
		result, err := counters.Dispatch(r.Context(), Add{id, n})
		answer(w, fmt.Sprintln("version", result.Version), err)
	})
	mux.HandleFunc("GET /{name}", func(w http.ResponseWriter, r *http.Request) {
		var value int
		err := counters.Read(r.Context(), r.PathValue("name"), func(c *Counter) error { value = c.Value; return nil })
		answer(w, fmt.Sprintln(value), err)
	})
	return mux
}

func answer(w http.ResponseWriter, text string, err error) {
	switch {
	case err == nil:
		fmt.Fprint(w, text)
	case errors.Is(err, errNotPositive), errors.Is(err, eventsource.ErrInvalidCommand):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.Is(err, eventsource.ErrNoHistory):
		http.Error(w, err.Error(), http.StatusNotFound)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

func main() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	if err := migrations.Up(ctx, stdlib.OpenDBFromPool(pool)); err != nil {
		log.Fatal(err)
	}
	server := http.Server{Addr: "localhost:8080", Handler: newHandler(pool), ReadHeaderTimeout: 5 * time.Second}
	log.Print("listening on ", server.Addr)
	log.Fatal(server.ListenAndServe())
}
