package sqlprojection_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
)

type Opened struct {
	eventsource.BaseEvent
	Owner string
}

type Closed struct{ eventsource.BaseEvent }

// inserts gives a handler of each kind that writes what it is given into the model.
func inserts() map[string]projection.Handler {
	insert := func(ctx context.Context, tx pgx.Tx, event eventsource.Event) error {
		_, err := tx.Exec(ctx, `INSERT INTO model VALUES ($1)`, event.GetSequenceID())
		return err
	}
	return map[string]projection.Handler{
		"Each": sqlprojection.Each(insert, &Opened{}),
		"Batch": sqlprojection.Batch(func(ctx context.Context, tx pgx.Tx, events []eventsource.Event) error {
			for _, event := range events {
				if err := insert(ctx, tx, event); err != nil {
					return err
				}
			}
			return nil
		}, &Opened{}),
		"On": sqlprojection.On(func(ctx context.Context, tx pgx.Tx, event *Opened) error { return insert(ctx, tx, event) }),
		"On in ByType": projection.ByType(
			sqlprojection.On(func(ctx context.Context, tx pgx.Tx, event *Opened) error { return insert(ctx, tx, event) })),
	}
}

func opened(id string) eventsource.Event {
	return &Opened{BaseEvent: eventsource.BaseEvent{AggregateID: "a", SequenceID: id}}
}

func TestWhatAHandlerWritesIsCommittedWithTheCheckpoint(t *testing.T) {
	for name, h := range inserts() {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if !h.(projection.Transactional).Transactional() {
				t.Error("it is not transactional")
			}
			if got := h.(projection.Typed).EventTypes(); !slices.Equal(got, []string{"Opened"}) {
				t.Errorf("it asks for %q", got)
			}
			handle := func(fail error) error {
				return b.Transact(t.Context(), func(ctx context.Context) error {
					if err := h.Handle(ctx, []eventsource.Event{opened("1"), opened("2")}); err != nil {
						return err
					}
					_, err := b.Advance(ctx, projection.Move{Name: "p", Version: 1, Token: 1, Position: "2", Handled: 2})
					return errors.Join(err, fail)
				})
			}
			if err := handle(errMine); !errors.Is(err, errMine) {
				t.Errorf("error is %v", err)
			}
			b.check(t, 0)
			if err := handle(nil); err != nil {
				t.Fatal(err)
			}
			b.check(t, 2)
		})
	}
}

func TestAHandlerWithoutATransactionIsMisconfigured(t *testing.T) {
	for name, h := range inserts() {
		if err := h.Handle(t.Context(), []eventsource.Event{opened("1")}); !errors.Is(err, eventsource.ErrMisconfigured) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestAHandlerOfNothingIsMisconfigured(t *testing.T) {
	for name, h := range map[string]projection.Handler{
		"Each":            sqlprojection.Each(nil),
		"Batch":           sqlprojection.Batch(nil),
		"On":              sqlprojection.On[*Closed](nil),
		"On an interface": sqlprojection.On(func(context.Context, pgx.Tx, eventsource.Event) error { return nil }),
	} {
		if err := h.(interface{ Err() error }).Err(); !errors.Is(err, eventsource.ErrMisconfigured) {
			t.Errorf("%s: Err is %v", name, err)
		}
		if err := h.Handle(t.Context(), []eventsource.Event{opened("1")}); !errors.Is(err, eventsource.ErrMisconfigured) {
			t.Errorf("%s: Handle is %v", name, err)
		}
	}
}

func TestAHandlerCannotEndItsTransaction(t *testing.T) {
	b := newBench(t)
	err := b.Transact(t.Context(), func(ctx context.Context) error {
		tx, ok := sqlprojection.Tx(ctx)
		if !ok {
			t.Fatal("there is no transaction")
		}
		for what, err := range map[string]error{"Commit": tx.Commit(ctx), "Rollback": tx.Rollback(ctx)} {
			if !errors.Is(err, sqlprojection.ErrNotInControl) {
				t.Errorf("%s: error is %v", what, err)
			}
		}
		// A savepoint is its own.
		err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
			_, err := savepoint.Exec(ctx, `INSERT INTO model VALUES ('undone')`)
			return errors.Join(err, errMine)
		})
		if !errors.Is(err, errMine) {
			t.Errorf("the savepoint: %v", err)
		}
		return b.step(ctx, "1")
	})
	if err != nil {
		t.Fatal(err)
	}
	b.check(t, 1)
	if tx, ok := sqlprojection.Tx(t.Context()); ok || tx != nil {
		t.Errorf("without Transact there is the transaction %v", tx)
	}
}

func TestCheckpointsOfOneDatabaseAreNotInATransactionOfAnother(t *testing.T) {
	one, two := newBench(t), newBench(t)
	err := one.Transact(t.Context(), func(ctx context.Context) error {
		if err := one.step(ctx, "1"); err != nil {
			return err
		}
		if _, err := two.Advance(ctx, projection.Move{Name: "p", Version: 1, Token: 1, Handled: 5}); err != nil {
			return err
		}
		err := two.Transact(ctx, func(ctx context.Context) error {
			// The inner one's transaction is that of handlers, and each one's own that
			// of its methods.
			if _, err := one.Advance(ctx, projection.Move{Name: "p", Version: 1, Token: 1, Handled: 7}); err != nil {
				return err
			}
			return two.step(ctx, "1")
		})
		return errors.Join(err, errMine)
	})
	if !errors.Is(err, errMine) {
		t.Fatal(err)
	}
	one.check(t, 0)
	rows, err := two.Load(t.Context(), "p")
	if err != nil || rows[0].Handled != 6 {
		t.Errorf("the other one has %+v, %v", rows, err)
	}
}
