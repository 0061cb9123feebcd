package projectionsuite

import (
	"context"
	"errors"
	"testing"

	"github.com/eventsource-go/eventsource/projection"
)

// testTransact runs where the checkpoints are a [projection.Transactor].
func testTransact(t *testing.T, open Open) {
	run := func(name string, test func(t *testing.T, c projection.Checkpoints, transact func(context.Context, func(context.Context) error) error)) {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			if transactor, ok := c.(projection.Transactor); ok {
				test(t, c, transactor.Transact)
			}
		})
	}
	// everything makes every kind of write: of what is stored by prepare nothing stays.
	everything := func(ctx context.Context, c projection.Checkpoints) error {
		rows, err := c.Load(ctx, "p")
		if err != nil {
			return err
		}
		changed := rows[0]
		changed.Owner = "another"
		if err := c.Update(ctx, []projection.Row{changed, row("q", 1)}, rows[1:2]); err != nil {
			return err
		}
		if err := c.RequestParked(ctx, "p", 3, projection.RequestDrop, id(2)); err != nil {
			return err
		}
		if err := c.DeleteParked(ctx, "p", 4); err != nil {
			return err
		}
		_, err = c.Advance(ctx, projection.Move{
			Name: "p", Version: 3, Token: 1, Position: id(9), LastEvent: id(9), Handled: 1,
			Park: []projection.Parked{parked("p", 3, 3, "a")}, Unpark: []string{id(1)},
		})
		return err
	}
	prepare := func(t *testing.T, c projection.Checkpoints) {
		t.Helper()
		store(t, c, row("p", 1), row("p", 2))
		park(t, c, parked("p", 3, 1, "a"), parked("p", 3, 2, "a"))
		park(t, c, parked("p", 4, 1, "a"))
	}
	undone := func(t *testing.T, c projection.Checkpoints) {
		t.Helper()
		wantRows(t, c, "p", raised(row("p", 1)), raised(row("p", 2)), raised(raised(row("p", 3))), raised(raised(row("p", 4))))
		wantRows(t, c, "q")
		wantParked(t, c, "p", 3, parked("p", 3, 1, "a"), parked("p", 3, 2, "a"))
		wantParked(t, c, "p", 4, parked("p", 4, 1, "a"))
	}
	wantDone := func(ctx context.Context, t *testing.T, c projection.Checkpoints) {
		t.Helper()
		first, third := raised(raised(row("p", 1))), raised(raised(raised(row("p", 3))))
		first.Owner = "another"
		third.Position, third.LastEvent, third.Handled = id(9), id(9), 1
		rows, err := c.Load(ctx, "p")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "rows", []projection.Row{first, third, raised(raised(row("p", 4)))}, rows)
		dropped := parked("p", 3, 2, "a")
		dropped.Request = projection.RequestDrop
		events, err := c.Parked(ctx, projection.ParkedQuery{Name: "p", Version: 3})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "parked events", []projection.Parked{dropped, parked("p", 3, 3, "a")}, events)
		names, err := c.Names(ctx)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "names", []string{"p", "q"}, names)
	}

	run("all that was written in a transaction is there when it has ended", func(t *testing.T, c projection.Checkpoints, transact func(context.Context, func(context.Context) error) error) {
		prepare(t, c)
		err := transact(t.Context(), func(ctx context.Context) error {
			if err := everything(ctx, c); err != nil {
				return err
			}
			wantDone(ctx, t, c) // in it, at once
			undone(t, c)        // for others, not yet
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantDone(t.Context(), t, c)
	})

	run("an error undoes everything, and comes back as it is", func(t *testing.T, c projection.Checkpoints, transact func(context.Context, func(context.Context) error) error) {
		prepare(t, c)
		mine := errors.New("mine")
		err := transact(t.Context(), func(ctx context.Context) error { return errors.Join(everything(ctx, c), mine) })
		wantError(t, "Transact", err, mine)
		if errors.Is(err, projection.ErrUnavailable) {
			t.Errorf("error is %v, but nothing was unavailable", err)
		}
		undone(t, c)
	})

	run("a panic undoes everything, and goes on", func(t *testing.T, c projection.Checkpoints, transact func(context.Context, func(context.Context) error) error) {
		prepare(t, c)
		func() {
			defer func() {
				if got := recover(); got != "mine" {
					t.Errorf("it panicked with %v", got)
				}
			}()
			err := transact(t.Context(), func(ctx context.Context) error {
				if err := everything(ctx, c); err != nil {
					t.Error(err)
				}
				panic("mine")
			})
			t.Errorf("Transact returned %v", err)
		}()
		undone(t, c)
	})

	run("a context that ends undoes everything", func(t *testing.T, c projection.Checkpoints, transact func(context.Context, func(context.Context) error) error) {
		prepare(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		err := transact(ctx, func(ctx context.Context) error {
			err := everything(ctx, c)
			cancel()
			return err
		})
		wantError(t, "Transact", err, context.Canceled)
		undone(t, c)
		err = transact(ctx, func(context.Context) error {
			t.Error("it was called with a context that has ended")
			return nil
		})
		wantError(t, "Transact with a context that has ended", err, context.Canceled)
	})

	run("what is stale or fenced in a transaction does not end it", func(t *testing.T, c projection.Checkpoints, transact func(context.Context, func(context.Context) error) error) {
		prepare(t, c)
		err := transact(t.Context(), func(ctx context.Context) error {
			wantError(t, "Update", c.Update(ctx, []projection.Row{row("p", 9), row("p", 1)}, nil), projection.ErrStale)
			_, err := c.Advance(ctx, projection.Move{Name: "p", Version: 3, Token: 9})
			wantError(t, "Advance", err, projection.ErrFenced)
			return everything(ctx, c)
		})
		if err != nil {
			t.Fatal(err)
		}
		wantDone(t.Context(), t, c)
	})

	run("a step whose transaction began before a takeover is fenced", func(t *testing.T, c projection.Checkpoints, transact func(context.Context, func(context.Context) error) error) {
		prepare(t, c)
		err := transact(t.Context(), func(ctx context.Context) error {
			if _, err := c.Load(ctx, "p"); err != nil {
				return err
			}
			if err := takeOver(t.Context(), c, "p"); err != nil { // by another process
				return err
			}
			_, err := c.Advance(ctx, projection.Move{Name: "p", Version: 1, Token: 1, Position: id(9)})
			return err
		})
		wantError(t, "Transact", err, projection.ErrFenced)
		if r := load(t, c, "p")[0]; r.Position != "" || r.Owner != "heir" {
			t.Errorf("the row is %+v", r)
		}
	})

	run("a transaction in a transaction is refused, and the outer one goes on", func(t *testing.T, c projection.Checkpoints, transact func(context.Context, func(context.Context) error) error) {
		prepare(t, c)
		err := transact(t.Context(), func(ctx context.Context) error {
			err := transact(ctx, func(context.Context) error {
				t.Error("the inner one was begun")
				return nil
			})
			if err == nil {
				t.Error("the inner one was not refused")
			}
			return everything(ctx, c)
		})
		if err != nil {
			t.Fatal(err)
		}
		wantDone(t.Context(), t, c)
	})
}
