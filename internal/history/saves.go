//go:build unix

package history

import (
	"cmp"
	"maps"
	"slices"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// checkSaves compares each save's outcome with the final list.
func (c *checker) checkSaves() {
	for _, s := range c.h.saves {
		c.checkSave(s)
	}
	if c.options.RealTime {
		c.checkRealTime()
	}
}

// stored gives the places of the save's events that are in the final list.
func (c *checker) stored(s *save) []int32 {
	places := make([]int32, 0, len(s.tried))
	for i := range s.tried {
		if place, ok := c.byKey[s.tried[i].Key]; ok && c.seenSaves[place] == s {
			places = append(places, place)
		}
	}
	return places
}

func (c *checker) checkSave(s *save) {
	places := c.stored(s)
	switch n := len(places); {
	case s.outcome == outcomeFailed && n > 0:
		c.reportSave(FailedStored, s, "%v, yet there is %v", s, c.event(places[0]))
	case s.outcome == outcomeRolledBack && n > 0:
		c.reportSave(RolledBackStored, s, "%v, yet there is %v", s, c.event(places[0]))
	case n > 0 && n < len(s.tried):
		c.reportSave(HalfSave, s, "%d of %d events of %v are there, the first is %v", n, len(s.tried), s, c.event(places[0]))
	case n > 0:
		c.checkWhole(s, places)
	case s.outcome == outcomeDone && len(s.tried) > 0 && !c.options.LostBetween.has(s.ret):
		c.reportSave(LostSave, s, "%v, and none of it is there", s)
	}
}

func (c *checker) reportSave(kind Kind, s *save, format string, args ...any) {
	for i := range s.tried {
		c.broken[s.tried[i].Aggregate] = true
	}
	c.report(kind, format, args...)
}

// checkWhole checks a save all of whose events are there.
func (c *checker) checkWhole(s *save, places []int32) {
	last := make(map[string]*Event)
	for i, place := range places {
		e, asked := c.event(place), s.tried[i].Expected
		if asked != 0 && e.Version != asked {
			c.reportSave(NotAsAsked, s, "%v should have version %d, in %v", e, asked, s)
		}
		if before := last[e.Aggregate]; before != nil &&
			(e.Version != before.Version+1 || e.SequenceID <= before.SequenceID) {
			c.reportSave(NotConsecutive, s, "%v and %v, in %v", before, e, s)
		}
		last[e.Aggregate] = e
	}
	if s.outcome == outcomeDone && s.told != nil {
		c.checkTold(s, places)
	}
}

func (c *checker) checkTold(s *save, places []int32) {
	if len(s.told) != len(places) {
		c.report(ToldWrong, "%d events instead of %d, in %v", len(s.told), len(places), s)
		return
	}
	for i, place := range places {
		told := s.told[i]
		told.Expected = 0
		if e := c.event(place); told != *e {
			c.report(ToldWrong, "%v is stored as %v, in %v", &told, e, s)
		}
	}
}

// checkRealTime goes through the saves in the order in which they began, and
// keeps the highest sequence ID of those that had been acknowledged by then.
func (c *checker) checkRealTime() {
	type stored struct {
		*save
		low, high string
	}
	var begun []stored
	for _, s := range c.h.saves {
		if places := c.stored(s); len(places) > 0 {
			st := stored{save: s}
			for _, place := range places {
				id := c.event(place).SequenceID
				st.high = max(st.high, id)
				if st.low == "" || id < st.low {
					st.low = id
				}
			}
			begun = append(begun, st)
		}
	}
	var ended []stored
	for _, s := range begun {
		if s.outcome == outcomeDone {
			ended = append(ended, s)
		}
	}
	slices.SortFunc(ended, func(a, b stored) int { return cmp.Compare(a.ret, b.ret) })
	var highest stored
	for _, s := range begun {
		for ; len(ended) > 0 && ended[0].ret < s.call; ended = ended[1:] {
			if ended[0].high > highest.high {
				highest = ended[0]
			}
		}
		if s.low < highest.high {
			c.report(RealTimeOrder, "%s of %v is below %s of %v, which was acknowledged before", s.low, s.save, highest.high, highest.save)
		}
	}
}
