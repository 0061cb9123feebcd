package sqlstore

// GroupState is what a store's saves are doing, for tests.
type GroupState struct {
	// Queued is how many records wait for a batch, and Passed how many of them are
	// of aggregates that are on their way.
	Queued, Passed int
	// Running is how many goroutines run batches, Batches how many have saves that
	// are on their way.
	Running, Batches int
	// Alone is how many aggregates and values have saves that are on their way alone.
	Alone int
}

// GroupState reports what the store's saves are doing.
func (s *Store) GroupState() GroupState {
	g := &s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	state := GroupState{Queued: g.queued, Passed: g.passed, Running: g.running, Alone: len(g.alone)}
	for _, b := range g.batches {
		if len(b.saves) > 0 {
			state.Batches++
		}
	}
	return state
}
