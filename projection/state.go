package projection

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/oklog/ulid/v2"
)

// slots is into how many parts aggregates are spread. A partition has some of them,
// one after the other, so that any number of partitions up to it is possible and may change.
const slots = 256

// slotOf is the slot of an aggregate. It never changes.
func slotOf(aggregateID string) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(aggregateID))
	sum := h.Sum64()
	return int((sum ^ sum>>32) % slots)
}

// span is a position for some slots, from From to below To.
type span struct {
	From     int    `json:"from"`
	To       int    `json:"to"`
	Position string `json:"position"`
}

// positionIn is the highest position that the spans have for a slot.
func positionIn(spans []span, slot int) string {
	position := ""
	for _, s := range spans {
		if s.From <= slot && slot < s.To {
			position = max(position, s.Position)
		}
	}
	return position
}

// headData is the Data of a projection's row.
type headData struct {
	// Active is the version whose read model is used and whose side effects are seen.
	Active int `json:"active"`
	// Promote is a version that shall become active, 0 for none.
	Promote int `json:"promote,omitempty"`
	// Highest is the highest version that ever was active. Up to it, Promote alone decides.
	Highest int `json:"highest,omitempty"`
}

// versionData is the Data of a version's row.
type versionData struct {
	// Types are the event types that it was started for, as they are stored; none stands
	// for all.
	Types []string `json:"types,omitempty"`
	// Partitions is how many it has.
	Partitions int `json:"partitions"`
	// Silent is up to where events are handled silently.
	Silent []span `json:"silent,omitempty"`
}

// partitionData is the Data of a partition's row.
type partitionData struct {
	// From and To are its slots, from From to below To.
	From int `json:"from"`
	To   int `json:"to"`
	// Ahead are positions of slots that were further than the row's when the number of
	// partitions changed.
	Ahead []span `json:"ahead,omitempty"`
}

// partition is a partition with its row.
type partition struct {
	row  Row
	data partitionData
}

// spans are the positions of the partition's slots.
func (p *partition) spans() []span {
	return append([]span{{p.data.From, p.data.To, p.row.Position}}, p.data.Ahead...)
}

// version is a version with its rows.
type version struct {
	row        Row
	data       versionData
	partitions []partition
}

// position is up to where the version has handled all events.
func (v *version) position() string {
	position := ""
	for i := range v.partitions {
		if p := v.partitions[i].row.Position; i == 0 || p < position {
			position = p
		}
	}
	return position
}

// spans are the positions of all slots.
func (v *version) spans() []span {
	var all []span
	for i := range v.partitions {
		all = append(all, v.partitions[i].spans()...)
	}
	return all
}

// rows are all rows of the version.
func (v *version) rows() []Row {
	rows := []Row{v.row}
	for i := range v.partitions {
		rows = append(rows, v.partitions[i].row)
	}
	return rows
}

// state is a projection with all of its rows.
type state struct {
	name     string
	row      Row // of the projection; its Revision is 0 if it does not exist
	head     headData
	versions map[int]*version
}

// loadState loads a projection, which may not exist.
func loadState(ctx context.Context, checkpoints Checkpoints, name string) (*state, error) {
	rows, err := checkpoints.Load(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("load checkpoint of %q: %w", name, err)
	}
	s := &state{name: name, row: Row{Name: name}, versions: make(map[int]*version)}
	for _, row := range rows {
		if err := s.add(row); err != nil {
			return nil, fmt.Errorf("eventsource/projection: row of %v cannot be read: %w", row.key(), err)
		}
	}
	return s, nil
}

func (s *state) add(row Row) error {
	if row.Version == 0 {
		s.row = row
		return decode(row.Data, &s.head)
	}
	v := s.versions[row.Version]
	if v == nil {
		v = &version{row: Row{Name: s.name, Version: row.Version, Partition: -1}}
		s.versions[row.Version] = v
	}
	if row.Partition < 0 {
		v.row = row
		return decode(row.Data, &v.data)
	}
	p := partition{row: row}
	v.partitions = append(v.partitions, p)
	return decode(row.Data, &v.partitions[len(v.partitions)-1].data)
}

func decode(data json.RawMessage, to any) error {
	if len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, to)
}

// encode cannot fail: what it is given has nothing that JSON does not.
func encode(data any) json.RawMessage {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return b
}

// active is the active version, nil if there is none.
func (s *state) active() *version { return s.versions[s.head.Active] }

// layout are n partitions whose slots have the positions of the spans. Their tokens
// are above the given one.
func layout(name string, number, n int, spans []span, token int64) []partition {
	partitions := make([]partition, n)
	for i := range partitions {
		p := &partitions[i]
		p.data.From, p.data.To = i*slots/n, (i+1)*slots/n
		positions := make([]string, 0, p.data.To-p.data.From)
		for slot := p.data.From; slot < p.data.To; slot++ {
			positions = append(positions, positionIn(spans, slot))
		}
		p.row = Row{Name: name, Version: number, Partition: i, Token: token + 1, Position: slices.Min(positions)}
		for j, position := range positions {
			if position == p.row.Position {
				continue
			}
			slot, last := p.data.From+j, len(p.data.Ahead)-1
			if last >= 0 && p.data.Ahead[last].To == slot && p.data.Ahead[last].Position == position {
				p.data.Ahead[last].To++
			} else {
				p.data.Ahead = append(p.data.Ahead, span{slot, slot + 1, position})
			}
		}
		p.row.Data = encode(p.data)
	}
	return partitions
}

// before is the sequence ID before one, "" if there is none.
func before(sequenceID string) string {
	id, err := ulid.ParseStrict(sequenceID)
	if err != nil {
		return ""
	}
	for i := len(id) - 1; i >= 0; i-- {
		id[i]--
		if id[i] != 0xFF {
			return id.String()
		}
	}
	return ""
}

// following is the sequence ID after one, "" if there is none.
func following(sequenceID string) string {
	id, err := ulid.ParseStrict(sequenceID)
	if err != nil {
		return ""
	}
	for i := len(id) - 1; i >= 0; i-- {
		id[i]++
		if id[i] != 0 {
			return id.String()
		}
	}
	return ""
}
