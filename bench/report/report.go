// Package report turns measurements into medians, tables and a verdict.
package report

import (
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/eventsource-go/eventsource/bench/system"
	"github.com/eventsource-go/eventsource/bench/workload"
)

// Report is a whole run.
type Report struct {
	Machine   Machine             `json:"machine"`
	Began     time.Time           `json:"began"`
	Took      time.Duration       `json:"took_ns"`
	Rounds    int                 `json:"rounds"`
	Time      time.Duration       `json:"time_ns"`
	Systems   []System            `json:"systems"`
	Workloads []Workload          `json:"workloads"`
	Databases []workload.Database `json:"databases"`
	Rows      []Row               `json:"rows"`
}

// System is one that was measured.
type System struct {
	Name     string      `json:"name"`
	Module   string      `json:"module,omitempty"`
	Kind     system.Kind `json:"kind"`
	Database string      `json:"database"`
	Notes    []string    `json:"notes"`
}

// Workload is one that was run.
type Workload struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// Row is what one system did at one workload: medians over the rounds.
type Row struct {
	workload.Cell
	// Rate is in events a second; RateLow and RateHigh are the lowest and the highest of a round.
	Rate     float64 `json:"rate,omitempty"`
	RateLow  float64 `json:"rate_low,omitempty"`
	RateHigh float64 `json:"rate_high,omitempty"`
	// P50 and P99 are in milliseconds.
	P50           float64 `json:"p50_ms,omitempty"`
	P99           float64 `json:"p99_ms,omitempty"`
	Allocs        float64 `json:"allocs_per_operation,omitempty"`
	BytesPerEvent float64 `json:"disk_bytes_per_event,omitempty"`
	// ToRaw and ToStatement are the ratios of the rate to those of the two limits,
	// medians of the ratios in each round.
	ToRaw       float64 `json:"ratio_to_raw,omitempty"`
	ToStatement float64 `json:"ratio_to_raw_statement,omitempty"`

	// Missed, Twice and Saved are sums over the rounds.
	Missed    int  `json:"missed,omitempty"`
	Twice     int  `json:"twice,omitempty"`
	Saved     int  `json:"saved,omitempty"`
	Undecided bool `json:"undecided,omitempty"`
	// Ratio, Growth, WriterRate, MemoryMiB and Conflicts are medians of what the workload measures besides.
	Ratio      float64 `json:"ratio_to_without,omitempty"`
	Growth     float64 `json:"ratio_to_lowest_level,omitempty"`
	WriterRate float64 `json:"writer_rate,omitempty"`
	MemoryMiB  float64 `json:"memory_mib,omitempty"`
	Conflicts  float64 `json:"conflicts_per_save,omitempty"`
	EarlyMiB   float64 `json:"early_memory_mib,omitempty"`

	// Idle and Waiting are from the first round.
	Idle    workload.Asked `json:"idle_per_second,omitzero"`
	Waiting workload.Asked `json:"waiting_per_second,omitzero"`
	// Takeover is the longest, in seconds, and TakeoverMedian what half of them took at most.
	Takeover       float64 `json:"takeover_seconds,omitempty"`
	TakeoverMedian float64 `json:"takeover_median_seconds,omitempty"`
}

// New makes the rows of cells.
func New(systems []system.System, workloads []workload.Workload, cells []workload.Cell, databases []workload.Database) *Report {
	r := &Report{Databases: databases}
	for _, s := range systems {
		r.Systems = append(r.Systems, System{s.Name, s.Module, s.Kind, s.Database, s.Notes})
	}
	for _, w := range workloads {
		r.Workloads = append(r.Workloads, Workload{w.Name, w.About})
	}
	for _, cell := range cells {
		r.Rows = append(r.Rows, newRow(cell))
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		row.ToRaw = r.ratio(row, system.NameRaw)
		row.ToStatement = r.ratio(row, system.NameRawStatement)
		if row.BytesPerEvent == 0 && len(row.Samples) > 0 {
			row.BytesPerEvent = r.filledBytes(row)
		}
	}
	return r
}

func newRow(cell workload.Cell) Row {
	row := Row{Cell: cell}
	if len(cell.Samples) == 0 {
		return row
	}
	of := func(value func(workload.Sample) float64) float64 { return median(cell.Samples, value) }
	row.Rate = of(workload.Sample.Rate)
	rates := values(cell.Samples, workload.Sample.Rate)
	row.RateLow, row.RateHigh = slices.Min(rates), slices.Max(rates)
	row.P50 = of(func(s workload.Sample) float64 { return s.P50 })
	row.P99 = of(func(s workload.Sample) float64 { return s.P99 })
	row.Allocs = of(func(s workload.Sample) float64 { return s.Allocs })
	row.BytesPerEvent = of(func(s workload.Sample) float64 { return s.BytesPerEvent })
	row.Ratio = of(func(s workload.Sample) float64 { return s.Ratio })
	row.Growth = of(func(s workload.Sample) float64 { return s.Growth })
	row.WriterRate = of(func(s workload.Sample) float64 { return s.WriterRate })
	row.MemoryMiB = of(func(s workload.Sample) float64 { return s.MemoryMiB })
	row.Conflicts = of(func(s workload.Sample) float64 { return float64(s.Conflicts) / float64(max(1, s.Operations)) })
	row.EarlyMiB = of(func(s workload.Sample) float64 { return s.EarlyMiB })
	row.Idle, row.Waiting = cell.Samples[0].Idle, cell.Samples[0].Waiting
	takeover := func(s workload.Sample) float64 { return s.TakeoverSeconds }
	row.Takeover, row.TakeoverMedian = slices.Max(values(cell.Samples, takeover)), of(takeover)
	for _, s := range cell.Samples {
		row.Saved += s.Saved
		row.Missed += s.Missed
		row.Twice += s.Twice
		row.Undecided = row.Undecided || s.Undecided
	}
	return row
}

// row returns that of a system, nil if it has none with a rate.
func (r *Report) row(level int, workload, system string) *Row {
	if row := r.measured(level, workload, system); row != nil && row.Rate > 0 {
		return row
	}
	return nil
}

// measured returns the row of a system, also of a workload that has no rate; nil if
// there is none with a sample.
func (r *Report) measured(level int, workload, system string) *Row {
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Level == level && row.Workload == workload && row.System == system && len(row.Samples) > 0 {
			return row
		}
	}
	return nil
}

// ratio is the median of the ratios in each round, in which both had their turns
// close to each other.
func (r *Report) ratio(row *Row, limit string) float64 {
	base := r.row(row.Level, row.Workload, limit)
	if base == nil || len(row.Samples) == 0 {
		return 0
	}
	var ratios []float64
	for i := range min(len(row.Samples), len(base.Samples)) {
		if rate := base.Samples[i].Rate(); rate > 0 {
			ratios = append(ratios, row.Samples[i].Rate()/rate)
		}
	}
	return medianOf(ratios)
}

// filledBytes is the size of an event in the database that the row is of.
func (r *Report) filledBytes(row *Row) float64 {
	for _, s := range r.Systems {
		if s.Name != row.System {
			continue
		}
		for _, d := range r.Databases {
			if d.Level == row.Level && d.Name == s.Database {
				return d.BytesPerEvent
			}
		}
	}
	return 0
}

func (r *Report) kind(name string) system.Kind {
	for _, s := range r.Systems {
		if s.Name == name {
			return s.Kind
		}
	}
	return ""
}

func (r *Report) levels() []int {
	var levels []int
	for _, row := range r.Rows {
		if !slices.Contains(levels, row.Level) {
			levels = append(levels, row.Level)
		}
	}
	slices.Sort(levels)
	return levels
}

func values(samples []workload.Sample, value func(workload.Sample) float64) []float64 {
	all := make([]float64, len(samples))
	for i, s := range samples {
		all[i] = value(s)
	}
	return all
}

func median(samples []workload.Sample, value func(workload.Sample) float64) float64 {
	return medianOf(values(samples, value))
}

func medianOf(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// WriteJSON writes everything, each round included.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}
