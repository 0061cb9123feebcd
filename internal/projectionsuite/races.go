package projectionsuite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/eventsource-go/eventsource/projection"
)

func testRaces(t *testing.T, open Open) {
	const racers, rounds = 4, 15
	type rows struct{ put, remove []projection.Row }

	open.run(t, "of those who race for a row one wins", func(t *testing.T, c projection.Checkpoints) {
		for round := range rounds {
			for what, prepare := range map[string]func(r projection.Row, racer int) rows{
				"a row": func(r projection.Row, racer int) rows {
					r.Owner = fmt.Sprint(racer)
					return rows{put: []projection.Row{r}}
				},
				"removing a row": func(r projection.Row, _ int) rows { return rows{remove: []projection.Row{r}} },
				"a new row": func(_ projection.Row, racer int) rows {
					r := row("p", 1000+round)
					r.Owner = fmt.Sprint(racer)
					return rows{put: []projection.Row{r}}
				},
				"a row and a new one": func(r projection.Row, racer int) rows {
					added := row("p", 2000+round)
					added.Owner = fmt.Sprint(racer)
					if racer%2 == 0 {
						return rows{put: []projection.Row{added, r}}
					}
					return rows{put: []projection.Row{r, added}}
				},
			} {
				name := fmt.Sprint(what, round)
				r := store(t, c, row(name, 1))[0]
				errs := atOnce(racers, func(racer int) error {
					prepared := prepare(r, racer)
					return c.Update(t.Context(), prepared.put, prepared.remove)
				})
				wantOneWinner(t, what, errs)
			}
		}
	})

	open.run(t, "those who race for several rows in any order all end", func(t *testing.T, c projection.Checkpoints) {
		for round := range rounds {
			var rows []projection.Row
			for version := range 6 {
				rows = append(rows, row(fmt.Sprint("p", round), version))
			}
			rows = store(t, c, rows...)
			errs := atOnce(racers, func(racer int) error {
				var mine []projection.Row
				for i := range rows {
					mine = append(mine, rows[(i*5+racer)%len(rows)])
				}
				return c.Update(t.Context(), mine[:3], mine[3:])
			})
			wantOneWinner(t, "six rows", errs)
			if left := len(load(t, c, rows[0].Name)); left != 3 {
				t.Errorf("%d rows are left", left)
			}
		}
	})

	open.run(t, "steps at once add up", func(t *testing.T, c projection.Checkpoints) {
		store(t, c, row("p", 1))
		errs := atOnce(racers, func(racer int) error {
			for n := range rounds {
				position := id(n*racers + racer)
				if _, err := c.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 1, Position: position, Handled: 1}); err != nil {
					return err
				}
			}
			return nil
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		r := raised(row("p", 1))
		r.Revision += racers * rounds
		r.Handled, r.Position = racers*rounds, id(racers*rounds-1)
		wantRows(t, c, "p", r)
	})

	open.run(t, "after a takeover no step of the owner before counts", func(t *testing.T, c projection.Checkpoints) {
		for round := range rounds {
			name := fmt.Sprint("p", round)
			store(t, c, row(name, 1))
			acknowledged := int64(0)
			errs := atOnce(2, func(racer int) error {
				if racer == 1 {
					return takeOver(t.Context(), c, name)
				}
				for {
					n := int(acknowledged) + 1
					_, err := c.Advance(t.Context(), projection.Move{
						Name: name, Version: 1, Token: 1, Position: id(n), Handled: 1, Park: []projection.Parked{parked(name, 1, n, "a")},
					})
					if errors.Is(err, projection.ErrFenced) {
						return nil
					}
					if err != nil {
						return err
					}
					acknowledged++
				}
			})
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			r := load(t, c, name)[0]
			if r.Handled != acknowledged || r.Owner != "heir" || r.Token != 2 {
				t.Errorf("%d steps were acknowledged, and the row is %+v", acknowledged, r)
			}
			if got := int64(len(allParked(t, c, name, 1))); got != acknowledged {
				t.Errorf("%d events were parked in %d steps", got, acknowledged)
			}
		}
	})
}

// takeOver gives the row of version 1 another owner, however often it advances meanwhile.
func takeOver(ctx context.Context, c projection.Checkpoints, name string) error {
	for {
		rows, err := c.Load(ctx, name)
		if err != nil {
			return err
		}
		r := rows[0]
		r.Owner, r.Token = "heir", r.Token+1
		if err := c.Update(ctx, []projection.Row{r}, nil); !errors.Is(err, projection.ErrStale) {
			return err
		}
	}
}

// atOnce calls do in several goroutines that start together.
func atOnce(n int, do func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	all.Wait()
	return errs
}

func wantOneWinner(t testing.TB, what string, errs []error) {
	t.Helper()
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
		} else if !errors.Is(err, projection.ErrStale) {
			t.Errorf("%s: error is %v, want %v", what, err, projection.ErrStale)
		}
	}
	if winners != 1 {
		t.Errorf("%s: %d of %d have won: %v", what, winners, len(errs), errs)
	}
}

func testContexts(t *testing.T, open Open) {
	open.run(t, "an ended context fails every call, and changes nothing", func(t *testing.T, c projection.Checkpoints) {
		r := store(t, c, row("p", 1))[0]
		event := parked("p", 1, 1, "a")
		advance(t, c, projection.Move{Name: "p", Version: 1, Token: 1, Park: []projection.Parked{event}})
		r = raised(r)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		check := func(what string, err error) {
			t.Helper()
			wantError(t, what, err, context.Canceled)
		}
		_, err := c.Names(ctx)
		check("Names", err)
		_, err = c.Load(ctx, "p")
		check("Load", err)
		check("Update", c.Update(ctx, []projection.Row{row("p", 2), r}, nil))
		check("Update that removes", c.Update(ctx, nil, []projection.Row{r}))
		move := projection.Move{Name: "p", Version: 1, Token: 1, Position: id(5), Handled: 1}
		_, err = c.Advance(ctx, move)
		check("Advance", err)
		move.Park, move.Unpark = []projection.Parked{parked("p", 1, 2, "a")}, []string{id(1)}
		_, err = c.Advance(ctx, move)
		check("Advance that parks", err)
		_, err = c.Parked(ctx, projection.ParkedQuery{Name: "p", Version: 1})
		check("Parked", err)
		check("RequestParked", c.RequestParked(ctx, "p", 1, projection.RequestDrop, id(1)))
		check("DeleteParked", c.DeleteParked(ctx, "p", 1))
		wantRows(t, c, "p", r)
		wantParked(t, c, "p", 1, event)
	})
}
