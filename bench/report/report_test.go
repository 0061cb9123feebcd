package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource/bench/system"
	"github.com/eventsource-go/eventsource/bench/workload"
)

// measured systems of every kind.
var measured = []system.System{
	{Name: system.NameRaw, Kind: system.Limit, Database: "own", Notes: []string{"The limit."}},
	{Name: system.NameRawStatement, Kind: system.Limit, Database: "own"},
	{Name: records, Kind: system.Ours, Database: "own"},
	{Name: events, Kind: system.Ours, Database: "own"},
	{Name: "naive", Kind: system.Naive, Database: "own"},
	{Name: "slow peer", Module: "example.com/slow v1.0.0", Kind: system.EventStore, Database: "slow"},
	{Name: "peer", Module: "example.com/peer v1.2.3", Kind: system.EventStore, Database: "peer", Notes: []string{"First.", "Second."}},
	{Name: "log", Module: "example.com/log v0.1.0", Kind: system.MessageLog, Database: "log"},
}

// cell has a sample for each rate, as measured in one second.
func cell(level int, name, who string, rates ...int) workload.Cell {
	c := workload.Cell{Level: level, Workload: name, System: who}
	for _, rate := range rates {
		c.Samples = append(c.Samples, workload.Sample{Events: rate, Seconds: 1})
	}
	return c
}

func with(c workload.Cell, change func(*workload.Sample)) workload.Cell {
	for i := range c.Samples {
		change(&c.Samples[i])
	}
	return c
}

func TestRowsHaveMediansAndSpreadOfTheRounds(t *testing.T) {
	c := workload.Cell{Level: 1000, Workload: "w", System: "s", Samples: []workload.Sample{
		{Operations: 10, Events: 100, Seconds: 2, P50: 3, P99: 9, Allocs: 7, BytesPerEvent: 200, Conflicts: 5, Ratio: 0.5, Growth: 0.8, WriterRate: 10, MemoryMiB: 20,
			Saved: 100, Missed: 1, EarlyMiB: 10, TakeoverSeconds: 3, Idle: workload.Asked{Statements: 1}, Waiting: workload.Asked{RoundTrips: 2}},
		{Operations: 10, Events: 90, Seconds: 1, P50: 1, P99: 30, Allocs: 8, BytesPerEvent: 100, Conflicts: 20, Ratio: 0.7, Growth: 0.7, WriterRate: 30, MemoryMiB: 30,
			Saved: 100, Twice: 2, EarlyMiB: 12, TakeoverSeconds: 4, Idle: workload.Asked{Statements: 7}},
		{Operations: 10, Events: 70, Seconds: 1, P50: 2, P99: 8, Allocs: 90, BytesPerEvent: 300, Conflicts: 10, Ratio: 0.6, Growth: 0.9, WriterRate: 20, MemoryMiB: 10,
			Saved: 100, Missed: 3, Undecided: true, EarlyMiB: 11, TakeoverSeconds: 1},
	}}
	row := New(nil, nil, []workload.Cell{c}, nil).Rows[0]
	want := Row{
		Cell: c, Rate: 70, RateLow: 50, RateHigh: 90, P50: 2, P99: 9, Allocs: 8, BytesPerEvent: 200,
		Conflicts: 1, Ratio: 0.6, Growth: 0.8, WriterRate: 20, MemoryMiB: 20,
		Saved: 300, Missed: 4, Twice: 2, Undecided: true,
		EarlyMiB: 11, Takeover: 4, TakeoverMedian: 3, Idle: workload.Asked{Statements: 1}, Waiting: workload.Asked{RoundTrips: 2},
	}
	if !reflect.DeepEqual(row, want) {
		t.Errorf("got  %+v,\nwant %+v", row, want)
	}
}

func TestMedianOf(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{4}, 4}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 9, 2}, 3},
	} {
		before := slices.Clone(c.values)
		if got := medianOf(c.values); got != c.want {
			t.Errorf("the median of %v is %v, want %v", before, got, c.want)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("the values %v became %v", before, c.values)
		}
	}
}

func TestRatiosAreMediansOfThoseOfEachRound(t *testing.T) {
	r := New(measured, nil, []workload.Cell{
		// The machine becomes slower from round to round: 0.5, 0.8 and 0.9 of raw.
		// The ratio of the medians would be 0.4.
		cell(1000, "save", system.NameRaw, 1000, 500, 100),
		cell(1000, "save", system.NameRawStatement, 2000, 1000, 200),
		cell(1000, "save", records, 500, 400, 90),
		// Another level and another workload have nothing to do with it.
		cell(5000, "save", system.NameRaw, 1, 1, 1),
		cell(1000, "load", system.NameRaw, 1, 1, 1),
		// Raw has fewer rounds than this one, and this one fewer than raw.
		cell(1000, "load", records, 2, 3, 4),
		cell(1000, "save", "peer", 100),
		// There is no raw to compare with.
		cell(1000, "other", records, 5),
	}, nil)
	for _, want := range []struct {
		workload, system   string
		toRaw, toStatement float64
	}{
		{"save", system.NameRaw, 1, 0.5},
		{"save", records, 0.8, 0.4},
		{"save", "peer", 0.1, 0.05},
		{"load", records, 3, 0},
		{"other", records, 0, 0},
	} {
		row := r.row(1000, want.workload, want.system)
		if row.ToRaw != want.toRaw || row.ToStatement != want.toStatement {
			t.Errorf("%s, %s: %v of raw and %v of raw in 1 statement, want %v and %v",
				want.workload, want.system, row.ToRaw, row.ToStatement, want.toRaw, want.toStatement)
		}
	}
}

func TestRatioLeavesOutRoundsInWhichRawDidNothing(t *testing.T) {
	r := New(measured, nil, []workload.Cell{
		cell(1000, "w", system.NameRaw, 100, 0, 100),
		cell(1000, "w", records, 50, 70, 50),
	}, nil)
	if got := r.row(1000, "w", records).ToRaw; got != 0.5 {
		t.Errorf("%v of raw, want 0.5", got)
	}
}

func TestBytesOfAnEventAreThoseOfTheFilledDatabaseUnlessMeasured(t *testing.T) {
	saved := with(cell(1000, "save", records, 10), func(s *workload.Sample) { s.BytesPerEvent = 77 })
	r := New(measured, nil, []workload.Cell{
		saved,
		cell(1000, "load", records, 10),
		cell(1000, "load", "peer", 10),
		cell(5000, "load", records, 10),
		{Level: 1000, Workload: "missing", System: records, Missing: "why"},
	}, []workload.Database{{Level: 1000, Name: "own", BytesPerEvent: 300}, {Level: 5000, Name: "own", BytesPerEvent: 310}})
	for i, want := range []float64{77, 300, 0, 310, 0} {
		if row := r.Rows[i]; row.BytesPerEvent != want {
			t.Errorf("%s, %s, level %d: %v bytes an event, want %v", row.Workload, row.System, row.Level, row.BytesPerEvent, want)
		}
	}
}

func figure(t *testing.T, r *Report, what string) Figure {
	t.Helper()
	var found []Figure
	for _, f := range r.Figures() {
		if f.What == what {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		t.Fatalf("there are %d figures of %q in %+v, want 1", len(found), what, r.Figures())
	}
	return found[0]
}

func TestFiguresCompareWithRawAndTheBestEventStore(t *testing.T) {
	const name, what = "save/1/new/16", "save/1/new/16, ours"
	for _, c := range []struct {
		about string
		cells []workload.Cell
		want  Figure
	}{
		{"reached, though a log and a naive store are faster",
			[]workload.Cell{
				cell(1000, name, system.NameRaw, 100), cell(1000, name, system.NameRawStatement, 200), cell(1000, name, records, 130),
				cell(1000, name, "peer", 60), cell(1000, name, "slow peer", 10), cell(1000, name, "log", 500), cell(1000, name, "naive", 900),
			},
			Figure{what, "1.2 of raw, 2 times the best peer", "1.30 of raw (0.65 of raw in 1 statement), 2.2 times peer", true}},
		{"too slow beside the best peer",
			[]workload.Cell{cell(1000, name, system.NameRaw, 100), cell(1000, name, records, 130), cell(1000, name, "slow peer", 10), cell(1000, name, "peer", 100)},
			Figure{what, "1.2 of raw, 2 times the best peer", "1.30 of raw, 1.3 times peer", false}},
		{"too slow beside raw",
			[]workload.Cell{cell(1000, name, system.NameRaw, 100), cell(1000, name, records, 119), cell(1000, name, "peer", 10)},
			Figure{what, "1.2 of raw, 2 times the best peer", "1.19 of raw, 11.9 times peer", false}},
		{"no peer",
			[]workload.Cell{cell(1000, name, system.NameRaw, 100), cell(1000, name, records, 130), cell(1000, name, "log", 1)},
			Figure{what, "1.2 of raw, 2 times the best peer", "", false}},
		{"no raw",
			[]workload.Cell{cell(1000, name, records, 130), cell(1000, name, "peer", 1)},
			Figure{what, "1.2 of raw, 2 times the best peer", "", false}},
		{"not ours",
			[]workload.Cell{cell(1000, name, system.NameRaw, 100), cell(1000, name, "peer", 1), {Level: 1000, Workload: name, System: records, Failed: "broken"}},
			Figure{what, "1.2 of raw, 2 times the best peer", "", false}},
		{"at a higher level only what grew",
			[]workload.Cell{cell(1000, "load/10", records, 1), cell(5000, name, system.NameRaw, 100), cell(5000, name, records, 130), cell(5000, name, "peer", 1)},
			Figure{what, "1.2 of raw, 2 times the best peer", "", false}},
	} {
		if got := figure(t, New(measured, nil, c.cells, nil), what); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.about, got, c.want)
		}
	}
}

func TestFiguresOfWhatIsMeasuredBesides(t *testing.T) {
	ratio := func(v float64) func(*workload.Sample) { return func(s *workload.Sample) { s.Ratio = v } }
	p99 := func(v float64, missed int) func(*workload.Sample) {
		return func(s *workload.Sample) { s.P99, s.Missed, s.Saved = v, missed, 10 }
	}
	memory := func(v float64) func(*workload.Sample) { return func(s *workload.Sample) { s.MemoryMiB = v } }
	saved := func(missed, twice int) func(*workload.Sample) {
		return func(s *workload.Sample) { s.Saved, s.Missed, s.Twice = 10, missed, twice }
	}
	one := func(level int, name, who string, change func(*workload.Sample)) []workload.Cell {
		return []workload.Cell{with(cell(level, name, who, 10), change)}
	}
	grew := func(early, late float64) func(*workload.Sample) {
		return func(s *workload.Sample) { s.EarlyMiB, s.MemoryMiB = early, late }
	}
	asks := func(statements float64) func(*workload.Sample) {
		return func(s *workload.Sample) { s.Idle, s.Events = workload.Asked{Statements: statements, RoundTrips: 1}, 0 }
	}
	took := func(who string, seconds ...float64) workload.Cell {
		c := workload.Cell{Level: 1000, Workload: "project/takeover", System: who}
		for _, s := range seconds {
			c.Samples = append(c.Samples, workload.Sample{TakeoverSeconds: s})
		}
		return c
	}
	const lateModel, flat, idle, takeover = "project/latency, ours, JSON", "project/memory, ours, JSON", "project/idle, ours, JSON", "project/takeover, ours, JSON"
	const held, late, memoryOf, missed = "save/1/held/16, ours", "latency/1000, ours", "catch-up/memory, ours, JSON", "missed events, ours and ours, JSON"
	for _, c := range []struct {
		what    string
		cells   []workload.Cell
		want    string
		reached bool
	}{
		{held, one(1000, "save/1/held/16", records, ratio(0.5)), "0.50 of the rate without", true},
		{held, one(1000, "save/1/held/16", records, ratio(0.49)), "0.49 of the rate without", false},
		{held, one(1000, "save/1/held/16", system.NameRaw, ratio(0.9)), "", false},
		{late, one(1000, "latency/1000", records, p99(9.9, 0)), "p99 9.9 ms", true},
		{late, one(1000, "latency/1000", records, p99(10, 0)), "p99 10.0 ms", false},
		{late, one(1000, "latency/1000", records, p99(2, 1)), "p99 2.0 ms", false},
		{late, one(1000, "latency/1000", "peer", p99(2, 0)), "", false},
		{memoryOf, one(1_000_000, "catch-up/memory", events, memory(63)), "63 MiB", true},
		{memoryOf, one(1_000_000, "catch-up/memory", events, memory(64)), "64 MiB", false},
		{memoryOf, one(1_000_000, "catch-up/memory", records, memory(1)), "", false},
		{missed, append(one(1000, "missed/16", records, saved(0, 0)), one(5000, "missed/16", events, saved(0, 0))...), "0 missed, 0 twice, of 20", true},
		{missed, append(one(1000, "missed/16", records, saved(0, 0)), one(1000, "missed/16", events, saved(1, 0))...), "1 missed, 0 twice, of 20", false},
		{missed, one(1000, "missed/16", records, saved(0, 1)), "0 missed, 1 twice, of 10", false},
		{missed, one(1000, "missed/16", "naive", saved(5, 5)), "", false},
		{lateModel, one(1000, "project/latency", events, p99(14.9, 0)), "p99 14.9 ms", true},
		{lateModel, one(1000, "project/latency", events, p99(15, 0)), "p99 15.0 ms", false},
		{lateModel, one(1000, "project/latency", events, p99(1, 1)), "p99 1.0 ms", false},
		{lateModel, one(1000, "project/latency", "log", p99(1, 0)), "", false},
		{flat, one(1_000_000, "project/memory", events, grew(40, 50)), "1.25 times, 50 MiB", true},
		{flat, one(1_000_000, "project/memory", events, grew(40, 51)), "1.27 times, 51 MiB", false},
		{flat, one(1_000_000, "project/memory", "log", grew(40, 40)), "", false},
		{idle, one(1000, "project/idle", events, asks(1.99)), "1.99 in 1.00 round trips", true},
		{idle, one(1000, "project/idle", events, asks(2)), "2.00 in 1.00 round trips", false},
		{idle, one(1000, "project/idle", "log", asks(1)), "", false},
		{takeover, []workload.Cell{took(events, 1, 4.9, 2)}, "4.9 s at most", true},
		{takeover, []workload.Cell{took(events, 1, 5, 2)}, "5.0 s at most", false},
		{takeover, []workload.Cell{took("log", 1)}, "", false},
	} {
		got := figure(t, New(measured, nil, c.cells, nil), c.what)
		if got.Measured != c.want || got.Reached != c.reached {
			t.Errorf("%s: measured %q, reached %v, want %q and %v", c.what, got.Measured, got.Reached, c.want, c.reached)
		}
	}
}

func TestFigureOfProjectionsComparesWithAPlainLoopAndLogs(t *testing.T) {
	const name, what, least = "project/catch-up", "project/catch-up, ours, JSON", "0.5 of raw, a plain loop, and ahead of message logs"
	for _, c := range []struct {
		about string
		cells []workload.Cell
		want  Figure
	}{
		{"reached", []workload.Cell{cell(1000, name, system.NameRaw, 100, 10), cell(1000, name, events, 50, 5), cell(1000, name, "log", 10, 1)},
			Figure{what, least, "0.50 of raw, 5.0 times log", true}},
		{"too slow beside a plain loop", []workload.Cell{cell(1000, name, system.NameRaw, 100), cell(1000, name, events, 49), cell(1000, name, "log", 10)},
			Figure{what, least, "0.49 of raw, 4.9 times log", false}},
		{"behind the log", []workload.Cell{cell(1000, name, system.NameRaw, 100), cell(1000, name, events, 80), cell(1000, name, "log", 80)},
			Figure{what, least, "0.80 of raw, 1.0 times log", false}},
		{"no log", []workload.Cell{cell(1000, name, system.NameRaw, 100), cell(1000, name, events, 80), cell(1000, name, "peer", 1)},
			Figure{what, least, "", false}},
		{"no plain loop", []workload.Cell{cell(1000, name, events, 80), cell(1000, name, "log", 1)},
			Figure{what, least, "", false}},
	} {
		if got := figure(t, New(measured, nil, c.cells, nil), what); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.about, got, c.want)
		}
	}
}

func TestWorkloadsWithoutARateHaveNone(t *testing.T) {
	idle := workload.Cell{Level: 1000, Workload: "project/idle", System: events, Samples: []workload.Sample{
		{Seconds: 10, Idle: workload.Asked{Statements: 1.5, RoundTrips: 1, Pings: 0.5}, Waiting: workload.Asked{Statements: 0.75, RoundTrips: 0.75}},
	}}
	r := New(measured, []workload.Workload{{Name: "project/idle", About: "nothing happens"}}, []workload.Cell{idle}, nil)
	var out strings.Builder
	if err := r.WriteMarkdown(&out); err != nil {
		t.Fatal(err)
	}
	text := squeeze(out.String())
	want := "| ours, JSON | | | | | | | | | 1.50 statements/s in 1.00 round trips, and 0.50 pings of the pool; " +
		"another process that waits: 0.75 statements/s in 0.75 round trips, and 0.00 pings of the pool |"
	if !strings.Contains(text, want) {
		t.Errorf("the report has no\n%s\n\nIt is\n%s", want, text)
	}
	if strings.Contains(text, "| events/s | raw |") {
		t.Errorf("there is a table of rates without any:\n%s", text)
	}
}

func TestFiguresOfGrowthCompareTheHighestLevelWithTheLowest(t *testing.T) {
	const name = "catch-up/pages"
	const what = "catch-up/pages, ours, at 5,000,000 events"
	growth := func(v float64) func(*workload.Sample) { return func(s *workload.Sample) { s.Growth = v } }
	low := cell(10_000, name, records, 100)
	for _, c := range []struct {
		cells []workload.Cell
		want  Figure
	}{
		{[]workload.Cell{with(cell(5_000_000, name, records, 1), growth(0.8)), low, with(cell(1_000_000, name, records, 10), growth(0.1))},
			Figure{what, "0.8 of the rate at 10,000", "0.80", true}},
		{[]workload.Cell{with(cell(5_000_000, name, records, 1), growth(0.79)), low, with(cell(5_000_000, name, system.NameRaw, 10), growth(0.5))},
			Figure{what, "0.8 of the rate at 10,000", "0.79 (raw: 0.50)", false}},
		{[]workload.Cell{cell(5_000_000, name, records, 90), low},
			Figure{what, "0.8 of the rate at 10,000", "", false}},
		{[]workload.Cell{cell(5_000_000, name, "peer", 90), low},
			Figure{what, "0.8 of the rate at 10,000", "", false}},
	} {
		if got := figure(t, New(measured, nil, c.cells, nil), what); got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}

	for _, f := range New(measured, nil, []workload.Cell{low}, nil).Figures() {
		if strings.Contains(f.What, "at ") {
			t.Errorf("with one level there is the figure %+v", f)
		}
	}
	if got := New(measured, nil, nil, nil).Figures(); got != nil {
		t.Errorf("a run without a level has the figures %+v", got)
	}
}

// small is a report of everything that a table can have.
func small() *Report {
	workloads := []workload.Workload{
		{Name: "save/1/new/1", About: "one event | a save"},
		{Name: "missed/16", About: "a reader follows"},
		{Name: "never", About: "nobody can"},
	}
	raw := cell(1000, "save/1/new/1", system.NameRaw, 1000, 1200)
	raw.Samples[0].P50, raw.Samples[1].P50 = 0.5, 0.7
	ours := with(cell(1000, "save/1/new/1", records, 1234567, 1234569), func(s *workload.Sample) {
		s.P50, s.P99, s.Allocs, s.BytesPerEvent, s.Operations, s.Conflicts = 12.34, 1234.5, 100, 1024, 4, 2
	})
	r := New([]system.System{measured[0], measured[2], measured[6]}, workloads, []workload.Cell{
		raw, ours,
		{Level: 1000, Workload: "save/1/new/1", System: "peer", Failed: "a|b\nis\tbroken"},
		{Level: 1000, Workload: "missed/16", System: system.NameRaw, Missing: "no reader"},
		with(cell(1000, "missed/16", records, 50), func(s *workload.Sample) { s.Saved = 5000 }),
		with(cell(1000, "missed/16", "peer", 0, 50), func(s *workload.Sample) { s.Saved, s.Missed, s.Twice = 1000, 1000, 3 }),
		{Level: 1000, Workload: "never", System: records, Missing: "why"},
	}, []workload.Database{{Level: 1000, Name: "own", Events: 1000, BytesPerEvent: 311.4}})
	r.Began = time.Date(2026, 7, 1, 23, 30, 0, 0, time.UTC)
	r.Took, r.Time, r.Rounds = 61400*time.Millisecond, 500*time.Millisecond, 2
	r.Machine = Machine{OS: "linux/amd64", Processors: 2, Go: "go1.26", Revision: "abc", Postgres: "PostgreSQL 15", Settings: map[string]string{"fsync": "on"}}
	return r
}

// squeeze leaves one space where there are more: the padding of columns.
func squeeze(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestMarkdownOfASmallReport(t *testing.T) {
	var out bytes.Buffer
	if err := small().WriteMarkdown(&out); err != nil {
		t.Fatal(err)
	}
	text := squeeze(out.String())
	for _, want := range []string{
		`# Benchmark of 2026-07-01

- linux/amd64, processor unknown, 2 logical processors for clients and server together if both run there, go1.26
- PostgreSQL 15
- fsync on, synchronous_commit , `,
		`- revision abc
- 2 rounds of 500ms a system and workload, in turns; 1m1s in all

## What is promised

| what | at least | measured | |
| --- | --- | --- | --- |
| save/1/new/1, ours | 0.75 of raw, 1 times the best peer | not measured | |
`,
		`
| missed events, ours and ours, JSON | 0 missed, 0 twice | 0 missed, 0 twice, of 5000 | reached |
| project/catch-up, ours, JSON | 0.5 of raw, a plain loop, and ahead of message logs | not measured | |
| project/latency, ours, JSON | p99 below 15 ms | not measured | |
| project/memory, ours, JSON | at most 1.25 times that of a tenth of the events | not measured | |
| project/idle, ours, JSON | fewer than 2 statements a second | not measured | |
| project/takeover, ours, JSON | each in less than 5 s | not measured | |

## With 1,000 events stored

| events/s | raw | ours | peer |
| --- | --- | --- | --- |
| save/1/new/1 | 1,100 | 1,234,568 | — |
| missed/16 | — | 0 of 5,000 | **2,000** of 2,000 |

### save/1/new/1

One event | a save.

| system | events/s | lowest to highest | of raw | of raw, 1 statement | p50 ms | p99 ms | allocs | bytes/event | besides |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| raw | 1,100 | 1,000 to 1,200 | 1.00 | | 0.60 | | | 311 | |
| ours | 1,234,568 | 1,234,567 to 1,234,569 | 1131.69 | | 12.3 | 1,234 | 100 | 1,024 | 0.50 conflicts a save |
| peer | failed: a\|b is broken | | | | | | | | |

### missed/16

A reader follows.

| system | events/s | lowest to highest | of raw | of raw, 1 statement | p50 ms | p99 ms | allocs | bytes/event | besides |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| raw | — | | | | | | | | no reader |
| ours | 50 | 50 to 50 | | | | | | 311 | missed 0 of 5,000 |
| peer | 25 | 0 to 50 | | | | | | | missed **2,000** of 2,000; 6 twice |

## Bytes on disk an event

| database | events | bytes an event, with indexes |
| --- | --- | --- |
| own | 1,000 | 311 |

## What to know when comparing

- **raw**, limit: The limit.
- **ours**, this module:
- **peer (example.com/peer v1.2.3)**, event store: First. Second.
`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report has no\n%s\n\nIt is\n%s", want, text)
		}
	}
}

func TestColumnsOfATableAreAlignedInTheSource(t *testing.T) {
	table := newTable("system", "events/s")
	table.row("ours", "1")
	table.row("a|longer name")
	var out strings.Builder
	table.write(&out)
	want := `
| system         | events/s |
| ---            | ---      |
| ours           | 1        |
| a\|longer name |          |
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

func TestWriteMarkdownReturnsTheErrorOfTheWriter(t *testing.T) {
	if err := small().WriteMarkdown(full{}); !errors.Is(err, errFull) {
		t.Errorf("got %v, want %v", err, errFull)
	}
}

var errFull = errors.New("disk full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestNotes(t *testing.T) {
	for _, c := range []struct {
		row  Row
		want string
	}{
		{Row{}, ""},
		{Row{Ratio: 0.5, Growth: 0.8, WriterRate: 1500, MemoryMiB: 20.4}, "0.50 of the rate without; 0.80 of the rate with the fewest events; writers 1,500/s; 20 MiB"},
		{Row{Saved: 1000, Missed: 200, Undecided: true}, "**still reading when time was up**: 200 of 1,000 not delivered yet"},
		{Row{MemoryMiB: 20.4, EarlyMiB: 19}, "20 MiB; 19 MiB after a tenth of the events"},
		{Row{Takeover: 4, TakeoverMedian: 3.14}, "takeover in 3.1 s, 4.0 s at most"},
		{Row{Saved: 1000, Twice: 2}, "missed 0 of 1,000; 2 twice"},
	} {
		if got := c.row.Besides(); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.row, got, c.want)
		}
	}
}

func TestNumbersInTables(t *testing.T) {
	for _, c := range []struct {
		name   string
		format func(float64) string
		value  float64
		want   string
	}{
		{"thousands", thousands, 0, "0"}, {"thousands", thousands, 999.4, "999"}, {"thousands", thousands, 999.6, "1,000"},
		{"thousands", thousands, 1234567, "1,234,567"}, {"thousands", thousands, -123, "-123"}, {"thousands", thousands, -123456, "-123,456"},
		{"whole", whole, 0, ""}, {"whole", whole, 1024, "1,024"},
		{"ratio", ratio, 0, ""}, {"ratio", ratio, 1.256, "1.26"},
		{"digits", digits, 0, ""}, {"digits", digits, 0.123, "0.12"}, {"digits", digits, 12.34, "12.3"}, {"digits", digits, 1234, "1,234"},
	} {
		if got := c.format(c.value); got != c.want {
			t.Errorf("%s of %v is %q, want %q", c.name, c.value, got, c.want)
		}
	}
}

func TestJSONHasEverythingThatTheReportHas(t *testing.T) {
	want := small()
	var out bytes.Buffer
	if err := want.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	got := new(Report)
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v,\nwant %+v", got, want)
	}
	var before, after strings.Builder
	if err := errors.Join(want.WriteMarkdown(&before), got.WriteMarkdown(&after)); err != nil {
		t.Fatal(err)
	}
	if before.String() != after.String() {
		t.Errorf("its Markdown is\n%s\nwant\n%s", after.String(), before.String())
	}
}

func TestEveryFigureIsOfAWorkloadAndASystemThatExist(t *testing.T) {
	names := map[string]bool{"missed events": true}
	for _, w := range workload.All() {
		names[w.Name] = true
	}
	systems := map[string]bool{}
	for _, s := range system.All() {
		systems[s.Name] = s.Kind == system.Ours
	}
	if !systems[records] || !systems[events] {
		t.Errorf("%q and %q are not both systems of ours: %v", records, events, systems)
	}
	r := New(measured, nil, []workload.Cell{cell(1000, "w", records, 1), cell(5000, "w", records, 1)}, nil)
	for _, f := range r.Figures() {
		name, _, _ := strings.Cut(f.What, ",")
		if !names[name] {
			t.Errorf("no workload is named %q, of which there is the figure %+v", name, f)
		}
	}
}
