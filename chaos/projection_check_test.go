package chaos

import (
	"fmt"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource/internal/history"
)

func TestEachMistakeInAReadModelIsFound(t *testing.T) {
	// Events of two aggregates, in sequence order.
	stored := []history.Event{
		{SequenceID: "01", Aggregate: "a", Version: 1},
		{SequenceID: "02", Aggregate: "b", Version: 1},
		{SequenceID: "03", Aggregate: "a", Version: 2},
		{SequenceID: "04", Aggregate: "a", Version: 3},
	}
	for _, test := range []struct {
		name     string
		handled  string // places in stored, from 1; 9 is an event that is not stored
		repeated bool   // is allowed
		want     string // "" for none
	}{
		{"all", "1234", false, ""},
		{"all, aggregates in another order", "2134", false, ""},
		{"one twice", "12334", false, "is there again"},
		{"one twice, much later", "12341", false, "is there again"},
		{"one twice, which may be", "12334", true, ""},
		{"a suffix again, which may be", "1233434", true, ""},
		{"what one that was frozen handles later, which may be", "1234134", true, ""},
		{"the last one missing", "123", false, "was not handled"},
		{"an aggregate missing", "134", false, "was not handled"},
		{"one skipped", "124", false, "is there after version 1"},
		{"one skipped, and handled later", "1243", false, "is there after version 1"},
		{"one skipped, and handled later, where repetition may be", "12434", true, "is there after version 1"},
		{"the first one skipped", "234", true, "is there after version 0"},
		{"one that is not stored", "12349", false, "and is not stored"},
		{"none", "", false, "was not handled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handled list
			for _, c := range test.handled {
				e := entry{SequenceID: "09", Aggregate: "c", AggregateVersion: 1}
				if c != '9' {
					is := stored[c-'1']
					e = entry{SequenceID: is.SequenceID, Aggregate: is.Aggregate, AggregateVersion: is.Version}
				}
				handled = append(handled, e)
			}
			found := fmt.Sprint(handled.checkOrder(test.repeated), handled.checkComplete(stored))
			if test.want == "" && found != "<nil> <nil>" || !strings.Contains(found, test.want) {
				t.Errorf("found %s, want %q", found, test.want)
			}
		})
	}
}
