package testsuite

import (
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource"
)

func testInput(t *testing.T, h Harness) {
	h.run(t, "a record that cannot be stored is refused by name, with all that came with it", func(t *testing.T, open Storage) {
		store := open(anyTime)
		for _, test := range []struct {
			what     string
			spoil    func(*eventsource.Record)
			mentions string
		}{
			{"an empty aggregate ID", func(r *eventsource.Record) { r.AggregateID = "" }, "empty aggregate ID"},
			{"an empty type", func(r *eventsource.Record) { r.Type = "" }, "empty type"},
			{"a negative version", func(r *eventsource.Record) { r.Version = -7 }, "-7"},
			{"a NUL in the aggregate ID", func(r *eventsource.Record) { r.AggregateID = "a\x00b" }, `"a\x00b"`},
			{"invalid UTF-8 in the aggregate ID", func(r *eventsource.Record) { r.AggregateID = "a\xff" }, `"a\xff"`},
			{"invalid UTF-8 in the type", func(r *eventsource.Record) { r.Type = "T\xff" }, `"T\xff"`},
			{"a NUL in the user ID", func(r *eventsource.Record) { r.UserID = "\x00" }, `"\x00"`},
			{"invalid UTF-8 in metadata", func(r *eventsource.Record) { r.Metadata = eventsource.Metadata{"key": "\xff"} }, `"\xff"`},
			{"a NUL in a metadata key", func(r *eventsource.Record) { r.Metadata = eventsource.Metadata{"\x00": ""} }, `"\x00"`},
			{"a long aggregate ID", func(r *eventsource.Record) { r.AggregateID = strings.Repeat("a", 1025) }, "1025"},
			{"a long type", func(r *eventsource.Record) { r.Type = strings.Repeat("t", 256) }, "256"},
		} {
			bad := record("a")
			test.spoil(&bad)
			for name, saveIn := range savers() {
				_, err := saveIn(t.Context(), store, record("good"), bad, record("good"))
				wantError(t, test.what+" in "+name, err, eventsource.ErrInvalidEvent, test.mentions)
			}
		}
		everyRead(t, store, nil)
		save(t, store, record("good"))
	})
}
