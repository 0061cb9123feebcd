package dynamoprojection_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
)

// first gives the first request of an operation a fate.
func first(operation string, what fate) func(string, int, document) fate {
	return func(op string, n int, _ document) fate {
		if op == operation && n == 1 {
			return what
		}
		return served
	}
}

func direct(t testing.TB, table string) *dynamoprojection.Checkpoints {
	return dynamoprojection.NewCheckpoints(testenv.DynamoDBClient(t), table)
}

func event(id string) projection.Parked {
	return projection.Parked{SequenceID: id, AggregateID: "a", AggregateVersion: 1, Type: "T", State: projection.StateParked, Error: "no", Time: time.Unix(1, 0)}
}

func TestAnAdvanceWhoseAnswerIsLostCountsOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		move      projection.Move
		operation string
		again     fate // of the request that is sent again
	}{
		"forward":                               {projection.Move{Position: "5"}, update, served},
		"at the same position":                  {projection.Move{Position: "3"}, update, served},
		"without a position":                    {projection.Move{}, update, served},
		"with an event to park":                 {projection.Move{Position: "5", Park: []projection.Parked{event("4")}}, transact, served},
		"and the server has forgotten":          {projection.Move{Position: "5", Park: []projection.Parked{event("4")}}, transact, forgotten},
		"and the server has forgotten, staying": {projection.Move{Position: "3", Unpark: []string{"2"}}, transact, forgotten},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := newTable(t)
			before := put(t, direct(t, table), "p", 7)
			staying := 0 // requests to find out that the position is not above
			if test.move.Position == "3" {
				staying = 1
			}
			if _, err := direct(t, table).Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 7, Position: "3"}); err != nil {
				t.Fatal(err)
			}
			c, network := through(t, table, func(op string, n int, _ document) fate {
				switch {
				case op == test.operation && n == 1+staying:
					return lost
				case op == test.operation && n > 1+staying:
					return test.again
				}
				return served
			})
			move := test.move
			move.Name, move.Version, move.Token, move.Handled, move.LastEvent = "p", 1, 7, 10, "5"
			ack, err := c.Advance(t.Context(), move)
			if err != nil || ack.Wanted != "you" {
				t.Errorf("ack %+v, error %v", ack, err)
			}
			if n := network.requests(test.operation); n != 2+staying {
				t.Errorf("%d requests, so nothing was tested", n)
			}
			row := only(t, c, "p")
			if row.Handled != 10 || row.Revision != before.Revision+2 || row.Position != max("3", move.Position) || row.LastEvent != "5" {
				t.Errorf("row is %+v", row)
			}
		})
	}
}

func TestALostAnswerIsRecognisedAfterAnotherProcessHasAskedForTheLease(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	other := direct(t, table)
	put(t, other, "p", 7)
	c, _ := through(t, table, func(op string, n int, _ document) fate {
		if op == update && n == 1 {
			return lost
		}
		if op == update && n == 2 {
			row := only(t, other, "p")
			row.Wanted = "somebody else"
			if err := other.Update(t.Context(), []projection.Row{row}, nil); err != nil {
				t.Error(err)
			}
		}
		return served
	})
	ack, err := c.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 7, Position: "5", Handled: 10})
	if err != nil || ack.Wanted != "somebody else" {
		t.Errorf("ack %+v, error %v", ack, err)
	}
	if row := only(t, other, "p"); row.Handled != 10 || row.Revision != 3 {
		t.Errorf("row is %+v", row)
	}
}

func TestAnAdvanceWhoseAnswerIsLostIsFencedAfterATakeover(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	other := direct(t, table)
	put(t, other, "p", 7)
	c, _ := through(t, table, func(op string, n int, _ document) fate {
		if op == update && n == 2 {
			row := only(t, other, "p")
			row.Token++
			if err := errors.Join(
				other.Update(t.Context(), []projection.Row{row}, nil),
				second(other.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 8, Position: "9", Handled: 1})),
			); err != nil {
				t.Error(err)
			}
		}
		return first(update, lost)(op, n, nil)
	})
	_, err := c.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 7, Position: "5", Handled: 10})
	if !errors.Is(err, projection.ErrFenced) {
		t.Errorf("error is %v", err)
	}
	if row := only(t, other, "p"); row.Handled != 11 || row.Position != "9" {
		t.Errorf("row is %+v", row)
	}
}

func second[T any](_ T, err error) error { return err }

func TestAnUpdateWhoseAnswerIsLostIsMadeOnce(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]fate{"the server knows the token": served, "the server has forgotten the token": forgotten} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := newTable(t)
			put(t, direct(t, table), "gone", 1)
			gone := only(t, direct(t, table), "gone")
			c, network := through(t, table, func(op string, n int, _ document) fate {
				if op == transact && n == 2 {
					return again
				}
				return first(transact, lost)(op, n, nil)
			})
			rows := []projection.Row{{Name: "p"}, {Name: "p", Version: 1, Partition: -1}}
			if err := c.Update(t.Context(), rows, []projection.Row{gone}); err != nil {
				t.Error(err)
			}
			if n := network.requests(transact); n != 2 {
				t.Errorf("%d requests, so nothing was tested", n)
			}
			got, err := c.Load(t.Context(), "p")
			if err != nil || len(got) != 2 || got[0].Revision != 1 || got[1].Revision != 1 {
				t.Errorf("rows are %+v, error %v", got, err)
			}
			if err := c.Update(t.Context(), rows, nil); !errors.Is(err, projection.ErrStale) {
				t.Errorf("again: error is %v", err)
			}
		})
	}
}

func TestWhatDynamoDBIsTooBusyForIsTriedAgainUntilItIsDone(t *testing.T) {
	t.Parallel()
	const times = 12 // more than the client's retryer and this package try what fails
	for _, code := range []fate{
		"ThrottlingException", "ProvisionedThroughputExceededException", "TransactionConflictException", "TransactionInProgressException",
		"cancelled:TransactionConflict", "cancelled:ThrottlingError", "cancelled:ProvisionedThroughputExceeded",
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			table := newTable(t)
			c, _ := through(t, table, func(op string, n int, _ document) fate {
				if n <= times && (op == transact || !strings.HasPrefix(string(code), "cancelled:")) {
					return code
				}
				return served
			})
			put(t, c, "p", 7)
			move := projection.Move{Name: "p", Version: 1, Token: 7, Position: "5", Handled: 1, Park: []projection.Parked{event("4")}}
			if _, err := c.Advance(t.Context(), move); err != nil {
				t.Error(err)
			}
			move.Park = nil
			if _, err := c.Advance(t.Context(), move); err != nil {
				t.Error(err)
			}
			if err := c.RequestParked(t.Context(), "p", 1, projection.RequestDrop, "4"); err != nil {
				t.Error(err)
			}
			if err := c.DeleteParked(t.Context(), "p", 1); err != nil {
				t.Error(err)
			}
			if row := only(t, c, "p"); row.Handled != 2 || row.Revision != 3 {
				t.Errorf("row is %+v", row)
			}
		})
	}
}

func TestThrottlingAndConflictsAreNeitherStaleNorFenced(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	row := put(t, direct(t, table), "p", 7)
	for code, mentions := range map[fate]string{
		"ThrottlingException": "ThrottlingException", "cancelled:TransactionConflict": "TransactionCanceled", "TransactionConflictException": "TransactionConflict",
	} {
		c, _ := through(t, table, func(string, int, document) fate { return code })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Update(ctx, []projection.Row{row}, nil)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, projection.ErrStale) || !strings.Contains(err.Error(), mentions) {
			t.Errorf("%s: Update: error is %v", code, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Advance(ctx, projection.Move{Name: "p", Version: 1, Token: 7, Unpark: []string{"1"}})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, projection.ErrFenced) || !strings.Contains(err.Error(), mentions) {
			t.Errorf("%s: Advance: error is %v", code, err)
		}
	}
}

func TestAConnectionThatStaysBrokenIsAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	row := put(t, direct(t, table), "p", 7)
	c, _ := through(t, table, func(string, int, document) fate { return broken })
	_, advanced := c.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 7})
	for call, err := range map[string]error{"Update": c.Update(t.Context(), []projection.Row{row}, nil), "Advance": advanced} {
		if err == nil || errors.Is(err, projection.ErrStale) || errors.Is(err, projection.ErrFenced) || !strings.Contains(err.Error(), "connection reset") {
			t.Errorf("%s: error is %v", call, err)
		}
	}
}

func TestAnAnswerThatDoesNotComeIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	put(t, direct(t, table), "p", 7)
	c, network := through(t, table, first(update, silent), dynamoprojection.WithRequestTimeout(2*time.Second))
	if _, err := c.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 7, Handled: 1}); err != nil {
		t.Error(err)
	}
	if n := network.requests(update); n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestACallThatWaitsForAnAnswerEndsWithItsContext(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	put(t, direct(t, table), "p", 7)
	waiting := make(chan struct{}, 1)
	c, _ := through(t, table, func(op string, _ int, _ document) fate {
		if op == update {
			waiting <- struct{}{}
			return silent
		}
		return served
	})
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	move := projection.Move{Name: "p", Version: 1, Token: 7, Handled: 1}
	go func() { errs <- second(c.Advance(ctx, move)) }()
	<-waiting
	// The second one waits for the first.
	behind, end := context.WithCancel(t.Context())
	go func() { errs <- second(c.Advance(behind, move)) }()
	end()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if row := only(t, c, "p"); row.Handled != 0 {
		t.Errorf("row is %+v", row)
	}
}

func TestEventsThatDynamoDBHasNotDeletedAreDeletedWithAnotherRequest(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	c, network := through(t, table, func(op string, n int, _ document) fate {
		if op == batch && n < 8 {
			return partly
		}
		return served
	})
	put(t, c, "p", 7)
	for i := range 3 {
		move := projection.Move{Name: "p", Version: 1, Token: 7}
		for j := range 20 {
			move.Park = append(move.Park, event(fmt.Sprintf("%d-%02d", i, j)))
		}
		if _, err := c.Advance(t.Context(), move); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.DeleteParked(t.Context(), "p", 1); err != nil {
		t.Error(err)
	}
	if left, err := c.Parked(t.Context(), projection.ParkedQuery{Name: "p", Version: 1}); err != nil || len(left) > 0 {
		t.Errorf("%d are left, error %v", len(left), err)
	}
	if n := network.requests(batch); n != 3+7 {
		t.Errorf("%d requests for 60 events, of which 7 did one each", n)
	}
}

// A position that moves costs one request, and so does one that stays, but for the
// first time.
func TestAnAdvanceIsOneRequest(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	put(t, direct(t, table), "p", 7)
	c, network := through(t, table, nil)
	advance := func(position string, want int) {
		t.Helper()
		before := network.requests(update)
		if _, err := c.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 7, Position: position}); err != nil {
			t.Error(err)
		}
		if n := network.requests(update) - before; n != want {
			t.Errorf("%q: %d requests, want %d", position, n, want)
		}
	}
	advance("", 1)
	advance("3", 1)
	advance("3", 1)
	advance("2", 1)
	advance("", 1)
	advance("5", 1)
	// Another process has moved the position, or this one is new.
	if _, err := direct(t, table).Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 7, Position: "8"}); err != nil {
		t.Fatal(err)
	}
	advance("8", 2)
	advance("8", 1)
	row := only(t, c, "p")
	if row.Position != "8" || row.Revision != 10 {
		t.Errorf("row is %+v", row)
	}
	// It was set back.
	row.Position = "2"
	if err := c.Update(t.Context(), []projection.Row{row}, nil); err != nil {
		t.Fatal(err)
	}
	advance("4", 2)
	if row := only(t, c, "p"); row.Position != "4" {
		t.Errorf("row is %+v", row)
	}
}

// Two processes write the same row through a network that loses, refuses and delays:
// each write that was reported was made, once.
func TestTwoWritersOnABadNetworkLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	put(t, direct(t, table), "p", 7)
	put(t, direct(t, table), "q", 7)
	bad := func(op string, _ int, _ document) fate {
		switch draw := rand.Float64(); {
		case draw < 0.15:
			return lost
		case draw < 0.2:
			return broken
		case draw < 0.3:
			return "ThrottlingException"
		case draw < 0.4 && op == transact:
			return "cancelled:TransactionConflict"
		}
		return served
	}
	forgetful := func(op string, n int, request document) fate {
		if what := bad(op, n, request); what != served || op != transact {
			return what
		}
		return forgotten
	}
	var wg sync.WaitGroup
	var swapped, unknown, handled, parked atomic.Int64
	for range 2 {
		c, _ := through(t, table, bad)
		wg.Go(func() {
			for range 40 {
				rows, err := c.Load(t.Context(), "p")
				if err == nil {
					rows[0].Handled++
					err = c.Update(t.Context(), rows, nil)
				}
				switch {
				case err == nil:
					swapped.Add(1)
				case !errors.Is(err, projection.ErrStale):
					unknown.Add(1)
				}
			}
		})
	}
	c, _ := through(t, table, forgetful)
	for worker := range 2 { // one owner, which handles and shows that it lives
		wg.Go(func() {
			for i := range 60 {
				move := projection.Move{Name: "q", Version: 1, Token: 7, Handled: 1, Position: fmt.Sprintf("%04d", i*worker)}
				if i%10 == 0 {
					move.Park = []projection.Parked{event(fmt.Sprintf("%d-%04d", worker, i))}
				}
				_, err := c.Advance(t.Context(), move)
				switch {
				case err == nil:
					handled.Add(1)
					parked.Add(int64(len(move.Park)))
				case errors.Is(err, projection.ErrFenced):
					t.Errorf("nobody else has the lease, and the error is %v", err)
				default:
					unknown.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d swapped, %d handled, %d unknown", swapped.Load(), handled.Load(), unknown.Load())
	c = direct(t, table)
	if row := only(t, c, "p"); row.Handled < swapped.Load() || row.Handled > swapped.Load()+unknown.Load() || row.Revision != row.Handled+1 {
		t.Errorf("%d were swapped, %d may be, and the row is %+v", swapped.Load(), unknown.Load(), row)
	}
	if row := only(t, c, "q"); row.Handled < handled.Load() || row.Handled > handled.Load()+unknown.Load() || row.Revision != row.Handled+1 || row.Position != "0059" {
		t.Errorf("%d were handled, %d may be, and the row is %+v", handled.Load(), unknown.Load(), row)
	}
	if found, err := c.Parked(t.Context(), projection.ParkedQuery{Name: "q", Version: 1}); err != nil || int64(len(found)) < parked.Load() {
		t.Errorf("%d of %d events are parked, error %v", len(found), parked.Load(), err)
	}
}
