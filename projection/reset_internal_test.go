package projection

import (
	"context"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// stealingMemory lets another process take partition 1 over, and park an event, while
// Reset forgets parked ones.
type stealingMemory struct {
	*Memory
	armed bool
	steal func()
}

func (c *stealingMemory) Parked(ctx context.Context, q ParkedQuery) ([]Parked, error) {
	p, err := c.Memory.Parked(ctx, q)
	if c.armed && len(p) == 0 { // the last look of forgetAfter
		c.armed = false
		c.steal()
	}
	return p, err
}

func TestAResetThatLostALeaseBeginsAnew(t *testing.T) {
	ctx := t.Context()
	c := &stealingMemory{Memory: NewMemory()}
	p := &Projection{name: "p", config: config{version: 1, partitions: 2}}
	if err := c.Update(ctx, p.firstRows(&state{row: Row{Name: "p"}}), nil); err != nil {
		t.Fatal(err)
	}
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer())
	m := NewManager(repository, c)
	const id = "01M806363D2KNXXV75NYT3MT29"
	c.steal = func() { // Reset was frozen for longer than its lease
		s, _ := loadState(ctx, c.Memory, "p")
		other := newContender(c.Memory, "other", time.Second)
		got, err := other.acquire(ctx, []Row{s.versions[1].partitions[1].row})
		if err != nil || len(got) != 1 {
			t.Fatal(err, got)
		}
		if _, err := c.Advance(ctx, Move{Name: "p", Version: 1, Partition: 1, Token: got[0].Token, Position: id,
			Park: []Parked{{SequenceID: id, AggregateID: "a", State: StateParked, Error: "bad"}}}); err != nil {
			t.Fatal(err)
		}
	}
	c.armed = true
	if err := m.Reset(ctx, "p", 1, ""); err != nil {
		t.Fatal(err)
	}
	left, _ := c.Memory.Parked(ctx, ParkedQuery{Name: "p", Version: 1})
	s, _ := loadState(ctx, c.Memory, "p")
	if len(left) > 0 {
		t.Fatalf("reset to %q, and still parked: %+v", s.versions[1].position(), left[0].SequenceID)
	}
}
