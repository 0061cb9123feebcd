package eventsource_test

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// sequenceIDForm is the ULID specification's: 26 characters of Crockford's base 32,
// of which the first has only three bits.
var sequenceIDForm = regexp.MustCompile(`\A[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}\z`)

func FuzzParseSequenceID(f *testing.F) {
	const low, high = "00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
	for _, pair := range [][2]string{
		{"", low}, {low, high}, {high, "8" + low[1:]}, {"01arz3ndektsv4rrffq69g5fav", "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
		{"01ARZ3NDEKTSV4RRFFQ69G5FAI", "01ARZ3NDEKTSV4RRFFQ69G5FAU"}, {low[1:], low + "0"}, {low + "\n", "é" + low[2:]},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		canonicalA, idA, okA := parsed(t, a)
		canonicalB, idB, okB := parsed(t, b)
		if okA && okB && strings.Compare(canonicalA, canonicalB) != bytes.Compare(idA[:], idB[:]) {
			t.Errorf("%s and %s have another order than their bytes", canonicalA, canonicalB)
		}
	})
}

// parsed checks what can be said of one text. It reports whether there is an ID in it.
func parsed(t *testing.T, text string) (canonical string, id ulid.ULID, ok bool) {
	t.Helper()
	canonical, err := eventsource.ParseSequenceID(text)
	switch wellFormed := sequenceIDForm.MatchString(text); {
	case text == "":
		if canonical != "" || err != nil {
			t.Errorf("the beginning became %q, error %v", canonical, err)
		}
		return "", id, false
	case !wellFormed:
		if !errors.Is(err, eventsource.ErrInvalidSequenceID) || canonical != "" {
			t.Errorf("%q became %q, error %v", text, canonical, err)
		}
		return "", id, false
	case err != nil:
		t.Fatalf("%q was refused: %v", text, err)
	case canonical != strings.ToUpper(text):
		t.Errorf("%q became %q", text, canonical)
	}
	if again, err := eventsource.ParseSequenceID(canonical); err != nil || again != canonical {
		t.Errorf("%q became %q, error %v", canonical, again, err)
	}
	id, err = ulid.ParseStrict(text)
	if err != nil || id.String() != canonical {
		t.Errorf("%q became %q, another ID than %v, error %v", text, canonical, id, err)
	}
	return canonical, id, true
}

// Where a text is a number of up to two digits, the sequence ID of the event of that
// number stands in for it.
func FuzzQuery(f *testing.F) {
	add := func(q eventsource.Query, page int) {
		f.Add(q.After, q.Before, strings.Join(q.Types, ","), q.AggregateID, q.From, q.Until, q.Limit, q.Descending, page)
	}
	add(eventsource.Query{}, 7)
	add(eventsource.Query{After: "3", Before: "30", Types: []string{"Opened"}, Limit: 4}, 1)
	add(eventsource.Query{After: "30", Before: "3", Descending: true}, 2)
	add(eventsource.Query{Types: []string{"Opened", "Opened", "Closed", "unheard-of"}, AggregateID: "b", Descending: true, Limit: 2}, 3)
	add(eventsource.Query{From: -2, Until: 3, AggregateID: "a"}, 5)
	add(eventsource.Query{After: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}, 1)
	add(eventsource.Query{Before: "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"}, 1)
	add(eventsource.Query{Limit: -1}, 1)
	add(eventsource.Query{Types: []string{"Opened", ""}}, 1)
	add(eventsource.Query{AggregateID: "\xff"}, 1)

	store := memstore.New()
	var written []eventsource.Record
	for i := range 40 {
		written = append(written, eventsource.Record{
			AggregateID: []string{"a", "b", "a,b", "é"}[i%4],
			Type:        []string{"Opened", "Deposited", "Closed"}[i%3],
			Timestamp:   []int64{-3, 1, 2, 1 << 62, -1 << 62}[i%5],
			Data:        []byte(`{}`),
		})
	}
	all, err := store.Append(f.Context(), written...)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, after, before, types, aggregate string, from, until int64, limit int, descending bool, page int) {
		query := eventsource.Query{
			After: numbered(all, after), Before: numbered(all, before), AggregateID: aggregate,
			From: from, Until: until, Limit: limit, Descending: descending,
		}
		if types != "" {
			query.Types = strings.Split(types, ",")
		}
		given := query
		given.Types = slices.Clone(query.Types)
		got, err := fromStore(t, store, query)
		if diff := cmp.Diff(given, query); diff != "" {
			t.Errorf("the caller's query was changed: %s", diff)
		}
		normal, refused := query.Normalize()
		if want := refusal(query); want != nil {
			if !errors.Is(err, want) || !errors.Is(refused, want) || len(got) > 0 {
				t.Errorf("%+v gives %d events, error %v; Normalize gives %v; want %v", query, len(got), err, refused, want)
			}
			return
		}
		if err != nil || refused != nil {
			t.Fatalf("%+v: error %v; Normalize gives %v", query, err, refused)
		}
		var want []eventsource.Record
		for _, r := range all {
			if normal.Matches(&r) {
				want = append(want, r)
			}
		}
		if descending {
			slices.Reverse(want)
		}
		unlimited := want
		if limit > 0 && limit < len(want) {
			want = want[:limit]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: %s", query, diff)
		}
		// A repository evaluates the query itself where the store does not, in one direction.
		var ids, wantIDs []string
		for _, r := range want {
			wantIDs = append(wantIDs, r.SequenceID)
		}
		for event, err := range eventsource.NewRepository(plain{store}, anyType{}).Events(t.Context(), query) {
			if descending && errors.Is(err, errors.ErrUnsupported) {
				wantIDs = nil
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, event.GetSequenceID())
		}
		if diff := cmp.Diff(wantIDs, ids); diff != "" {
			t.Errorf("%+v of a repository: %s", query, diff)
		}

		// The same in pages, as a reader goes that keeps its place.
		paged := query
		paged.Limit = 1 + (page%8+8)%8
		var inPages []eventsource.Record
		for {
			records, err := fromStore(t, store, paged)
			if err != nil || len(records) > paged.Limit {
				t.Fatalf("%+v: %d events, error %v", paged, len(records), err)
			}
			inPages = append(inPages, records...)
			if len(records) < paged.Limit || len(inPages) > len(all) {
				break
			}
			if last := records[len(records)-1].SequenceID; descending {
				paged.Before = last
			} else {
				paged.After = strings.ToLower(last)
			}
		}
		if diff := cmp.Diff(unlimited, inPages); diff != "" {
			t.Errorf("%+v in pages of %d: %s", query, paged.Limit, diff)
		}
	})
}

// anyType reads events of all types.
type anyType struct{}

func (anyType) Unmarshal([]byte, string) (eventsource.Event, error) { return &Opened{}, nil }
func (anyType) Marshal(eventsource.Event) ([]byte, error)           { return nil, errFake }

// numbered is the sequence ID of a numbered record, or the text itself.
func numbered(records []eventsource.Record, text string) string {
	if len(text) == 0 || len(text) > 2 || strings.Trim(text, "0123456789") != "" {
		return text
	}
	n := 0
	for _, digit := range text {
		n = 10*n + int(digit-'0')
	}
	return records[n%len(records)].SequenceID
}

// refusal says what is wrong with a query, nil if nothing is.
func refusal(q eventsource.Query) error {
	isID := func(text string) bool { return text == "" || sequenceIDForm.MatchString(text) }
	isName := func(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }
	switch {
	case !isID(q.After), !isID(q.Before):
		return eventsource.ErrInvalidSequenceID
	case q.Limit < 0, slices.Contains(q.Types, ""), !isName(q.AggregateID),
		slices.ContainsFunc(q.Types, func(name string) bool { return !isName(name) }):
		return eventsource.ErrInvalidQuery
	}
	return nil
}

func fromStore(t *testing.T, store eventsource.Querier, query eventsource.Query) (records []eventsource.Record, err error) {
	t.Helper()
	for record, failed := range store.Query(t.Context(), query) {
		if err != nil {
			t.Fatalf("there is something after the error %v", err)
		}
		if err = failed; err == nil {
			records = append(records, record)
		}
	}
	return records, err
}
