package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eventsource-go/eventsource"
)

// soakReader follows events and checks them at once.
type soakReader struct {
	*soaker
	kind   string
	random *rand.Rand
	tally  tally
	cursor string
	lag    atomic.Int64 // how old the last event was, in nanoseconds; 0 at the end
	// versions are the last ones of aggregates, by generation. Old ones are forgotten.
	versions map[string]map[string]int
}

func (w *soaker) newSoakReader(number int, kind string) *soakReader {
	return &soakReader{
		soaker: w, kind: kind, random: w.random(500 + number),
		tally:    tally{noted: kind == "type", writers: make(map[string]*ledger)},
		versions: make(map[string]map[string]int),
	}
}

// run reads until there is nothing more to come.
func (r *soakReader) run() {
	watching, stop := context.WithCancel(context.Background())
	defer stop()
	wake, err := r.store.Watch(watching)
	if err != nil {
		r.fail("watch: %w", err)
		return
	}
	for r.failure() == nil {
		over := r.over.Err() != nil
		ctx, cancel := r.call()
		n, err := r.page(ctx)
		cancel()
		switch {
		case err != nil:
			r.fail("reader %q: %w", r.kind, err)
			return
		case n == 0 && over, over && r.kind == "time":
			return
		case n > 0:
			r.read.Add(int64(n))
			continue
		}
		r.lag.Store(0)
		select {
		case <-r.over.Done():
		case <-wake:
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (r *soakReader) page(ctx context.Context) (int, error) {
	switch r.kind {
	case "feed":
		return r.take(r.repo.GetEventsBySequenceID(ctx, r.cursor, 1+r.random.IntN(2000)))
	case "type":
		return r.take(r.repo.GetEventsBySequenceIDAndType(ctx, r.cursor, &Noted{}, 1+r.random.IntN(1000)))
	case "query":
		return r.query(ctx)
	case "time":
		return r.byTimestamp(ctx)
	default:
		return 0, fmt.Errorf("there is no such way to read")
	}
}

func (r *soakReader) take(events []eventsource.Event, err error) (int, error) {
	for _, event := range events {
		if err := r.see(event); err != nil {
			return 0, err
		}
	}
	return len(events), err
}

// query reads events of a stream, which it leaves in the middle now and then.
func (r *soakReader) query(ctx context.Context) (n int, err error) {
	most := 1 + r.random.IntN(20_000)
	for event, err := range r.repo.Events(ctx, eventsource.Query{After: r.cursor}) {
		if err == nil {
			err = r.see(event)
		}
		if err != nil {
			return n, err
		}
		if n++; n == most {
			break
		}
	}
	return n, nil
}

// byTimestamp reads some of the latest events. Timestamps are no cursor, so there
// may be others between them.
func (r *soakReader) byTimestamp(ctx context.Context) (int, error) {
	rest(r.over, r.random, 100*time.Millisecond)
	since := time.Now().Add(-time.Second).UnixNano()
	events, err := r.repo.GetEventsByTimestamp(ctx, since, 100)
	last := ""
	for _, event := range events {
		if event.GetTimestamp() <= since || event.GetSequenceID() <= last {
			return 0, fmt.Errorf("event %+v came after %s, of those since %d", event, last, since)
		}
		last = event.GetSequenceID()
	}
	return len(events), err
}

// see checks the next event.
func (r *soakReader) see(event eventsource.Event) error {
	e := seen(event)
	if e.SequenceID <= r.cursor {
		return fmt.Errorf("event %+v came after %s", e, r.cursor)
	}
	r.cursor = e.SequenceID
	r.lag.Store(time.Now().UnixNano() - event.GetTimestamp())
	if err := r.tally.see(e.Key, e.Type == "Noted"); err != nil {
		return err
	}
	if r.tally.noted {
		return nil
	}
	return r.seeVersion(e.Aggregate, e.Version)
}

// kept is how many generations of aggregates are remembered. Nobody saves to an
// older one: a call takes no longer.
const kept = 8

// seeVersion checks that the aggregate's versions have no gap.
func (r *soakReader) seeVersion(aggregate string, version int) error {
	name, _, _ := strings.Cut(aggregate, ".")
	aggregates := r.versions[name]
	if aggregates == nil {
		aggregates = make(map[string]int)
		r.versions[name] = aggregates
		r.forget()
	}
	if version != aggregates[aggregate]+1 {
		return fmt.Errorf("version %d of %s came after version %d", version, aggregate, aggregates[aggregate])
	}
	aggregates[aggregate] = version
	return nil
}

// forget forgets the oldest generation if there are too many.
func (r *soakReader) forget() {
	if len(r.versions) <= kept {
		return
	}
	oldest := ""
	for name := range r.versions {
		if oldest == "" || name < oldest {
			oldest = name
		}
	}
	delete(r.versions, oldest)
}

// complete checks that the reader has seen what the writers have saved.
func (r *soakReader) complete(expected map[string]*ledger) error {
	if r.kind == "time" {
		return nil
	}
	return r.tally.complete(expected)
}
