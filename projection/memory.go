package projection

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Memory keeps checkpoints in memory. It is made by [NewMemory], and safe for concurrent use.
type Memory struct {
	mu     sync.Mutex
	rows   map[rowKey]Row
	parked map[parkedKey]Parked
}

type rowKey struct {
	name               string
	version, partition int
}

type parkedKey struct {
	name       string
	version    int
	sequenceID string
}

// NewMemory returns checkpoints in memory. They are gone with the process, so after a
// restart all events are handled again: right for a read model in memory.
func NewMemory() *Memory {
	return &Memory{rows: make(map[rowKey]Row), parked: make(map[parkedKey]Parked)}
}

// Names gives the names of all projections.
func (m *Memory) Names(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make(map[string]struct{})
	for key := range m.rows {
		names[key.name] = struct{}{}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// Load gives all rows of a projection.
func (m *Memory) Load(ctx context.Context, name string) ([]Row, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var rows []Row
	for key, row := range m.rows {
		if key.name == name {
			row.Data = bytes.Clone(row.Data)
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Partition, b.Partition))
	})
	return rows, nil
}

// Update writes and removes rows.
func (m *Memory) Update(ctx context.Context, put, remove []Row) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, row := range slices.Concat(put, remove) {
		if has := m.rows[row.key()].Revision; has != row.Revision {
			return fmt.Errorf("%w: %v is at revision %d, not %d", ErrStale, row.key(), has, row.Revision)
		}
	}
	for _, row := range put {
		row.Revision++
		row.Data = bytes.Clone(row.Data)
		m.rows[row.key()] = row
	}
	for _, row := range remove {
		delete(m.rows, row.key())
	}
	return nil
}

// Advance moves a position.
func (m *Memory) Advance(ctx context.Context, move Move) (Ack, error) {
	if err := ctx.Err(); err != nil {
		return Ack{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := rowKey{move.Name, move.Version, move.Partition}
	row, ok := m.rows[key]
	if !ok || row.Token != move.Token {
		return Ack{}, fmt.Errorf("%w: %v, with token %d", ErrFenced, key, move.Token)
	}
	row.Revision++
	row.Position = max(row.Position, move.Position)
	row.LastEvent = cmp.Or(move.LastEvent, row.LastEvent)
	row.Handled += move.Handled
	m.rows[key] = row
	for _, sequenceID := range move.Unpark {
		delete(m.parked, parkedKey{move.Name, move.Version, sequenceID})
	}
	for _, p := range move.Park {
		p.Name, p.Version = move.Name, move.Version
		m.parked[parkedKey{p.Name, p.Version, p.SequenceID}] = p
	}
	return Ack{Wanted: row.Wanted}, nil
}

// Parked gives parked and skipped events.
func (m *Memory) Parked(ctx context.Context, query ParkedQuery) ([]Parked, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []Parked
	for key, p := range m.parked {
		if key.name == query.Name && key.version == query.Version && key.sequenceID > query.After &&
			(query.AggregateID == "" || query.AggregateID == p.AggregateID) && (!query.Requested || p.Request != RequestNone) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b Parked) int { return cmp.Compare(a.SequenceID, b.SequenceID) })
	if query.Limit > 0 && len(found) > query.Limit {
		found = found[:query.Limit]
	}
	return found, nil
}

// RequestParked sets the request of events.
func (m *Memory) RequestParked(ctx context.Context, name string, version int, request Request, sequenceIDs ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, sequenceID := range sequenceIDs {
		key := parkedKey{name, version, sequenceID}
		if p, ok := m.parked[key]; ok {
			p.Request = request
			m.parked[key] = p
		}
	}
	return nil
}

// DeleteParked removes all parked and skipped events of a version.
func (m *Memory) DeleteParked(ctx context.Context, name string, version int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.parked, func(key parkedKey, _ Parked) bool { return key.name == name && key.version == version })
	return nil
}

func (r *Row) key() rowKey { return rowKey{r.Name, r.Version, r.Partition} }

func (k rowKey) String() string {
	switch {
	case k.version == 0:
		return fmt.Sprintf("projection %q", k.name)
	case k.partition < 0:
		return fmt.Sprintf("version %d of %q", k.version, k.name)
	default:
		return fmt.Sprintf("partition %d of version %d of %q", k.partition, k.version, k.name)
	}
}
