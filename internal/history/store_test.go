//go:build unix

package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// Added is an event that carries its key.
type Added struct {
	eventsource.BaseEvent
	Key string
}

// Removed is another one.
type Removed struct {
	eventsource.BaseEvent
	Key string
}

// carrier is what both are.
type carrier interface {
	eventsource.Event
	eventsource.Versioned
	key() string
}

func (e *Added) key() string   { return e.Key }
func (e *Removed) key() string { return e.Key }

// recorded turns events into what is recorded of them.
func recorded[E eventsource.Event](events []E) []Event {
	list := make([]Event, len(events))
	for i, e := range events {
		c := any(e).(carrier)
		list[i] = Event{Key: c.key(), Aggregate: e.GetAggregateID(), Type: eventsource.EventType(e), Version: c.GetVersion(), SequenceID: e.GetSequenceID()}
	}
	return list
}

// process is what stands for a process: a goroutine with a file of its own.
type process struct {
	t        *testing.T
	name     string
	recorder *Recorder
	store    eventsource.Store
	repo     eventsource.Repository
	random   *rand.Rand
	version  map[string]int // the last one that was seen
}

var aggregates = []string{"a", "b", "c", "d"}

func (p *process) write(ctx context.Context, saves int) {
	for i := range saves {
		var events []eventsource.Event
		for j := range 1 + p.random.IntN(3) {
			base := eventsource.BaseEvent{AggregateID: aggregates[p.random.IntN(len(aggregates))]}
			if j == 0 && p.random.IntN(2) == 0 {
				base.Version = p.version[base.AggregateID] + 1
			}
			key := fmt.Sprint(p.name, "/", i, "/", j)
			if p.random.IntN(4) == 0 {
				events = append(events, &Removed{base, key})
			} else {
				events = append(events, &Added{base, key})
			}
		}
		tried := recorded(events)
		for j := range tried {
			tried[j].Expected, tried[j].Version = tried[j].Version, 0
		}
		p.save(ctx, p.recorder.Save(tried), events)
		if p.random.IntN(3) == 0 {
			p.load(aggregates[p.random.IntN(len(aggregates))])
		}
	}
}

// save ends a save in one of the ways in which it can end.
func (p *process) save(ctx context.Context, call *SaveCall, events []eventsource.Event) {
	broken := errors.New("connection lost")
	switch p.random.IntN(12) {
	case 0: // killed before
	case 1: // killed after
		_ = p.repo.Save(ctx, events...)
	case 2:
		if err := p.repo.Save(ctx, events...); errors.Is(err, eventsource.ErrConflict) {
			call.Return(nil, err)
		} else {
			call.Return(nil, &eventsource.OutcomeUnknownError{Err: broken})
		}
	case 3:
		call.Unknown(broken)
	case 4:
		ended, cancel := context.WithCancel(ctx)
		cancel()
		call.Return(nil, p.repo.Save(ended, events...))
	case 5, 6:
		tx, err := p.repo.SaveTransaction(ctx, events...)
		if err != nil {
			call.Return(nil, err)
		} else if p.random.IntN(2) == 0 {
			_ = tx.Rollback()
			call.RolledBack()
		} else {
			err := tx.Commit()
			call.Return(recorded(events), err)
		}
	default:
		err := p.repo.Save(ctx, events...)
		call.Return(recorded(events), err)
	}
	for _, e := range events {
		p.version[e.GetAggregateID()] = max(p.version[e.GetAggregateID()], e.(carrier).GetVersion())
	}
}

func (p *process) load(aggregate string) {
	call := p.recorder.Load(aggregate)
	seen := &seenAggregate{}
	_, err := p.repo.Load(p.t.Context(), aggregate, seen)
	if errors.Is(err, eventsource.ErrNoHistory) {
		err = nil
	}
	call.Return(recorded(seen.events), err)
	p.version[aggregate] = len(seen.events)
}

type seenAggregate struct{ events []eventsource.Event }

func (s *seenAggregate) SetAggregateID(string) {}

func (s *seenAggregate) On(_ context.Context, e eventsource.Event) error {
	s.events = append(s.events, e)
	return nil
}

// read reads pages until done is closed and there are no more. Now and then it
// begins anew from what it has kept, unless random is nil.
func (p *process) read(reader string, eventType eventsource.Event, limit int, done <-chan struct{}) {
	wake, err := p.store.(eventsource.Watcher).Watch(p.t.Context())
	if err != nil {
		p.t.Error(err)
	}
	cursor, kept := "", ""
	for ended := false; ; {
		page := p.page(reader, cursor, limit, eventType)
		if len(page) == 0 {
			if ended {
				return
			}
			select {
			case <-done:
				ended = true // one more look
			case <-wake:
			}
			continue
		}
		cursor = page[len(page)-1].GetSequenceID()
		if p.random != nil && p.random.IntN(10) == 0 {
			kept = cursor
		}
		if p.random != nil && p.random.IntN(30) == 0 {
			cursor = kept
		}
	}
}

func (p *process) page(reader, cursor string, limit int, eventType eventsource.Event) []eventsource.Event {
	name := ""
	if eventType != nil {
		name = eventsource.EventType(eventType)
	}
	call := p.recorder.Page(reader, cursor, limit, name)
	var events []eventsource.Event
	var err error
	if eventType == nil {
		events, err = p.repo.GetEventsBySequenceID(p.t.Context(), cursor, limit)
	} else {
		events, err = p.repo.GetEventsBySequenceIDAndType(p.t.Context(), cursor, eventType, limit)
	}
	call.Return(recorded(events), err)
	if err != nil {
		p.t.Error(err)
	}
	return events
}

// record lets processes work on a store and gives the files that they wrote.
func record(t *testing.T, store eventsource.Store, writers, readers, saves int, seed uint64) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	newProcess := func(name string) *process {
		path := filepath.Join(dir, name)
		r, err := Create(path, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
		paths = append(paths, path)
		return &process{t, name, r, store, eventsource.NewRepository(store, json.NewSerializer(&Added{}, &Removed{})),
			rand.New(rand.NewPCG(seed, uint64(len(paths)))), make(map[string]int)}
	}
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for i := range readers {
		p := newProcess(fmt.Sprint("reader-", i))
		var eventType eventsource.Event
		if i%3 == 2 {
			eventType = &Added{}
		}
		reading.Go(func() { p.read(p.name, eventType, 1+7*i, done) })
	}
	for i := range writers {
		p := newProcess(fmt.Sprint("writer-", i))
		writing.Go(func() { p.write(t.Context(), saves) })
	}
	writing.Wait()
	close(done)
	reading.Wait()

	final := newProcess("final")
	final.recorder.Final()
	ended := make(chan struct{})
	close(ended)
	final.random = nil
	final.read("final-1", nil, 7, ended)
	final.read("final-2", nil, 1000, ended)
	final.read("final-added", &Added{}, 13, ended)
	final.read("final-removed", &Removed{}, 13, ended)
	for _, aggregate := range aggregates {
		final.load(aggregate)
	}
	return paths
}

var finished = Options{RealTime: true, ReadersFinished: []string{"reader-0", "reader-1", "reader-2"}}

func TestAStoreThatKeepsItsPromisesIsAccepted(t *testing.T) {
	for seed := range uint64(3) {
		h := mustRead(t, record(t, memstore.New(), 4, 3, 150, seed)...)
		if err := h.Check(finished); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		s := h.Stats()
		t.Logf("%+v", s)
		if min(s.Stored, s.Conflicts, s.Failed, s.RolledBack, s.Unknown, s.Unanswered, s.Loads, s.Pages) == 0 || s.EventsRead < 5*s.Final || s.Final < 500 {
			t.Errorf("too little has happened: %+v", s)
		}
	}
}

// lateStore shows what is stored later in another place: its sequence IDs are
// those of the memory, but readers may be handed the newest event before others.
type lateStore struct {
	*memstore.Store
	mu   sync.Mutex
	n    int
	late map[string]bool // sequence IDs that are not shown yet
}

func (s *lateStore) Append(ctx context.Context, records ...eventsource.Record) ([]eventsource.Record, error) {
	stored, err := s.Store.Append(ctx, records...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n++; s.n%50 == 0 && len(stored) > 0 {
		s.late[stored[0].SequenceID] = true // until all is over
	}
	return stored, err
}

func (s *lateStore) LoadBySequenceID(ctx context.Context, after string, limit int) ([]eventsource.Record, error) {
	records, err := s.Store.LoadBySequenceID(ctx, after, limit)
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := records[:0]
	for _, r := range records {
		if s.late[r.SequenceID] {
			delete(s.late, r.SequenceID)
			continue
		}
		shown = append(shown, r)
	}
	return shown, err
}

func TestAStoreThatShowsAnEventLateIsCaught(t *testing.T) {
	store := &lateStore{Store: memstore.New(), late: make(map[string]bool)}
	err := mustRead(t, record(t, store, 4, 3, 150, 1)...).Check(finished)
	var found *CheckError
	if !errors.As(err, &found) || found.Counts[Skipped] == 0 {
		t.Errorf("got %v", err)
	}
}

// forgetfulStore acknowledges some saves without storing them.
type forgetfulStore struct {
	*memstore.Store
	mu sync.Mutex
	n  int
}

func (s *forgetfulStore) Append(ctx context.Context, records ...eventsource.Record) ([]eventsource.Record, error) {
	s.mu.Lock()
	s.n++
	forget := s.n%50 == 0
	s.mu.Unlock()
	if forget {
		return records, nil
	}
	return s.Store.Append(ctx, records...)
}

func TestAStoreThatForgetsASaveIsCaught(t *testing.T) {
	err := mustRead(t, record(t, &forgetfulStore{Store: memstore.New()}, 4, 3, 150, 1)...).Check(finished)
	var found *CheckError
	if !errors.As(err, &found) || found.Counts[LostSave] == 0 {
		t.Errorf("got %v", err)
	}
}
