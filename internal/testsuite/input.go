package testsuite

import (
	"errors"
	"fmt"
	"strings"
	"sync"
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

	if h.MaxSaveEvents > 0 {
		testMaxSaveEvents(t, h)
	}
}

func testMaxSaveEvents(t *testing.T, h Harness) {
	ofOne := manyRecords
	ofMany := func(prefix string, count int) []eventsource.Record {
		records := manyRecords(prefix, count)
		for i := range records {
			records[i].AggregateID += fmt.Sprint(" ", i)
		}
		return records
	}
	for name, saveIn := range savers() {
		check := func(kind string, most int, events func(prefix string, count int) []eventsource.Record) {
			h.run(t, name+" of the most events "+kind+" works, and of one more leaves nothing", func(t *testing.T, open Storage) {
				store := open(anyTime)
				stored, err := saveIn(t.Context(), store, events("most", most)...)
				if err != nil || len(stored) != most {
					t.Fatalf("%d of %d events were stored: %v", len(stored), most, err)
				}
				more := events("more", most+1)
				_, err = saveIn(t.Context(), store, more...)
				checkSaveTooLarge(t, err, len(more), most)
				for _, s := range []eventsource.Store{store, open(anyTime)} {
					everyRead(t, s, stored)
					checkVersions(t, s, more[0].AggregateID, 0)
				}
				everyRead(t, store, append(stored, save(t, store, more[0])...))
			})
		}
		check("of one aggregate", h.MaxSaveEvents, ofOne)
		check("of an aggregate each", h.MaxSpreadEvents, ofMany)

		h.run(t, "the most events of "+name+" are not shared with others that save at once", func(t *testing.T, open Storage) {
			store := open(anyTime)
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					id := fmt.Sprint("writer ", w)
					if _, err := saveIn(t.Context(), store, manyRecords(id, h.MaxSaveEvents)...); err != nil {
						t.Errorf("%s: %v", id, err)
					}
					_, err := saveIn(t.Context(), store, manyRecords(id, h.MaxSaveEvents+1)...)
					checkSaveTooLarge(t, err, h.MaxSaveEvents+1, h.MaxSaveEvents)
				})
			}
			wg.Wait()
			for w := range 4 {
				checkVersions(t, store, fmt.Sprint("writer ", w), h.MaxSaveEvents)
			}
		})
	}
}

func checkSaveTooLarge(t testing.TB, err error, events, most int) {
	t.Helper()
	wantError(t, fmt.Sprint("save of ", events, " events"), err, eventsource.ErrTooLarge)
	var tooLarge *eventsource.SaveTooLargeError
	if !errors.As(err, &tooLarge) || tooLarge.Events != events || tooLarge.MaxEvents != most {
		t.Errorf("save of %d events, of which there can be %d: error is %#v", events, most, err)
	}
}
