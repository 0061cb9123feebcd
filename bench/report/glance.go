package report

import (
	"fmt"
	"io"
	"strings"
)

// glance are the workloads of the short table.
var glance = []string{
	"save/1/new/1", "save/1/new/16", "save/1/new/64", "save/1/hot/16", "save/10/new/16", "save/100/new/16", "save/10/new/16/1KB",
	"load/10", "load/100", "load/10000", "catch-up/pages", "catch-up/stream", "catch-up/writers",
	"project/catch-up",
}

// WriteGlance writes one table with a column for each system: rates at a level,
// latency, and what was missed.
func (r *Report) WriteGlance(w io.Writer, level int) {
	head := []string{"events/s"}
	for _, s := range r.Systems {
		head = append(head, s.Name)
	}
	t, empty := newTable(head...), true
	line := func(name, title string, cell func(*Row) string) {
		cells, measured := []string{title}, false
		for _, s := range r.Systems {
			text := "—"
			if row := r.row(level, name, s.Name); row != nil {
				text, measured = cell(row), true
			}
			cells = append(cells, text)
		}
		if measured {
			t.row(cells...)
			empty = false
		}
	}
	for _, name := range glance {
		line(name, name, func(row *Row) string { return thousands(row.Rate) })
	}
	line("latency/1000", "latency/1000, p50 / p99 ms", func(row *Row) string { return digits(row.P50) + " / " + digits(row.P99) })
	line("project/latency", "project/latency, p50 / p99 ms", func(row *Row) string { return digits(row.P50) + " / " + digits(row.P99) })
	line("missed/16", "missed/16", func(row *Row) string {
		if row.Undecided {
			return "still reading"
		}
		return strings.TrimSpace(fmt.Sprintf("%s of %s", emphasized(row.Missed), thousands(float64(row.Saved))))
	})
	line("save/1/new/16", "bytes on disk an event", func(row *Row) string {
		if bytes := r.filledBytes(row); bytes > 0 {
			return thousands(bytes)
		}
		return "—"
	})
	if !empty {
		t.write(w)
	}
}
