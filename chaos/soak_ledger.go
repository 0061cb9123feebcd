package chaos

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// ledger is what there is of a writer's events: what the writer was told is stored,
// or what a reader has seen.
type ledger struct {
	// Events is how many they are, which have the numbers 1 to Events. Sum is a sum
	// over their keys, which tells apart events that were tried with the same number.
	Events int64
	Sum    uint64
	// Noted and NotedSum are those of type Noted among them.
	Noted    int64
	NotedSum uint64
	// Perhaps, unless nil, is what there may be instead: the outcome of the writer's
	// last save is unknown.
	Perhaps *ledger `json:",omitempty"`

	last int64 // number that a reader has seen
}

// take adds an event.
func (l *ledger) take(key string, noted bool) {
	sum := uint64(crc32.ChecksumIEEE([]byte(key)))
	l.Events++
	l.Sum += sum
	if noted {
		l.Noted++
		l.NotedSum += sum
	}
}

// soakKey is the key of a writer's event: its number, and that of the attempt to
// save it.
func soakKey(writer string, number, attempt int64) string {
	return fmt.Sprintf("%s/%d/%d", writer, number, attempt)
}

// parseSoakKey returns the writer and the number.
func parseSoakKey(key string) (writer string, number int64, err error) {
	writer, rest, _ := strings.Cut(key, "/")
	text, _, _ := strings.Cut(rest, "/")
	number, err = strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("%q is no event of a writer", key)
	}
	return writer, number, nil
}

// tally is what a reader has seen of all writers.
type tally struct {
	noted   bool // it reads events of type Noted only
	writers map[string]*ledger
}

// see takes an event, or says why it cannot be the next one.
func (t *tally) see(key string, noted bool) error {
	writer, number, err := parseSoakKey(key)
	if err != nil {
		return err
	}
	l := t.writers[writer]
	if l == nil {
		l = new(ledger)
		t.writers[writer] = l
	}
	if t.noted && number <= l.last || !t.noted && number != l.last+1 {
		return fmt.Errorf("event %s came after number %d of this writer", key, l.last)
	}
	l.last = number
	l.take(key, noted)
	return nil
}

// complete compares with what the writers were told.
func (t *tally) complete(expected map[string]*ledger) error {
	for writer := range t.writers {
		if expected[writer] == nil {
			return fmt.Errorf("there are events of %s, who is unknown", writer)
		}
	}
	for writer, want := range expected {
		got := t.writers[writer]
		if got == nil {
			got = new(ledger)
		}
		if !t.same(got, want) && (want.Perhaps == nil || !t.same(got, want.Perhaps)) {
			return fmt.Errorf("of %s there are %+v, want %+v", writer, *got, *want)
		}
	}
	return nil
}

func (t *tally) same(got, want *ledger) bool {
	if t.noted {
		return got.Noted == want.Noted && got.NotedSum == want.NotedSum
	}
	return got.Events == want.Events && got.Sum == want.Sum && got.Noted == want.Noted && got.NotedSum == want.NotedSum
}
