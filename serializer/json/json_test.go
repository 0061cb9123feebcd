package json_test

import (
	stdjson "encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

type priced struct {
	eventsource.BaseEvent
	Price int64             `json:"price"`
	Tags  []string          `json:"tags,omitempty"`
	Extra map[string]string `json:"extra,omitempty"`
}

type noted struct {
	*eventsource.BaseEvent
	Note string
}

// Envelope is embedded by pointer, and has a BaseEvent in it.
type Envelope struct {
	*eventsource.BaseEvent
	Tenant string
}

type enveloped struct {
	*Envelope
	Note string
}

type measured struct {
	eventsource.BaseEvent
	Value float64
}

// impostor has the name of another type.
type impostor struct{ eventsource.BaseEvent }

func (*impostor) EventType() string { return "priced" }

func newSerializer(t testing.TB) *json.Serializer {
	t.Helper()
	s := json.NewSerializer(&priced{}, noted{}, enveloped{}, &measured{})
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

func wantError(t testing.TB, err, target error, mentions ...string) {
	t.Helper()
	if err == nil || target != nil && !errors.Is(err, target) {
		t.Errorf("error is %v, want %v", err, target)
		return
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			t.Errorf("error %q does not mention %q", err, m)
		}
	}
}

func TestSerializer_brings_back_what_was_registered(t *testing.T) {
	s := newSerializer(t)
	base := &eventsource.BaseEvent{}
	for _, event := range []eventsource.Event{
		&priced{Price: math.MaxInt64, Tags: []string{"<&>", "\u2028", "€"}, Extra: map[string]string{"": "x"}},
		&priced{},
		noted{BaseEvent: base, Note: "x"},
		enveloped{Envelope: &Envelope{BaseEvent: base, Tenant: "acme"}, Note: "x"},
	} {
		data, err := s.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Unmarshal(data, eventsource.EventType(event))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(event, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	// Written as a pointer, read as the struct that was registered.
	data, err := s.Marshal(&noted{BaseEvent: base, Note: "x"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Unmarshal(data, "noted")
	if _, ok := got.(noted); !ok || err != nil {
		t.Errorf("it is a %T, error %v", got, err)
	}
}

func TestSerializer_leaves_BaseEvent_out_of_the_JSON(t *testing.T) {
	base := eventsource.BaseEvent{
		AggregateID: "a", UserID: "u", SequenceID: "s", Timestamp: 1, Version: 2, Metadata: eventsource.Metadata{"k": "v"},
	}
	s := newSerializer(t)
	for want, event := range map[string]eventsource.Event{
		`{"price":7}`:                  &priced{BaseEvent: base, Price: 7},
		`{"Note":"x"}`:                 noted{BaseEvent: &base, Note: "x"},
		`{"Tenant":"acme","Note":"x"}`: enveloped{Envelope: &Envelope{BaseEvent: &base, Tenant: "acme"}, Note: "x"},
	} {
		if data, err := s.Marshal(event); err != nil || string(data) != want {
			t.Errorf("JSON is %s, error %v, want %s", data, err, want)
		}
	}
}

func TestSerializer_takes_no_BaseEvent_from_the_JSON(t *testing.T) {
	event, err := newSerializer(t).Unmarshal([]byte(`{"AggregateID":"a","Version":7,"BaseEvent":{"UserID":"u"},"price":1}`), "priced")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&priced{Price: 1}, event); diff != "" {
		t.Error(diff)
	}
}

func TestSerializer_allocates_embedded_pointers(t *testing.T) {
	s := newSerializer(t)
	for _, eventType := range []string{"noted", "enveloped"} {
		event, err := s.Unmarshal([]byte(`{}`), eventType)
		if err != nil {
			t.Fatal(err)
		}
		if event.SetSequenceID("s"); event.GetSequenceID() != "s" {
			t.Errorf("%T does not keep its sequence ID", event)
		}
	}
}

func TestSerializer_does_not_keep_the_data(t *testing.T) {
	data := []byte(`{"tags":["abc"]}`)
	event, err := newSerializer(t).Unmarshal(data, "priced")
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if tag := event.(*priced).Tags[0]; tag != "abc" {
		t.Errorf("the tag became %q", tag)
	}
}

func TestSerializer_refuses_types_that_are_not_registered(t *testing.T) {
	s := newSerializer(t)
	_, err := s.Unmarshal([]byte(`{}`), "unheard-of")
	wantError(t, err, eventsource.ErrUnknownType, `"unheard-of"`)
	_, err = s.Unmarshal([]byte(`{}`), "")
	wantError(t, err, eventsource.ErrUnknownType)
	_, err = s.Marshal(&impostor{})
	wantError(t, err, eventsource.ErrUnknownType, `"priced"`, "impostor")
	_, err = json.NewSerializer().Marshal(&priced{})
	wantError(t, err, eventsource.ErrUnknownType, `"priced"`)
	_, err = s.Marshal(nil)
	wantError(t, err, eventsource.ErrInvalidEvent)
	_, err = s.Marshal((*priced)(nil))
	wantError(t, err, eventsource.ErrInvalidEvent)
}

func TestSerializer_names_the_type_of_data_that_cannot_be_read_or_written(t *testing.T) {
	s := newSerializer(t)
	for _, data := range []string{``, `{`, `[]`, `"x"`, `{"price":"seven"}`, `{"price":1} {}`, "\xff"} {
		_, err := s.Unmarshal([]byte(data), "priced")
		wantError(t, err, nil, `"priced"`)
	}
	_, err := s.Unmarshal([]byte(`{"price":"seven"}`), "priced")
	var typeError *stdjson.UnmarshalTypeError
	if !errors.As(err, &typeError) || typeError.Field != "price" {
		t.Errorf("error does not unwrap to that of encoding/json: %v", err)
	}
	_, err = s.Marshal(&measured{Value: math.NaN()})
	wantError(t, err, nil, `"measured"`)
}

func TestNewSerializer_with_types_that_cannot_be_does_nothing_but_say_so(t *testing.T) {
	for name, s := range map[string]*json.Serializer{
		"one type twice":        json.NewSerializer(&priced{}, &priced{}),
		"two types of one name": json.NewSerializer(&priced{}, &impostor{}),
		"a nil event":           json.NewSerializer(&priced{}, nil),
		"none, not even made":   {},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, s.Err(), eventsource.ErrMisconfigured)
			_, err := s.Marshal(&priced{})
			wantError(t, err, eventsource.ErrMisconfigured)
			_, err = s.Unmarshal([]byte(`{}`), "priced")
			wantError(t, err, eventsource.ErrMisconfigured)

			repo := eventsource.NewRepository(memstore.New(), s)
			wantError(t, repo.Save(t.Context()), eventsource.ErrMisconfigured)
			_, err = repo.GetEventsBySequenceID(t.Context(), "", 0)
			wantError(t, err, eventsource.ErrMisconfigured)
		})
	}
}

// What can be read can be written, and then read as the same.
func FuzzUnmarshal(f *testing.F) {
	for _, data := range []string{
		`{}`, `null`, `{"price":7,"tags":["a",null],"extra":{"k":"v"}}`, `{"Note":"x","Tenant":"acme"}`,
		`{"Envelope":{"Tenant":"x"}}`, `{"Value":1e308}`, `{"PRICE":-0}`, `[`, `{"tags":"\ud800"}`,
	} {
		for _, eventType := range []string{"priced", "noted", "enveloped", "measured", "unheard-of"} {
			f.Add([]byte(data), eventType)
		}
	}
	s := newSerializer(f)
	f.Fuzz(func(t *testing.T, data []byte, eventType string) {
		event, err := s.Unmarshal(data, eventType)
		if err != nil {
			if event != nil || !errors.Is(err, eventsource.ErrUnknownType) && !strings.Contains(err.Error(), eventType) {
				t.Errorf("event %v, error %v", event, err)
			}
			return
		}
		event.SetSequenceID("s")
		if event.GetSequenceID() != "s" {
			t.Errorf("%T does not keep its sequence ID", event)
		}
		written, err := s.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.Unmarshal(written, eventType)
		if err != nil {
			t.Fatal(err)
		}
		again.SetSequenceID("s")
		rewritten, err := s.Marshal(again)
		if err != nil || string(rewritten) != string(written) {
			t.Errorf("%s became %s, error %v", written, rewritten, err)
		}
	})
}

func TestSerializer_says_which_types_it_knows(t *testing.T) {
	if got := newSerializer(t).Types(); !slices.Equal(got, []string{"enveloped", "measured", "noted", "priced"}) {
		t.Errorf("types are %q", got)
	}
	if got := json.NewSerializer(&priced{}, &priced{}).Types(); got != nil {
		t.Errorf("types of a serializer that was refused are %q", got)
	}
	if got := (&json.Serializer{}).Types(); got != nil {
		t.Errorf("types of a serializer that was not made are %q", got)
	}
}
