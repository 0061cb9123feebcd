package scenario

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
)

// diff compares two values: "" if they are equal. What cannot be compared is an error
// that says so: cmp panics.
func (c *config) diff(want, got any) (diff string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%T cannot be compared: %v", got, p)
		}
	}()
	opts := append(cmp.Options{
		cmp.Exporter(func(reflect.Type) bool { return true }),
		cmp.FilterValues(identical, cmp.Ignore()),
	}, c.cmp...)
	// cmp sometimes indents with spaces that do not break. It quotes those of values.
	diff = strings.ReplaceAll(cmp.Diff(want, got, opts), "\u00a0", " ")
	return strings.TrimRight(diff, "\n"), nil
}

// identical reports whether two values are the same pointer, map, channel or function.
// They need no look inside, which for what an aggregate shares with others, such as a
// service, would be a data race; and functions cannot be compared otherwise.
func identical(x, y any) bool {
	a, b := reflect.ValueOf(x), reflect.ValueOf(y)
	if !a.IsValid() || !b.IsValid() || a.Type() != b.Type() {
		return false
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func:
		return !a.IsNil() && a.Pointer() == b.Pointer()
	default:
		return false
	}
}

// diffEvents compares events one by one. It says what differs, "" if nothing does.
func (c *config) diffEvents(want, got []eventsource.Event) (string, error) {
	var text strings.Builder
	for i := range max(len(want), len(got)) {
		n := fmt.Sprintf("\nevent %d", i+1)
		switch {
		case i >= len(got):
			fmt.Fprintf(&text, "%s is missing: %s", n, show(want[i]))
			continue
		case i >= len(want):
			fmt.Fprintf(&text, "%s is one too many: %s", n, show(got[i]))
			continue
		case reflect.TypeOf(want[i]) != reflect.TypeOf(got[i]):
			fmt.Fprintf(&text, "%s is to be a %T, and is %s", n, want[i], show(got[i]))
			continue
		}
		diff, err := c.diff(expected(want[i], got[i]), got[i])
		if err != nil {
			return "", err
		}
		if diff != "" {
			fmt.Fprintf(&text, "%s, %T (-want +got):\n%s", n, got[i], diff)
		}
	}
	return text.String(), nil
}

// show is an event in one line, without what all events have.
func show(event eventsource.Event) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("%T", event)
		}
	}()
	data, err := json.Marshal(event)
	if err != nil {
		return fmt.Sprintf("%T %+v", event, event)
	}
	return fmt.Sprintf("%T %s", event, data)
}

// The parts of an envelope that not every event has.
type (
	aggregateIDSetter interface{ SetAggregateID(string) }
	userIDSetter      interface{ SetUserID(string) }
)

// expected returns a copy of want that has from got what want leaves open.
func expected(want, got eventsource.Event) eventsource.Event {
	want = clone(want)
	want.SetSequenceID(got.GetSequenceID())
	if want.GetTimestamp() == 0 {
		want.SetTimestamp(got.GetTimestamp())
	}
	if e, ok := want.(aggregateIDSetter); ok && want.GetAggregateID() == "" {
		e.SetAggregateID(got.GetAggregateID())
	}
	if e, ok := want.(eventsource.Versioned); ok && e.GetVersion() == 0 {
		e.SetVersion(got.(eventsource.Versioned).GetVersion())
	}
	if e, ok := want.(eventsource.MetadataCarrier); ok && len(e.GetMetadata()) == 0 {
		if m := got.(eventsource.MetadataCarrier).GetMetadata(); len(m) == 0 {
			e.SetMetadata(m)
		}
	}
	return want
}

// copyEnvelope gives an event what a repository keeps beside the data of another one.
func copyEnvelope(to, from eventsource.Event) {
	if e, ok := to.(aggregateIDSetter); ok {
		e.SetAggregateID(from.GetAggregateID())
	}
	if e, ok := to.(userIDSetter); ok {
		e.SetUserID(from.GetUserID())
	}
	to.SetSequenceID(from.GetSequenceID())
	to.SetTimestamp(from.GetTimestamp())
	if e, ok := from.(eventsource.Versioned); ok {
		if to, ok := to.(eventsource.Versioned); ok {
			to.SetVersion(e.GetVersion())
		}
	}
	if e, ok := from.(eventsource.MetadataCarrier); ok {
		if to, ok := to.(eventsource.MetadataCarrier); ok {
			to.SetMetadata(e.GetMetadata())
		}
	}
}

// roundTrip writes an event and reads it again, if there is a serializer.
func (c *config) roundTrip(event eventsource.Event) (back eventsource.Event, err error) {
	if c.serializer == nil {
		return event, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the serializer panics with %T: %v", event, p)
		}
	}()
	data, err := c.serializer.Marshal(event)
	if err != nil {
		return nil, err
	}
	if back, err = c.serializer.Unmarshal(data, eventsource.EventType(event)); err != nil {
		return nil, err
	}
	if isNil(back) {
		return nil, fmt.Errorf("the serializer returned nil for %q", eventsource.EventType(event))
	}
	copyEnvelope(back, event)
	diff, err := c.diff(event, back)
	if err != nil {
		return nil, err
	}
	if diff != "" {
		return nil, fmt.Errorf("the serializer changes %T (-before +after):\n%s", event, diff)
	}
	return back, nil
}

func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return r.IsNil()
	default:
		return false
	}
}
