package eventsource_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// manyRecords are enough that a repository decodes them in several goroutines.
func manyRecords() []eventsource.Record {
	records := make([]eventsource.Record, 1001)
	for i := range records {
		records[i] = eventsource.Record{AggregateID: "a", Type: "Deposited", Version: i + 1, Data: fmt.Appendf(nil, `{"amount":%d}`, i)}
	}
	return records
}

// several makes sure that there is more than one processor to decode on.
func several(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func TestRepository_decodes_many_events_at_once_and_in_order(t *testing.T) {
	several(t)
	inner := accounts()
	var mu sync.Mutex
	busy, most := 0, 0
	together := make(chan struct{})
	slow := &serializer{unmarshal: func(data []byte, eventType string) (eventsource.Event, error) {
		mu.Lock()
		if busy++; busy > most {
			if most = busy; most == 2 {
				close(together)
			}
		}
		mu.Unlock()
		<-together // the first waits for a second: a repository that decodes one by one stays here
		defer func() { mu.Lock(); busy--; mu.Unlock() }()
		return inner.Unmarshal(data, eventType)
	}}
	store := fixed{plain{memstore.New()}, manyRecords()}
	events, err := eventsource.NewRepository(store, slow).GetEventsBySequenceID(t.Context(), "", 0)
	if err != nil || len(events) != 1001 {
		t.Fatalf("%d events, error %v", len(events), err)
	}
	for i, event := range events {
		if got := event.(*Deposited); got.Amount != i || got.Version != i+1 {
			t.Fatalf("event %d has amount %d and version %d", i, got.Amount, got.Version)
		}
	}
}

func TestRepository_reports_the_first_of_many_events_that_cannot_be_decoded(t *testing.T) {
	several(t)
	records := manyRecords()
	records[400].Data, records[900].Data = []byte("{"), []byte("{")
	store := fixed{plain{memstore.New()}, records}
	events, err := eventsource.NewRepository(store, accounts()).GetEventsBySequenceID(t.Context(), "", 0)
	if err == nil || events != nil || !strings.Contains(err.Error(), "version 401 ") {
		t.Errorf("%d events, error %v, want one about version 401", len(events), err)
	}
}

func TestRepository_panics_in_the_caller_when_a_serializer_does(t *testing.T) {
	several(t)
	panics := &serializer{unmarshal: func(data []byte, _ string) (eventsource.Event, error) {
		if strings.Contains(string(data), "777") {
			panic("seven")
		}
		return &Deposited{}, nil
	}}
	defer func() {
		if p := recover(); !strings.Contains(fmt.Sprint(p), "seven") || !strings.Contains(fmt.Sprint(p), "parts_test.go") {
			t.Errorf("recovered %v, want the serializer's panic and where it was", p)
		}
	}()
	store := fixed{plain{memstore.New()}, manyRecords()}
	_, _ = eventsource.NewRepository(store, panics).GetEventsBySequenceID(t.Context(), "", 0)
	t.Error("it returned")
}

func TestRepository_ends_the_callers_goroutine_when_a_serializer_ends_its_own(t *testing.T) {
	several(t)
	exits := &serializer{unmarshal: func([]byte, string) (eventsource.Event, error) {
		runtime.Goexit()
		return nil, nil
	}}
	returned := make(chan bool, 1)
	go func() {
		defer func() { returned <- false }()
		store := fixed{plain{memstore.New()}, manyRecords()}
		_, _ = eventsource.NewRepository(store, exits).GetEventsBySequenceID(t.Context(), "", 0)
		returned <- true
	}()
	if <-returned {
		t.Error("it returned events that were never decoded")
	}
}
