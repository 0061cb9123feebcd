package snapshot

import "sync/atomic"

// Stats is what has happened since [New].
type Stats struct {
	// Restored is how many loads began from a snapshot.
	Restored int64
	// Stored is how many snapshots the store has taken, with those that it did not keep
	// because it had newer ones.
	Stored int64
	// Failed is how often a snapshot could not be found, restored, taken or stored
	// because of an error or a panic. Each is logged.
	Failed int64
	// Refused is how many snapshots were due, but would not have restored the state.
	// The first of each type is logged.
	Refused int64
	// Dropped is how many snapshots were dropped because too many were pending in the
	// background. The first in a row is logged.
	Dropped int64
}

type counters struct{ restored, stored, failed, refused, dropped atomic.Int64 }

// Stats returns what has happened so far.
func (s *Snapshots) Stats() Stats {
	return Stats{
		Restored: s.stats.restored.Load(), Stored: s.stats.stored.Load(), Failed: s.stats.failed.Load(),
		Refused: s.stats.refused.Load(), Dropped: s.stats.dropped.Load(),
	}
}
