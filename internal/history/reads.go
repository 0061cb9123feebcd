//go:build unix

package history

import (
	"cmp"
	"slices"
	"sort"
)

func (c *checker) checkPages() {
	for _, page := range c.h.pages {
		if page.limit > 0 && len(page.events) > page.limit {
			c.report(OverLimit, "the limit of %v was %d", page, page.limit)
		}
		c.checkTooEarly(page)
		want, at := c.after(page)
		if rest := want[at:]; len(page.events) <= len(rest) && slices.Equal(page.events, rest[:len(page.events)]) {
			continue
		}
		c.explainPage(page, want, at)
	}
}

// after gives the part of the final list that a page is from, and where the
// first event after its cursor is.
func (c *checker) after(page *read) (want []int32, at int) {
	want = c.final
	if page.eventType != "" {
		want = c.byType[page.eventType]
	}
	return want, sort.Search(len(want), func(i int) bool { return c.event(want[i]).SequenceID > page.cursor })
}

// contents is what a read has, to look things up in.
type contents struct{ keys, sequenceIDs map[string]bool }

func (c *checker) contents(r *read) contents {
	in := contents{make(map[string]bool, len(r.events)), make(map[string]bool, len(r.events))}
	for _, place := range r.events {
		in.keys[c.event(place).Key] = true
		in.sequenceIDs[c.event(place).SequenceID] = true
	}
	return in
}

// has reports whether the event is there, be it in another form, which is
// reported as such.
func (in *contents) has(e *Event) bool { return in.keys[e.Key] || in.sequenceIDs[e.SequenceID] }

// explainPage says what is wrong with a page that is not what should follow its
// cursor. Final pages are only checked in themselves: they have been compared.
func (c *checker) explainPage(page *read, want []int32, at int) {
	in, handed := c.contents(page), make(map[int32]bool, len(page.events))
	last, complete := page.cursor, !page.final
	for _, place := range page.events {
		e, again := c.event(place), handed[place]
		handed[place] = true
		switch {
		case page.eventType != "" && e.Type != page.eventType:
			c.report(OtherType, "%v in %v", e, page)
			continue
		case e.SequenceID <= page.cursor:
			c.report(NotAfterCursor, "%v in %v", e, page)
			continue
		case again:
			c.report(HandedTwice, "%v in %v", e, page)
			continue
		case e.SequenceID <= last:
			c.report(OutOfOrder, "%v comes after %s in %v", e, last, page)
			continue
		}
		last = e.SequenceID
		if !page.final && !c.isFinal[place] && c.explainMissing(page, e, c.seenSaves[place]) {
			complete = false // what came after the loss has other sequence IDs
		}
		for ; at < len(want) && c.event(want[at]).SequenceID <= last; at++ {
			if skipped := c.event(want[at]); complete && !in.has(skipped) {
				c.report(Skipped, "%v, of %v, is missing in %v, which has %v", skipped, c.seenSaves[want[at]], page, e)
			}
		}
	}
}

// explainMissing says what is wrong with an event that was read and is not in
// the final list as it is. It reports whether the event may have been lost.
func (c *checker) explainMissing(r *read, e *Event, by *save) (lost bool) {
	other, ok := c.byKey[e.Key]
	if !ok {
		other, ok = c.bySequence[e.SequenceID]
	}
	switch {
	case ok:
		c.report(Unstable, "%v in %v is now %v", e, r, c.event(other))
		return false
	case by != nil && by.outcome != outcomeFailed && by.outcome != outcomeRolledBack && c.options.LostBetween.has(r.ret):
		return true
	default:
		c.report(NotInFinal, "%v, of %v, in %v", e, by, r)
		return false
	}
}

// checkTooEarly looks for events of saves that began after the read had ended.
func (c *checker) checkTooEarly(r *read) {
	for _, place := range r.events {
		if s := c.seenSaves[place]; s != nil && s.call > r.ret {
			c.broken[r.aggregate] = true // no matter for a page, which has none
			c.report(TooEarly, "%v in %v, but its save began later: %v", c.event(place), r, s)
		}
	}
}

// checkReadersFinished adds up what each of the readers was handed.
func (c *checker) checkReadersFinished() {
	type who struct{ reader, eventType string }
	pages := make(map[who][]*read)
	var order []who
	read := make(map[string]bool)
	for _, page := range c.h.pages {
		w := who{page.reader, page.eventType}
		if !slices.Contains(c.options.ReadersFinished, page.reader) {
			continue
		}
		if pages[w] == nil {
			order = append(order, w)
		}
		pages[w] = append(pages[w], page)
		read[page.reader] = true
	}
	for _, name := range c.options.ReadersFinished {
		if !read[name] {
			c.report(NotFinished, "%s has read no page", name)
		}
	}
	for _, w := range order {
		handed := make([]bool, len(c.h.seen.events))
		for _, page := range pages[w] {
			for _, place := range page.events {
				handed[place] = true
			}
		}
		want, at := c.after(pages[w][0])
		for _, place := range want[at:] {
			if !handed[place] {
				c.report(NotFinished, "%s was never handed %v, of %v; its first page is %v and its last %v",
					w.reader, c.event(place), c.seenSaves[place], pages[w][0], pages[w][len(pages[w])-1])
				break
			}
		}
	}
}

// checkLoads compares each load with the beginning of its aggregate, and finds
// those that miss what had been acknowledged before.
func (c *checker) checkLoads() {
	acknowledged := c.acknowledged()
	for _, load := range c.h.loads {
		if load.final {
			continue
		}
		c.checkTooEarly(load)
		want := c.byAggregate[load.aggregate]
		if n := len(load.events); n > len(want) || !slices.Equal(load.events, want[:n]) {
			c.explainLoad(load, want)
			continue
		}
		acks := acknowledged[load.aggregate]
		i := sort.Search(len(acks), func(i int) bool { return acks[i].ret >= load.call })
		if i > 0 && acks[i-1].version > len(load.events) {
			c.broken[load.aggregate] = true
			c.report(StaleLoad, "%v misses version %d, of %v", load, acks[i-1].version, acks[i-1].by)
		}
	}
}

// ack says that from a moment on an aggregate has at least a version.
type ack struct {
	ret     int64
	version int
	by      *save
}

// acknowledged gives the acks of each aggregate in the order of time, with
// versions that only rise.
func (c *checker) acknowledged() map[string][]ack {
	acks := make(map[string][]ack)
	for aggregate, places := range c.byAggregate {
		for _, place := range places {
			if s := c.seenSaves[place]; s != nil && s.outcome == outcomeDone {
				acks[aggregate] = append(acks[aggregate], ack{s.ret, c.event(place).Version, s})
			}
		}
		list := acks[aggregate]
		slices.SortFunc(list, func(a, b ack) int { return cmp.Compare(a.ret, b.ret) })
		for i := 1; i < len(list); i++ {
			if list[i-1].version > list[i].version {
				list[i].version, list[i].by = list[i-1].version, list[i-1].by
			}
		}
	}
	return acks
}

// explainLoad says what is wrong with a load that is not the beginning of its
// aggregate. A load of what was lost afterwards is right, and says nothing more.
func (c *checker) explainLoad(load *read, want []int32) {
	in, handed, lost, highest := c.contents(load), make(map[int32]bool, len(load.events)), false, 0
	for _, place := range load.events {
		e := c.event(place)
		switch {
		case e.Aggregate != load.aggregate:
			c.report(OtherAggregate, "%v in %v", e, load)
		case handed[place]:
			c.report(HandedTwice, "%v in %v", e, load)
		case e.Version <= highest:
			c.report(OutOfOrder, "%v comes after version %d in %v", e, highest, load)
		case !c.isFinal[place]:
			lost = c.explainMissing(load, e, c.seenSaves[place]) || lost
		}
		handed[place], highest = true, max(highest, e.Version)
	}
	for _, place := range want {
		if e := c.event(place); !lost && e.Version < highest && !in.has(e) {
			c.report(Skipped, "%v, of %v, is missing in %v", e, c.seenSaves[place], load)
		}
	}
	c.broken[load.aggregate] = c.broken[load.aggregate] || !lost
}
