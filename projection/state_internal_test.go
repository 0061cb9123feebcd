package projection

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"
)

// What is stored depends on these: an aggregate must stay in its slot for ever.
func TestTheSlotOfAnAggregateNeverChanges(t *testing.T) {
	for aggregateID, want := range map[string]int{
		"": 193, "a": 192, "b": 233, "account-1": 148, "account-2": 97, "01J8Z0000000000000000000AB": 168, "日本語 🛒": 171, "\xff": 34,
	} {
		if got := slotOf(aggregateID); got != want {
			t.Errorf("slot of %q is %d, and was %d", aggregateID, got, want)
		}
	}
}

func TestAggregatesAreSpreadOverAllSlots(t *testing.T) {
	const n = 1000 * slots
	for _, format := range []string{"%d", "account-%d", "%08x", "01J%023d"} {
		var count [slots]int
		for i := range n {
			count[slotOf(fmt.Sprintf(format, i))]++
		}
		for slot, c := range count {
			if c < 700 || c > 1300 {
				t.Errorf("%s: slot %d has %d of %d aggregates", format, slot, c, n)
			}
		}
	}
}

// positionOf is a position for tests; a higher number gives a higher one, 0 the beginning.
func positionOf(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%026d", n)
}

func drawSpans(t *rapid.T, label string) []span {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) span {
		from := rapid.IntRange(0, slots-1).Draw(t, "from")
		return span{from, rapid.IntRange(from, slots).Draw(t, "to"), positionOf(rapid.IntRange(0, 20).Draw(t, "position"))}
	}), 0, 8).Draw(t, label)
}

func TestEverySlotKeepsItsPositionWhateverTheNumberOfPartitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want [slots]string
		v := &version{row: Row{Name: "p", Version: 3, Partition: -1, Revision: 7}}
		v.partitions = layout("p", 3, 1, []span{{0, slots, positionOf(3)}}, 10)
		for slot := range want {
			want[slot] = positionOf(3)
		}
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			// Some partitions go on.
			for i := range v.partitions {
				p := &v.partitions[i]
				p.row.Revision += int64(rapid.IntRange(1, 3).Draw(t, "revision"))
				p.row.Token++
				position := max(p.row.Position, positionOf(rapid.IntRange(0, 30).Draw(t, "position")))
				if p.row.Position != position {
					p.row.Handled++
				}
				p.row.Position = position
				for slot := p.data.From; slot < p.data.To; slot++ {
					want[slot] = max(want[slot], position)
				}
			}
			v = changed(t, v, rapid.IntRange(1, MaxPartitions).Draw(t, "partitions"))
			checkSlots(t, v, &want)
		}
	})
}

// changed gives the version another number of partitions, as it is stored.
func changed(t *rapid.T, v *version, n int) *version {
	var token, handled int64
	for i := range v.partitions {
		token, handled = max(token, v.partitions[i].row.Token), handled+v.partitions[i].row.Handled
	}
	put, remove := relayout(v, n, v.spans())
	if len(put) != 1+n || len(remove) != max(0, len(v.partitions)-n) || len(put)+len(remove) > 100 {
		t.Fatalf("from %d to %d partitions, %d rows are put and %d removed", len(v.partitions), n, len(put), len(remove))
	}
	s := &state{name: "p", versions: make(map[int]*version)}
	for i, row := range put {
		revision := int64(0)
		if i == 0 {
			revision = v.row.Revision
		} else if i-1 < len(v.partitions) {
			revision = v.partitions[i-1].row.Revision
		}
		if row.Revision != revision || row.Partition != i-1 {
			t.Fatalf("row %d is partition %d at revision %d, want %d", i, row.Partition, row.Revision, revision)
		}
		if i > 0 && (row.Token <= token || row.Owner != "") {
			t.Fatalf("partition %d has token %d and owner %q, and there was token %d", i-1, row.Token, row.Owner, token)
		}
		handled -= row.Handled
		row.Revision++
		if err := s.add(row); err != nil {
			t.Fatal(err)
		}
	}
	for i, row := range remove {
		if was := v.partitions[n+i].row; row.Partition != was.Partition || row.Revision != was.Revision {
			t.Fatalf("row %+v is removed, want %+v", row, was)
		}
	}
	if handled != 0 {
		t.Fatalf("%d handled events were forgotten", handled)
	}
	now := s.versions[3]
	if now.data.Partitions != n {
		t.Fatalf("the version has %d partitions, want %d", now.data.Partitions, n)
	}
	return now
}

// checkSlots wants each slot in one partition, at its position.
func checkSlots(t *rapid.T, v *version, want *[slots]string) {
	next, lowest := 0, ""
	for i := range v.partitions {
		p := &v.partitions[i]
		if p.data.From != next || p.data.To <= p.data.From {
			t.Fatalf("partition %d has the slots from %d to %d, after %d", i, p.data.From, p.data.To, next)
		}
		next = p.data.To
		least := slices.Min(want[p.data.From:p.data.To])
		if p.row.Position != least {
			t.Fatalf("partition %d is at %q, want %q", i, p.row.Position, least)
		}
		if i == 0 || least < lowest {
			lowest = least
		}
		for slot := p.data.From; slot < p.data.To; slot++ {
			if got := positionIn(p.spans(), slot); got != want[slot] {
				t.Fatalf("slot %d is at %q, want %q", slot, got, want[slot])
			}
		}
	}
	if next != slots {
		t.Fatalf("the partitions end with slot %d", next)
	}
	if v.position() != lowest {
		t.Fatalf("the version is at %q, want %q", v.position(), lowest)
	}
}

func TestMergedSpansHaveTheHigherPositionOfEachSlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSpans(t, "a"), drawSpans(t, "b")
		merged := merge(a, b)
		for slot := range slots {
			want := max(positionIn(a, slot), positionIn(b, slot))
			if got := positionIn(merged, slot); got != want {
				t.Fatalf("slot %d is at %q, want %q", slot, got, want)
			}
		}
		for i, s := range merged {
			if i > 0 && (merged[i-1].To != s.From || merged[i-1].Position == s.Position) {
				t.Fatalf("spans %v and %v", merged[i-1], s)
			}
		}
	})
}

func TestTheDataOfAPartitionIsSmall(t *testing.T) {
	// The worst: each slot has a position of its own.
	spans := make([]span, slots)
	for i := range spans {
		spans[i] = span{i, i + 1, positionOf(i + 1)}
	}
	if n := len(layout("p", 1, 1, spans, 0)[0].row.Data); n > 32<<10 {
		t.Errorf("it has %d bytes", n)
	}
	if n := len(encode(versionData{Silent: spans})); n > 32<<10 {
		t.Errorf("that of the version has %d bytes", n)
	}
}

func TestBeforeIsTheSequenceIDJustBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var id ulid.ULID
		copy(id[:], rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 2, 127, 255}), 16, 16).Draw(t, "id"))
		got := before(id.String())
		if id == (ulid.ULID{}) {
			if got != "" {
				t.Fatalf("before the first is %q", got)
			}
			return
		}
		below := ulid.MustParseStrict(got)
		if below.Compare(id) >= 0 {
			t.Fatalf("%v is not below %v", below, id)
		}
		for i := len(below) - 1; i >= 0; i-- { // one above is id again
			below[i]++
			if below[i] != 0 {
				break
			}
		}
		if below != id {
			t.Fatalf("before %v is %s", id, got)
		}
	})
	for _, none := range []string{"", "yesterday", "01J"} {
		if got := before(none); got != "" {
			t.Errorf("before %q is %q", none, got)
		}
	}
}

func TestTheTimeBetweenSequenceIDs(t *testing.T) {
	at := func(ms uint64, entropy byte) string {
		var id ulid.ULID
		if err := id.SetTime(ms); err != nil {
			t.Fatal(err)
		}
		id[15] = entropy
		return id.String()
	}
	for _, c := range []struct {
		lower, higher string
		want          time.Duration
	}{
		{at(1000, 0), at(3500, 0), 2500 * time.Millisecond},
		{at(1000, 1), at(1000, 9), 0},
		{at(3500, 0), at(1000, 0), 0},
		{"", "", 0},
		{"", at(1000, 0), time.Second},
		{at(1000, 0), "", 0},
	} {
		if got := between(c.lower, c.higher); got != c.want {
			t.Errorf("between %q and %q are %v, want %v", c.lower, c.higher, got, c.want)
		}
	}
}

func TestARowThatCannotBeReadIsNamed(t *testing.T) {
	for _, row := range []Row{{Name: "p"}, {Name: "p", Version: 1, Partition: -1}, {Name: "p", Version: 1}} {
		c := NewMemory()
		row.Data = json.RawMessage(`{"active": "x", "partitions": "x", "from": "x"}`)
		if err := c.Update(t.Context(), []Row{row}, nil); err != nil {
			t.Fatal(err)
		}
		_, err := loadState(t.Context(), c, "p")
		if err == nil || !strings.Contains(err.Error(), row.key().String()) {
			t.Errorf("error is %v, and does not name %v", err, row.key())
		}
	}
}
