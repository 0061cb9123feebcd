package snapshot

import (
	"bytes"
	"context"
	"sync"

	"github.com/eventsource-go/eventsource"
)

// Memory keeps snapshots in memory, without a limit: one for each aggregate that had one
// taken. It is made by [NewMemory], and safe for concurrent use.
type Memory struct {
	mu        sync.Mutex
	snapshots map[string]map[Key]eventsource.Snapshot // by aggregate ID
}

// NewMemory returns snapshots in memory. They are gone with the process.
func NewMemory() *Memory {
	return &Memory{snapshots: make(map[string]map[Key]eventsource.Snapshot)}
}

// Load returns a snapshot, nil if there is none.
func (m *Memory) Load(ctx context.Context, key Key) (*eventsource.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found, ok := m.snapshots[key.AggregateID][key]
	if !ok {
		return nil, nil
	}
	found.State = bytes.Clone(found.State)
	return &found, nil
}

// Save keeps a snapshot, unless there is a newer one.
func (m *Memory) Save(ctx context.Context, snapshot eventsource.Snapshot) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.snapshots[snapshot.AggregateID]
	if all == nil {
		all = make(map[Key]eventsource.Snapshot)
		m.snapshots[snapshot.AggregateID] = all
	}
	if all[KeyOf(&snapshot)].SequenceID <= snapshot.SequenceID {
		snapshot.State = bytes.Clone(snapshot.State)
		all[KeyOf(&snapshot)] = snapshot
	}
	return nil
}

// Delete removes all snapshots of an aggregate.
func (m *Memory) Delete(ctx context.Context, aggregateID string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.snapshots, aggregateID)
	return nil
}
