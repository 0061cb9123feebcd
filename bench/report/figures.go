package report

import (
	"fmt"
	"strings"

	"github.com/eventsource-go/eventsource/bench/system"
)

// Figure is something that this module promises, and what a run measured.
type Figure struct {
	What string
	// AtLeast is in words.
	AtLeast string
	// Measured is in words, "" if the run did not measure it.
	Measured string
	Reached  bool
}

const (
	records = "ours"
	events  = "ours, JSON"
)

// Figures compares the run with what is promised, at the lowest level, and for
// growth between the lowest level and the highest.
func (r *Report) Figures() []Figure {
	levels := r.levels()
	if len(levels) == 0 {
		return nil
	}
	low, high := levels[0], levels[len(levels)-1]
	all := []Figure{
		r.speed(low, "save/1/new/1", records, 0.75, 1),
		r.speed(low, "save/1/new/16", records, 1.2, 2),
		r.speed(low, "save/1/new/64", records, 5, 8),
		r.speed(low, "save/10/new/16", records, 2, 4),
		r.speed(low, "load/100", records, 0.9, 1),
		r.speed(low, "catch-up/pages", records, 0.9, 0),
		r.speed(low, "catch-up/pages", events, 0.6, 0),
		r.memory(64),
		r.latency(low, "latency/1000", records, 10),
		r.held(low, 0.5),
		r.missed(),
		r.projection(low, 0.5),
		r.latency(low, "project/latency", events, 15),
		r.flat(1.25),
		r.idle(low, 2),
		r.takeover(low, 5),
	}
	if high > low {
		for _, name := range []string{"save/1/new/1", "save/1/new/16", "save/1/new/64", "catch-up/pages"} {
			all = append(all, r.growth(low, high, name, 0.8))
		}
	}
	return all
}

// speed compares with raw and, if bestPeer is not 0, with the fastest event store of the peers.
func (r *Report) speed(level int, name, who string, raw, bestPeer float64) Figure {
	f := Figure{What: fmt.Sprintf("%s, %s", name, who), AtLeast: fmt.Sprintf("%g of raw", raw)}
	if bestPeer > 0 {
		f.AtLeast += fmt.Sprintf(", %g times the best peer", bestPeer)
	}
	row := r.row(level, name, who)
	if row == nil || row.ToRaw == 0 {
		return f
	}
	f.Measured = fmt.Sprintf("%.2f of raw (%.2f of raw in 1 statement)", row.ToRaw, row.ToStatement)
	if row.ToStatement == 0 || !strings.HasPrefix(name, "save/") {
		f.Measured = fmt.Sprintf("%.2f of raw", row.ToRaw)
	}
	f.Reached = row.ToRaw >= raw
	if bestPeer > 0 {
		best := r.bestPeer(level, name)
		if best == nil {
			f.Measured, f.Reached = "", false
			return f
		}
		f.Measured += fmt.Sprintf(", %.1f times %s", row.Rate/best.Rate, best.System)
		f.Reached = f.Reached && row.Rate >= bestPeer*best.Rate
	}
	return f
}

func (r *Report) bestPeer(level int, name string) *Row {
	var best *Row
	for _, s := range r.Systems {
		if s.Kind != system.EventStore {
			continue
		}
		if row := r.row(level, name, s.Name); row != nil && (best == nil || row.Rate > best.Rate) {
			best = row
		}
	}
	return best
}

func (r *Report) memory(mib float64) Figure {
	f := Figure{What: "catch-up/memory, " + events, AtLeast: fmt.Sprintf("less than %g MiB", mib)}
	for _, level := range r.levels() {
		if row := r.row(level, "catch-up/memory", events); row != nil {
			f.Measured, f.Reached = fmt.Sprintf("%.0f MiB", row.MemoryMiB), row.MemoryMiB > 0 && row.MemoryMiB < mib
		}
	}
	return f
}

func (r *Report) latency(level int, name, who string, milliseconds float64) Figure {
	f := Figure{What: name + ", " + who, AtLeast: fmt.Sprintf("p99 below %g ms", milliseconds)}
	if row := r.row(level, name, who); row != nil {
		f.Measured, f.Reached = fmt.Sprintf("p99 %.1f ms", row.P99), row.P99 < milliseconds && row.Missed == 0
	}
	return f
}

func (r *Report) held(level int, least float64) Figure {
	f := Figure{What: "save/1/held/16, " + records, AtLeast: fmt.Sprintf("%g of the rate without", least)}
	if row := r.row(level, "save/1/held/16", records); row != nil {
		f.Measured, f.Reached = fmt.Sprintf("%.2f of the rate without", row.Ratio), row.Ratio >= least
	}
	return f
}

func (r *Report) missed() Figure {
	f := Figure{What: "missed events, " + records + " and " + events, AtLeast: "0 missed, 0 twice"}
	missed, twice, saved := 0, 0, 0
	for _, row := range r.Rows {
		if r.kind(row.System) == system.Ours {
			missed += row.Missed
			twice += row.Twice
			saved += row.Saved
		}
	}
	if saved > 0 {
		f.Measured = fmt.Sprintf("%d missed, %d twice, of %d", missed, twice, saved)
		f.Reached = missed == 0 && twice == 0
	}
	return f
}

// growth compares with the rate with the fewest events.
func (r *Report) growth(low, high int, name string, least float64) Figure {
	f := Figure{
		What:    fmt.Sprintf("%s, %s, at %s events", name, records, thousands(float64(high))),
		AtLeast: fmt.Sprintf("%g of the rate at %s", least, thousands(float64(low))),
	}
	row := r.row(high, name, records)
	if row == nil || row.Growth == 0 {
		return f
	}
	f.Measured, f.Reached = fmt.Sprintf("%.2f", row.Growth), row.Growth >= least
	if limit := r.row(high, name, system.NameRaw); limit != nil && limit.Growth > 0 {
		f.Measured += fmt.Sprintf(" (%s: %.2f)", system.NameRaw, limit.Growth)
	}
	return f
}

// projection compares with a plain loop, and with the message logs.
func (r *Report) projection(level int, raw float64) Figure {
	const name = "project/catch-up"
	f := Figure{What: name + ", " + events, AtLeast: fmt.Sprintf("%g of raw, a plain loop, and ahead of message logs", raw)}
	row := r.row(level, name, events)
	if row == nil || row.ToRaw == 0 {
		return f
	}
	measured, ahead := fmt.Sprintf("%.2f of raw", row.ToRaw), true
	found := false
	for _, s := range r.Systems {
		if s.Kind != system.MessageLog {
			continue
		}
		if peer := r.row(level, name, s.Name); peer != nil {
			times := r.ratio(row, s.Name)
			measured += fmt.Sprintf(", %.1f times %s", times, s.Name)
			found, ahead = true, ahead && times > 1
		}
	}
	if found {
		f.Measured, f.Reached = measured, ahead && row.ToRaw >= raw
	}
	return f
}

// flat compares the peak of memory with that after a tenth of the events.
func (r *Report) flat(most float64) Figure {
	f := Figure{What: "project/memory, " + events, AtLeast: fmt.Sprintf("at most %g times that of a tenth of the events", most)}
	for _, level := range r.levels() {
		if row := r.measured(level, "project/memory", events); row != nil && row.EarlyMiB > 0 {
			f.Measured = fmt.Sprintf("%.2f times, %.0f MiB", row.MemoryMiB/row.EarlyMiB, row.MemoryMiB)
			f.Reached = row.MemoryMiB <= most*row.EarlyMiB
		}
	}
	return f
}

func (r *Report) idle(level int, below float64) Figure {
	f := Figure{What: "project/idle, " + events, AtLeast: fmt.Sprintf("fewer than %g statements a second", below)}
	if row := r.measured(level, "project/idle", events); row != nil {
		f.Measured, f.Reached = fmt.Sprintf("%.2f in %.2f round trips", row.Idle.Statements, row.Idle.RoundTrips), row.Idle.Statements < below
	}
	return f
}

func (r *Report) takeover(level int, below float64) Figure {
	f := Figure{What: "project/takeover, " + events, AtLeast: fmt.Sprintf("each in less than %g s", below)}
	if row := r.measured(level, "project/takeover", events); row != nil {
		f.Measured, f.Reached = fmt.Sprintf("%.1f s at most", row.Takeover), row.Takeover < below
	}
	return f
}
