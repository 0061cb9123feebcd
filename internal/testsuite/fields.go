package testsuite

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
)

func isError(err, want error) bool { return errors.Is(err, want) }

// everyField returns records that are hard on a store.
func everyField() []eventsource.Record {
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	return []eventsource.Record{
		{AggregateID: "plain", Type: "Happened", Timestamp: 1_700_000_000_123_456_789, UserID: "user", Data: []byte(`{}`)},
		{AggregateID: "nothing optional", Type: "Happened", Timestamp: 1},
		{AggregateID: "empty data", Type: "Happened", Timestamp: 2, Data: []byte{}},
		{AggregateID: "binary data", Type: "Happened", Timestamp: 3, Data: binary},
		{AggregateID: "before 1970", Type: "Happened", Timestamp: -1_234_567_890_123_456_789, Data: []byte("x")},
		{AggregateID: "latest", Type: "Happened", Timestamp: math.MaxInt64, Data: []byte("x")},
		{AggregateID: "Ünïcödé/日本語/🙂/e\u0301", Type: "Größe.Geändert", Timestamp: 4, UserID: "Zoë 🧑‍🚀", Data: []byte("☃")},
		{AggregateID: `quotes " ' \ % _ $1 ; -- {}`, Type: `Odd "type" '\;`, Timestamp: 5, UserID: `'; DROP TABLE events; --`, Data: []byte(`"'\`)},
		{AggregateID: " white\tspace\n", Type: "Happened", Timestamp: 6, UserID: "\n", Data: []byte("\n")},
		{AggregateID: strings.Repeat("é", eventsource.MaxAggregateIDLength/2), Type: strings.Repeat("T", eventsource.MaxTypeLength), Timestamp: 7, Data: []byte("x")},
		{AggregateID: "metadata", Type: "Happened", Timestamp: 8, Data: []byte("x"), Metadata: eventsource.Metadata{
			eventsource.MetadataCorrelationID: "request 1",
			eventsource.MetadataCausationID:   "command 1",
			"":                                "empty key",
			"empty value":                     "",
			"ключ 🗝":                          `"quoted" \ <&> '` + "\n\t\u2028\x7f",
		}},
		{AggregateID: "empty metadata", Type: "Happened", Timestamp: 9, Data: []byte("x"), Metadata: eventsource.Metadata{}},
	}
}

func testFields(t *testing.T, h Harness) {
	ways := map[string]func(t *testing.T, store eventsource.Store, records ...eventsource.Record) []eventsource.Record{
		"a save": func(t *testing.T, store eventsource.Store, records ...eventsource.Record) []eventsource.Record {
			return save(t, store, records...)
		},
		"a transaction": func(t *testing.T, store eventsource.Store, records ...eventsource.Record) []eventsource.Record {
			stored, err := trySaveInTransaction(t.Context(), store, records...)
			if err != nil {
				t.Fatal(err)
			}
			return stored
		},
	}
	for name, saveIn := range ways {
		h.run(t, "every field that "+name+" stores comes back from every read", func(t *testing.T, open Storage) {
			store := open(anyTime)
			records := everyField()
			stored := saveIn(t, store, records...)
			if len(stored) != len(records) {
				t.Fatalf("%d records were saved, %d were returned", len(records), len(stored))
			}
			for i := range records {
				want := records[i].Clone()
				want.SequenceID, want.Version = stored[i].SequenceID, 1
				equal(t, "what was returned", []eventsource.Record{want}, stored[i:i+1])
				if canonical, err := eventsource.ParseSequenceID(stored[i].SequenceID); err != nil || canonical != stored[i].SequenceID {
					t.Errorf("sequence ID %q is not a canonical ULID: %v", stored[i].SequenceID, err)
				}
			}
			everyRead(t, open(anyTime), stored)
		})
	}

	h.run(t, "data of 1 MB", func(t *testing.T, open Storage) {
		store := open(anyTime)
		big := record("big")
		big.Data = make([]byte, 1_000_000)
		for i := range big.Data {
			big.Data[i] = byte(rand.IntN(256)) //nolint:gosec // test data
		}
		if h.lacks(LargeData) {
			_, err := trySave(t.Context(), store, record("small"), big)
			wantError(t, "save of 1 MB", err, eventsource.ErrTooLarge, "big")
			if got := loadAll(t, store); len(got) != 0 {
				t.Errorf("%d events were stored of a save that was refused", len(got))
			}
			return
		}
		everyRead(t, store, save(t, store, record("small"), big))
	})

	h.run(t, "a timestamp of 0 becomes the clock's time, in nanoseconds", func(t *testing.T, open Storage) {
		now := time.Unix(1_600_000_000, 123_456_789)
		store := open(func() time.Time { return now })
		stored := save(t, store, record("a"))
		if stored[0].Timestamp != now.UnixNano() {
			t.Errorf("timestamp is %d, want %d", stored[0].Timestamp, now.UnixNano())
		}
		everyRead(t, store, stored)
	})

	h.run(t, "a sequence ID that is set before is ignored", func(t *testing.T, open Storage) {
		store := open(anyTime)
		r := record("a")
		r.SequenceID = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
		if stored := save(t, store, r); stored[0].SequenceID == r.SequenceID {
			t.Error("the store kept a sequence ID that it did not assign")
		}
	})

	h.run(t, "slices belong to the caller", func(t *testing.T, open Storage) {
		store := open(anyTime)
		r := record("a")
		r.Data = []byte("before")
		r.Metadata = eventsource.Metadata{"k": "before"}
		given := []eventsource.Record{r}
		stored := save(t, store, given...)
		if given[0].SequenceID != "" || given[0].Version != 0 || given[0].Timestamp != 0 {
			t.Error("the store changed the records that it was given")
		}
		want := stored[0].Clone()
		spoil := func(r *eventsource.Record) {
			copy(r.Data, "SPOILT")
			if r.Metadata != nil {
				r.Metadata["k"] = "spoilt"
			}
		}
		spoil(&given[0])
		spoil(&stored[0])
		for range 2 {
			loaded := loadAggregate(t, store, "a")
			equal(t, "after slices were overwritten", []eventsource.Record{want}, loaded)
			spoil(&loaded[0])
		}
	})
}

// everyRead compares what every way of reading gives with the records, all that
// are in the store, in sequence order.
func everyRead(t *testing.T, store eventsource.Store, records []eventsource.Record) {
	t.Helper()
	ctx := t.Context()
	equal(t, "LoadBySequenceID", records, loadAll(t, store))

	load := func(records []eventsource.Record, err error) []eventsource.Record {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return records
	}
	equal(t, "LoadByTimestamp", records, load(store.LoadByTimestamp(ctx, math.MinInt64, all)))

	byType, byAggregate := map[string][]eventsource.Record{}, map[string][]eventsource.Record{}
	for _, r := range records {
		byType[r.Type] = append(byType[r.Type], r)
		byAggregate[r.AggregateID] = append(byAggregate[r.AggregateID], r)
	}
	for eventType, want := range byType {
		equal(t, "LoadBySequenceIDAndType", want, load(store.LoadBySequenceIDAndType(ctx, "", eventType, all)))
	}
	for id, want := range byAggregate {
		equal(t, "LoadByAggregate", want, load(store.LoadByAggregate(ctx, id)))
	}
	if querier, ok := store.(eventsource.Querier); ok {
		equal(t, "Query", records, collect(t, querier, eventsource.Query{}))
		equal(t, "Query descending", reversed(records), collect(t, querier, eventsource.Query{Descending: true}))
		for id, want := range byAggregate {
			equal(t, "Query of an aggregate", want, collect(t, querier, eventsource.Query{AggregateID: id}))
		}
		types := slices.Collect(func(yield func(string) bool) {
			for eventType := range byType {
				if !yield(eventType) {
					return
				}
			}
		})
		equal(t, "Query of all types", records, collect(t, querier, eventsource.Query{Types: types}))
	}
}

func collect(t testing.TB, querier eventsource.Querier, query eventsource.Query) []eventsource.Record {
	t.Helper()
	var records []eventsource.Record
	for r, err := range querier.Query(t.Context(), query) {
		if err != nil {
			t.Fatalf("Query %+v: %v", query, err)
		}
		records = append(records, r)
	}
	return records
}
