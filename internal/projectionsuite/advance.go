package projectionsuite

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource/projection"
)

func testAdvance(t *testing.T, open Open) {
	open.run(t, "a step moves the position and leaves the rest as it is", func(t *testing.T, c projection.Checkpoints) {
		r := full(2, 3)
		r.Handled = 40
		r = store(t, c, r)[0]
		others := store(t, c, full(2, 2), full(2, -1), full(3, 3), full(0, 0))
		ack := advance(t, c, projection.Move{
			Name: "p", Version: 2, Partition: 3, Token: r.Token, Position: id(20), LastEvent: id(19), Handled: 2,
		})
		if ack.Wanted != r.Wanted {
			t.Errorf("it is wanted by %q, and said so of %q", r.Wanted, ack.Wanted)
		}
		r = raised(r)
		r.Position, r.LastEvent, r.Handled = id(20), id(19), 42
		wantRows(t, c, "p", others[3], others[1], others[0], r, others[2])
	})

	open.run(t, "steps add up", func(t *testing.T, c projection.Checkpoints) {
		r := store(t, c, row("p", 1))[0]
		for n := 1; n <= 5; n++ {
			advance(t, c, projection.Move{Name: "p", Version: 1, Token: 1, Position: id(n), LastEvent: id(n), Handled: int64(n)})
		}
		r.Revision, r.Position, r.LastEvent, r.Handled = 6, id(5), id(5), 15
		wantRows(t, c, "p", r)
	})

	open.run(t, "an empty step shows that the owner lives", func(t *testing.T, c projection.Checkpoints) {
		r := full(1, 0)
		r = store(t, c, r)[0]
		advance(t, c, projection.Move{Name: "p", Version: 1, Token: r.Token})
		wantRows(t, c, "p", raised(r))
	})

	open.run(t, "a position never goes back, whatever else a step says", func(t *testing.T, c projection.Checkpoints) {
		r := row("p", 1)
		r.Position, r.LastEvent = id(10), id(10)
		r = store(t, c, r)[0]
		for _, position := range []string{id(9), id(10), ""} {
			advance(t, c, projection.Move{Name: "p", Version: 1, Token: 1, Position: position, LastEvent: id(9), Handled: 1})
			r = raised(r)
			r.Handled++
			r.LastEvent = id(9)
			wantRows(t, c, "p", r)
		}
	})

	open.run(t, "positions are compared byte by byte", func(t *testing.T, c projection.Checkpoints) {
		r := store(t, c, row("p", 1))[0]
		for _, position := range []string{"01B", "01a", "01A", "02"} {
			advance(t, c, projection.Move{Name: "p", Version: 1, Token: 1, Position: position})
			r = raised(r)
			r.Position = max(r.Position, position)
			wantRows(t, c, "p", r)
		}
	})

	open.run(t, "the last event is kept unless there is another one", func(t *testing.T, c projection.Checkpoints) {
		r := row("p", 1)
		r.Position, r.LastEvent = id(10), id(8)
		r = store(t, c, r)[0]
		advance(t, c, projection.Move{Name: "p", Version: 1, Token: 1, Position: id(11)})
		r = raised(r)
		r.Position = id(11)
		wantRows(t, c, "p", r)
	})

	open.run(t, "a step under another token is fenced, and changes nothing", func(t *testing.T, c projection.Checkpoints) {
		r := row("p", 1)
		r.Token = 5
		r = store(t, c, r)[0]
		other := row("p", 2)
		other.Token = 4
		other = store(t, c, other)[0]
		recorded := parked("p", 1, 1, "a")
		advance(t, c, projection.Move{Name: "p", Version: 1, Token: 5, Park: []projection.Parked{recorded}})
		r = raised(r)
		for _, token := range []int64{4, 6, 0, -5} {
			_, err := c.Advance(t.Context(), projection.Move{
				Name: "p", Version: 1, Token: token, Position: id(10), LastEvent: id(10), Handled: 1,
				Park: []projection.Parked{parked("p", 1, 2, "a")}, Unpark: []string{id(1)},
			})
			wantError(t, "Advance", err, projection.ErrFenced)
		}
		wantRows(t, c, "p", r, other)
		wantParked(t, c, "p", 1, recorded)
		wantParked(t, c, "p", 2)
	})

	open.run(t, "a step of a row that is not there is fenced", func(t *testing.T, c projection.Checkpoints) {
		r := store(t, c, row("p", 1))[0]
		for what, move := range map[string]projection.Move{
			"name":                   {Name: "q", Version: 1, Token: 1},
			"version":                {Name: "p", Version: 2, Token: 1},
			"partition":              {Name: "p", Version: 1, Partition: 1, Token: 1},
			"with the token of none": {Name: "p", Version: 2},
		} {
			for _, move.Park = range [][]projection.Parked{nil, {parked(move.Name, move.Version, 1, "a")}} {
				_, err := c.Advance(t.Context(), move)
				wantError(t, "another "+what, err, projection.ErrFenced)
			}
			wantParked(t, c, move.Name, move.Version)
		}
		wantRows(t, c, "p", r)
		wantRows(t, c, "q")
		if err := c.Update(t.Context(), nil, []projection.Row{r}); err != nil {
			t.Fatal(err)
		}
		_, err := c.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 1})
		wantError(t, "after it was removed", err, projection.ErrFenced)
		wantRows(t, c, "p")
	})

	open.run(t, "a step says who wants the row at that time", func(t *testing.T, c projection.Checkpoints) {
		store(t, c, row("p", 1))
		move := projection.Move{Name: "p", Version: 1, Token: 1}
		for _, wanted := range []string{"", "b", "", "c"} {
			r := load(t, c, "p")[0]
			r.Wanted = wanted
			store(t, c, r)
			if ack := advance(t, c, move); ack.Wanted != wanted {
				t.Errorf("it is wanted by %q, and said so of %q", wanted, ack.Wanted)
			}
		}
	})

	open.run(t, "a step parks and unparks events together with the position", func(t *testing.T, c projection.Checkpoints) {
		r := store(t, c, row("p", 1))[0]
		var first, second []projection.Parked
		var gone []string
		for n := 1; n <= 20; n++ {
			first = append(first, parked("p", 1, n, "a"))
			second = append(second, parked("p", 1, n+20, "b"))
			gone = append(gone, id(n))
		}
		advance(t, c, projection.Move{Name: "p", Version: 1, Token: 1, Position: id(20), Park: first})
		wantParked(t, c, "p", 1, first...)
		advance(t, c, projection.Move{Name: "p", Version: 1, Token: 1, Position: id(40), Handled: 3, Park: second, Unpark: gone[1:]})
		wantParked(t, c, "p", 1, slices.Concat(first[:1], second)...)
		r.Revision, r.Position, r.Handled = 3, id(40), 3
		wantRows(t, c, "p", r)
	})

	open.run(t, "parking replaces what there is", func(t *testing.T, c projection.Checkpoints) {
		event := parked("p", 1, 1, "a")
		park(t, c, event, parked("p", 1, 2, "a"))
		if err := c.RequestParked(t.Context(), "p", 1, projection.RequestRetry, id(1)); err != nil {
			t.Fatal(err)
		}
		event.State, event.Error, event.Tries, event.Time = projection.StateSkipped, "", 7, event.Time.Add(1e9)
		event.AggregateID, event.AggregateVersion, event.Type = "b", 9, "Other"
		park(t, c, event)
		wantParked(t, c, "p", 1, event, parked("p", 1, 2, "a"))
		event.Request = projection.RequestDrop
		park(t, c, event)
		wantParked(t, c, "p", 1, event, parked("p", 1, 2, "a"))
	})

	open.run(t, "unparking what is not there is nothing", func(t *testing.T, c projection.Checkpoints) {
		park(t, c, parked("p", 1, 1, "a"))
		park(t, c, parked("p", 2, 2, "a"))
		advance(t, c, projection.Move{Name: "p", Version: 1, Token: 1, Unpark: []string{id(2), id(3)}})
		wantParked(t, c, "p", 1, parked("p", 1, 1, "a"))
		wantParked(t, c, "p", 2, parked("p", 2, 2, "a"))
	})

	open.run(t, "a step keeps nothing of what is passed in", func(t *testing.T, c projection.Checkpoints) {
		r := row("p", 1)
		r.Data = json.RawMessage(`{}`)
		store(t, c, r)
		events, gone := []projection.Parked{parked("p", 1, 1, "a")}, []string{id(9)}
		advance(t, c, projection.Move{Name: "p", Version: 1, Token: 1, Park: events, Unpark: gone})
		equal(t, "the slice that was passed in", []projection.Parked{parked("p", 1, 1, "a")}, events)
		events[0], gone[0] = parked("p", 1, 2, "b"), id(1)
		wantParked(t, c, "p", 1, parked("p", 1, 1, "a"))
		got := allParked(t, c, "p", 1)
		got[0].Error = "x"
		wantParked(t, c, "p", 1, parked("p", 1, 1, "a"))
	})
}

func testParked(t *testing.T, open Open) {
	open.run(t, "all fields are kept", func(t *testing.T, c projection.Checkpoints) {
		full := parked("p", 1, 1, "Ünï 日本 🛒 ' \" \\ $1\n")
		full.Type, full.Error, full.Tries, full.AggregateVersion = "é.Opened/2", strings.Repeat("warum? ü ", 1000), 1<<31-1, 1<<40
		full.State, full.Request = projection.StateSkipped, projection.RequestRetry
		bare := parked("p", 1, 2, "b")
		bare.Error, bare.Tries = "", 0
		park(t, c, full, bare)
		wantParked(t, c, "p", 1, full, bare)
	})

	open.run(t, "an error of any bytes can be recorded", func(t *testing.T, c projection.Checkpoints) {
		event := parked("p", 1, 1, "a")
		event.Error = "before\x00\xff\xc3between\xed\xa0\x80after"
		park(t, c, event)
		got := allParked(t, c, "p", 1)
		if len(got) != 1 {
			t.Fatalf("%d events are parked", len(got))
		}
		for _, part := range []string{"before", "between", "after"} {
			if !strings.Contains(got[0].Error, part) {
				t.Errorf("of %q there is left %q", event.Error, got[0].Error)
			}
		}
	})

	open.run(t, "queries give what they ask for, in order", func(t *testing.T, c projection.Checkpoints) {
		var events []projection.Parked
		for n := range 30 {
			event := parked("p", 1, n, []string{"a", "b", "a/b"}[n%3])
			event.Request = []projection.Request{projection.RequestNone, projection.RequestRetry, projection.RequestNone, projection.RequestDrop}[n%4]
			if n%5 == 0 {
				event.State = projection.StateSkipped
			}
			events = append(events, event)
		}
		backwards := slices.Clone(events)
		slices.Reverse(backwards)
		park(t, c, backwards...)
		park(t, c, parked("p", 2, 7, "a"))
		park(t, c, parked("p/1", 1, 7, "a"))
		for _, q := range []projection.ParkedQuery{
			{},
			{Limit: 1}, {Limit: 29}, {Limit: 30}, {Limit: 31},
			{After: id(0)}, {After: id(14)}, {After: id(29)}, {After: id(99)}, {After: "0"},
			{AggregateID: "a"}, {AggregateID: "a/b"}, {AggregateID: "c"},
			{Requested: true},
			{Requested: true, Limit: 3}, {AggregateID: "b", Limit: 2}, {AggregateID: "b", After: id(7)},
			{AggregateID: "a", After: id(3), Requested: true, Limit: 2},
		} {
			q.Name, q.Version = "p", 1
			equal(t, fmt.Sprintf("Parked of %+v", q), choose(events, q), query(t, c, q))
		}
		wantParked(t, c, "p", 2, parked("p", 2, 7, "a"))
		wantParked(t, c, "p/1", 1, parked("p/1", 1, 7, "a"))
		wantParked(t, c, "p", 3)
	})

	open.run(t, "requests are kept with the events that are there", func(t *testing.T, c projection.Checkpoints) {
		park(t, c, parked("p", 1, 1, "a"), parked("p", 1, 2, "a"), parked("p", 1, 3, "b"))
		park(t, c, parked("p", 2, 1, "a"))
		before := load(t, c, "p")
		request := func(r projection.Request, ids ...string) {
			t.Helper()
			if err := c.RequestParked(t.Context(), "p", 1, r, ids...); err != nil {
				t.Fatalf("RequestParked: %v", err)
			}
		}
		want := []projection.Parked{parked("p", 1, 1, "a"), parked("p", 1, 2, "a"), parked("p", 1, 3, "b")}
		request(projection.RequestRetry, id(3), id(1), id(4))
		want[0].Request, want[2].Request = projection.RequestRetry, projection.RequestRetry
		wantParked(t, c, "p", 1, want...)
		equal(t, "those with a request", []projection.Parked{want[0], want[2]}, query(t, c, projection.ParkedQuery{Name: "p", Version: 1, Requested: true}))
		request(projection.RequestDrop, id(1))
		request(projection.RequestNone, id(3))
		request(projection.RequestDrop)
		want[0].Request, want[2].Request = projection.RequestDrop, projection.RequestNone
		wantParked(t, c, "p", 1, want...)
		wantParked(t, c, "p", 2, parked("p", 2, 1, "a"))
		equal(t, "rows", before, load(t, c, "p"))
		if err := c.RequestParked(t.Context(), "unheard-of", 1, projection.RequestRetry, id(1)); err != nil {
			t.Errorf("RequestParked of nothing: %v", err)
		}
		wantParked(t, c, "unheard-of", 1)
	})

	open.run(t, "more than a hundred may be parked, requested and deleted", func(t *testing.T, c projection.Checkpoints) {
		var want []projection.Parked
		var ids []string
		for n := range 130 {
			event := parked("p", 1, n, "a")
			event.Request = projection.RequestRetry
			want = append(want, event)
			ids = append(ids, id(n))
		}
		for part := range slices.Chunk(want, 20) {
			park(t, c, part...)
		}
		if err := c.RequestParked(t.Context(), "p", 1, projection.RequestDrop, ids...); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			want[i].Request = projection.RequestDrop
		}
		wantParked(t, c, "p", 1, want...)
		if err := c.DeleteParked(t.Context(), "p", 1); err != nil {
			t.Fatal(err)
		}
		wantParked(t, c, "p", 1)
	})

	open.run(t, "deleting leaves other versions and names alone", func(t *testing.T, c projection.Checkpoints) {
		for _, name := range []string{"p", "p1", "p/1"} {
			for _, version := range []int{1, 2, 12} {
				skipped := parked(name, version, 2, "b")
				skipped.State = projection.StateSkipped
				park(t, c, parked(name, version, 1, "a"), skipped)
			}
		}
		before := load(t, c, "p")
		for range 2 { // the second time there is nothing to delete
			if err := c.DeleteParked(t.Context(), "p", 1); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"p", "p1", "p/1"} {
			for _, version := range []int{1, 2, 12} {
				want := 2
				if name == "p" && version == 1 {
					want = 0
				}
				if got := len(allParked(t, c, name, version)); got != want {
					t.Errorf("%d events of version %d of %q are parked, want %d", got, version, name, want)
				}
			}
		}
		equal(t, "rows", before, load(t, c, "p"))
	})
}

// choose is what a query gives of events in order.
func choose(events []projection.Parked, q projection.ParkedQuery) []projection.Parked {
	var chosen []projection.Parked
	for _, e := range events {
		if e.SequenceID > q.After && (q.AggregateID == "" || e.AggregateID == q.AggregateID) && (!q.Requested || e.Request != "") {
			chosen = append(chosen, e)
		}
	}
	if q.Limit > 0 && len(chosen) > q.Limit {
		chosen = chosen[:q.Limit]
	}
	return chosen
}
