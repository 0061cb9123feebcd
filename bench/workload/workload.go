// Package workload has what is measured and runs it: every workload on every
// system, the systems taking turns.
package workload

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/eventsource-go/eventsource/bench/system"
)

// Workload is one thing that is measured.
type Workload struct {
	// Name is made of parts with slashes between them, as in "save/10/new/16".
	Name string
	// About says what is done and what is counted.
	About string
	// Payload names the events, see [Payloads].
	Payload string
	// Conns is how many connections a system may use.
	Conns int
	// Missing says why a session cannot do it, or "".
	Missing func(system.System, system.Session) string
	// Once is for what is not repeated in every round.
	Once bool
	// FromEvents is how many events must be stored for it to be run.
	FromEvents int
	// BelowEvents is how many are too many; 0 if it is run with any number.
	BelowEvents int
	// Stores is how many events are stored for it if that is more than asked for.
	Stores int

	run func(ctx context.Context, r *run) (Sample, error)
}

// Sample is what one system did in one round.
type Sample struct {
	// Operations are saves, loads or pages.
	Operations int     `json:"operations,omitempty"`
	Events     int     `json:"events"`
	Seconds    float64 `json:"seconds"`
	// P50 and P99 are of the operations' durations, or of the latency of events, in
	// milliseconds; 0 where nothing was timed one by one.
	P50 float64 `json:"p50_ms,omitempty"`
	P99 float64 `json:"p99_ms,omitempty"`
	// Allocs are the client's allocations an operation, or an event where there are no operations.
	Allocs float64 `json:"allocs_per_operation,omitempty"`
	// BytesPerEvent is how much the database grew.
	BytesPerEvent float64 `json:"disk_bytes_per_event,omitempty"`
	// Conflicts are saves that had to be tried again, for another save had come first.
	Conflicts int `json:"conflicts,omitempty"`

	// Saved, Missed and Twice are of readers that run beside writers. Undecided is
	// set when the reader was still on its way when the time for it was over.
	Saved     int  `json:"saved,omitempty"`
	Missed    int  `json:"missed,omitempty"`
	Twice     int  `json:"twice,omitempty"`
	Undecided bool `json:"undecided,omitempty"`

	// Ratio is to the rate without what the workload is about.
	Ratio float64 `json:"ratio_to_without,omitempty"`
	// Growth is the ratio to the rate with the fewest events stored, measured right after.
	Growth float64 `json:"ratio_to_lowest_level,omitempty"`
	// WriterRate is what writers beside the reader saved, in events a second.
	WriterRate float64 `json:"writer_rate,omitempty"`
	// MemoryMiB is the peak of a process that does nothing else, in MiB.
	MemoryMiB float64 `json:"memory_mib,omitempty"`
	// EarlyMiB is that peak after a tenth of the events.
	EarlyMiB float64 `json:"early_memory_mib,omitempty"`

	// Idle is what a projection asks of the server each second that has nothing to do;
	// Waiting is what another process asks that waits to take over.
	Idle    Asked `json:"idle_per_second,omitzero"`
	Waiting Asked `json:"waiting_per_second,omitzero"`
	// TakeoverSeconds is from the death of a process until another one has done its work.
	TakeoverSeconds float64 `json:"takeover_seconds,omitempty"`
}

// Rate is in events a second.
func (s Sample) Rate() float64 {
	if s.Seconds == 0 {
		return 0
	}
	return float64(s.Events) / s.Seconds
}

const (
	// fewConns is for workloads of one reader.
	fewConns = 4
	// hotAggregates is how many aggregates the clients of a hot workload share.
	hotAggregates = 8
	// pageSize is how many events a reader asks for at a time.
	pageSize = 1000
	// besides is how many clients save while a reader is measured.
	besides = 4
)

func always(system.System, system.Session) string { return "" }

// All returns the workloads in the order in which they run.
func All() []Workload {
	var all []Workload
	add := func(w Workload) {
		if w.Payload == "" {
			w.Payload = PayloadGit
		}
		if w.Missing == nil {
			w.Missing = always
		}
		all = append(all, w)
	}

	for _, size := range []int{10, 100, 10_000} {
		add(Workload{
			Name:  fmt.Sprintf("load/%d", size),
			About: fmt.Sprintf("one client loads aggregates of %d events", size),
			Conns: fewConns, Stores: storedFor(size), Missing: needsAggregates, run: load(size),
		})
	}
	for _, payload := range []string{PayloadGit, PayloadKilobyte} {
		add(Workload{
			Name: named("catch-up/pages", payload), Payload: payload,
			About: fmt.Sprintf("one reader reads all events from the beginning, %d at a time", pageSize),
			Conns: fewConns, Missing: needs[system.Pager]("its API has no pages"), run: pages,
		})
		add(Workload{
			Name: named("catch-up/stream", payload), Payload: payload,
			About: "one reader reads all events from the beginning in one go",
			Conns: fewConns, Missing: needs[system.Streamer]("no such call"), run: stream,
		})
	}
	add(Workload{
		Name:  "catch-up/writers",
		About: fmt.Sprintf("one reader reads from the beginning while %d clients save one event at a time", besides),
		Conns: fewConns + besides, Missing: needs[system.Streamer]("no such call"), run: catchUpBesideWriters,
	})
	add(Workload{
		Name:       "catch-up/memory",
		About:      "one reader reads a million events as a stream, in a process of its own, whose peak of resident memory is taken",
		Conns:      fewConns,
		FromEvents: memoryEvents, Once: true, Missing: needs[system.Streamer]("no such call"), run: memory,
	})

	for _, size := range []int{1, 10, 100} {
		for _, clients := range []int{1, 8, 16, 64} {
			add(Workload{
				Name:  fmt.Sprintf("save/%d/new/%d", size, clients),
				About: fmt.Sprintf("%s a save, each save to a new aggregate, %s", count(size, "event"), count(clients, "client")),
				Conns: clients, run: save(size, clients, false),
			})
			add(Workload{
				Name: fmt.Sprintf("save/%d/hot/%d", size, clients),
				About: fmt.Sprintf("%s a save, all to the same %d aggregates, %s; a conflict is tried again",
					count(size, "event"), hotAggregates, count(clients, "client")),
				Conns: clients, Missing: needsAggregates, run: save(size, clients, true),
			})
		}
		add(Workload{
			Name: named(fmt.Sprintf("save/%d/new/16", size), PayloadKilobyte), Payload: PayloadKilobyte,
			About: fmt.Sprintf("%s of 1 KB a save, each save to a new aggregate, 16 clients", count(size, "event")),
			Conns: 16, run: save(size, 16, false),
		})
	}
	add(Workload{
		Name:  "save/1/held/16",
		About: fmt.Sprintf("16 clients save while a transaction with %d uncommitted events is open", heldEvents),
		Conns: 17, Missing: needs[system.Holder]("its API has no open transactions"), run: saveBesideHeld,
	})
	add(Workload{
		Name:  "latency/1000",
		About: fmt.Sprintf("%d events/s, from the moment an event is due to be saved until a reader that is woken has it", latencyRate),
		Conns: 16, Missing: needs[system.Follower]("no reader that follows"), run: latency,
	})
	add(Workload{
		Name: "missed/16",
		About: fmt.Sprintf("16 clients save %d times 1 to %d events; the system's own reader follows; what it never delivers is missed",
			missedSaves, missedLargest),
		Conns: 16, Missing: needs[system.Follower]("no reader that follows"), run: missed,
	})
	for _, w := range projections() {
		add(w)
	}
	return all
}

// projections are the workloads of read models.
func projections() []Workload {
	oursOnly := func(s system.System, session system.Session) string {
		if s.Kind != system.Ours {
			return "is not compared in this"
		}
		return needs[system.Projector](noProjection)(s, session)
	}
	return []Workload{
		{
			Name: "project/catch-up",
			About: "a projection with a new read model in PostgreSQL catches up from the first event, one upsert an event; " +
				"the read model is checked",
			Conns: fewConns, BelowEvents: keptLevel, Missing: needs[system.Projector](noProjection), run: projectCatchUp,
		},
		{
			Name: "project/latency",
			About: fmt.Sprintf("%d events/s, from the moment an event is due to be saved until it is committed in a projection's read model",
				latencyRate),
			Conns: 16 + fewConns, BelowEvents: keptLevel, Missing: func(s system.System, session system.Session) string {
				if s.Kind == system.Limit {
					return "a plain loop may miss events"
				}
				return needs[system.Projector](noProjection)(s, session)
			}, run: projectLatency,
		},
		{
			Name:  "project/idle",
			About: fmt.Sprintf("what a projection with default options asks of the server when nothing happens, for %d times the time of a turn", idleTimes),
			Conns: fewConns, BelowEvents: keptLevel, Once: true, Missing: oursOnly, run: projectIdle,
		},
		{
			Name:  "project/takeover",
			About: "a process that runs a projection with default options is killed; the time until another one has applied the next event",
			Conns: fewConns, BelowEvents: keptLevel, Missing: oursOnly, run: projectTakeover,
		},
		{
			Name:  "project/memory",
			About: "a projection applies a million events in a process of its own, whose peak of resident memory is taken",
			Conns: fewConns, FromEvents: memoryEvents, Once: true, Missing: oursOnly, run: projectMemory(memoryEvents),
		},
	}
}

const noProjection = "its projections are not compared"

func named(name, payload string) string {
	if payload == PayloadGit {
		return name
	}
	return name + "/" + payload
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// needs is for workloads that not all sessions can do.
func needs[T any](otherwise string) func(system.System, system.Session) string {
	return func(_ system.System, s system.Session) string {
		if _, ok := s.(T); !ok {
			return otherwise
		}
		return ""
	}
}

func needsAggregates(s system.System, _ system.Session) string {
	if s.Kind == system.MessageLog {
		return "knows no aggregates"
	}
	return ""
}

// Match returns the workloads whose names match the regular expression.
func Match(all []Workload, pattern string) ([]Workload, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var matching []Workload
	for _, w := range all {
		if re.MatchString(w.Name) {
			matching = append(matching, w)
		}
	}
	if len(matching) == 0 {
		return nil, fmt.Errorf("no workload matches %q", pattern)
	}
	return matching, nil
}

// milliseconds of a duration.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
