//go:build unix

package history

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
)

// scene is a history that tests make up. What is read comes from what is stored,
// so that a test that changes one thing changes nothing else.
type scene struct {
	saves  []*saveScene
	reads  []*readScene
	stored []Event // the final list
	// final changes what a final reader is shown: "whole 2", "type Added", "aggregate a".
	final func(reader string, events []Event) []Event
}

type saveScene struct {
	process   string
	call, ret int64
	outcome   outcome
	conflict  *conflict
	tried     []Event
	told      []Event
}

// readScene is a load if it has an aggregate, else a page.
type readScene struct {
	call, ret int64
	aggregate string
	reader    string
	cursor    string
	limit     int
	eventType string
	upTo      string // the last sequence ID that may be read, "" for no limit
	edit      func([]Event) []Event
}

func seq(n int) string { return fmt.Sprintf("01J%023d", n) }

func (s *scene) events(r *readScene) []Event {
	var events []Event
	for _, e := range s.stored {
		switch {
		case e.SequenceID <= r.cursor, r.upTo != "" && e.SequenceID > r.upTo:
		case r.aggregate != "" && e.Aggregate != r.aggregate, r.eventType != "" && e.Type != r.eventType:
		case r.limit > 0 && len(events) == r.limit:
		default:
			events = append(events, e)
		}
	}
	if r.aggregate != "" {
		slices.SortStableFunc(events, func(a, b Event) int { return a.Version - b.Version })
	}
	if r.edit != nil {
		events = r.edit(slices.Clone(events))
	}
	return events
}

// files gives the lines of each process.
func (s *scene) files() map[string][]line {
	files := make(map[string][]line)
	id := int64(0)
	add := func(process string, lines ...line) {
		if files[process] == nil {
			files[process] = []line{{Op: opOpen, Process: process}}
		}
		for _, l := range lines {
			l.ID = id
			files[process] = append(files[process], l)
		}
	}
	for _, save := range s.saves {
		id++
		add(save.process, line{Op: opSave, Time: save.call, Events: save.tried})
		if save.outcome != outcomeNone {
			add(save.process, line{Op: opReturn, Time: save.ret, Outcome: save.outcome, Events: save.told, Conflict: save.conflict})
		}
	}
	read := func(process string, r *readScene, events []Event) {
		id++
		op := opPage
		if r.aggregate != "" {
			op = opLoad
		}
		add(process, line{Op: op, Time: r.call, Aggregate: r.aggregate, Reader: r.reader, Cursor: r.cursor, Limit: r.limit, EventType: r.eventType},
			line{Op: opReturn, Time: r.ret, Outcome: outcomeDone, Events: events})
	}
	for _, r := range s.reads {
		read("reader", r, s.events(r))
	}
	add("final", line{Op: opFinal})
	for _, r := range s.finalReads() {
		name, events := r.reader, s.events(r)
		if r.aggregate != "" {
			name = "aggregate " + r.aggregate
		}
		if s.final != nil {
			events = s.final(name, slices.Clone(events))
		}
		for size := max(r.limit, 1); ; { // in pages, if it has a limit
			page := events
			if r.limit > 0 {
				page = events[:min(size, len(events))]
			}
			read("final", r, page)
			if events = events[len(page):]; len(events) == 0 {
				break
			}
			next := *r
			next.cursor = page[len(page)-1].SequenceID
			next.call, next.ret = r.call+1, r.ret+1
			r = &next
		}
	}
	return files
}

const afterAll = 1_000_000_000

func (s *scene) finalReads() []*readScene {
	types, aggregates := make(map[string]bool), make(map[string]bool)
	for _, e := range s.stored {
		types[e.Type], aggregates[e.Aggregate] = true, true
	}
	reads := []*readScene{{reader: "whole 1"}, {reader: "whole 2"}}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		reads = append(reads, &readScene{reader: "type " + name, eventType: name})
	}
	for _, name := range slices.Sorted(maps.Keys(aggregates)) {
		reads = append(reads, &readScene{aggregate: name})
	}
	for i, r := range reads {
		r.call, r.ret = afterAll+int64(i)*10_000_000, afterAll+int64(i)*10_000_000+1
	}
	return reads
}

// history gives what would be read from the files.
func history(t testing.TB, files map[string][]line) *History {
	t.Helper()
	h, mu := newHistory(), sync.Mutex{}
	for _, process := range sortedKeys(files) {
		f := &file{history: h, mu: &mu, open: make(map[int64]any)}
		for i := range files[process] {
			if err := f.add(&files[process][i], i == 0); err != nil {
				t.Fatalf("%s: %v", process, err)
			}
		}
	}
	h.sort()
	return h
}

func mustRead(t testing.TB, paths ...string) *History {
	t.Helper()
	h, err := Read(paths...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// kinds gives the kinds of violations in the error of a check.
func kinds(t testing.TB, err error) []Kind {
	t.Helper()
	if err == nil {
		return nil
	}
	var found *CheckError
	if !errors.As(err, &found) {
		t.Fatalf("no CheckError: %v", err)
	}
	return slices.Sorted(maps.Keys(found.Counts))
}

// good is a history in which everything happens that may happen, and nothing is wrong.
func good() *scene {
	s := &scene{}
	now := int64(0)
	versions := make(map[string]int)
	save := func(process string, outcome outcome, stored bool, events ...Event) *saveScene {
		now += 100
		sv := &saveScene{process: process, call: now, ret: now + 50, outcome: outcome, tried: events}
		s.saves = append(s.saves, sv)
		if !stored {
			return sv
		}
		for _, e := range events {
			versions[e.Aggregate]++
			e.Version, e.Expected, e.SequenceID = versions[e.Aggregate], 0, seq(len(s.stored)+1)
			s.stored = append(s.stored, e)
			if outcome == outcomeDone {
				sv.told = append(sv.told, e)
			}
		}
		return sv
	}
	event := func(key, aggregate string, expected int) Event {
		return Event{Key: key, Aggregate: aggregate, Type: "Added", Expected: expected}
	}
	save("w1", outcomeDone, true, event("k1", "a", 0))
	save("w1", outcomeDone, true, event("k2", "a", 2), event("k3", "b", 0))
	save("w2", outcomeRolledBack, false, event("k4", "b", 2))
	save("w2", outcomeFailed, false, event("k5", "a", 0))
	save("w2", outcomeFailed, false, event("k6", "b", 0), event("k6a", "a", 0), event("k6b", "a", 3)).
		conflict = &conflict{Aggregate: "a", Expected: 3, Actual: 3}
	save("w2", outcomeUnknown, true, event("k7", "b", 0))
	save("w2", outcomeUnknown, false, event("k8", "b", 0))
	save("w3", outcomeNone, true, Event{Key: "k9", Aggregate: "c", Type: "Removed"})
	save("w4", outcomeNone, false, event("k10", "c", 0))
	save("w1", outcomeDone, true, event("k11", "d", 1))
	save("w1", outcomeDone, true, event("k12", "e", 0), event("k13", "f", 0))
	save("w5", outcomeUnknown, true, event("k14", "e2", 0), event("k15", "f2", 0))
	save("w6", outcomeNone, true, event("k16", "e3", 0), event("k17", "f3", 0))
	save("w7", outcomeNone, true, event("k18", "g", 0))
	save("w8", outcomeNone, true, event("k19", "g", 0))
	save("w9", outcomeNone, true, event("k20", "h", 0), event("k21", "h", 0))
	save("w10", outcomeNone, true, event("k22", "h", 0))
	save("w1", outcomeDone, true, Event{Key: "k23", Aggregate: "a", Type: "Removed"}).told = nil // not everyone is told

	add := func(r *readScene) {
		now += 100
		r.call, r.ret = now, now+50
		s.reads = append(s.reads, r)
	}
	add(&readScene{reader: "r1", limit: 3})
	add(&readScene{reader: "r1", cursor: seq(3), limit: 5})
	add(&readScene{reader: "r1", cursor: seq(2), limit: 5}) // began anew from what it had kept
	add(&readScene{reader: "r1", cursor: seq(5)})
	add(&readScene{reader: "r1", cursor: seq(17)})
	add(&readScene{reader: "typed", eventType: "Added", limit: 4})
	add(&readScene{reader: "lazy", cursor: seq(1), limit: 4})
	for _, aggregate := range []string{"a", "g", "h", "nothing"} {
		add(&readScene{aggregate: aggregate})
	}
	return s
}

// of finds the save of a key.
func (s *scene) of(key string) *saveScene {
	for _, sv := range s.saves {
		if slices.ContainsFunc(sv.tried, func(e Event) bool { return e.Key == key }) {
			return sv
		}
	}
	panic("no save of " + key)
}

// event finds a stored event.
func (s *scene) event(key string) *Event { return &s.stored[s.place(key)] }

func (s *scene) place(key string) int {
	return slices.IndexFunc(s.stored, func(e Event) bool { return e.Key == key })
}

func (s *scene) remove(key string) {
	s.stored = slices.Delete(s.stored, s.place(key), s.place(key)+1)
}

func (s *scene) sort() {
	slices.SortFunc(s.stored, func(a, b Event) int {
		if a.SequenceID < b.SequenceID {
			return -1
		}
		return 1
	})
}

// load finds the first load of an aggregate.
func (s *scene) load(aggregate string) *readScene {
	return s.reads[slices.IndexFunc(s.reads, func(r *readScene) bool { return r.aggregate == aggregate })]
}

// page finds the first page of a reader.
func (s *scene) page(reader string) *readScene {
	return s.reads[slices.IndexFunc(s.reads, func(r *readScene) bool { return r.reader == reader })]
}
