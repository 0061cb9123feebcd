package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/eventsource-go/eventsource/bench/system"
	"github.com/eventsource-go/eventsource/bench/workload"
)

// WriteMarkdown writes the figures, a table for each workload, and the notes.
func (r *Report) WriteMarkdown(w io.Writer) error {
	p := &printer{w: w}
	r.writeHead(p)
	r.WriteFigures(p)
	for _, level := range r.levels() {
		p.printf("\n## With %s events stored\n\n", thousands(float64(level)))
		r.WriteGlance(p, level)
		for _, workload := range r.Workloads {
			r.writeWorkload(p, level, workload)
		}
	}
	r.writeDisk(p)
	r.writeSystems(p)
	return p.err
}

// printer remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if p.err == nil {
		p.err = err
	}
	return n, err
}

func (p *printer) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

func (r *Report) writeHead(p *printer) {
	p.printf("# Benchmark of %s\n\n", r.Began.UTC().Format(time.DateOnly))
	for _, line := range r.Machine.lines() {
		p.printf("- %s\n", line)
	}
	p.printf("- %d rounds of %v a system and workload, in turns; %v in all\n", r.Rounds, r.Time, r.Took.Round(time.Second))
}

// WriteFigures writes the table of what is promised.
func (r *Report) WriteFigures(w io.Writer) {
	fmt.Fprintf(w, "\n## What is promised\n\n")
	t := newTable("what", "at least", "measured", "")
	for _, f := range r.Figures() {
		verdict := "reached"
		switch {
		case f.Measured == "":
			f.Measured, verdict = "not measured", ""
		case !f.Reached:
			verdict = "**missed**"
		}
		t.row(f.What, f.AtLeast, f.Measured, verdict)
	}
	t.write(w)
}

func (r *Report) writeWorkload(p *printer, level int, of Workload) {
	var rows []*Row
	measured := false
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Level == level && row.Workload == of.Name {
			rows = append(rows, row)
			measured = measured || len(row.Samples) > 0
		}
	}
	if !measured {
		return
	}
	p.printf("\n### %s\n\n%s.\n\n", of.Name, capital(of.About))
	t := newTable("system", "events/s", "lowest to highest", "of raw", "of raw, 1 statement", "p50 ms", "p99 ms", "allocs", "bytes/event", "besides")
	for _, row := range rows {
		switch {
		case row.Failed != "":
			t.row(row.System, "failed: "+oneLine(row.Failed))
		case len(row.Samples) == 0:
			t.row(row.System, "—", "", "", "", "", "", "", "", row.Missing)
		default:
			rate, spread := "", ""
			if row.HasRate() {
				rate, spread = thousands(row.Rate), thousands(row.RateLow)+" to "+thousands(row.RateHigh)
			}
			t.row(row.System, rate, spread,
				ratio(row.ToRaw), ratio(row.ToStatement), digits(row.P50), digits(row.P99), digits(row.Allocs),
				whole(row.BytesPerEvent), row.Besides())
		}
	}
	t.write(p)
}

func asked(a workload.Asked) string {
	return fmt.Sprintf("%.2f statements/s in %.2f round trips, and %.2f pings of the pool", a.Statements, a.RoundTrips, a.Pings)
}

// HasRate is false where no events are counted.
func (row *Row) HasRate() bool { return row.Idle.Statements == 0 && row.Takeover == 0 }

// Besides is what only some workloads measure, in words.
func (row *Row) Besides() string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if row.Ratio > 0 {
		add("%.2f of the rate without", row.Ratio)
	}
	if row.Growth > 0 {
		add("%.2f of the rate with the fewest events", row.Growth)
	}
	if row.WriterRate > 0 {
		add("writers %s/s", thousands(row.WriterRate))
	}
	if row.MemoryMiB > 0 {
		add("%.0f MiB", row.MemoryMiB)
	}
	if row.EarlyMiB > 0 {
		add("%.0f MiB after a tenth of the events", row.EarlyMiB)
	}
	if row.Idle.Statements > 0 {
		add("%s", asked(row.Idle))
		add("another process that waits: %s", asked(row.Waiting))
	}
	if row.Takeover > 0 {
		add("takeover in %.1f s, %.1f s at most", row.TakeoverMedian, row.Takeover)
	}
	if row.Conflicts > 0 {
		add("%.2f conflicts a save", row.Conflicts)
	}
	if row.Saved > 0 {
		if row.Undecided {
			add("**still reading when time was up**: %s of %s not delivered yet", thousands(float64(row.Missed)), thousands(float64(row.Saved)))
		} else {
			add("missed %s of %s", emphasized(row.Missed), thousands(float64(row.Saved)))
		}
		if row.Twice > 0 {
			add("%s twice", thousands(float64(row.Twice)))
		}
	}
	return strings.Join(notes, "; ")
}

func emphasized(n int) string {
	if n == 0 {
		return "0"
	}
	return "**" + thousands(float64(n)) + "**"
}

func (r *Report) writeDisk(p *printer) {
	if len(r.Databases) == 0 {
		return
	}
	p.printf("\n## Bytes on disk an event\n\n")
	t := newTable("database", "events", "bytes an event, with indexes")
	for _, d := range r.Databases {
		t.row(d.Name, thousands(float64(d.Events)), thousands(d.BytesPerEvent))
	}
	t.write(p)
}

func (r *Report) writeSystems(p *printer) {
	p.printf("\n## What to know when comparing\n\n")
	for _, s := range r.Systems {
		name := s.Name
		if s.Module != "" {
			name += " (" + s.Module + ")"
		}
		p.printf("- **%s**, %s: %s\n", name, kindInWords(s.Kind), strings.Join(s.Notes, " "))
	}
}

func kindInWords(kind system.Kind) string {
	if kind == system.Ours {
		return "this module"
	}
	return string(kind)
}

// table is a Markdown table whose columns are aligned in the source too.
type table struct {
	columns int
	text    strings.Builder
	lines   *tabwriter.Writer
}

func newTable(head ...string) *table {
	t := &table{columns: len(head)}
	t.lines = tabwriter.NewWriter(&t.text, 0, 0, 1, ' ', 0)
	t.row(head...)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = "---"
	}
	t.row(rule...)
	return t
}

func (t *table) row(cells ...string) {
	for len(cells) < t.columns {
		cells = append(cells, "")
	}
	for _, cell := range cells {
		fmt.Fprintf(t.lines, "| %s\t", strings.ReplaceAll(cell, "|", "\\|"))
	}
	fmt.Fprintln(t.lines, "|")
}

func (t *table) write(w io.Writer) {
	_ = t.lines.Flush() // into memory
	_, _ = io.WriteString(w, t.text.String())
}

// thousands gives a whole number in groups of three digits.
func thousands(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	var groups []string
	for len(text) > 3 && text[len(text)-4] != '-' {
		groups = append([]string{text[len(text)-3:]}, groups...)
		text = text[:len(text)-3]
	}
	return strings.Join(append([]string{text}, groups...), ",")
}

// whole is "" for 0, which says that nothing was measured, as [ratio] and [digits] are.
func whole(v float64) string {
	if v == 0 {
		return ""
	}
	return thousands(v)
}

func ratio(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", v)
}

// digits gives about three of them.
func digits(v float64) string {
	switch {
	case v == 0:
		return ""
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return thousands(v)
	}
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
