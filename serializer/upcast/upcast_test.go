package upcast_test

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/serializer/upcast"
)

type nameChanged struct {
	eventsource.BaseEvent
	Name string `json:"name"`
}

func (*nameChanged) EventType() string { return "NameChanged" }

type addressChanged struct {
	eventsource.BaseEvent
	Street string `json:"street"`
	City   string `json:"city"`
}

func (*addressChanged) EventType() string { return "AddressChanged" }

// counted is registered as a struct.
type counted struct {
	*eventsource.BaseEvent
	Steps []int `json:"steps"`
}

func (counted) EventType() string { return "Counted" }

// empty has no fields.
type empty struct{ eventsource.BaseEvent }

func (*empty) EventType() string { return "Empty" }

// text is an event whose JSON is no object.
type text struct{ eventsource.BaseEvent }

func (*text) EventType() string            { return "Text" }
func (*text) MarshalJSON() ([]byte, error) { return []byte(`"text"`), nil }

// taken is an event whose JSON begins with the field of the schema version.
type taken struct {
	eventsource.BaseEvent
	V int `json:"$v"`
}

func (*taken) EventType() string { return "Taken" }

func inner() *json.Serializer {
	return json.NewSerializer(&placed{}, &nameChanged{}, &addressChanged{}, counted{}, &empty{}, &text{}, &taken{})
}

type raw = stdjson.RawMessage

// same is a step that changes nothing.
func same(old raw) (raw, error) { return old, nil }

// nothing is a split that leaves everything out.
func nothing(raw) ([]upcast.Part, error) { return nil, nil }

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

func mustMake(t testing.TB, rules ...upcast.Rule) *upcast.Serializer {
	t.Helper()
	s := upcast.NewSerializer(inner(), rules...)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

// wantEvents fails unless the data are read as the events, each written as its type and
// its JSON.
func wantEvents(t testing.TB, s *upcast.Serializer, eventType, data string, want ...string) {
	t.Helper()
	before := strings.Clone(data)
	bytes := []byte(data)
	events, err := s.UnmarshalAll(bytes, eventType)
	if err != nil {
		t.Errorf("%s %s: %v", eventType, data, err)
		return
	}
	if string(bytes) != before {
		t.Errorf("the data were changed to %s", bytes)
	}
	got := described(t, events)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s %s is read otherwise (-want +got):\n%s", eventType, data, diff)
	}
	event, err := s.Unmarshal(bytes, eventType)
	if len(want) != 1 {
		wantError(t, err, errors.ErrUnsupported, eventType)
	} else if one := described(t, []eventsource.Event{event}); err != nil || one[0] != want[0] {
		t.Errorf("Unmarshal gives %v, error %v", one, err)
	}
}

func described(t testing.TB, events []eventsource.Event) (all []string) {
	t.Helper()
	for _, event := range events {
		data, err := stdjson.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, eventsource.EventType(event)+" "+string(data))
	}
	return all
}

func TestSerializer_writes_the_version_into_the_data_only_above_1(t *testing.T) {
	s := mustMake(t, upcast.Step("NameChanged", 1, same), upcast.Step("Empty", 1, same), upcast.Step("Empty", 2, same))
	for _, c := range []struct {
		event eventsource.Event
		want  string
	}{
		{&addressChanged{City: "Bern"}, `{"street":"","city":"Bern"}`},
		{&nameChanged{Name: "Ann"}, `{"$v":2,"name":"Ann"}`},
		{&empty{}, `{"$v":3}`},
		{&text{}, `"text"`},
	} {
		data, err := s.Marshal(c.event)
		if err != nil || string(data) != c.want {
			t.Errorf("%T is written as %s, error %v, want %s", c.event, data, err, c.want)
		}
	}
	wantEvents(t, s, "NameChanged", `{"$v":2,"name":"Ann"}`, `NameChanged {"name":"Ann"}`)
	wantEvents(t, s, "NameChanged", `{"name":"Ann"}`, `NameChanged {"name":"Ann"}`)
	wantEvents(t, s, "Empty", `{"$v":3}`, `Empty {}`)
}

func TestSerializer_refuses_to_write_what_it_could_not_read(t *testing.T) {
	s := mustMake(t, upcast.Step("Text", 1, same))
	_, err := s.Marshal(&text{})
	wantError(t, err, eventsource.ErrInvalidEvent, `"Text"`, "no object", "version 2")
	_, err = s.Marshal(&taken{V: 7})
	wantError(t, err, eventsource.ErrInvalidEvent, `"Taken"`, "$v")
	_, err = s.Marshal(&unknown{})
	wantError(t, err, eventsource.ErrUnknownType, "unknown")
	_, err = s.Marshal(nil)
	wantError(t, err, eventsource.ErrInvalidEvent)
}

type unknown struct{ eventsource.BaseEvent }

func TestSerializer_takes_old_data_through_all_steps(t *testing.T) {
	type v1 struct {
		Total float64 `json:"total"`
	}
	type v2 struct {
		Total    stdjson.Number `json:"total"`
		Currency string         `json:"currency"`
	}
	s := mustMake(t,
		upcast.Step("Placed", 3, func(old map[string]any) (map[string]any, error) {
			old["note"] = "from 3"
			return old, nil
		}),
		upcast.Step("Placed", 1, func(old v1) (*v2, error) { return &v2{stdjson.Number(fmt.Sprint(int(old.Total) * 100)), "EUR"}, nil }),
		upcast.Step("Placed", 2, func(old *v2) (map[string]any, error) {
			return map[string]any{"total": old.Total, "currency": old.Currency, "customer": "from 2"}, nil
		}),
	)
	wantEvents(t, s, "Placed", `{"total":5}`, `Placed {"customer":"from 2","total":500,"currency":"EUR","note":"from 3"}`)
	wantEvents(t, s, "Placed", `{"$v":2,"total":5,"currency":"CHF"}`, `Placed {"customer":"from 2","total":5,"currency":"CHF","note":"from 3"}`)
	wantEvents(t, s, "Placed", `{"$v":3,"total":5,"customer":"x"}`, `Placed {"customer":"x","total":5,"currency":"","note":"from 3"}`)
	wantEvents(t, s, "Placed", `{"$v":4,"total":5,"note":"as it is"}`, `Placed {"customer":"","total":5,"currency":"","note":"as it is"}`)
}

func TestSerializer_loses_no_digit_of_a_number(t *testing.T) {
	s := mustMake(t,
		upcast.Step("Placed", 1, func(old map[string]any) (any, error) { return old, nil }),
		upcast.Step("Placed", 2, func(old any) (raw, error) { return stdjson.Marshal(old) }),
		upcast.Step("Placed", 3, func(old struct {
			Total any `json:"total"`
			Note  raw `json:"note"`
		}) (any, error) {
			return map[string]any{"total": old.Total, "note": string(old.Note)}, nil
		}),
	)
	const decimal = "0.123456789012345678901234567890e-400"
	wantEvents(t, s, "Placed", `{"total":9223372036854775807,"note":`+decimal+`}`,
		`Placed {"customer":"","total":9223372036854775807,"currency":"","note":"`+decimal+`"}`)
}

func TestSerializer_reads_a_renamed_type_under_all_its_names(t *testing.T) {
	s := mustMake(t,
		upcast.Rename("Ordered", "OrderPlaced"), upcast.Rename("OrderPlaced", "Placed"),
		upcast.Step("Placed", 1, func(old struct{ Sum int }) (any, error) { return map[string]any{"total": old.Sum}, nil }),
	)
	const want = `Placed {"customer":"","total":7,"currency":"","note":""}`
	for _, name := range []string{"Ordered", "OrderPlaced", "Placed"} {
		wantEvents(t, s, name, `{"Sum":7}`, want)
		wantEvents(t, s, name, `{"$v":2,"total":7}`, want)
	}
}

func split(old struct{ Name, Street string }) ([]upcast.Part, error) {
	return []upcast.Part{
		{Type: "NameChanged", Data: map[string]any{"n": old.Name}},
		{Type: "AddressChanged", Version: 2, Data: raw(`{"street":"` + old.Street + `"}`)},
	}, nil
}

func TestSerializer_takes_the_parts_of_a_split_through_the_chains_of_their_types(t *testing.T) {
	s := mustMake(t,
		upcast.Step("Moved", 1, func(old raw) (raw, error) { return raw(strings.Replace(string(old), "name_", "Name", 1)), nil }),
		upcast.Split("Moved", 2, split, "NameChanged", "AddressChanged"),
		upcast.Rename("Relocated", "Moved"),
		upcast.Step("NameChanged", 1, func(old struct{ N string }) (any, error) { return map[string]any{"name": old.N}, nil }),
		upcast.Step("AddressChanged", 1, func(raw) (raw, error) { return nil, errors.New("version 1 was not asked for") }),
		upcast.Step("AddressChanged", 2, func(old map[string]any) (any, error) {
			old["city"] = "Bern"
			return old, nil
		}),
	)
	want := []string{`NameChanged {"name":"Ann"}`, `AddressChanged {"street":"Long St","city":"Bern"}`}
	wantEvents(t, s, "Moved", `{"name_":"Ann","Street":"Long St"}`, want...)
	wantEvents(t, s, "Relocated", `{"$v":2,"Name":"Ann","Street":"Long St"}`, want...)
}

func TestSerializer_keeps_a_split_right_when_its_types_are_renamed_later(t *testing.T) {
	s := mustMake(t,
		upcast.Split("Moved", 1, func(raw) ([]upcast.Part, error) {
			return []upcast.Part{{Type: "Named", Data: raw(`{"name":"Ann"}`)}}, nil
		}, "Named", "Placed"),
		upcast.Rename("Named", "NameChanged"),
	)
	wantEvents(t, s, "Moved", `{}`, `NameChanged {"name":"Ann"}`)
	if got, want := s.StoredTypes("NameChanged"), []string{"Moved", "NameChanged", "Named"}; !slices.Equal(got, want) {
		t.Errorf("stored types are %q, want %q", got, want)
	}
}

func TestSerializer_splits_a_type_into_a_later_version_of_itself_and_another(t *testing.T) {
	s := mustMake(t,
		upcast.Split("NameChanged", 1, func(old struct{ Name, City string }) ([]upcast.Part, error) {
			return []upcast.Part{
				{Type: "NameChanged", Version: 2, Data: map[string]any{"name": old.Name}},
				{Type: "AddressChanged", Data: map[string]any{"city": old.City}},
			}, nil
		}, "NameChanged", "AddressChanged"),
	)
	wantEvents(t, s, "NameChanged", `{"name":"Ann","city":"Bern"}`, `NameChanged {"name":"Ann"}`, `AddressChanged {"street":"","city":"Bern"}`)
	wantEvents(t, s, "NameChanged", `{"$v":2,"name":"Ann"}`, `NameChanged {"name":"Ann"}`)
	if data, err := s.Marshal(&nameChanged{Name: "Ann"}); err != nil || string(data) != `{"$v":2,"name":"Ann"}` {
		t.Errorf("it is written as %s, error %v", data, err)
	}
}

func TestSerializer_leaves_out_what_is_dropped_whatever_it_is(t *testing.T) {
	s := mustMake(t, upcast.Drop("Debugged"), upcast.Rename("Logged", "Debugged"), upcast.Split("Moved", 1, nothing, "NameChanged"),
		upcast.Split("Noisy", 1, func(raw) ([]upcast.Part, error) { return []upcast.Part{{Type: "Logged", Version: 9, Data: 1}}, nil }, "Debugged"))
	for _, name := range []string{"Debugged", "Logged"} {
		wantEvents(t, s, name, `{"$v":99,"x":1}`)
		wantEvents(t, s, name, `no JSON at all`)
	}
	wantEvents(t, s, "Moved", `{}`)
	wantEvents(t, s, "Noisy", `{}`)
}

func TestSerializer_says_which_names_events_of_a_type_may_be_stored_under(t *testing.T) {
	s := mustMake(t,
		upcast.Split("Moved", 1, nothing, "Named", "Both"), upcast.Split("Both", 1, nothing, "AddressChanged"),
		upcast.Rename("Relocated", "Moved"), upcast.Rename("Named", "NameChanged"), upcast.Drop("Debugged"),
		upcast.Split("Placed", 1, nothing, "Placed", "Counted"),
	)
	for eventType, want := range map[string][]string{
		"NameChanged":    {"Moved", "NameChanged", "Named", "Relocated"},
		"AddressChanged": {"AddressChanged", "Both", "Moved", "Relocated"},
		"Placed":         {"Placed"},
		"Counted":        {"Counted", "Placed"},
		"Empty":          {"Empty"},
		"Debugged":       {"Debugged"},
		"Never seen":     {"Never seen"},
	} {
		got := s.StoredTypes(eventType)
		if !slices.Equal(got, want) {
			t.Errorf("events of type %s may be stored as %q, want %q", eventType, got, want)
		}
		got[0] = "changed"
		if again := s.StoredTypes(eventType); !slices.Equal(again, want) {
			t.Errorf("the caller has changed what is known of %s to %q", eventType, again)
		}
	}
}

func TestSerializer_says_all_that_may_be_stored(t *testing.T) {
	s := upcast.NewSerializer(json.NewSerializer(&placed{}, &empty{}),
		upcast.Step("Placed", 1, same), upcast.Rename("Ordered", "Placed"), upcast.Drop("Debugged"),
		upcast.Step("Moved", 1, same), upcast.Split("Moved", 2, nothing, "Placed"))
	want := []upcast.StoredType{
		{Name: "Debugged", Type: "Debugged"},
		{Name: "Empty", Type: "Empty", Version: 1, Registered: true},
		{Name: "Moved", Type: "Moved", Version: 2},
		{Name: "Ordered", Type: "Placed", Version: 2, Registered: true},
		{Name: "Placed", Type: "Placed", Version: 2, Registered: true},
	}
	if diff := cmp.Diff(want, s.History()); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]int{"Placed": 2, "Empty": 1, "Ordered": 0, "Moved": 0, "Debugged": 0, "x": 0} {
		if got := s.Version(name); got != want {
			t.Errorf("version of %s is %d, want %d", name, got, want)
		}
	}
	if got := s.Types(); !slices.Equal(got, []string{"Empty", "Placed"}) {
		t.Errorf("types are %q", got)
	}
}

var errStep = errors.New("no such customer")

func TestSerializer_names_the_upcaster_that_fails(t *testing.T) {
	for name, c := range map[string]struct {
		rules    []upcast.Rule
		data     string
		is       error
		mentions []string
	}{
		"returns an error": {
			rules: []upcast.Rule{upcast.Step("Placed", 1, same), upcast.Step("Placed", 2, func(raw) (raw, error) { return nil, errStep })},
			is:    errStep, mentions: []string{`step of "Placed" from version 2 to 3`, `of schema version 1`},
		},
		"panics": {
			rules:    []upcast.Rule{upcast.Step("Placed", 1, func(old map[string]any) (raw, error) { return raw(old["x"].(string)), nil })},
			mentions: []string{`step of "Placed" from version 1 to 2`, "panic: interface conversion"},
		},
		"panics with an error": {
			rules: []upcast.Rule{upcast.Step("Placed", 1, func(raw) (raw, error) { panic(errStep) })},
			is:    errStep, mentions: []string{"panic", `"Placed"`},
		},
		"cannot read": {
			rules:    []upcast.Rule{upcast.Step("Placed", 1, func(old struct{ Total string }) (raw, error) { return nil, nil })},
			data:     `{"total":5}`,
			mentions: []string{`step of "Placed" from version 1 to 2`, "Total"},
		},
		"gets no JSON": {
			rules: []upcast.Rule{upcast.Step("Placed", 1, same)}, data: `{"total":`,
			mentions: []string{`step of "Placed" from version 1 to 2`, "EOF"},
		},
		"gets more than JSON": {
			rules: []upcast.Rule{upcast.Step("Placed", 1, same)}, data: `{"total":1} {}`,
			mentions: []string{`step of "Placed" from version 1 to 2`, "more after"},
		},
		"returns nothing": {
			rules:    []upcast.Rule{upcast.Step("Placed", 1, func(raw) (*placed, error) { return nil, nil })},
			mentions: []string{`step of "Placed" from version 1 to 2`, "null"},
		},
		"returns no JSON": {
			rules:    []upcast.Rule{upcast.Step("Placed", 1, func(raw) (raw, error) { return raw("{"), nil })},
			mentions: []string{`step of "Placed" from version 1 to 2`, "cannot be written"},
		},
		"returns what the event cannot be": {
			rules:    []upcast.Rule{upcast.Step("Placed", 1, func(raw) (raw, error) { return raw(`{"total":"much"}`), nil })},
			mentions: []string{`"Placed" of schema version 1`, "total"},
		},
		"is renamed": {
			rules: []upcast.Rule{upcast.Rename("Placed2", "NameChanged"), upcast.Split("Placed", 1, func(raw) ([]upcast.Part, error) {
				return []upcast.Part{{Type: "Placed2", Data: raw(`{}`)}}, nil
			}, "Placed2", "Placed"), upcast.Step("NameChanged", 1, func(raw) (raw, error) { return nil, errStep })},
			is: errStep, mentions: []string{`step of "NameChanged" from version 1 to 2`, `"Placed" of schema version 1`},
		},
		"splits into something that it does not say": {
			rules: []upcast.Rule{upcast.Split("Placed", 1, func(raw) ([]upcast.Part, error) {
				return []upcast.Part{{Type: "Placed", Version: 2, Data: raw(`{}`)}, {Type: "Empty", Data: raw(`{}`)}}, nil
			}, "NameChanged", "Placed")},
			mentions: []string{`split of "Placed" at version 1`, "part 2 of 2", `"Empty"`, "none of the types"},
		},
		"splits into something unknown": {
			rules: []upcast.Rule{upcast.Split("Placed", 1, func(raw) ([]upcast.Part, error) {
				return []upcast.Part{{Data: raw(`{}`)}}, nil
			}, "NameChanged", "Placed")},
			mentions: []string{`split of "Placed" at version 1`, `""`, "none of the types"},
		},
		"splits into a version that is not there": {
			rules: []upcast.Rule{upcast.Split("Placed", 1, func(raw) ([]upcast.Part, error) {
				return []upcast.Part{{Type: "NameChanged", Version: 2, Data: raw(`{}`)}}, nil
			}, "NameChanged", "Placed")},
			mentions: []string{`split of "Placed" at version 1`, `"NameChanged" of version 2`, "from 1 to 1"},
		},
		"splits into itself": {
			rules: []upcast.Rule{upcast.Split("Placed", 1, func(raw) ([]upcast.Part, error) {
				return []upcast.Part{{Type: "Placed", Data: raw(`{}`)}}, nil
			}, "Placed")},
			mentions: []string{`split of "Placed" at version 1`, "never end"},
		},
		"splits into nothing": {
			rules: []upcast.Rule{upcast.Split("Placed", 1, func(raw) ([]upcast.Part, error) {
				return []upcast.Part{{Type: "Placed", Version: 2}}, nil
			}, "Placed")},
			mentions: []string{`split of "Placed" at version 1`, "null"},
		},
		"fails to split": {
			rules: []upcast.Rule{upcast.Split("Placed", 1, func(raw) ([]upcast.Part, error) { return nil, errStep }, "Placed")},
			is:    errStep, mentions: []string{`split of "Placed" at version 1`},
		},
		"splits without end": {
			rules: doubling(20), mentions: []string{"more than 10000 events", "split of"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustMake(t, c.rules...)
			data := c.data
			if data == "" {
				data = "{}"
			}
			events, err := s.UnmarshalAll([]byte(data), "Placed")
			wantError(t, err, c.is, c.mentions...)
			var failed *upcast.Error
			if !errors.As(err, &failed) || failed.Type != "Placed" || failed.Version != 1 || events != nil {
				t.Errorf("got %v and %#v, want an Error of Placed, version 1", events, failed)
			}
			if event, err := s.Unmarshal([]byte(data), "Placed"); err == nil || event != nil {
				t.Errorf("Unmarshal gives %v, error %v", event, err)
			}
		})
	}
}

// doubling are rules with which each of n types is two of the next one.
func doubling(n int) (rules []upcast.Rule) {
	name := "Placed"
	for i := range n {
		next := fmt.Sprintf("Double%d", i)
		if i == n-1 {
			next = "Empty"
		}
		part := upcast.Part{Type: next, Data: raw("{}")}
		into := []string{next}
		if name == "Placed" {
			into = append(into, "Placed") // it is registered
		}
		rules = append(rules, upcast.Split(name, 1, func(raw) ([]upcast.Part, error) { return []upcast.Part{part, part}, nil }, into...))
		name = next
	}
	return rules
}

func TestSerializer_refuses_what_a_newer_release_has_written(t *testing.T) {
	s := mustMake(t, upcast.Step("Placed", 1, same), upcast.Rename("Ordered", "Placed"), upcast.Split("Moved", 1, nothing, "Placed"))
	for name, data := range map[string]string{"Placed": `{"$v":3,"total":1}`, "Ordered": `{"$v":3}`, "Moved": `{"$v":2}`, "Empty": `{"$v":999999999}`} {
		_, err := s.UnmarshalAll([]byte(data), name)
		wantError(t, err, upcast.ErrNewerVersion, `"`+name+`"`)
		_, err = s.Unmarshal([]byte(data), name)
		wantError(t, err, upcast.ErrNewerVersion, `"`+name+`"`)
	}
}

func TestSerializer_refuses_a_version_that_it_did_not_write(t *testing.T) {
	s := mustMake(t, upcast.Step("Placed", 1, same))
	for _, data := range []string{`{"$v":`, `{"$v":}`, `{"$v":2`, `{"$v":0}`, `{"$v":02}`, `{"$v":-1}`, `{"$v":"2"}`, `{"$v":2 }`, `{"$v":2,}`, `{"$v":2,`, `{"$v":2.0}`, `{"$v":1234567890}`, `{"$v":2]`} {
		_, err := s.UnmarshalAll([]byte(data), "Placed")
		var failed *upcast.Error
		wantError(t, err, nil, `"Placed"`, "schema version in")
		if !errors.As(err, &failed) || failed.Version != 0 {
			t.Errorf("%s: %#v", data, failed)
		}
	}
	_, err := s.UnmarshalAll([]byte(`{}`), "Unheard of")
	wantError(t, err, eventsource.ErrUnknownType, "Unheard of")
}

func TestSerializer_refuses_rules_that_do_not_fit_together(t *testing.T) {
	for name, c := range map[string]struct {
		rules    []upcast.Rule
		mentions []string
	}{
		"no rule":                {[]upcast.Rule{{}}, []string{"rule 1"}},
		"no type":                {[]upcast.Rule{upcast.Step("", 1, same)}, []string{"empty event type"}},
		"renamed to nothing":     {[]upcast.Rule{upcast.Rename("A", "")}, []string{"empty event type", `"A"`}},
		"nil step":               {[]upcast.Rule{upcast.Step[raw, raw]("Placed", 1, nil)}, []string{`step of "Placed" from version 1 to 2`, "nil"}},
		"nil split":              {[]upcast.Rule{upcast.Split[raw]("A", 1, nil, "Placed")}, []string{`split of "A" at version 1`, "nil"}},
		"split into nothing":     {[]upcast.Rule{upcast.Split("A", 1, nothing)}, []string{`split of "A" at version 1`, "into which"}},
		"version 0":              {[]upcast.Rule{upcast.Step("Placed", 0, same)}, []string{`step of "Placed" from version 0`}},
		"version too high":       {[]upcast.Rule{upcast.Step("Placed", upcast.MaxVersion, same)}, []string{"Placed", "999999999"}},
		"gap":                    {[]upcast.Rule{upcast.Step("Placed", 1, same), upcast.Step("Placed", 3, same)}, []string{`"Placed" has no step from version 2 to 3`}},
		"wide gap":               {[]upcast.Rule{upcast.Step("Placed", upcast.MaxVersion-1, same)}, []string{`"Placed" has no step from version 1 to 2`}},
		"two steps":              {[]upcast.Rule{upcast.Step("Placed", 1, same), upcast.Step("Placed", 1, same)}, []string{"two rules", `"Placed"`}},
		"step and split":         {[]upcast.Rule{upcast.Step("Placed", 1, same), upcast.Split("Placed", 1, nothing, "Placed")}, []string{"two rules", `"Placed"`}},
		"unknown type":           {[]upcast.Rule{upcast.Step("A", 1, same)}, []string{`"A" is not registered`}},
		"ends in a step":         {[]upcast.Rule{upcast.Split("A", 1, nothing, "Placed"), upcast.Step("A", 2, same)}, []string{`"A" is not registered`}},
		"renamed to unknown":     {[]upcast.Rule{upcast.Rename("A", "B")}, []string{`"A"`, `"B"`, "not registered"}},
		"renamed twice":          {[]upcast.Rule{upcast.Rename("A", "Placed"), upcast.Rename("A", "Empty")}, []string{`"A" is renamed twice`}},
		"renamed to itself":      {[]upcast.Rule{upcast.Rename("A", "A")}, []string{`"A"`, "leads back"}},
		"renamed in a circle":    {[]upcast.Rule{upcast.Rename("A", "B"), upcast.Rename("B", "C"), upcast.Rename("C", "A")}, []string{`"A"`, `"B"`, `"C"`, "leads back"}},
		"renamed into a circle":  {[]upcast.Rule{upcast.Rename("A", "B"), upcast.Rename("B", "C"), upcast.Rename("C", "B")}, []string{`"A"`, "leads back"}},
		"renamed and registered": {[]upcast.Rule{upcast.Rename("Placed", "Empty")}, []string{`"Placed" was renamed`}},
		"renamed with a step":    {[]upcast.Rule{upcast.Rename("A", "Empty"), upcast.Split("A", 1, nothing, "Empty")}, []string{`"A" was renamed`}},
		"dropped and registered": {[]upcast.Rule{upcast.Drop("Placed")}, []string{`"Placed" is dropped`}},
		"dropped with a rule":    {[]upcast.Rule{upcast.Drop("A"), upcast.Split("A", 1, nothing, "Placed")}, []string{`"A" is dropped`}},
		"dropped and renamed":    {[]upcast.Rule{upcast.Drop("A"), upcast.Rename("A", "Placed")}, []string{`"A" was renamed`}},
		"split into unknown":     {[]upcast.Rule{upcast.Split("A", 1, nothing, "B")}, []string{`split of "A" at version 1`, `"B"`}},
		"split into itself":      {[]upcast.Rule{upcast.Split("A", 1, nothing, "Placed", "A")}, []string{`split of "A" at version 1`, "itself"}},
		"split in a circle": {[]upcast.Rule{upcast.Split("A", 1, nothing, "Placed", "B"), upcast.Split("B", 1, nothing, "C"), upcast.Rename("C", "A")},
			[]string{`split of "A" at version 1`, `split of "B" at version 1`, "leads back"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := upcast.NewSerializer(inner(), c.rules...)
			wantError(t, s.Err(), eventsource.ErrMisconfigured, c.mentions...)
			wantUseless(t, s)
		})
	}
}

// wantUseless fails unless each method says what was wrong.
func wantUseless(t *testing.T, s *upcast.Serializer) {
	t.Helper()
	_, err := s.Marshal(&placed{})
	wantError(t, err, eventsource.ErrMisconfigured)
	_, err = s.Unmarshal([]byte("{}"), "Placed")
	wantError(t, err, eventsource.ErrMisconfigured)
	_, err = s.UnmarshalAll([]byte("{}"), "Placed")
	wantError(t, err, eventsource.ErrMisconfigured)
	if got := s.StoredTypes("Placed"); !slices.Equal(got, []string{"Placed"}) {
		t.Errorf("stored types are %q", got)
	}
	if v := s.Version("x"); v != 0 {
		t.Errorf("version is %d", v)
	}
}

// blind is a serializer that does not say which types it knows.
type blind struct{ eventsource.Serializer }

func TestSerializer_refuses_a_serializer_that_it_cannot_wrap(t *testing.T) {
	for name, s := range map[string]*upcast.Serializer{
		"nil":           upcast.NewSerializer(nil),
		"nil pointer":   upcast.NewSerializer((*json.Serializer)(nil)),
		"no types":      upcast.NewSerializer(blind{inner()}),
		"misconfigured": upcast.NewSerializer(json.NewSerializer(&placed{}, &placed{})),
		"not made":      {},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, s.Err(), eventsource.ErrMisconfigured)
			wantUseless(t, s)
		})
	}
}

func TestSerializer_can_be_made_of_the_same_rules_twice_and_used_at_once(t *testing.T) {
	rules := []upcast.Rule{upcast.Rename("Named", "NameChanged"), upcast.Split("Moved", 1, split, "Named", "AddressChanged"), upcast.Step("AddressChanged", 1, same)}
	var working sync.WaitGroup
	for range 4 {
		working.Go(func() {
			s := upcast.NewSerializer(inner(), rules...)
			for range 100 {
				if events, err := s.UnmarshalAll([]byte(`{"Name":"Ann","Street":"x"}`), "Moved"); err != nil || len(events) != 2 {
					t.Errorf("%v, error %v", events, err)
				}
			}
		})
	}
	working.Wait()
}

// A chain is the composition of its functions, from whatever version on, whatever the
// order in which the rules are given, and whatever the name.
func TestSerializer_composes_steps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "steps")
		functions := make([]func(int64) int64, n)
		rules := []upcast.Rule{upcast.Rename("Older", "Old"), upcast.Rename("Old", "Placed")}
		for i := range n {
			factor, term := rapid.Int64().Draw(t, "factor")|1, rapid.Int64().Draw(t, "term")
			functions[i] = func(x int64) int64 { return factor*x + term }
			rules = append(rules, step(t, i+1, functions[i]))
		}
		s := upcast.NewSerializer(inner(), rapid.Permutation(rules).Draw(t, "rules")...)
		version, x := rapid.IntRange(1, n+1).Draw(t, "version"), rapid.Int64().Draw(t, "x")
		data := fmt.Sprintf(`{"$v":%d,"total":%d}`, version, x)
		if version == 1 && rapid.Bool().Draw(t, "bare") {
			data = fmt.Sprintf(`{"total":%d}`, x)
		}
		want := x
		for _, f := range functions[version-1:] {
			want = f(want)
		}
		event, err := s.Unmarshal([]byte(data), rapid.SampledFrom([]string{"Older", "Old", "Placed"}).Draw(t, "name"))
		if err != nil {
			t.Fatal(err)
		}
		if got := event.(*placed).Total; got != want {
			t.Fatalf("total is %d, want %d", got, want)
		}
		// What is written is read as it is.
		data2, err := s.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.Unmarshal(data2, "Placed")
		if err != nil || again.(*placed).Total != want {
			t.Fatalf("it was written as %s and is read as %v, error %v", data2, again, err)
		}
	})
}

// step is a step in one of the ways in which it may be written.
func step(t *rapid.T, version int, f func(int64) int64) upcast.Rule {
	type total struct {
		Total int64 `json:"total"`
	}
	switch rapid.IntRange(0, 2).Draw(t, "way") {
	case 0:
		return upcast.Step("Placed", version, func(old total) (total, error) { return total{f(old.Total)}, nil })
	case 1:
		return upcast.Step("Placed", version, func(old map[string]stdjson.Number) (*total, error) {
			n, err := old["total"].Int64()
			return &total{f(n)}, err
		})
	default:
		return upcast.Step("Placed", version, func(old raw) (raw, error) {
			var v total
			err := stdjson.Unmarshal(old, &v)
			return fmt.Appendf(nil, ` { "total" : %d } `, f(v.Total)), err
		})
	}
}

// Splits form a tree: what comes out are its leaves, from left to right.
func TestSerializer_gives_the_parts_of_parts_in_order(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const types = 5
		parts := make([][]int, types) // for each type the types of its parts, each a higher one; the last is Counted
		rules := make([]upcast.Rule, types)
		name := func(i int) string {
			if i == types {
				return "Counted"
			}
			return fmt.Sprintf("T%d", i)
		}
		for i := range types {
			parts[i] = rapid.SliceOfN(rapid.IntRange(i+1, types), 0, 3).Draw(t, "parts")
			into := []string{"Counted"}
			for _, p := range parts[i] {
				into = append(into, name(p))
			}
			rules[i] = upcast.Split(name(i), 1, func(old struct{ Steps []int }) ([]upcast.Part, error) {
				var all []upcast.Part
				for n, p := range parts[i] {
					all = append(all, upcast.Part{Type: name(p), Data: map[string]any{"steps": append(slices.Clone(old.Steps), n)}})
				}
				return all, nil
			}, into...)
		}
		var want [][]int
		var walk func(i int, path []int)
		walk = func(i int, path []int) {
			if i == types {
				want = append(want, path)
				return
			}
			for n, p := range parts[i] {
				walk(p, append(slices.Clone(path), n))
			}
		}
		walk(0, []int{})
		events, err := upcast.NewSerializer(inner(), rules...).UnmarshalAll([]byte(`{"steps":[]}`), "T0")
		if err != nil {
			t.Fatal(err)
		}
		var got [][]int
		for _, event := range events {
			got = append(got, event.(counted).Steps)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
