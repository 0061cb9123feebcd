//go:build unix

package history

import (
	"cmp"
	"slices"
)

// pass is one final reading from the beginning to the end.
type pass struct {
	reader, eventType string
	events            []int32
	first, last       *read
	position          string
	torn              bool // a page does not begin where the one before ended
}

// finalPasses puts the pages of final readers together, in the order in which
// the passes began.
func (h *History) finalPasses() []*pass {
	type who struct{ reader, eventType string }
	var passes []*pass
	current := make(map[who]*pass)
	for _, page := range h.pages {
		if !page.final {
			continue
		}
		p := current[who{page.reader, page.eventType}]
		if p == nil || page.cursor == "" && p.position != "" {
			p = &pass{reader: page.reader, eventType: page.eventType, first: page}
			passes = append(passes, p)
			current[who{page.reader, page.eventType}] = p
		}
		p.torn = p.torn || page.cursor != p.position
		p.last = page
		p.events = append(p.events, page.events...)
		if n := len(page.events); n > 0 {
			p.position = h.seen.events[page.events[n-1]].SequenceID
		}
	}
	return passes
}

// checkFinal finds the final list, the first reading of all events, and compares
// the other final reads with it. It reports false if there is none.
func (c *checker) checkFinal() bool {
	passes := c.h.finalPasses()
	whole := slices.IndexFunc(passes, func(p *pass) bool { return p.eventType == "" })
	if whole < 0 {
		c.report(NoFinalList, "no final reader has read all events")
		return false
	}
	c.indexFinal(passes[whole])
	for _, p := range passes {
		if p.torn {
			c.report(FinalDisagrees, "the pages of %s do not follow each other, from %v to %v", p.reader, p.first, p.last)
		}
		want := c.final
		if p.eventType != "" {
			want = c.byType[p.eventType]
		}
		c.compareFinal(p.last, p.events, want)
	}
	c.checkStored()
	c.checkVersions()
	for _, load := range c.h.loads {
		if load.final {
			c.checkFinalLoad(load)
		}
	}
	return true
}

// checkFinalLoad checks that a load has all events of its aggregate, each once
// and in the order of versions.
func (c *checker) checkFinalLoad(load *read) {
	if !c.compareFinal(load, load.events, c.byAggregate[load.aggregate]) {
		c.broken[load.aggregate] = true
	}
	for i := 1; i < len(load.events) && !c.broken[load.aggregate]; i++ {
		if a, b := c.event(load.events[i-1]), c.event(load.events[i]); a.Version >= b.Version {
			c.broken[load.aggregate] = true
			c.report(OutOfOrder, "%v comes after %v in %v", b, a, load)
		}
	}
}

// indexFinal sorts the final list, which readers should not have had to do: the
// check of pages says so if they had.
func (c *checker) indexFinal(p *pass) {
	c.final = slices.Clone(p.events)
	slices.SortStableFunc(c.final, func(a, b int32) int { return cmp.Compare(c.event(a).SequenceID, c.event(b).SequenceID) })
	c.final = slices.Compact(c.final) // handed out twice, which the check of pages reports
	c.byType, c.byAggregate = make(map[string][]int32), make(map[string][]int32)
	c.byKey, c.bySequence = make(map[string]int32, len(c.final)), make(map[string]int32, len(c.final))
	c.isFinal = make([]bool, len(c.h.seen.events))
	for _, place := range c.final {
		e := c.event(place)
		c.byType[e.Type] = append(c.byType[e.Type], place)
		c.byAggregate[e.Aggregate] = append(c.byAggregate[e.Aggregate], place)
		if other, ok := c.byKey[e.Key]; ok {
			c.broken[e.Aggregate] = true
			c.report(Duplicate, "%v and %v, of %v", c.event(other), e, c.savedBy[e.Key])
		} else {
			c.byKey[e.Key] = place
		}
		c.bySequence[e.SequenceID] = place
		c.isFinal[place] = true
	}
}

// compareFinal compares what was read with what should have been, as sets: the
// order is checked page by page. It reports whether they are the same.
func (c *checker) compareFinal(by *read, have, want []int32) bool {
	if slices.Equal(have, want) {
		return true
	}
	missing, extra := minus(want, have), minus(have, want)
	switch {
	case len(missing) > 0 && len(extra) > 0:
		c.report(FinalDisagrees, "%v lacks %d events, the first is %v, and has %d that it should not have, the first is %v",
			by, len(missing), c.event(missing[0]), len(extra), c.event(extra[0]))
	case len(missing) > 0:
		c.report(FinalDisagrees, "%v lacks %d events, the first is %v", by, len(missing), c.event(missing[0]))
	case len(extra) > 0:
		c.report(FinalDisagrees, "%v has %d events that it should not have, the first is %v", by, len(extra), c.event(extra[0]))
	default:
		return true
	}
	return false
}

// minus gives what is in a and not in b.
func minus(a, b []int32) (rest []int32) {
	in := make(map[int32]bool, len(b))
	for _, place := range b {
		in[place] = true
	}
	for _, place := range a {
		if !in[place] {
			rest = append(rest, place)
		}
	}
	return rest
}

// checkStored finds what nobody tried to save, at least not like this.
func (c *checker) checkStored() {
	for _, place := range c.final {
		e, s := c.event(place), c.seenSaves[place]
		if s == nil {
			c.broken[e.Aggregate] = true
			c.report(OutOfNowhere, "%v", e)
			continue
		}
		if tried := s.event(e.Key); tried.Aggregate != e.Aggregate || tried.Type != e.Type {
			c.broken[e.Aggregate], c.broken[tried.Aggregate] = true, true
			c.report(Changed, "%v was %s of %q in %v", e, tried.Type, tried.Aggregate, s)
		}
	}
}

// event is the event with the key, which the save has.
func (s *save) event(key string) *Event {
	return &s.tried[slices.IndexFunc(s.tried, func(e Event) bool { return e.Key == key })]
}

// checkVersions looks for 1, 2, 3, ... in each aggregate.
func (c *checker) checkVersions() {
	for _, aggregate := range sortedKeys(c.byAggregate) {
		places := c.byAggregate[aggregate]
		byVersion := func(a, b int32) int { return cmp.Compare(c.event(a).Version, c.event(b).Version) }
		if !slices.IsSortedFunc(places, byVersion) {
			i := 1
			for byVersion(places[i-1], places[i]) <= 0 {
				i++
			}
			c.broken[aggregate] = true
			c.report(VersionOrder, "%v, of %v, comes before %v, of %v",
				c.event(places[i-1]), c.seenSaves[places[i-1]], c.event(places[i]), c.seenSaves[places[i]])
			places = slices.Clone(places)
			slices.SortFunc(places, byVersion)
		}
		for i, place := range places {
			if e := c.event(place); e.Version != i+1 {
				c.broken[aggregate] = true
				c.report(VersionGap, "%v has the place of version %d, of %v", e, i+1, c.seenSaves[place])
				break
			}
		}
	}
}
