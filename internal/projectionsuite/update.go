package projectionsuite

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/eventsource-go/eventsource/projection"
)

func testUpdate(t *testing.T, open Open) {
	open.run(t, "a new row has revision 1, and each update raises it by one", func(t *testing.T, c projection.Checkpoints) {
		r := store(t, c, row("p", 1))[0]
		for range 3 {
			wantRows(t, c, "p", r)
			r.Owner += "x"
			r = store(t, c, r)[0]
		}
		if r.Revision != 4 {
			t.Errorf("revision is %d after 4 updates", r.Revision)
		}
		wantRows(t, c, "p", r)
	})

	open.run(t, "an update changes all fields", func(t *testing.T, c projection.Checkpoints) {
		r := full(1, 0)
		changed := store(t, c, projection.Row{Name: "p", Version: 1})[0]
		r.Revision = changed.Revision
		changed = store(t, c, r)[0]
		wantRows(t, c, "p", changed)
		// Back to nothing, and the position as well: Update may do that.
		changed = store(t, c, projection.Row{Name: "p", Version: 1, Revision: changed.Revision})[0]
		wantRows(t, c, "p", changed)
	})

	open.run(t, "an update of a row that has changed is stale", func(t *testing.T, c projection.Checkpoints) {
		old := store(t, c, row("p", 1))[0]
		current := store(t, c, old)[0]
		for what, revision := range map[string]int64{
			"the revision before": old.Revision, "none": 0, "one that was never there": current.Revision + 1, "a negative one": -1,
		} {
			r := current
			r.Revision, r.Owner = revision, "thief"
			wantError(t, "put with "+what, c.Update(t.Context(), []projection.Row{r}, nil), projection.ErrStale)
			wantError(t, "remove with "+what, c.Update(t.Context(), nil, []projection.Row{r}), projection.ErrStale)
		}
		wantRows(t, c, "p", current)
	})

	open.run(t, "an update is stale after the row has advanced", func(t *testing.T, c projection.Checkpoints) {
		r := store(t, c, row("p", 1))[0]
		advance(t, c, projection.Move{Name: "p", Version: 1, Token: 1})
		wantError(t, "Update", c.Update(t.Context(), []projection.Row{r}, nil), projection.ErrStale)
		wantRows(t, c, "p", raised(r))
	})

	open.run(t, "an update of a row that is not there is stale", func(t *testing.T, c projection.Checkpoints) {
		r := row("p", 1)
		r.Revision = 1
		wantError(t, "put", c.Update(t.Context(), []projection.Row{r}, nil), projection.ErrStale)
		wantError(t, "remove", c.Update(t.Context(), nil, []projection.Row{r}), projection.ErrStale)
		wantRows(t, c, "p")
	})

	open.run(t, "a row that is removed is gone, and may come again", func(t *testing.T, c projection.Checkpoints) {
		rows := store(t, c, row("p", 1), row("p", 2))
		if err := c.Update(t.Context(), nil, rows[:1]); err != nil {
			t.Fatal(err)
		}
		wantRows(t, c, "p", rows[1])
		wantError(t, "remove again", c.Update(t.Context(), nil, rows[:1]), projection.ErrStale)
		again := store(t, c, row("p", 1))[0]
		wantRows(t, c, "p", again, rows[1])
	})

	open.run(t, "removing what is not there is nothing, if that is what was loaded", func(t *testing.T, c projection.Checkpoints) {
		if err := c.Update(t.Context(), []projection.Row{row("p", 2)}, []projection.Row{{Name: "p", Version: 1}}); err != nil {
			t.Fatal(err)
		}
		wantRows(t, c, "p", raised(row("p", 2)))
	})

	open.run(t, "one stale row keeps all others from being written", func(t *testing.T, c projection.Checkpoints) {
		there := store(t, c, row("p", 1), row("p", 2), row("p", 3))
		stale := there[2]
		stale.Revision = 7
		for what, update := range map[string]struct{ put, remove []projection.Row }{
			"a put":              {[]projection.Row{row("p", 4), there[0], stale}, []projection.Row{there[1]}},
			"a remove":           {[]projection.Row{row("p", 4), there[0]}, []projection.Row{there[1], stale}},
			"a new one, last":    {[]projection.Row{there[0], row("p", 4), row("p", 3)}, []projection.Row{there[1]}},
			"a new one, first":   {[]projection.Row{row("p", 1), there[1], row("p", 4)}, []projection.Row{there[2]}},
			"a missing one":      {[]projection.Row{row("p", 4), there[0]}, []projection.Row{{Name: "p", Version: 9, Revision: 1}}},
			"one that is there":  {[]projection.Row{there[0], row("p", 4)}, []projection.Row{{Name: "p", Version: 2}}},
			"of another's name":  {[]projection.Row{there[0], row("q", 1)}, []projection.Row{{Name: "q", Version: 2, Revision: 1}}},
			"of that name alone": {[]projection.Row{row("q", 1), {Name: "q", Version: 1, Partition: 1, Revision: 1}}, nil},
		} {
			wantError(t, what, c.Update(t.Context(), update.put, update.remove), projection.ErrStale)
		}
		wantRows(t, c, "p", there...)
		wantRows(t, c, "q")
	})

	open.run(t, "100 rows are written together", func(t *testing.T, c projection.Checkpoints) {
		var rows []projection.Row
		for partition := range 60 {
			r := row("p", 1)
			r.Partition = partition
			rows = append(rows, r)
		}
		rows = store(t, c, rows...)
		for partition := 60; partition < 100; partition++ {
			r := row("p", 1)
			r.Partition = partition
			rows = append(rows, r)
		}
		if err := c.Update(t.Context(), rows[30:], rows[:30]); err != nil {
			t.Fatal(err)
		}
		var want []projection.Row
		for _, r := range rows[30:] {
			want = append(want, raised(r))
		}
		wantRows(t, c, "p", want...)
	})

	open.run(t, "an update of nothing is nothing", func(t *testing.T, c projection.Checkpoints) {
		if err := c.Update(t.Context(), nil, nil); err != nil {
			t.Errorf("Update: %v", err)
		}
		if err := c.Update(t.Context(), []projection.Row{}, []projection.Row{}); err != nil {
			t.Errorf("Update: %v", err)
		}
	})

	open.run(t, "what is passed in is neither changed nor kept, and what is returned is the caller's", func(t *testing.T, c projection.Checkpoints) {
		data := `{"n":1}`
		a, b := row("p", 1), row("p", 2)
		a.Data, b.Data = json.RawMessage(data), json.RawMessage(data)
		rows := []projection.Row{b, a}
		before := slices.Clone(rows)
		if err := c.Update(t.Context(), rows, nil); err != nil {
			t.Fatal(err)
		}
		equal(t, "the slice that was passed in", before, rows)
		rows[0].Data[0], rows[1].Data[0], rows[0].Owner = 'x', 'x', "x"

		a.Data, b.Data = json.RawMessage(data), json.RawMessage(data)
		got := load(t, c, "p")
		equal(t, "rows", []projection.Row{raised(a), raised(b)}, got)
		got[0].Data[0], got[1].Owner = 'x', "x"
		wantRows(t, c, "p", raised(a), raised(b))
	})
}

func testLoad(t *testing.T, open Open) {
	open.run(t, "there is nothing at first", func(t *testing.T, c projection.Checkpoints) {
		wantRows(t, c, "p")
		wantParked(t, c, "p", 1)
		got, err := c.Names(t.Context())
		if err != nil || len(got) > 0 {
			t.Errorf("Names = %q, %v", got, err)
		}
	})

	open.run(t, "rows come by version and partition, with all fields", func(t *testing.T, c projection.Checkpoints) {
		var want []projection.Row
		for _, key := range [][2]int{{0, 0}, {1, -1}, {1, 0}, {1, 1}, {2, -1}, {2, 0}, {2, 2}, {2, 10}, {2, 1023}, {10, -1}, {10, 0}, {1_000_000, 0}} {
			want = append(want, full(key[0], key[1]))
		}
		backwards := slices.Clone(want)
		slices.Reverse(backwards)
		store(t, c, backwards...)
		for i := range want {
			want[i] = raised(want[i])
		}
		wantRows(t, c, "p", want...)
	})

	open.run(t, "a row may be as good as empty", func(t *testing.T, c projection.Checkpoints) {
		store(t, c, projection.Row{Name: "p"})
		wantRows(t, c, "p", projection.Row{Name: "p", Revision: 1})
	})

	open.run(t, "data is kept as it is", func(t *testing.T, c projection.Checkpoints) {
		for version, data := range []string{
			``, `{}`, `{ }`, `{"b":1,"a":2,"b":3}`, `{"a":"\u0000\ud83d\ude00 é \\ \" / "}`, `{"n":12345678901234567890.10}`, "{\n\t\"a\": [ ]\n}",
		} {
			r := row("p", version)
			r.Data = json.RawMessage(data)
			store(t, c, r)
			if got := load(t, c, "p")[version].Data; string(got) != data {
				t.Errorf("%s was kept as %s", data, got)
			}
		}
	})

	open.run(t, "names are sorted, and those that look alike are not mixed", func(t *testing.T, c projection.Checkpoints) {
		all := names()
		for i, name := range all {
			r := row(name, 0)
			r.Handled = int64(i)
			store(t, c, r, row(name, 1))
			park(t, c, parked(name, 1, i+1, "aggregate"))
		}
		for i, name := range all {
			first, second := raised(row(name, 0)), raised(raised(row(name, 1)))
			first.Handled = int64(i)
			wantRows(t, c, name, first, second)
			wantParked(t, c, name, 1, parked(name, 1, i+1, "aggregate"))
		}
		slices.Sort(all)
		got, err := c.Names(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Names", all, got)
	})

	open.run(t, "a projection is unknown once its last row is removed", func(t *testing.T, c projection.Checkpoints) {
		rows := store(t, c, row("p", 0), row("p", 1), row("q", 0))
		if err := c.Update(t.Context(), nil, rows[:2]); err != nil {
			t.Fatal(err)
		}
		wantRows(t, c, "p")
		got, err := c.Names(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Names", []string{"q"}, got)
	})
}
