// Package projectionsuite is the one conformance suite that every
// [projection.Checkpoints] passes. Its public face is package projectiontest.
package projectionsuite

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/eventsource-go/eventsource/projection"
)

// Open makes empty checkpoints for one test. What they use is closed when it ends.
type Open func(t *testing.T) projection.Checkpoints

// Run runs the suite.
func Run(t *testing.T, open Open) {
	if open == nil {
		t.Fatal("projectionsuite: open is nil")
	}
	for _, group := range []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"Update", testUpdate},
		{"Load", testLoad},
		{"Advance", testAdvance},
		{"Parked", testParked},
		{"Races", testRaces},
		{"Contexts", testContexts},
		{"Transact", testTransact},
		{"Model", testModel},
	} {
		t.Run(group.name, func(t *testing.T) { group.run(t, open) })
	}
}

// run runs a test on checkpoints of its own.
func (open Open) run(t *testing.T, name string, test func(t *testing.T, c projection.Checkpoints)) {
	t.Run(name, func(t *testing.T) { test(t, open(t)) })
}

// id gives a sequence ID; a higher number gives a higher one.
func id(n int) string { return fmt.Sprintf("%026d", n) }

// row is a row of partition 0 that is not stored yet.
func row(name string, version int) projection.Row {
	return projection.Row{Name: name, Version: version, Token: 1, Owner: "owner", TTL: time.Second}
}

// full is a row of "p" in which nothing is left out.
func full(version, partition int) projection.Row {
	return projection.Row{
		Name: "p", Version: version, Partition: partition,
		Token: 1<<63 - 1, Owner: "Ünï 日本 🛒 ' \" \\ $1", Wanted: "host-2/123\n\t", TTL: 1<<63 - 1,
		Position: id(12), LastEvent: id(11), Handled: 1 << 62,
		Data: json.RawMessage(`{"b": 1,  "a":["ü\u0000",null,1e400, 0.10]}`),
	}
}

// parked is an event to park.
func parked(name string, version, n int, aggregateID string) projection.Parked {
	return projection.Parked{
		Name: name, Version: version, SequenceID: id(n), AggregateID: aggregateID, AggregateVersion: n, Type: "Happened",
		State: projection.StateParked, Error: "no such account", Tries: 3, Time: time.UnixMilli(1_700_000_000_123),
	}
}

// store puts new rows and returns them as they are stored.
func store(t testing.TB, c projection.Checkpoints, rows ...projection.Row) []projection.Row {
	t.Helper()
	if err := c.Update(t.Context(), rows, nil); err != nil {
		t.Fatalf("Update: %v", err)
	}
	stored := make([]projection.Row, len(rows))
	for i, r := range rows {
		stored[i] = raised(r)
	}
	return stored
}

func raised(r projection.Row) projection.Row {
	r.Revision++
	return r
}

func load(t testing.TB, c projection.Checkpoints, name string) []projection.Row {
	t.Helper()
	rows, err := c.Load(t.Context(), name)
	if err != nil {
		t.Fatalf("Load %q: %v", name, err)
	}
	return rows
}

func advance(t testing.TB, c projection.Checkpoints, move projection.Move) projection.Ack {
	t.Helper()
	ack, err := c.Advance(t.Context(), move)
	if err != nil {
		t.Fatalf("Advance: %v", err)
	}
	return ack
}

// park stores a row with token 1, unless there is one, and parks events there.
func park(t testing.TB, c projection.Checkpoints, events ...projection.Parked) {
	t.Helper()
	name, version := events[0].Name, events[0].Version
	err := c.Update(t.Context(), []projection.Row{row(name, version)}, nil)
	if err != nil && !errors.Is(err, projection.ErrStale) {
		t.Fatalf("Update: %v", err)
	}
	advance(t, c, projection.Move{Name: name, Version: version, Token: 1, Park: events})
}

func allParked(t testing.TB, c projection.Checkpoints, name string, version int) []projection.Parked {
	t.Helper()
	return query(t, c, projection.ParkedQuery{Name: name, Version: version})
}

func query(t testing.TB, c projection.Checkpoints, q projection.ParkedQuery) []projection.Parked {
	t.Helper()
	events, err := c.Parked(t.Context(), q)
	if err != nil {
		t.Fatalf("Parked %+v: %v", q, err)
	}
	return events
}

// reporter is a test, or a run of a property test.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// equal compares field by field; nil and empty are the same, and so are equal times
// in different zones.
func equal(t reporter, what string, want, got any) {
	t.Helper()
	times := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), times); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func wantRows(t testing.TB, c projection.Checkpoints, name string, want ...projection.Row) {
	t.Helper()
	equal(t, fmt.Sprintf("rows of %q", name), want, load(t, c, name))
}

func wantParked(t testing.TB, c projection.Checkpoints, name string, version int, want ...projection.Parked) {
	t.Helper()
	equal(t, fmt.Sprintf("parked events of version %d of %q", version, name), want, allParked(t, c, name, version))
}

func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
	}
}

// names are such as make trouble where parts of a key are put together.
func names() []string {
	return []string{
		"a", "A", "a ", " a", "a/1", "a#1", "a:1", "a%", "a_", "a-1", "a|0", "a\n", "é", "e\u0301", "日本語 🛒", "'; --", `\`, `"`,
		strings.Repeat("n", 255), strings.Repeat("é", 127) + "x",
	}
}
