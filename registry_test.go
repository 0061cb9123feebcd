package eventsource_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
)

type unnamed struct{ eventsource.BaseEvent }

func (*unnamed) EventType() string { return "" }

type otherOpened struct{ eventsource.BaseEvent }

func (*otherOpened) EventType() string { return "Opened" }

type withHidden struct {
	*hidden
}

type hidden struct{ eventsource.BaseEvent }

type withMixin struct {
	Mixin
	*Envelope
}

// Mixin has nothing to do with events.
type Mixin struct{ Note string }

type noStruct int

func (noStruct) GetAggregateID() string { return "a" }
func (noStruct) GetUserID() string      { return "" }
func (noStruct) GetSequenceID() string  { return "" }
func (noStruct) GetTimestamp() int64    { return 0 }
func (noStruct) SetSequenceID(string)   {}
func (noStruct) SetTimestamp(int64)     {}

func TestNewRegistry_refuses_what_it_cannot_tell_apart_or_make(t *testing.T) {
	for name, test := range map[string]struct {
		events   []eventsource.Event
		mentions []string
	}{
		"a nil event":                     {[]eventsource.Event{&Opened{}, nil}, []string{"event 2 of 2", "nil"}},
		"one type twice":                  {[]eventsource.Event{&Opened{}, &Opened{}}, []string{`"Opened"`}},
		"the struct and its pointer":      {[]eventsource.Event{byValue{}, &byValue{}}, []string{`"byValue"`, "*eventsource_test.byValue"}},
		"two types of one name":           {[]eventsource.Event{&Opened{}, &otherOpened{}}, []string{`"Opened"`, "otherOpened"}},
		"a type without a name":           {[]eventsource.Event{&unnamed{}}, []string{"unnamed", "no name"}},
		"an anonymous struct":             {[]eventsource.Event{&struct{ eventsource.BaseEvent }{}}, []string{"no name"}},
		"what is no struct":               {[]eventsource.Event{noStruct(1)}, []string{"noStruct", "struct"}},
		"a pointer that cannot be filled": {[]eventsource.Event{&withHidden{}}, []string{"withHidden", "hidden", "unexported"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eventsource.NewRegistry(test.events...)
			wantError(t, err, eventsource.ErrMisconfigured, test.mentions...)
		})
	}
}

func mustRegister(t testing.TB, events ...eventsource.Event) *eventsource.Registry {
	t.Helper()
	r, err := eventsource.NewRegistry(events...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRegistry_Check_names_the_types_that_are_registered(t *testing.T) {
	r := mustRegister(t, &Opened{}, byValue{}, (*Renamed)(nil))
	for _, event := range []eventsource.Event{&Opened{}, byValue{}, &byValue{}, &Renamed{}} {
		if name, err := r.Check(event); err != nil || name != eventsource.EventType(event) {
			t.Errorf("%T: %q, error %v", event, name, err)
		}
	}
	_, err := r.Check(&Deposited{})
	wantError(t, err, eventsource.ErrUnknownType, `"Deposited"`, "*eventsource_test.Deposited")
	_, err = r.Check(&otherOpened{}) // it has the name of another type
	wantError(t, err, eventsource.ErrUnknownType, `"Opened"`, "otherOpened", "*eventsource_test.Opened")
	for _, event := range []eventsource.Event{nil, (*Opened)(nil)} {
		_, err = r.Check(event)
		wantError(t, err, eventsource.ErrInvalidEvent, "nil")
	}
}

func TestRegistry_Decode_gives_what_was_registered_with_its_pointers_allocated(t *testing.T) {
	base := &eventsource.BaseEvent{}
	for _, test := range []struct {
		registered eventsource.Event
		data       string
		want       eventsource.Event
	}{
		{&Opened{Owner: "not this"}, `{"owner":"Ann"}`, &Opened{Owner: "Ann"}},
		{(*Opened)(nil), `{}`, &Opened{}},
		{byValue{}, `{"note":"x"}`, byValue{BaseEvent: base, Note: "x"}},
		{&byValue{}, `{}`, &byValue{BaseEvent: base}},
		{(*byValue)(nil), `{}`, &byValue{BaseEvent: base}},
		{&nested{}, `{"tenant":"acme"}`, &nested{Envelope: Envelope{Tenant: "acme"}}},
		{nestedPointer{}, `{}`, nestedPointer{Envelope: &Envelope{}}},
		{nestedPointer{}, `{"tenant":"acme"}`, nestedPointer{Envelope: &Envelope{Tenant: "acme"}}},
		{&withMixin{}, `{"Note":"x"}`, &withMixin{Mixin: Mixin{"x"}, Envelope: &Envelope{}}},
	} {
		r := mustRegister(t, test.registered)
		got, err := r.Decode(eventsource.EventType(test.want), func(target any) error {
			return json.Unmarshal([]byte(test.data), target)
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%T (-want +got)\n%s", test.registered, diff)
		}
		got.SetSequenceID("s")
		if got.GetSequenceID() != "s" {
			t.Errorf("%T does not keep its sequence ID", got)
		}
	}
}

func TestRegistry_Decode_gives_a_new_event_each_time(t *testing.T) {
	r := mustRegister(t, byValue{})
	decode := func() eventsource.Event {
		event, err := r.Decode("byValue", func(any) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return event
	}
	first, second := decode(), decode()
	first.SetSequenceID("s")
	if second.GetSequenceID() != "" {
		t.Error("two events share their BaseEvent")
	}
}

func TestRegistry_Decode_fails_for_unknown_names_and_with_what_it_is_given(t *testing.T) {
	r := mustRegister(t, &Opened{})
	_, err := r.Decode("Closed", func(any) error { t.Error("there is nothing to decode into"); return nil })
	wantError(t, err, eventsource.ErrUnknownType, `"Closed"`)
	_, err = r.Decode("Opened", func(any) error { return errFake })
	wantError(t, err, errFake)
	_, err = (&eventsource.Registry{}).Decode("Opened", func(any) error { return nil })
	wantError(t, err, eventsource.ErrUnknownType)
}

func TestRegistry_says_which_types_it_knows(t *testing.T) {
	r, err := eventsource.NewRegistry(&Opened{}, &Deposited{}, &Closed{})
	if err != nil {
		t.Fatal(err)
	}
	types := r.Types()
	if !slices.Equal(types, []string{"Closed", "Deposited", "Opened"}) {
		t.Errorf("types are %q", types)
	}
	types[0] = "changed"
	if got := r.Types()[0]; got != "Closed" {
		t.Errorf("the caller has changed a type to %q", got)
	}
}
