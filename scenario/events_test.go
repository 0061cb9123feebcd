package scenario_test

import (
	"context"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/scenario"
)

// Events of all shapes that the interface allows.
type (
	// Envelope is embedded by pointer, and has a BaseEvent in it.
	Envelope struct {
		*eventsource.BaseEvent
		Tenant string
	}
	enveloped struct {
		*Envelope
		Note string
	}

	// named has the name of its content.
	named struct {
		eventsource.BaseEvent
		Name string
	}

	hidden struct{ eventsource.BaseEvent }
	// hiding embeds a pointer that nobody outside can set.
	hiding struct {
		*hidden
		Note string
	}

	// loop may embed itself.
	loop struct {
		eventsource.BaseEvent
		*Loop
	}
	// Loop is embedded in itself.
	Loop struct {
		*Loop
		N int
	}

	// list is no struct. It does everything by itself, and has no version.
	list []string

	// speechless cannot be written.
	speechless struct {
		eventsource.BaseEvent
		C chan int
	}

	// loud panics when it is written.
	loud struct{ eventsource.BaseEvent }
)

func (n *named) EventType() string { return n.Name }

func (l list) GetAggregateID() string { return l[0] }
func (list) GetUserID() string        { return "" }
func (list) GetSequenceID() string    { return "" }
func (list) GetTimestamp() int64      { return 0 }
func (list) SetSequenceID(string)     {}
func (list) SetTimestamp(int64)       {}

func (*loud) MarshalJSON() ([]byte, error) { panic("too loud") }

func TestEventsOfAllShapes(t *testing.T) {
	self := &Loop{N: 1}
	self.Loop = self
	channel := make(chan int)
	for name, event := range map[string]func() eventsource.Event{
		"struct in a struct":          func() eventsource.Event { return enveloped{Note: "x"} },
		"struct in a struct, filled":  func() eventsource.Event { return enveloped{Envelope: &Envelope{Tenant: "acme"}, Note: "x"} },
		"named by its content":        func() eventsource.Event { return &named{Name: "x"} },
		"hidden envelope":             func() eventsource.Event { return &hiding{hidden: &hidden{}, Note: "x"} },
		"embedded in itself":          func() eventsource.Event { return &loop{Loop: self} },
		"with what cannot be written": func() eventsource.Event { return &speechless{C: channel} },
	} {
		t.Run(name, func(t *testing.T) {
			decide := counting(count, func(*counter) ([]eventsource.Event, error) {
				e := event()
				if e, ok := e.(enveloped); ok && e.Envelope == nil {
					return []eventsource.Event{enveloped{Envelope: &Envelope{BaseEvent: &eventsource.BaseEvent{}}, Note: "x"}}, nil
				} else if ok {
					e.BaseEvent = &eventsource.BaseEvent{}
					return []eventsource.Event{e}, nil
				}
				return []eventsource.Event{e}, nil
			})
			scenario.NewFunc(t, decide).
				Given(event()).
				When(Ship{of("a"), ""}).Then(event()).
				ThenCheck(func(c *counter) {
					if c.Version != 2 || c.seen["a"] != 2 {
						t.Errorf("it is %+v", c)
					}
				})
			seen := 0
			handler := projection.Each(func(context.Context, eventsource.Event) error { seen++; return nil })
			scenario.NewProjection(t, handler).Given(event()).ThenState(1, func() any { return seen })
		})
	}
}

func TestEventsWithoutVersionsAreApplied(t *testing.T) {
	scenario.NewFunc(t, counting(count, decides(list{"a"}))).
		Given(list{"a", "b"}).
		When(Ship{of("a"), ""}).ThenErrorContains("has no version")
	wantSaid(t, `fatal: scenario: Given: scenario_test.list, version 2, is of aggregate "b", and the scenario is of "a"`, func(t scenario.T) {
		scenario.NewFunc(t, counting(count, decides())).Given(list{"a"}, list{"b"}).ThenDeleted()
	})
	wantSaid(t, `fatal: scenario: scenario_test.Ship led to other events:
		event 1 is to be a scenario_test.list, and is *scenario_test.speechless &{BaseEvent:{AggregateID:a UserID: SequenceID: Timestamp:0 Version:1 Metadata:map[]} C:<nil>}
		event 2 is missing: *scenario_test.loud`, func(t scenario.T) {
		scenario.NewFunc(t, counting(count, decides(&speechless{}))).When(Ship{of("a"), ""}).Then(list{"a"}, &loud{})
	})
}
