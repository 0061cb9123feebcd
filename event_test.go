package eventsource_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
)

func TestBaseEvent_keeps_what_is_set(t *testing.T) {
	var e eventsource.BaseEvent
	e.SetAggregateID("a")
	e.SetUserID("u")
	e.SetSequenceID("s")
	e.SetTimestamp(1)
	e.SetVersion(2)
	e.SetMetadata(eventsource.Metadata{"k": "v"})
	want := eventsource.BaseEvent{
		AggregateID: "a", UserID: "u", SequenceID: "s", Timestamp: 1, Version: 2, Metadata: eventsource.Metadata{"k": "v"},
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
	got := eventsource.BaseEvent{
		AggregateID: e.GetAggregateID(), UserID: e.GetUserID(), SequenceID: e.GetSequenceID(),
		Timestamp: e.GetTimestamp(), Version: e.GetVersion(), Metadata: e.GetMetadata(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBaseEvent_that_is_nil_is_empty_and_ignores_what_is_set(t *testing.T) {
	var e byValue // embeds a *BaseEvent
	e.SetAggregateID("a")
	e.SetUserID("u")
	e.SetSequenceID("s")
	e.SetTimestamp(1)
	e.SetVersion(2)
	e.SetMetadata(eventsource.Metadata{"k": "v"})
	if e.GetAggregateID() != "" || e.GetUserID() != "" || e.GetSequenceID() != "" ||
		e.GetTimestamp() != 0 || e.GetVersion() != 0 || e.GetMetadata() != nil {
		t.Error("it is not empty")
	}
}

type generic[T any] struct {
	eventsource.BaseEvent
	Value T
}

func TestEventType_is_the_name_of_the_Go_type_unless_the_event_says_otherwise(t *testing.T) {
	for _, test := range []struct {
		event eventsource.Event
		want  string
	}{
		{&Opened{}, "Opened"},
		{byValue{}, "byValue"},
		{&byValue{}, "byValue"},
		{&generic[int]{}, "generic[int]"},
		{&Renamed{}, "account.renamed"},
		{&bare{}, "bare"},
		{nil, ""},
		{(*Opened)(nil), ""},
		{(*Renamed)(nil), ""},
		{&struct{ eventsource.BaseEvent }{}, ""},
	} {
		if got := eventsource.EventType(test.event); got != test.want {
			t.Errorf("type of %T is %q, want %q", test.event, got, test.want)
		}
	}
}
