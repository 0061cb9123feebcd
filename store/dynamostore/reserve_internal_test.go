package dynamostore

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
)

func reservationNames() []string {
	return []string{attrScope, attrValue, attrHolder, attrEvent, attrEventVersion, attrUntil}
}

// FuzzParseReservation makes the item of a reservation, and changes some of its
// attributes.
func FuzzParseReservation(f *testing.F) {
	f.Add("email", "ann@example.com", "a", "b", int64(0), 1, []byte{})
	f.Add("é:", ":7:\U0001F600", "a", "", int64(math.MaxInt64), math.MaxInt, []byte{0, 0, 4, 4})
	f.Add(strings.Repeat("s", eventsource.MaxScopeLength), strings.Repeat("v", eventsource.MaxReservedLength),
		strings.Repeat("a", eventsource.MaxAggregateIDLength), strings.Repeat("b", eventsource.MaxAggregateIDLength), int64(1), 7, []byte{1})
	for attribute := range reservationNames() { // each missing once, of each type once
		f.Add("email", "x", "a", "a", int64(7), 1, append(make([]byte, attribute), 1))
		for kind := range byte(10) {
			f.Add("email", "x", "a", "a", int64(7), 1, append(make([]byte, attribute), 2, kind, 1, 1, 1))
		}
	}
	f.Fuzz(func(t *testing.T, scope, value, from, to string, until int64, version int, changes []byte) {
		if eventsource.CheckReserved(scope, value) != nil || until < 0 || version < 1 {
			return
		}
		c := eventsource.ReservationChange{Scope: scope, Value: value, From: from, To: to, Until: until}
		v := valueOf(&c)
		r := eventsource.Record{SequenceID: highID, Version: version}
		i := newReservation(&c, &r, time.Unix(1<<40, 0))
		h, err := v.parseReservation(i)
		if want := (eventsource.Holder{AggregateID: to, SequenceID: highID, Version: version, Until: until}); err != nil || h != want {
			t.Errorf("%+v became %+v, error %v", want, h, err)
		}
		size := 0
		for name, a := range i {
			size += len(name) + sizeOf(t, a)
		}
		if most := reservationSize(&c); size > most {
			t.Errorf("%d bytes were promised, the item has %d", most, size)
		}

		s := source{changes}
		i = s.mutate(i, reservationNames())
		h, err = v.parseReservation(i)
		if err != nil {
			if !errors.Is(err, ErrLayout) || h != (eventsource.Holder{}) {
				t.Errorf("holder %+v, error %v", h, err)
			}
			return
		}
		if id, err := eventsource.ParseSequenceID(h.SequenceID); err != nil || id != h.SequenceID || id == "" || h.Version < 1 || h.Until < 0 {
			t.Errorf("nobody holds it like this: %+v", h)
		}
		c.To, c.Until = h.AggregateID, h.Until
		again := newReservation(&c, &eventsource.Record{SequenceID: h.SequenceID, Version: h.Version}, time.Unix(1<<40, 0))
		for _, name := range reservationNames() {
			if !same(i[name], again[name]) {
				t.Errorf("%s was %#v and became %#v", name, i[name], again[name])
			}
		}
	})
}

func TestNoTwoValuesHaveTheSameKey(t *testing.T) {
	name := func(v reservedValue) string {
		return v.key()[attrAggregateID].(*types.AttributeValueMemberS).Value
	}
	texts := []string{"1", ":", "a"}
	for i := 0; len(texts) < 3+9+27; i++ { // all of up to three characters
		texts = append(texts, texts[i]+"1", texts[i]+":", texts[i]+"a")
	}
	seen := make(map[string]reservedValue)
	for _, scope := range texts {
		for _, value := range texts {
			v := reservedValue{scope, value}
			if before, there := seen[name(v)]; there {
				t.Errorf("%q and %q have the key %s", before, v, name(v))
			}
			seen[name(v)] = v
		}
	}
	longest := reservedValue{strings.Repeat("s", eventsource.MaxScopeLength), strings.Repeat("v", eventsource.MaxReservedLength)}
	if n := len(name(longest)); n > 2048 {
		t.Errorf("the longest key has %d bytes, DynamoDB takes 2048", n)
	}
	if strings.HasPrefix(name(longest), headKeyPrefix) {
		t.Errorf("%s is in the way of heads", name(longest))
	}
}

func TestTheServersTimeIsThatOfItsAnswersAndSeldomGoesBack(t *testing.T) {
	var c serverClock
	if _, ok := c.now(); ok {
		t.Error("it knows the time before an answer")
	}
	// about reports whether the clock shows a time, in a test that takes less than 10 s.
	about := func(what string, want time.Time) {
		t.Helper()
		got, ok := c.now()
		if late := got.Sub(want); !ok || late < 0 || late > 10*time.Second {
			t.Errorf("%s it is %v, want %v", what, got, want)
		}
	}
	began := time.Unix(1_700_000_000, 0)
	c.set(began)
	about("at first", began)

	// It is almost a second later, as far as that can be told from this side.
	c.mu.Lock()
	c.at = c.at.Add(-900 * time.Millisecond)
	c.mu.Unlock()
	before, _ := c.now()
	c.set(began) // dated to the same second
	if now, _ := c.now(); now.Before(before) {
		t.Errorf("the time went back from %v to %v", before, now)
	}
	c.set(began.Add(time.Hour))
	about("after an hour, which this machine has slept", began.Add(time.Hour))
	c.set(began.Add(30 * time.Minute))
	if now, _ := c.now(); now.Sub(began.Add(30*time.Minute)) > 10*time.Second {
		t.Errorf("an answer half an hour before the last one leaves the time at %v", now)
	}
}
