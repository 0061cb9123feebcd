//go:build unix

package history

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawScene makes up a history of a store that keeps its promises: operations
// take place one after the other, and the times around them are wider.
func drawScene(t *rapid.T) *scene {
	s := &scene{}
	versions := make(map[string]int)
	n := rapid.IntRange(5, 40).Draw(t, "operations")
	for i := range n {
		at := int64(i+1) * 100
		call := max(1, at-rapid.Int64Range(1, 300).Draw(t, "before"))
		ret := at + rapid.Int64Range(0, 300).Draw(t, "after")
		switch rapid.SampledFrom([]string{"save", "save", "save", "load", "page"}).Draw(t, "operation") {
		case "save":
			s.drawSave(t, i, call, ret, versions)
		case "load":
			s.reads = append(s.reads, &readScene{call: call, ret: ret, upTo: seq(len(s.stored)),
				aggregate: rapid.SampledFrom(aggregates).Draw(t, "aggregate")})
		case "page":
			s.reads = append(s.reads, &readScene{call: call, ret: ret, upTo: seq(len(s.stored)),
				reader: "r", cursor: seq(rapid.IntRange(0, len(s.stored)).Draw(t, "cursor")),
				limit:     rapid.IntRange(0, 5).Draw(t, "limit"),
				eventType: rapid.SampledFrom([]string{"", "Added", "Removed"}).Draw(t, "type")})
		}
	}
	return s
}

func (s *scene) drawSave(t *rapid.T, i int, call, ret int64, versions map[string]int) {
	sv := &saveScene{process: fmt.Sprint("w", i), call: call, ret: ret}
	s.saves = append(s.saves, sv)
	for j := range rapid.IntRange(1, 3).Draw(t, "events") {
		sv.tried = append(sv.tried, Event{Key: fmt.Sprint(i, "/", j), Type: rapid.SampledFrom([]string{"Added", "Removed"}).Draw(t, "type"),
			Aggregate: rapid.SampledFrom(aggregates).Draw(t, "aggregate")})
	}
	kind := rapid.SampledFrom([]string{"done", "done", "unknown", "none", "not unknown", "not none", "failed", "conflict", "rolledback"}).Draw(t, "outcome")
	switch kind {
	case "done", "unknown", "none":
	case "conflict":
		e := &sv.tried[0]
		e.Expected = versions[e.Aggregate] + rapid.IntRange(2, 5).Draw(t, "ahead")
		sv.outcome, sv.conflict = outcomeFailed, &conflict{e.Aggregate, e.Expected, versions[e.Aggregate]}
		return
	default:
		sv.outcome = map[string]outcome{"not unknown": outcomeUnknown, "failed": outcomeFailed, "rolledback": outcomeRolledBack}[kind]
		return
	}
	for j := range sv.tried {
		e := &sv.tried[j]
		versions[e.Aggregate]++
		if rapid.Bool().Draw(t, "expects") {
			e.Expected = versions[e.Aggregate]
		}
		stored := *e
		stored.Expected, stored.Version, stored.SequenceID = 0, versions[e.Aggregate], seq(len(s.stored)+1)
		s.stored = append(s.stored, stored)
		sv.told = append(sv.told, stored)
	}
	switch kind {
	case "done":
		sv.outcome = outcomeDone
	case "unknown":
		sv.outcome, sv.told = outcomeUnknown, nil
	case "none":
		sv.told = nil
	}
}

func TestRandomHistoriesOfAGoodStoreAreAccepted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScene(rt)
		if err := history(t, s.files()).Check(Options{RealTime: true}); err != nil {
			rt.Fatal(err)
		}
	})
}

// draw gives one of those that fulfil a condition, nil if there is none.
func draw[E any](t *rapid.T, list []*E, condition func(*E) bool) *E {
	var fit []*E
	for _, e := range list {
		if condition(e) {
			fit = append(fit, e)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return rapid.SampledFrom(fit).Draw(t, "which")
}

func isDone(sv *saveScene) bool { return sv.outcome == outcomeDone }

// mutants each break one thing, and report false where there is nothing to break.
var mutants = map[string]func(t *rapid.T, s *scene) bool{
	"an acknowledged event is gone": func(t *rapid.T, s *scene) bool {
		sv := draw(t, s.saves, isDone)
		if sv != nil {
			s.remove(rapid.SampledFrom(sv.tried).Draw(t, "event").Key)
		}
		return sv != nil
	},
	"an acknowledged save was refused": func(t *rapid.T, s *scene) bool {
		sv := draw(t, s.saves, isDone)
		if sv != nil {
			sv.outcome = rapid.SampledFrom([]outcome{outcomeFailed, outcomeRolledBack}).Draw(t, "outcome")
		}
		return sv != nil
	},
	"another version was told": func(t *rapid.T, s *scene) bool {
		sv := draw(t, s.saves, isDone)
		if sv != nil {
			sv.told[rapid.IntRange(0, len(sv.told)-1).Draw(t, "event")].Version += rapid.SampledFrom([]int{-1, 1, 7}).Draw(t, "off")
		}
		return sv != nil
	},
	"another sequence ID was told": func(t *rapid.T, s *scene) bool {
		sv := draw(t, s.saves, isDone)
		if sv != nil {
			sv.told[rapid.IntRange(0, len(sv.told)-1).Draw(t, "event")].SequenceID = seq(rapid.IntRange(1000, 2000).Draw(t, "sequence ID"))
		}
		return sv != nil
	},
	"two events have changed places": func(t *rapid.T, s *scene) bool {
		if len(s.stored) < 2 {
			return false
		}
		i := rapid.IntRange(0, len(s.stored)-2).Draw(t, "event")
		a, b := &s.stored[i], &s.stored[i+1]
		if s.of(a.Key) != s.of(b.Key) || a.Aggregate != b.Aggregate {
			return false // of different saves, and perhaps nobody can tell
		}
		a.Key, b.Key = b.Key, a.Key
		a.Type, b.Type = b.Type, a.Type
		return true
	},
	"a version is wrong": func(t *rapid.T, s *scene) bool {
		if len(s.stored) == 0 {
			return false
		}
		s.stored[rapid.IntRange(0, len(s.stored)-1).Draw(t, "event")].Version += rapid.SampledFrom([]int{-1, 1, 7}).Draw(t, "off")
		return true
	},
	"a stranger is stored": func(t *rapid.T, s *scene) bool {
		s.stored = append(s.stored, Event{Key: "stranger", Aggregate: "z", Type: "Added", Version: 1, SequenceID: seq(len(s.stored) + 1)})
		return true
	},
	"an event is stored again": func(t *rapid.T, s *scene) bool {
		if len(s.stored) == 0 {
			return false
		}
		again := rapid.SampledFrom(s.stored).Draw(t, "event")
		again.SequenceID = seq(len(s.stored) + 1)
		s.stored = append(s.stored, again)
		return true
	},
	"a read lacks an event": func(t *rapid.T, s *scene) bool {
		r := draw(t, s.reads, func(r *readScene) bool { return len(s.events(r)) > 1 })
		if r != nil {
			r.edit = drop(rapid.IntRange(0, len(s.events(r))-2).Draw(t, "event"))
		}
		return r != nil
	},
	"a read has an event twice": func(t *rapid.T, s *scene) bool {
		r := draw(t, s.reads, func(r *readScene) bool { return len(s.events(r)) > 0 })
		if r != nil {
			r.edit = double(rapid.IntRange(0, len(s.events(r))-1).Draw(t, "event"))
		}
		return r != nil
	},
	"a read is out of order": func(t *rapid.T, s *scene) bool {
		r := draw(t, s.reads, func(r *readScene) bool { return len(s.events(r)) > 1 })
		if r != nil {
			i := rapid.IntRange(0, len(s.events(r))-2).Draw(t, "event")
			r.edit = swap(i, i+1)
		}
		return r != nil
	},
	"a read has what is not stored": func(t *rapid.T, s *scene) bool {
		r := draw(t, s.reads, func(*readScene) bool { return true })
		if r != nil {
			r.limit = 0
			r.edit = add(Event{Key: "stranger", Aggregate: "a", Type: "Added", Version: 1000, SequenceID: seq(1000)})
		}
		return r != nil
	},
	"a load misses what was acknowledged": func(t *rapid.T, s *scene) bool {
		r := draw(t, s.reads, func(r *readScene) bool {
			events := s.events(r)
			if r.aggregate == "" || len(events) == 0 {
				return false
			}
			sv := s.of(events[len(events)-1].Key)
			return isDone(sv) && sv.ret < r.call
		})
		if r != nil {
			r.edit = drop(len(s.events(r)) - 1)
		}
		return r != nil
	},
	"a page is from the future": func(t *rapid.T, s *scene) bool {
		r := draw(t, s.reads, func(r *readScene) bool { return len(s.events(r)) > 0 })
		if r != nil {
			r.call, r.ret = -1, 0
		}
		return r != nil
	},
	"a conflict names another version": func(t *rapid.T, s *scene) bool {
		sv := draw(t, s.saves, func(sv *saveScene) bool { return sv.conflict != nil })
		if sv != nil {
			sv.conflict.Actual = 1000
			sv.tried[0].Expected, sv.conflict.Expected = 7, 7
		}
		return sv != nil
	},
	"a final reading differs": func(t *rapid.T, s *scene) bool {
		if len(s.stored) == 0 {
			return false
		}
		s.final = finalOf("whole 2", drop(rapid.IntRange(0, len(s.stored)-1).Draw(t, "event")))
		return true
	},
}

func TestARandomHistoryThatIsBrokenIsCaught(t *testing.T) {
	for _, name := range sortedKeys(mutants) {
		t.Run(name, func(t *testing.T) {
			broke := 0
			rapid.Check(t, func(rt *rapid.T) {
				s := drawScene(rt)
				if !mutants[name](rt, s) {
					return
				}
				broke++
				err := history(t, s.files()).Check(Options{RealTime: true})
				var found *CheckError
				if !errors.As(err, &found) || len(found.Violations) == 0 {
					rt.Fatalf("%s, and it was accepted: %v", name, err)
				}
				if slices.Contains(kinds(t, err), NotDecided) {
					rt.Fatal(err)
				}
			})
			if broke == 0 {
				t.Error("no history was fit to be broken")
			}
		})
	}
}
