package workload

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/eventsource-go/eventsource/bench/payload"
	"github.com/eventsource-go/eventsource/bench/system"
)

// The payloads.
const (
	PayloadGit      = "git"
	PayloadKilobyte = "1KB"
)

// payloads returns the events of a name.
func payloads(name string) ([]payload.Event, error) {
	switch name {
	case PayloadGit:
		return payload.Git()
	case PayloadKilobyte:
		return payload.Kilobyte()
	}
	return nil, fmt.Errorf("no payload is named %q", name)
}

// stored is what is in a database before a measurement: blocks of 1,000 events.
// Most blocks are of 100 aggregates with 10 events each, every fifth of 10
// aggregates with 100 each, and ten blocks in a row, from the eleventh on, of one
// aggregate with 10,000. In a block the aggregates take turns, so that the events
// of one are not next to each other, as in life.
type stored struct {
	total  int
	events []payload.Event
}

const (
	blockSize = 1000
	bigFrom   = 10 // blocks
	bigBlocks = 10
	bigSize   = bigBlocks * blockSize
)

// aggregateSize is how many events each aggregate of a block has.
func aggregateSize(block int) int {
	switch {
	case block >= bigFrom && block < bigFrom+bigBlocks:
		return bigSize
	case block%5 == 4:
		return 100
	default:
		return 10
	}
}

// storedFor is how many events must be stored for an aggregate of the size to be among them.
func storedFor(size int) int {
	switch size {
	case bigSize:
		return (bigFrom + bigBlocks) * blockSize
	case 100:
		return 5 * blockSize
	default:
		return blockSize
	}
}

// aggregateID is the same on every run, and in no order, as UUIDs are.
func aggregateID(block, n int) string {
	if aggregateSize(block) == bigSize {
		block, n = bigFrom, 0
	}
	random := rand.New(rand.NewPCG(uint64(block), uint64(n))) //nolint:gosec // the same on every run
	var id uuid.UUID
	for i := range id {
		id[i] = byte(random.Uint32())
	}
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// rows gives the events from number from on. Their times end a minute ago.
func (s *stored) rows(from int) iter.Seq[system.Row] {
	const apart = 100 * time.Microsecond
	first := time.Now().Add(-time.Minute).Add(-time.Duration(s.total) * apart)
	return func(yield func(system.Row) bool) {
		var ids []string
		of := -1
		for n := from; n < s.total; n++ {
			block, place := n/blockSize, n%blockSize
			size := aggregateSize(block)
			if block != of {
				of, ids = block, ids[:0]
				for i := range max(1, blockSize/size) {
					ids = append(ids, aggregateID(block, i))
				}
			}
			row := system.Row{
				Aggregate: ids[place%len(ids)],
				Version:   place/len(ids) + 1,
				Event:     s.events[n%len(s.events)],
				Time:      first.Add(time.Duration(n) * apart),
			}
			if size == bigSize {
				row.Version = n - bigFrom*blockSize + 1
			}
			if !yield(row) {
				return
			}
		}
	}
}

// aggregates returns the IDs of some aggregates of a size, chosen at random from
// all that are whole.
func (s *stored) aggregates(size, atMost int) []string {
	var blocks []int
	for block := range s.total / blockSize {
		if aggregateSize(block) == size {
			blocks = append(blocks, block)
		}
	}
	if size == bigSize {
		if len(blocks) < bigBlocks {
			return nil
		}
		return []string{aggregateID(bigFrom, 0)}
	}
	if len(blocks) == 0 {
		return nil
	}
	random := rand.New(rand.NewPCG(1, uint64(size))) //nolint:gosec // the same on every run
	ids := make([]string, atMost)
	for i := range ids {
		ids[i] = aggregateID(blocks[random.IntN(len(blocks))], random.IntN(blockSize/size))
	}
	return ids
}
