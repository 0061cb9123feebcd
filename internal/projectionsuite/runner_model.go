package projectionsuite

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/eventsource-go/eventsource/projection"
)

// RunHistories has instances come, go, freeze and wake up at random, while events are
// saved, the number of partitions changes and the projection is reset; in the end every
// event must have been handled, those of an aggregate in order. Each history is on a
// backend of its own.
func RunHistories(t *testing.T, open func(t *testing.T) Backend) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{world: newWorld(t, open(t)), rt: rt, lastReset: -1}
		defer h.stopAll()
		defer h.thawAll()
		rt.Repeat(map[string]func(*rapid.T){
			"save":   h.save,
			"start":  h.startOne,
			"stop":   h.stopOne,
			"freeze": h.freeze,
			"thaw":   h.thaw,
			"reset":  h.reset,
			"wait":   h.wait,
		})
		h.finish()
	})
}

type history struct {
	*world
	rt        *rapid.T
	journal   journal
	running   []*gated
	ids       []string // of all saved events
	resetTo   string
	lastReset int // how much of the journal there was then, -1 if there was none
	number    int
}

// gated is an instance that can freeze.
type gated struct {
	*instance
	gate *gate
	shut bool
}

func (h *history) save(t *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(t, "events") {
		h.ids = append(h.ids, h.world.save(openedOf(fmt.Sprint("a", rapid.IntRange(0, 9).Draw(t, "aggregate")))))
	}
}

func (h *history) startOne(t *rapid.T) {
	if len(h.running) == 4 {
		t.Skip("enough run")
	}
	h.startWith(rapid.SampledFrom([]int{1, 2, 3, 5, h.Partitions}).Draw(t, "partitions"), rapid.IntRange(1, 10).Draw(t, "batch"))
}

func (h *history) startWith(partitions, batch int) {
	h.number++
	g := newGate()
	i := h.start(h.journal.handler(fmt.Sprint(h.number)), projection.WithCheckpoints(intercept(h.checkpoints, g.around)),
		projection.WithPartitions(partitions), projection.WithBatchSize(batch), projection.WithPollInterval(50*time.Millisecond))
	h.running = append(h.running, &gated{instance: i, gate: g})
}

func (h *history) stopOne(t *rapid.T) {
	i := h.pick(t, func(g *gated) bool { return !g.shut })
	h.stop(h.running[i].instance)
	h.running = slices.Delete(h.running, i, i+1)
}

func (h *history) freeze(t *rapid.T) {
	g := h.running[h.pick(t, func(g *gated) bool { return !g.shut })]
	g.gate.shut(rapid.Bool().Draw(t, "whole process"))
	g.shut = true
}

func (h *history) thaw(t *rapid.T) {
	h.running[h.pick(t, func(g *gated) bool { return g.shut })].thaw()
}

func (g *gated) thaw() {
	if g.shut {
		g.gate.reopen()
		g.shut = false
	}
}

func (h *history) thawAll() {
	for _, g := range h.running {
		g.thaw()
	}
}

func (h *history) reset(t *rapid.T) {
	if len(h.rows(1)) == 0 {
		t.Skip("it has never run")
	}
	to := ""
	if len(h.ids) > 0 && rapid.Bool().Draw(t, "to an event") {
		to = rapid.SampledFrom(h.ids).Draw(t, "event")
	}
	// What is between an earlier place and a later one would rightly be left out.
	for _, row := range h.rows(1) {
		to = min(to, row.Position)
	}
	if h.lastReset >= 0 {
		to = min(to, h.resetTo)
	}
	h.resetTo, h.lastReset = to, h.journal.count()
	if err := h.manager.Reset(h.ctx(), name, 1, to); err != nil {
		t.Fatalf("Reset: %v", err)
	}
}

func (h *history) wait(t *rapid.T) {
	h.pick(t, func(g *gated) bool { return !g.shut })
	if len(h.ids) == 0 {
		t.Skip("nothing is saved")
	}
	h.waitFor(h.ids[len(h.ids)-1])
}

// pick draws one of the instances for which ok holds.
func (h *history) pick(t *rapid.T, ok func(*gated) bool) int {
	var found []int
	for i, g := range h.running {
		if ok(g) {
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		t.Skip("no such instance")
	}
	return rapid.SampledFrom(found).Draw(t, "instance")
}

func (h *history) finish() {
	h.thawAll()
	h.startWith(3, 7)
	if len(h.ids) > 0 {
		h.waitFor(h.ids[len(h.ids)-1])
	}
	entries := h.journal.all("")
	checkEach(h.rt, h.saved, entries, false)
	if h.lastReset < 0 {
		return
	}
	again := make(map[string]bool)
	for _, e := range entries[h.lastReset:] {
		again[e.SequenceID] = true
	}
	for _, id := range h.ids {
		if id > h.resetTo && !again[id] {
			h.rt.Errorf("%s was not handled again after the reset to %q", id, h.resetTo)
		}
	}
}
