package testsuite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
)

// added says that something was put into a purse.
type added struct {
	eventsource.BaseEvent
	Amount int `json:"amount"`
}

// add asks for that.
type add struct {
	eventsource.CommandBase
	Amount int
}

// purse adds up.
type purse struct {
	eventsource.AggregateBase
	sum int
}

func (p *purse) On(_ context.Context, event eventsource.Event) error {
	p.sum += event.(*added).Amount
	return nil
}

func (p *purse) Handle(_ context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	// Two events, so that it shows which of them the result is about.
	return []eventsource.Event{&added{Amount: command.(add).Amount}, &added{}}, nil
}

func purses(store eventsource.Store, opts ...eventsource.DispatcherOption) (*eventsource.Dispatcher[*purse], eventsource.Repository) {
	repo := eventsource.NewRepository(store, json.NewSerializer(&added{}))
	return eventsource.NewDispatcher(repo, func() *purse { return new(purse) }, opts...), repo
}

func addTo(id, commandID string, amount int) add {
	return add{eventsource.CommandBase{AggregateID: id, CommandID: commandID}, amount}
}

// wantSum fails unless the purse has this sum and version.
func wantSum(t *testing.T, repo eventsource.Repository, id string, sum, version int) {
	t.Helper()
	var p purse
	if _, err := repo.Load(t.Context(), id, &p); err != nil || p.sum != sum || p.Version != version {
		t.Errorf("%q has the sum %d at version %d, want %d at %d, error %v", id, p.sum, p.Version, sum, version, err)
	}
}

func testCommands(t *testing.T, h Harness) {
	h.run(t, "commands of many processes at once lose nothing", func(t *testing.T, open Storage) {
		const processes, each = 4, 10
		var wg sync.WaitGroup
		for range processes {
			d, _ := purses(open(anyTime), eventsource.WithTries(1000))
			wg.Go(func() {
				for range each {
					if _, err := d.Dispatch(t.Context(), addTo("purse", "", 1)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		_, repo := purses(open(anyTime))
		wantSum(t, repo, "purse", processes*each, 2*processes*each)
	})

	if h.lacks(Reserve) {
		h.run(t, "a command with an ID is refused by a store that cannot remember it", func(t *testing.T, open Storage) {
			store := open(anyTime)
			d, _ := purses(store)
			if _, err := d.Dispatch(t.Context(), addTo("purse", "c-1", 1)); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("error is %v, want ErrUnsupported", err)
			}
			if records := loadAll(t, store); len(records) > 0 {
				t.Errorf("%d records are stored", len(records))
			}
		})
		return
	}

	h.run(t, "a command that is sent again is not applied again, and gives the result of then", func(t *testing.T, open Storage) {
		d, repo := purses(open(anyTime))
		first, err := d.Dispatch(t.Context(), addTo("purse", "c-1", 1))
		if err != nil || first.Version != 2 || first.Repeated {
			t.Fatalf("got %+v, error %v", first, err)
		}
		if _, err := d.Dispatch(t.Context(), addTo("purse", "c-2", 10)); err != nil {
			t.Fatal(err)
		}
		another, _ := purses(open(anyTime))
		again, err := another.Dispatch(t.Context(), addTo("purse", "c-1", 1))
		if err != nil || !again.Repeated || again.Version != first.Version || again.SequenceID != first.SequenceID {
			t.Errorf("got %+v, error %v, want %+v", again, err, first)
		}
		wantSum(t, repo, "purse", 11, 4)

		for event, err := range repo.Events(t.Context(), eventsource.Query{AggregateID: "purse", Limit: 2}) {
			if err != nil || event.(*added).Metadata.CausationID() != "c-1" {
				t.Errorf("got %+v, error %v", event, err)
			}
		}
	})

	h.run(t, "one ID is that of different commands for different aggregates", func(t *testing.T, open Storage) {
		d, repo := purses(open(anyTime))
		ids := []string{"a", "b", "a\U0001F4B0", strings.Repeat("x", eventsource.MaxAggregateIDLength)}
		for _, id := range ids {
			for _, commandID := range []string{"c", strings.Repeat("c", 5000), "\U0001F4B0 '\""} {
				if result, err := d.Dispatch(t.Context(), addTo(id, commandID, 1)); err != nil || result.Repeated {
					t.Errorf("%.20q, %.20q: got %+v, error %v", id, commandID, result, err)
				}
			}
			wantSum(t, repo, id, 3, 6)
		}
	})

	h.run(t, "of one command that many processes send at once one is applied", func(t *testing.T, open Storage) {
		const senders, commands = 6, 5
		var wg sync.WaitGroup
		var mu sync.Mutex
		applied := make(map[string][]eventsource.Result)
		for range senders {
			d, _ := purses(open(anyTime), eventsource.WithTries(1000))
			wg.Go(func() {
				for c := range commands {
					id := fmt.Sprint("c-", c)
					result, err := d.Dispatch(t.Context(), addTo("purse", id, 1))
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					applied[id] = append(applied[id], result)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		_, repo := purses(open(anyTime))
		wantSum(t, repo, "purse", commands, 2*commands)
		for id, results := range applied {
			fresh := 0
			for _, r := range results {
				if !r.Repeated {
					fresh++
				}
				if r.Version != results[0].Version || r.SequenceID != results[0].SequenceID {
					t.Errorf("%s: got both %+v and %+v", id, results[0], r)
				}
			}
			if fresh != 1 {
				t.Errorf("%s was applied %d times", id, fresh)
			}
		}
	})

	h.run(t, "a command that another process applies between two steps is not applied again", func(t *testing.T, open Storage) {
		for _, step := range []string{"load", "holder", "append"} {
			id := "purse of " + step
			store := &meddled{abilities: abilitiesOf(open(anyTime)), at: step}
			other, _ := purses(open(anyTime))
			store.meddle = func() {
				if _, err := other.Dispatch(t.Context(), addTo(id, "c-1", 1)); err != nil {
					t.Error(err)
				}
			}
			d, repo := purses(store)
			if result, err := d.Dispatch(t.Context(), addTo(id, "c-1", 1)); err != nil || !result.Repeated || result.Version != 2 {
				t.Errorf("%s: got %+v, error %v", step, result, err)
			}
			wantSum(t, repo, id, 1, 2)
		}
	})

	h.run(t, "a command whose answer got lost is not applied again", func(t *testing.T, open Storage) {
		store := &meddled{abilities: abilitiesOf(open(anyTime)), lose: true}
		d, repo := purses(store)
		if _, err := d.Dispatch(t.Context(), addTo("purse", "c-1", 1)); !errors.Is(err, eventsource.ErrOutcomeUnknown) {
			t.Fatalf("got error %v", err)
		}
		if result, err := d.Dispatch(t.Context(), addTo("purse", "c-1", 1)); err != nil || !result.Repeated || result.Version != 2 {
			t.Errorf("got %+v, error %v", result, err)
		}
		wantSum(t, repo, "purse", 1, 2)
	})

	h.run(t, "a command is forgotten when it need not be remembered any longer", func(t *testing.T, open Storage) {
		d, repo := purses(open(anyTime), eventsource.WithCommandMemory(1))
		if _, err := d.Dispatch(t.Context(), addTo("purse", "c-1", 1)); err != nil {
			t.Fatal(err)
		}
		for { // a store may know the time to the second only
			result, err := d.Dispatch(t.Context(), addTo("purse", "c-1", 1))
			if err != nil {
				t.Fatal(err)
			}
			if !result.Repeated {
				break
			}
		}
		wantSum(t, repo, "purse", 2, 4)
	})
}

// abilities is what the tests of commands need of a store.
type abilities interface {
	eventsource.Store
	eventsource.Reserver
}

// plainReserver hides all optional interfaces but one.
type plainReserver struct {
	eventsource.Store
	eventsource.Reserver
}

func abilitiesOf(store eventsource.Store) abilities {
	return plainReserver{store, store.(eventsource.Reserver)}
}

// meddled is a store in which something happens before a step, once.
type meddled struct {
	abilities
	at     string
	meddle func()
	lose   bool // the answer of the first commit
}

func (m *meddled) before(step string) {
	if m.at == step {
		m.at = ""
		m.meddle()
	}
}

func (m *meddled) LoadByAggregate(ctx context.Context, id string) ([]eventsource.Record, error) {
	m.before("load")
	return m.abilities.LoadByAggregate(ctx, id)
}

func (m *meddled) Holder(ctx context.Context, scope, value string) (eventsource.Holder, error) {
	m.before("holder")
	return m.abilities.Holder(ctx, scope, value)
}

func (m *meddled) NewTransaction(ctx context.Context, records ...eventsource.Record) (eventsource.StoreTransaction, error) {
	m.before("append")
	tx, err := m.abilities.NewTransaction(ctx, records...)
	if err == nil && m.lose {
		m.lose = false
		return deafTransaction{tx}, nil
	}
	return tx, err
}

// deafTransaction does not hear that it was committed.
type deafTransaction struct{ eventsource.StoreTransaction }

func (t deafTransaction) Commit() error {
	if err := t.StoreTransaction.Commit(); err != nil {
		return err
	}
	return &eventsource.OutcomeUnknownError{Err: errors.New("the connection broke")}
}
