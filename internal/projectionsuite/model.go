package projectionsuite

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/eventsource-go/eventsource/projection"
)

// testModel makes random calls, and compares what they say and leave with a model.
func testModel(t *testing.T, open Open) {
	open.run(t, "random calls do what they do in the model", func(t *testing.T, c projection.Checkpoints) {
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			m := &model{
				T: t, c: c, names: []string{fmt.Sprint("p", run), fmt.Sprint("q", run)},
				rows: map[rowKey]projection.Row{}, parked: map[parkedKey]projection.Parked{},
			}
			rt.Repeat(map[string]func(*rapid.T){
				"update":  m.update,
				"advance": m.advance,
				"request": m.request,
				"delete":  m.delete,
				"query":   m.query,
				"":        m.check,
			})
			m.checkAll(rt)
		})
	})
}

type rowKey struct {
	name               string
	version, partition int
}

type parkedKey struct {
	name    string
	version int
	id      string
}

// model is checkpoints beside maps. Its names are its own, so that one storage serves
// many runs.
type model struct {
	T      *testing.T
	c      projection.Checkpoints
	names  []string
	rows   map[rowKey]projection.Row
	parked map[parkedKey]projection.Parked
}

func (m *model) key(rt *rapid.T) rowKey {
	return rowKey{
		rapid.SampledFrom(m.names).Draw(rt, "name"),
		rapid.IntRange(0, 2).Draw(rt, "version"),
		rapid.IntRange(-1, 1).Draw(rt, "partition"),
	}
}

func ids(rt *rapid.T, label string) []string {
	return rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(1, 9), id), 0, 4, rapid.ID).Draw(rt, label)
}

// row is a row with mostly the revision that it has.
func (m *model) row(rt *rapid.T, k rowKey) projection.Row {
	text := rapid.SampledFrom([]string{"", "a", "ü"})
	r := projection.Row{
		Name: k.name, Version: k.version, Partition: k.partition, Revision: m.rows[k].Revision,
		Token: rapid.Int64Range(0, 2).Draw(rt, "token"), Owner: text.Draw(rt, "owner"), Wanted: text.Draw(rt, "wanted"),
		TTL:      time.Duration(rapid.Int64().Draw(rt, "TTL")),
		Position: rapid.SampledFrom([]string{"", id(1), id(5)}).Draw(rt, "position"),
		Handled:  rapid.Int64Range(0, 1<<40).Draw(rt, "handled"),
		Data:     json.RawMessage(rapid.SampledFrom([]string{"", "{}", `{"n":1}`}).Draw(rt, "data")),
	}
	if rapid.IntRange(0, 9).Draw(rt, "stale") == 0 {
		r.Revision = rapid.Int64Range(0, 3).Draw(rt, "revision")
	}
	return r
}

func (m *model) update(rt *rapid.T) {
	var put, remove []projection.Row
	stale := false
	seen := map[rowKey]bool{}
	for range rapid.IntRange(0, 4).Draw(rt, "rows") {
		k := m.key(rt)
		if seen[k] {
			continue
		}
		seen[k] = true
		r := m.row(rt, k)
		stale = stale || r.Revision != m.rows[k].Revision
		if rapid.IntRange(0, 3).Draw(rt, "remove") == 0 {
			remove = append(remove, r)
		} else {
			put = append(put, r)
		}
	}
	err := m.c.Update(m.T.Context(), put, remove)
	if stale != errors.Is(err, projection.ErrStale) || !stale && err != nil {
		rt.Fatalf("Update = %v, want it stale: %t", err, stale)
	}
	if stale {
		return
	}
	for _, r := range put {
		m.rows[rowKey{r.Name, r.Version, r.Partition}] = raised(r)
	}
	for _, r := range remove {
		delete(m.rows, rowKey{r.Name, r.Version, r.Partition})
	}
}

func (m *model) advance(rt *rapid.T) {
	k := m.key(rt)
	if len(m.rows) > 0 && rapid.IntRange(0, 9).Draw(rt, "any") > 0 {
		k = rapid.SampledFrom(slices.SortedFunc(maps.Keys(m.rows), compareKeys)).Draw(rt, "row")
	}
	r, found := m.rows[k]
	move := projection.Move{
		Name: k.name, Version: k.version, Partition: k.partition, Token: r.Token,
		Position:  rapid.SampledFrom([]string{"", id(1), id(2), id(6), id(7)}).Draw(rt, "position"),
		LastEvent: rapid.SampledFrom([]string{"", id(3)}).Draw(rt, "last event"),
		Handled:   rapid.Int64Range(0, 100).Draw(rt, "handled"),
	}
	if rapid.IntRange(0, 4).Draw(rt, "fenced") == 0 {
		move.Token = rapid.Int64Range(0, 2).Draw(rt, "token")
	}
	park := ids(rt, "park")
	for _, sequenceID := range park {
		move.Park = append(move.Park, m.event(rt, k, sequenceID))
	}
	for _, sequenceID := range ids(rt, "unpark") {
		if !slices.Contains(park, sequenceID) {
			move.Unpark = append(move.Unpark, sequenceID)
		}
	}
	ack, err := m.c.Advance(m.T.Context(), move)
	if !found || move.Token != r.Token {
		if !errors.Is(err, projection.ErrFenced) {
			rt.Fatalf("Advance = %v, want it fenced", err)
		}
		return
	}
	if err != nil || ack.Wanted != r.Wanted {
		rt.Fatalf("Advance = %+v, %v", ack, err)
	}
	r = raised(r)
	r.Position, r.Handled = max(r.Position, move.Position), r.Handled+move.Handled
	if move.LastEvent != "" {
		r.LastEvent = move.LastEvent
	}
	m.rows[k] = r
	for _, event := range move.Park {
		m.parked[parkedKey{k.name, k.version, event.SequenceID}] = event
	}
	for _, sequenceID := range move.Unpark {
		delete(m.parked, parkedKey{k.name, k.version, sequenceID})
	}
}

func compareKeys(a, b rowKey) int {
	return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

func (m *model) event(rt *rapid.T, k rowKey, sequenceID string) projection.Parked {
	return projection.Parked{
		Name: k.name, Version: k.version, SequenceID: sequenceID,
		AggregateID:      rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "aggregate"),
		AggregateVersion: rapid.IntRange(1, 5).Draw(rt, "aggregate version"),
		Type:             rapid.SampledFrom([]string{"X", "Y"}).Draw(rt, "type"),
		State:            rapid.SampledFrom([]projection.ParkedState{projection.StateParked, projection.StateSkipped}).Draw(rt, "state"),
		Request:          requests().Draw(rt, "request"),
		Error:            rapid.SampledFrom([]string{"", "broken"}).Draw(rt, "error"),
		Tries:            rapid.IntRange(0, 5).Draw(rt, "tries"),
		Time:             time.UnixMilli(rapid.Int64Range(0, 1<<41).Draw(rt, "time")),
	}
}

func requests() *rapid.Generator[projection.Request] {
	return rapid.SampledFrom([]projection.Request{projection.RequestNone, projection.RequestRetry, projection.RequestDrop})
}

func (m *model) request(rt *rapid.T) {
	k, request, chosen := m.key(rt), requests().Draw(rt, "request"), ids(rt, "events")
	if err := m.c.RequestParked(m.T.Context(), k.name, k.version, request, chosen...); err != nil {
		rt.Fatalf("RequestParked: %v", err)
	}
	for _, sequenceID := range chosen {
		if event, found := m.parked[parkedKey{k.name, k.version, sequenceID}]; found {
			event.Request = request
			m.parked[parkedKey{k.name, k.version, sequenceID}] = event
		}
	}
}

func (m *model) delete(rt *rapid.T) {
	k := m.key(rt)
	if err := m.c.DeleteParked(m.T.Context(), k.name, k.version); err != nil {
		rt.Fatalf("DeleteParked: %v", err)
	}
	maps.DeleteFunc(m.parked, func(p parkedKey, _ projection.Parked) bool { return p.name == k.name && p.version == k.version })
}

func (m *model) query(rt *rapid.T) {
	k := m.key(rt)
	q := projection.ParkedQuery{
		Name: k.name, Version: k.version,
		AggregateID: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(rt, "aggregate"),
		After:       rapid.SampledFrom([]string{"", id(3), id(9)}).Draw(rt, "after"),
		Requested:   rapid.Bool().Draw(rt, "requested"),
		Limit:       rapid.IntRange(0, 3).Draw(rt, "limit"),
	}
	got, err := m.c.Parked(m.T.Context(), q)
	if err != nil {
		rt.Fatalf("Parked: %v", err)
	}
	equal(rt, fmt.Sprintf("Parked of %+v", q), choose(m.all(k.name, k.version), q), got)
}

// all gives the parked events of a version, in order.
func (m *model) all(name string, version int) []projection.Parked {
	var events []projection.Parked
	for k, event := range m.parked {
		if k.name == name && k.version == version {
			events = append(events, event)
		}
	}
	slices.SortFunc(events, func(a, b projection.Parked) int { return strings.Compare(a.SequenceID, b.SequenceID) })
	return events
}

// check looks at something of everything after each call; all at once would take long.
func (m *model) check(rt *rapid.T) {
	m.checkNames(rt)
	m.checkRows(rt, rapid.SampledFrom(m.names).Draw(rt, "name to check"))
	k := m.key(rt)
	m.checkParked(rt, k.name, k.version)
}

func (m *model) checkAll(rt *rapid.T) {
	m.checkNames(rt)
	for _, name := range m.names {
		m.checkRows(rt, name)
		for version := range 3 {
			m.checkParked(rt, name, version)
		}
	}
}

func (m *model) checkNames(rt *rapid.T) {
	all, err := m.c.Names(m.T.Context())
	if err != nil || !slices.IsSorted(all) {
		rt.Fatalf("Names = %q, %v", all, err)
	}
	for _, name := range m.names {
		// What has rows, but none of its own, is no projection yet.
		_, itself := m.rows[rowKey{name, 0, 0}]
		rows := m.rowsOf(name)
		if known := slices.Contains(all, name); itself && !known || len(rows) == 0 && known {
			rt.Errorf("%q has the rows %+v, and Names are %q", name, rows, all)
		}
	}
}

// rowsOf gives the rows of a projection, in order.
func (m *model) rowsOf(name string) []projection.Row {
	var rows []projection.Row
	for version := range 3 {
		for partition := -1; partition <= 1; partition++ {
			if r, found := m.rows[rowKey{name, version, partition}]; found {
				rows = append(rows, r)
			}
		}
	}
	return rows
}

func (m *model) checkRows(rt *rapid.T, name string) {
	got, err := m.c.Load(m.T.Context(), name)
	if err != nil {
		rt.Fatalf("Load: %v", err)
	}
	equal(rt, "rows", m.rowsOf(name), got)
}

func (m *model) checkParked(rt *rapid.T, name string, version int) {
	got, err := m.c.Parked(m.T.Context(), projection.ParkedQuery{Name: name, Version: version})
	if err != nil {
		rt.Fatalf("Parked: %v", err)
	}
	equal(rt, "parked events", m.all(name, version), got)
}
