// Package sequence makes sequence IDs: ULIDs (https://github.com/ulid/spec) that
// are strictly greater than those before them.
package sequence

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"

	"github.com/oklog/ulid/v2"
)

// ErrExhausted is returned when there is no ULID above the last one.
var ErrExhausted = errors.New("eventsource: no sequence ID is left above the last one")

// Next returns an ID above last whose time is the greater of ms, in Unix
// milliseconds, and the time of last.
//
// In a new millisecond the entropy is random. In the millisecond of last it is
// that of last plus a random step of up to 2^40, so that two processes that both
// continue from the same last do not arrive at the same ID; 2^39 such steps fit
// into the upper half of the 80 bits that a new millisecond leaves free. When the
// steps do not fit, the time is carried on by one.
func Next(last ulid.ULID, ms uint64) (ulid.ULID, error) {
	if ms <= last.Time() {
		hi, lo := split(last)
		next := lo + rand.Uint64N(1<<40) + 1 //nolint:gosec // an ID is no secret
		if next < lo {
			hi++
		}
		if hi <= maxHi {
			return join(last.Time(), hi, next)
		}
		ms = last.Time() + 1
	}
	return join(ms, uint16(rand.Uint32N(maxHi/2+1)), rand.Uint64()) //nolint:gosec // an ID is no secret
}

// The entropy of a ULID is 80 bits: 16 high ones and 64 low ones.
const maxHi = 1<<16 - 1

func split(id ulid.ULID) (hi uint32, lo uint64) {
	return uint32(binary.BigEndian.Uint16(id[6:8])), binary.BigEndian.Uint64(id[8:16])
}

func join[H uint16 | uint32](ms uint64, hi H, lo uint64) (id ulid.ULID, err error) {
	if err := id.SetTime(ms); err != nil {
		return id, ErrExhausted
	}
	binary.BigEndian.PutUint16(id[6:8], uint16(hi))
	binary.BigEndian.PutUint64(id[8:16], lo)
	return id, nil
}

// Lengths of the two parts of a sequence ID that [NewBlock] makes apart.
const (
	StemLength = 18 // the time, and the upper half of the entropy
	TailLength = 8  // the lower half of the entropy
)

// NewBlock returns the first of n consecutive IDs at ms, in Unix milliseconds, as
// parts: a stem, and for each ID a tail. The tails ascend, so the IDs ascend with
// any stem, and a stem may be replaced by a higher one. Stem and first tail are
// random in the lower half of their range, which leaves room for higher ones.
func NewBlock(ms uint64, n int) (stem string, tails []string, err error) {
	const half = 1 << 39                                   // of the 40 bits in each half of the entropy
	upper, lower := rand.Uint64N(half), rand.Uint64N(half) //nolint:gosec // an ID is no secret
	if uint64(n) > half {
		return "", nil, ErrExhausted
	}
	tails = make([]string, n)
	for i := range tails {
		// upper and lower are 40 bits each, and the ID's entropy is one after the other.
		id, err := join(ms, uint32(upper>>24), upper<<40|(lower+uint64(i)))
		if err != nil {
			return "", nil, err
		}
		text := id.String()
		stem, tails[i] = text[:StemLength], text[StemLength:]
	}
	return stem, tails, nil
}
