package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/eventsource-go/eventsource/bench/system"
)

// projectLimit is what a projection may take to catch up.
const projectLimit = 5 * time.Minute

// model runs a session's projection and counts what becomes part of the read model.
type model struct {
	mu         sync.Mutex
	events     int
	aggregates map[string]bool
	moved      chan struct{} // full when something was applied

	stop  context.CancelFunc
	ended chan struct{}
	err   error // the projection's, once it has ended
}

// startModel starts a projection. The function, which may be nil, is called after
// each commit.
func startModel(ctx context.Context, session system.Session, name string, applied func([]system.ID)) *model {
	ctx, cancel := context.WithCancel(ctx)
	m := &model{aggregates: map[string]bool{}, moved: make(chan struct{}, 1), stop: cancel, ended: make(chan struct{})}
	go func() {
		defer close(m.ended)
		m.err = session.(system.Projector).Project(ctx, name, func(ids []system.ID) {
			m.add(ids)
			if applied != nil {
				applied(ids)
			}
		})
	}()
	return m
}

func (m *model) add(ids []system.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events += len(ids)
	for _, id := range ids {
		m.aggregates[id.Aggregate] = true
	}
	select {
	case m.moved <- struct{}{}:
	default:
	}
}

// count gives how many events of how many aggregates have been applied.
func (m *model) count() (events, aggregates int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events, len(m.aggregates)
}

// await waits until so many events have been applied.
func (m *model) await(ctx context.Context, want int, limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		events, _ := m.count()
		if events >= want {
			return nil
		}
		select {
		case <-m.moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-m.ended:
			return errors.Join(m.err, errors.New("the projection ended early"))
		case <-late.C:
			return fmt.Errorf("%d of %d events were applied within %v", events, want, limit)
		}
	}
}

// end ends the projection and waits for it. It may be called again.
func (m *model) end() error {
	m.stop()
	<-m.ended
	return m.err
}

// check compares the read model with what the projection said.
func (m *model) check(ctx context.Context, r *run) error {
	events, aggregates := m.count()
	if gotAggregates, got, err := system.CheckModel(ctx, r.admin); err != nil || got != events || gotAggregates != aggregates {
		return errors.Join(err, fmt.Errorf("%d events of %d aggregates were applied, and the read model has %d of %d",
			events, aggregates, got, gotAggregates))
	}
	return nil
}

// projectCatchUp has new projections catch up from the beginning until the time is
// over, each with an empty read model, which is checked.
func projectCatchUp(ctx context.Context, r *run) (Sample, error) {
	if _, _, err := catchUpOnce(ctx, r); err != nil { // to warm up
		return Sample{}, err
	}
	sample := Sample{}
	for sample.Seconds < r.time.Seconds() {
		took, allocs, err := catchUpOnce(ctx, r)
		if err != nil {
			return Sample{}, err
		}
		sample.Operations++
		sample.Events += r.stored.total
		sample.Seconds += took.Seconds()
		sample.Allocs += allocs
	}
	sample.Allocs /= float64(sample.Operations)
	sample.Operations = 0 // allocations are those of an event
	return sample, nil
}

func catchUpOnce(ctx context.Context, r *run) (took time.Duration, allocs float64, err error) {
	if err := system.CreateModel(ctx, r.admin); err != nil {
		return 0, 0, err
	}
	allocations := startAllocations()
	began := time.Now()
	m := startModel(ctx, r.session, uuid.NewString(), nil)
	err = m.await(ctx, r.stored.total, projectLimit)
	took = time.Since(began)
	allocs = allocations.each(r.stored.total)
	if err := errors.Join(err, m.end()); err != nil {
		return 0, 0, err
	}
	if events, _ := m.count(); events != r.stored.total {
		return 0, 0, fmt.Errorf("%d events were applied, and %d are stored", events, r.stored.total)
	}
	return took, allocs, m.check(ctx, r)
}

// mark saves an event, by which to see that what was saved before has been applied.
func mark(ctx context.Context, r *run) (aggregate string, err error) {
	aggregate = uuid.NewString()
	return aggregate, r.session.Save(ctx, system.Batch{Aggregate: aggregate, Events: r.stored.events[:1]})
}

// projectLatency is latency with a projection as the reader. An event arrives when
// it has become part of the read model.
func projectLatency(ctx context.Context, r *run) (Sample, error) {
	if err := system.CreateModel(ctx, r.admin); err != nil {
		return Sample{}, err
	}
	f := &modelFollower{Session: r.session, run: r}
	following := *r
	following.session = f
	sample, err := latency(ctx, &following)
	if err != nil {
		return Sample{}, err
	}
	return sample, f.model.check(ctx, r)
}

// modelFollower has what a projection applies delivered.
type modelFollower struct {
	system.Session
	run   *run
	model *model
}

func (f *modelFollower) Follow(ctx context.Context, ready func(), deliver func(system.ID)) error {
	marker, err := mark(ctx, f.run)
	if err != nil {
		return err
	}
	old := true
	f.model = startModel(ctx, f.Session, uuid.NewString(), func(ids []system.ID) {
		for _, id := range ids {
			switch {
			case !old:
				deliver(id)
			case id.Aggregate == marker:
				old = false
				ready()
			}
		}
	})
	<-f.model.ended
	return f.model.err
}

const (
	// idleTimes is for how many times the time of a turn an idle projection is
	// watched: 20 s with the default of 500 ms.
	idleTimes = 40
	// settleTimes is for how long it is left alone before.
	settleTimes = 8
)

// projectIdle counts what a projection asks of the server that has nothing to do, and
// what a second one asks that waits to take over.
func projectIdle(ctx context.Context, r *run) (Sample, error) {
	if err := system.CreateModel(ctx, r.admin); err != nil {
		return Sample{}, err
	}
	name := uuid.NewString()
	var sample Sample
	err := counted(ctx, r, name, func(works *counter) error {
		marker, err := mark(ctx, r)
		if err == nil {
			err = awaitInModel(ctx, r, marker)
		}
		if err != nil {
			return err
		}
		// That one has the lease, and this one waits for it.
		return counted(ctx, r, name, func(waits *counter) error {
			sample, err = idle(ctx, r, works, waits)
			return err
		})
	})
	return sample, err
}

// counted calls a function while a projection runs through a counter.
func counted(ctx context.Context, r *run, name string, do func(*counter) error) (err error) {
	c, err := startCounter(ctx, r.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	session, err := r.system.Open(ctx, c.url, fewConns)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	m := startModel(ctx, session, name, nil)
	defer func() { err = errors.Join(err, m.end()) }()
	return do(c)
}

func idle(ctx context.Context, r *run, works, waits *counter) (Sample, error) {
	if err := pause(ctx, settleTimes*r.time); err != nil {
		return Sample{}, err
	}
	worked, waited, began := works.read(), waits.read(), time.Now()
	if err := pause(ctx, idleTimes*r.time); err != nil {
		return Sample{}, err
	}
	seconds := time.Since(began).Seconds()
	return Sample{Seconds: seconds, Idle: works.read().each(worked, seconds), Waiting: waits.read().each(waited, seconds)}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// awaitInModel waits until the read model has an aggregate.
func awaitInModel(ctx context.Context, r *run, aggregate string) error {
	ctx, cancel := context.WithTimeout(ctx, projectLimit)
	defer cancel()
	for {
		found, err := system.InModel(ctx, r.admin, aggregate)
		if err != nil || found {
			return err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("wait for an event to be applied: %w", err)
		}
	}
}
