package dynamostore

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/eventsource-go/eventsource"
)

const lowID, highID = "00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"

// source makes items of a fuzzer's bytes. Where they end it goes on with zeros,
// which stand for what is valid.
type source struct{ rest []byte }

func (s *source) next() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

// chunk is up to 15 bytes as they are.
func (s *source) chunk() string {
	n := min(int(s.next()%16), len(s.rest))
	chunk := s.rest[:n]
	s.rest = s.rest[n:]
	return string(chunk)
}

func (s *source) text() types.AttributeValue {
	odd := []string{"", lowID, highID, "01arz3ndektsv4rrffq69g5fav", "8" + lowID[1:], "\xff", "\x00", "{}", `{"k":"v"}`, "null", `{"k":1}`, `{"":""}`}
	if i := int(s.next()); i < len(odd) {
		return text(odd[i])
	}
	return text(s.chunk())
}

func (s *source) number() types.AttributeValue {
	odd := []string{
		"0", "1", "-1", "2", "64", "65", "", "1.5", "1e3", "007", "+7", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "4294967297", "NaN",
	}
	if i := int(s.next()); i < len(odd) {
		return &types.AttributeValueMemberN{Value: odd[i]}
	}
	return &types.AttributeValueMemberN{Value: s.chunk()}
}

// value is of any type that DynamoDB has.
func (s *source) value(depth int) types.AttributeValue {
	switch s.next() % 10 {
	case 0:
		return s.text()
	case 1:
		return s.number()
	case 2:
		return &types.AttributeValueMemberB{Value: []byte(s.chunk())}
	case 3:
		return &types.AttributeValueMemberBOOL{Value: s.next()%2 == 0}
	case 4:
		return &types.AttributeValueMemberNULL{Value: true}
	case 5:
		return &types.AttributeValueMemberSS{Value: []string{s.chunk()}}
	case 6:
		return &types.AttributeValueMemberNS{Value: []string{"1"}}
	case 7:
		return &types.AttributeValueMemberBS{Value: [][]byte{[]byte(s.chunk())}}
	case 8:
		m := make(item)
		for range s.next() % 3 {
			if key := s.chunk(); depth < 3 {
				m[key] = s.value(depth + 1)
			}
		}
		return &types.AttributeValueMemberM{Value: m}
	}
	return &types.AttributeValueMemberL{Value: []types.AttributeValue{text(s.chunk())}}
}

// mutate leaves most attributes of an item as they are. The order of the names is
// what makes an item out of the same bytes the same.
func (s *source) mutate(i item, names []string) item {
	for _, name := range names {
		switch s.next() % 8 {
		case 1:
			delete(i, name)
		case 2:
			i[name] = s.value(0)
		case 3:
			i[name] = s.text()
		case 4:
			i[name] = s.number()
		}
	}
	return i
}

func eventNames() []string {
	return []string{
		attrAggregateID, attrVersion, attrSequenceID, attrType, attrTimestamp, attrUserID, attrData, attrMetadata, attrPrev, attrTypePrev,
	}
}

func headNames() []string {
	return []string{attrLayout, attrTable, attrShards, attrHead, attrLast, attrTypes, attrAhead}
}

// same reports whether two attributes say the same. Numbers may be written in
// several ways, and what is empty may be absent.
func same(a, b types.AttributeValue) bool {
	switch a := a.(type) {
	case nil:
		return b == nil || empty(b)
	case *types.AttributeValueMemberN:
		b, ok := b.(*types.AttributeValueMemberN)
		if !ok {
			return false
		}
		n, err := strconv.ParseInt(a.Value, 10, 64)
		m, err2 := strconv.ParseInt(b.Value, 10, 64)
		return err == nil && err2 == nil && n == m
	}
	return b == nil && empty(a) || cmp.Equal(a, b, cmpopts.IgnoreUnexported(
		types.AttributeValueMemberS{}, types.AttributeValueMemberB{}, types.AttributeValueMemberM{}))
}

func empty(a types.AttributeValue) bool {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		return a.Value == ""
	case *types.AttributeValueMemberB:
		return len(a.Value) == 0
	}
	return false
}

// FuzzParseEvent makes an item of a record, and changes some of its attributes.
func FuzzParseEvent(f *testing.F) {
	f.Add("a", "Opened", "", "", "", []byte(`{}`), int64(1), 1, []byte{})
	f.Add("a", "Opened", "ann", "k", "v", []byte(nil), int64(math.MinInt64), math.MaxInt, []byte{0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 3, 2})
	f.Add("eventsource:head:0", "0#", "é", "", "", []byte{0, 0xff}, int64(-1), 7, []byte{0, 4, 9})
	for attribute := range eventNames() { // each missing once, of each type once
		f.Add("a", "Opened", "ann", "k", "v", []byte("x"), int64(1), 1, append(make([]byte, attribute), 1))
		for kind := range byte(10) {
			f.Add("a", "Opened", "ann", "k", "v", []byte("x"), int64(1), 1, append(make([]byte, attribute), 2, kind, 1, 1, 1))
		}
	}
	for metadata := range byte(12) {
		f.Add("a", "Opened", "ann", "k", "v", []byte("x"), int64(1), 1, []byte{0, 0, 0, 0, 0, 0, 0, 3, metadata})
	}
	f.Fuzz(func(t *testing.T, aggregate, eventType, user, key, value string, data []byte, timestamp int64, version int, changes []byte) {
		r := eventsource.Record{
			SequenceID: highID, AggregateID: aggregate, Version: version, Type: eventType, Timestamp: timestamp, UserID: user, Data: data,
		}
		if key != "" || value != "" {
			r.Metadata = eventsource.Metadata{key: value}
		}
		if r.Validate() == nil && version > 0 {
			e, err := parseEvent(newItem(&r, 63, lowID, ""))
			if diff := cmp.Diff(r, e.Record, cmpopts.EquateEmpty()); err != nil || diff != "" || e.prev != lowID || e.typePrev != "" {
				t.Errorf("after %q and %q, error %v: %s", e.prev, e.typePrev, err, diff)
			}
		}

		s := source{changes}
		i := s.mutate(newItem(&r, 63, lowID, ""), eventNames())
		e, err := parseEvent(i)
		if err != nil {
			if !errors.Is(err, ErrLayout) || !cmp.Equal(e, event{}, cmp.AllowUnexported(event{})) {
				t.Errorf("event %+v, error %v", e, err)
			}
			return
		}
		if id, err := eventsource.ParseSequenceID(e.SequenceID); err != nil || id != e.SequenceID || id == "" ||
			e.AggregateID == "" || e.Type == "" || e.Version < 1 {
			t.Errorf("no store has this event: %+v", e)
		}
		again := newItem(&e.Record, 63, e.prev, e.typePrev)
		for _, name := range eventNames() {
			if name != attrMetadata && !same(i[name], again[name]) {
				t.Errorf("%s was %#v and became %#v", name, i[name], again[name])
			}
		}
		// Metadata may be any JSON that says the same.
		if was, ok := i[attrMetadata].(*types.AttributeValueMemberS); ok && was.Value != "" {
			var want eventsource.Metadata
			if err := json.Unmarshal([]byte(was.Value), &want); err != nil || !cmp.Equal(want, e.Metadata, cmpopts.EquateEmpty()) {
				t.Errorf("metadata %q became %v, error %v", was.Value, e.Metadata, err)
			}
		}
		if e2, err := parseEvent(again); err != nil || !cmp.Equal(e, e2, cmp.AllowUnexported(event{}), cmpopts.EquateEmpty()) {
			t.Errorf("%+v became %+v, error %v", e, e2, err)
		}
	})
}

// FuzzParseHead makes the item of a head, and changes some of its attributes.
func FuzzParseHead(f *testing.F) {
	f.Add("t", 0, 1, "", "", "", int64(noLead), []byte{})
	f.Add("t", 63, 64, highID, lowID, "Opened", int64(7), []byte{0, 0, 4, 4})
	f.Add("t", 3, 3, highID, lowID, "Opened", int64(7), []byte{4, 3})
	f.Add("", 0, 1, "", "", "", int64(0), []byte{})
	for attribute := range headNames() {
		f.Add("t", 1, 4, highID, lowID, "Opened", int64(7), append(make([]byte, attribute), 1))
		for kind := range byte(10) {
			f.Add("t", 1, 4, highID, lowID, "Opened", int64(7), append(make([]byte, attribute), 2, kind, 1, 1, 'k', 1))
		}
	}
	f.Fuzz(func(t *testing.T, tableID string, shard, shards int, seq, last, eventType string, ahead int64, changes []byte) {
		shard = int(uint(shard) % MaxShards)
		h := head{tableID: tableID, shard: shard, shards: shards, seq: seq, last: last, types: map[string]string{}, ahead: ahead}
		if eventType != "" {
			h.types[eventType] = lowID
		}
		got, err := parseHead(h.item(), shard)
		if valid := tableID != "" && shard < shards && shards <= MaxShards; valid != (err == nil) {
			t.Errorf("%+v: error %v", h, err)
		} else if valid && !cmp.Equal(h, got, cmp.AllowUnexported(head{})) {
			t.Errorf("%+v became %+v", h, got)
		}

		s := source{changes}
		i := s.mutate(h.item(), headNames())
		got, err = parseHead(i, shard)
		if err != nil {
			if !errors.Is(err, ErrLayout) || !cmp.Equal(got, head{}, cmp.AllowUnexported(head{})) {
				t.Errorf("head %+v, error %v", got, err)
			}
			return
		}
		if got.shard != shard || got.shards <= shard || got.shards > MaxShards || got.tableID == "" {
			t.Errorf("no table has this head: %+v", got)
		}
		again := got.item()
		for _, name := range headNames() {
			if !same(i[name], again[name]) {
				t.Errorf("%s was %#v and became %#v", name, i[name], again[name])
			}
		}
	})
}

// FuzzItemSize compares with the sizes in the Developer Guide of DynamoDB, in the
// shard and the place that make an item as large as it can be.
func FuzzItemSize(f *testing.F) {
	f.Add("a", "Opened", "", "", "", []byte(`{}`), int64(0), 0, true)
	f.Add("é\U0001F600", "Ö", "ann", "<&>", "\"\\\u2028\x01", []byte{0, 0xff}, int64(math.MinInt64), math.MaxInt, true)
	f.Add("\xff", "\xc3", "\xed\xa0\x80", "\xff", "\xfe", []byte(nil), int64(math.MaxInt64), 999_999_999, false)
	f.Add(strings.Repeat("a", eventsource.MaxAggregateIDLength), strings.Repeat("t", eventsource.MaxTypeLength), "u", "", "", []byte(nil), int64(-1), 10, false)
	f.Fuzz(func(t *testing.T, aggregate, eventType, user, key, value string, data []byte, timestamp int64, version int, chained bool) {
		r := eventsource.Record{AggregateID: aggregate, Version: version, Type: eventType, Timestamp: timestamp, UserID: user, Data: data}
		if key != "" || value != "" {
			r.Metadata = eventsource.Metadata{key: value}
		}
		promised := itemSize(&r) // before a place is known
		r.SequenceID = highID
		prev := ""
		if chained {
			prev = lowID
		}
		size := 0
		i := newItem(&r, MaxShards-1, prev, prev)
		for name, v := range i {
			size += len(name) + sizeOf(t, v)
		}
		if size > promised {
			t.Errorf("%d bytes were promised, the item has %d", promised, size)
		}
		if promised > size+itemOverhead {
			t.Errorf("%d bytes are told of an item of %d", promised, size)
		}
	})
}

// sizeOf is the size of a value: of a number one byte for each two digits without
// the zeros around them, one more, and one for a minus.
func sizeOf(t *testing.T, v types.AttributeValue) int {
	t.Helper()
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		digits, negative := strings.CutPrefix(v.Value, "-")
		size := 1 + (len(strings.Trim(digits, "0"))+2)/2 // pairs need not begin at the first digit
		if negative {
			size++
		}
		return size
	}
	t.Fatalf("no event has a %T", v)
	return 0
}

// FuzzOptions makes stores and tables of anything: what cannot work is refused by
// every method, and nothing is asked of a client.
func FuzzOptions(f *testing.F) {
	f.Add("events", true, int64(time.Minute), int64(0), int64(0), int64(1), 1, int64(0), "")
	f.Add("ev", true, int64(0), int64(0), int64(0), int64(1), 1, int64(0), "")
	f.Add("events", false, int64(0), int64(0), int64(0), int64(1), 0, int64(1), "NEW_IMAGE")
	f.Add("events", true, int64(-1), int64(0), int64(0), int64(1), -1, int64(-1), "NEW")
	f.Add("events", true, int64(0), int64(-1), int64(0), int64(1), MaxShards, int64(0), "KEYS_ONLY")
	f.Add("events", true, int64(0), int64(0), int64(-1), int64(1), MaxShards+1, int64(0), "")
	f.Add("events/../x", true, int64(0), int64(0), int64(0), int64(0), 64, int64(0), "")
	f.Fuzz(func(t *testing.T, name string, clock bool, ahead, outcome, index, watch int64, shards int, capacity int64, stream string) {
		opts := []Option{
			WithMaxClockAhead(time.Duration(ahead)), WithOutcomeTimeout(time.Duration(outcome)), nil,
			WithIndexTimeout(time.Duration(index)), WithWatchInterval(time.Duration(watch)),
		}
		if !clock {
			opts = append(opts, WithClock(nil))
		}
		s := New(nil, name, opts...)
		named := len(name) >= 3 && len(name) <= 255 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
		sound := named && clock && ahead >= 0 && outcome >= 0 && index >= 0 && watch > 0
		if accepted := errors.Is(s.Err(), errNoClient); accepted != sound {
			t.Errorf("accepted is %t: %v", accepted, s.Err())
		}
		_, appended := s.Append(t.Context(), eventsource.Record{AggregateID: "a", Type: "Opened"})
		_, begun := s.NewTransaction(t.Context())
		_, loaded := s.LoadByAggregate(t.Context(), "a")
		_, told := s.Horizon(t.Context())
		for _, err := range []error{s.Err(), appended, begun, loaded, told} {
			if !errors.Is(err, eventsource.ErrMisconfigured) {
				t.Errorf("error is %v", err)
			}
		}

		options := TableOptions{Shards: shards, Stream: types.StreamViewType(stream)}
		if capacity != 0 {
			options.Provisioned = &Capacity{Read: capacity, Write: 1}
		}
		err := options.check(name)
		if err != nil && !errors.Is(err, eventsource.ErrMisconfigured) {
			t.Errorf("error is %v", err)
		}
		if possible := named && shards >= 0 && shards <= MaxShards && capacity >= 0 && (stream == "" || slices.Contains(options.Stream.Values(), options.Stream)); possible != (err == nil) {
			t.Errorf("a table of %d shards, %d units, stream %q: %v", shards, capacity, stream, err)
		}
	})
}
