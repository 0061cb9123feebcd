package eventsource_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
)

func TestRecord_Validate_takes_what_every_store_can_hold(t *testing.T) {
	for name, r := range map[string]eventsource.Record{
		"no more than what is required": {AggregateID: "a", Type: "T"},
		"all fields":                    {SequenceID: "ignored", AggregateID: "ä", Version: 7, Type: "T", Timestamp: -1, UserID: "u", Data: []byte{0, 0xff}, Metadata: eventsource.Metadata{"": ""}},
		"the longest names":             {AggregateID: strings.Repeat("a", 1024), Type: strings.Repeat("t", 255)},
	} {
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecord_Validate_names_the_field_and_its_value(t *testing.T) {
	// A rune of three bytes stands across the place where a long name is cut.
	long := strings.Repeat("a", 31) + strings.Repeat("€", 400)
	for name, test := range map[string]struct {
		spoil    func(*eventsource.Record)
		mentions []string
	}{
		"empty aggregate ID":   {func(r *eventsource.Record) { r.AggregateID = "" }, []string{"empty aggregate ID", `"T"`}},
		"empty type":           {func(r *eventsource.Record) { r.Type = "" }, []string{"empty type", `"a"`}},
		"negative version":     {func(r *eventsource.Record) { r.Version = -3 }, []string{"-3", `"a"`}},
		"long aggregate ID":    {func(r *eventsource.Record) { r.AggregateID = long }, []string{"aggregate ID", "1231 bytes", "1024"}},
		"long type":            {func(r *eventsource.Record) { r.Type = long }, []string{"event type", "1231 bytes", "255"}},
		"NUL in aggregate ID":  {func(r *eventsource.Record) { r.AggregateID = "a\x00" }, []string{"aggregate ID", `"a\x00"`, "NUL"}},
		"NUL in user ID":       {func(r *eventsource.Record) { r.UserID = "\x00" }, []string{"user ID", "NUL"}},
		"bytes in type":        {func(r *eventsource.Record) { r.Type = "\xfe" }, []string{"event type", `"\xfe"`, "UTF-8"}},
		"bytes in a key":       {func(r *eventsource.Record) { r.Metadata = eventsource.Metadata{"\xfe": ""} }, []string{"metadata key", "UTF-8"}},
		"bytes in a key value": {func(r *eventsource.Record) { r.Metadata = eventsource.Metadata{"k": "\xfe"} }, []string{"metadata value of k", "UTF-8"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := eventsource.Record{AggregateID: "a", Type: "T"}
			test.spoil(&r)
			err := r.Validate()
			wantError(t, err, eventsource.ErrInvalidEvent, test.mentions...)
			if err != nil && (!utf8.ValidString(err.Error()) || len(err.Error()) > 200) {
				t.Errorf("the message is too long or not UTF-8: %q", err)
			}
		})
	}
}

func TestRecord_Clone_shares_no_memory(t *testing.T) {
	r := eventsource.Record{SequenceID: "s", AggregateID: "a", Version: 1, Type: "T", Timestamp: 2, UserID: "u", Data: []byte("x"), Metadata: eventsource.Metadata{"k": "v"}}
	c := r.Clone()
	if diff := cmp.Diff(r, c); diff != "" {
		t.Error(diff)
	}
	c.Data[0], c.Metadata["k"] = 'y', "changed"
	if string(r.Data) != "x" || r.Metadata["k"] != "v" {
		t.Errorf("the original was changed: %+v", r)
	}
	if c := (&eventsource.Record{}).Clone(); c.Data != nil || c.Metadata != nil {
		t.Errorf("a clone of nothing is %+v", c)
	}
}

func TestParseSequenceID_gives_the_canonical_form(t *testing.T) {
	for id, want := range map[string]string{
		"":                           "",
		"01ARZ3NDEKTSV4RRFFQ69G5FAV": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"01arz3ndektsv4rrffq69g5fav": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"00000000000000000000000000": "00000000000000000000000000",
		"7ZZZZZZZZZZZZZZZZZZZZZZZZZ": "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
	} {
		if got, err := eventsource.ParseSequenceID(id); err != nil || got != want {
			t.Errorf("%q becomes %q, error %v, want %q", id, got, err, want)
		}
	}
}

func TestParseSequenceID_refuses_what_is_no_ULID(t *testing.T) {
	for _, id := range []string{
		"x",
		" ",
		"01ARZ3NDEKTSV4RRFFQ69G5FA",   // one too few
		"01ARZ3NDEKTSV4RRFFQ69G5FAVX", // one too many
		"01ARZ3NDEKTSV4RRFFQ69G5FAU",  // U is not in the alphabet
		"01ARZ3NDEKTSV4RRFFQ69G5FA\x00",
		"80000000000000000000000000", // more than 128 bits
		"ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
	} {
		_, err := eventsource.ParseSequenceID(id)
		if !errors.Is(err, eventsource.ErrInvalidSequenceID) {
			t.Errorf("%q: error is %v", id, err)
		}
	}
}

func TestCheckLimit_refuses_only_what_is_negative(t *testing.T) {
	for _, limit := range []int{0, 1, 1 << 40} {
		if err := eventsource.CheckLimit(limit); err != nil {
			t.Errorf("%d: %v", limit, err)
		}
	}
	wantError(t, eventsource.CheckLimit(-1), eventsource.ErrInvalidQuery, "-1")
}

func TestQuery_Normalize_gives_canonical_IDs_and_leaves_the_original(t *testing.T) {
	q := eventsource.Query{After: "01arz3ndektsv4rrffq69g5fav", Before: "01arz3ndektsv4rrffq69g5faw", Types: []string{"T"}, Limit: 1}
	got, err := q.Normalize()
	if err != nil {
		t.Fatal(err)
	}
	want := eventsource.Query{After: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Before: "01ARZ3NDEKTSV4RRFFQ69G5FAW", Types: []string{"T"}, Limit: 1}
	if diff := cmp.Diff(want, got); diff != "" || q.After != "01arz3ndektsv4rrffq69g5fav" {
		t.Errorf("After is %s\n%s", q.After, diff)
	}
}

func TestQuery_Matches_what_fulfils_all_conditions(t *testing.T) {
	r := eventsource.Record{SequenceID: "B", AggregateID: "a", Type: "T", Timestamp: 5}
	for _, test := range []struct {
		query eventsource.Query
		want  bool
	}{
		{eventsource.Query{}, true},
		{eventsource.Query{After: "A"}, true},
		{eventsource.Query{After: "B"}, false},
		{eventsource.Query{Before: "C"}, true},
		{eventsource.Query{Before: "B"}, false},
		{eventsource.Query{AggregateID: "a"}, true},
		{eventsource.Query{AggregateID: "b"}, false},
		{eventsource.Query{Types: []string{"S", "T"}}, true},
		{eventsource.Query{Types: []string{"S"}}, false},
		{eventsource.Query{From: 5}, true},
		{eventsource.Query{From: 6}, false},
		{eventsource.Query{Until: 6}, true},
		{eventsource.Query{Until: 5}, false},
		{eventsource.Query{After: "A", Before: "C", AggregateID: "a", Types: []string{"T"}, From: 1, Until: 9}, true},
	} {
		if got := test.query.Matches(&r); got != test.want {
			t.Errorf("%+v: %v, want %v", test.query, got, test.want)
		}
	}
}
