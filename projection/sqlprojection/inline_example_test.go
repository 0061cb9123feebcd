package sqlprojection_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// inlineURL is that of the server of ExampleInline, which a test gives it.
var inlineURL string

func TestTheExampleOfInlinePrintsTheStock(t *testing.T) {
	inlineURL = testenv.Postgres(t)
	var printed strings.Builder
	exampleInline(&printed)
	if got := printed.String(); got != "7 left\n" {
		t.Errorf("it prints %q", got)
	}
}

// Stocked says that so many of a thing were brought in, or taken if it is negative.
type Stocked struct {
	eventsource.BaseEvent
	Count int `json:"count"`
}

// No more can be taken than there is: the read model is consistent at once, and its
// constraint keeps the event from being saved.
func ExampleInline() { exampleInline(os.Stdout) }

func exampleInline(out io.Writer) {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, inlineURL)
	if err != nil {
		log.Panic(err)
	}
	defer pool.Close()
	db := stdlib.OpenDBFromPool(pool)
	if err := errors.Join(migrations.Up(ctx, db), db.Close()); err != nil {
		log.Panic(err)
	}
	if _, err := pool.Exec(ctx, `CREATE TABLE stock (thing text PRIMARY KEY, count bigint CHECK (count >= 0))`); err != nil {
		log.Panic(err)
	}

	stock := sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *Stocked) error {
		_, err := tx.Exec(ctx, `INSERT INTO stock VALUES ($1, 0) ON CONFLICT DO NOTHING`, e.AggregateID)
		if err == nil {
			_, err = tx.Exec(ctx, `UPDATE stock SET count = count + $2 WHERE thing = $1`, e.AggregateID, e.Count)
		}
		return err
	})
	serializer := json.NewSerializer(&Stocked{})
	inline := sqlprojection.NewInline(sqlprojection.NewCheckpoints(pool), serializer,
		sqlprojection.InlineProjection{Name: "stock", Version: 1, Handler: stock})
	store := sqlstore.New(pool, sqlstore.WithInTransaction(inline.Handle))
	repo := eventsource.NewRepository(store, serializer)

	// At every start: the first time it handles what is there, and becomes active.
	if err := inline.Rebuild(ctx, repo, "stock", 1); err != nil {
		log.Panic(err)
	}

	move := func(count int) error {
		return repo.Save(ctx, &Stocked{BaseEvent: eventsource.BaseEvent{AggregateID: "bolt"}, Count: count})
	}
	if err := errors.Join(move(10), move(-3)); err != nil {
		log.Panic(err)
	}
	if err := move(-8); err == nil {
		log.Panic("there are not that many")
	}
	var left int
	if err := pool.QueryRow(ctx, `SELECT count FROM stock WHERE thing = 'bolt'`).Scan(&left); err != nil {
		log.Panic(err)
	}
	_, _ = fmt.Fprintln(out, left, "left")
}
