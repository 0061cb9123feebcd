package workload

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/eventsource-go/eventsource/bench/payload"
	"github.com/eventsource-go/eventsource/bench/system"
)

// saver saves batches of a size to new aggregates, or to a few hot ones.
type saver struct {
	session system.Session
	size    int
	clients []*batches
	hot     []hotAggregate
	turn    atomic.Uint64

	conflicts atomic.Int64
}

// hotAggregate is one that all clients know and append to.
type hotAggregate struct {
	id string
	// version is the last that any client has heard of.
	version atomic.Int64
}

func newSaver(session system.Session, events []payload.Event, size, clients int, hot bool) *saver {
	s := &saver{session: session, size: size}
	for client := range clients {
		s.clients = append(s.clients, newBatches(events, size, client*31))
	}
	if hot {
		s.hot = make([]hotAggregate, hotAggregates)
		for i := range s.hot {
			s.hot[i].id = uuid.NewString()
		}
	}
	return s
}

// save is an operation.
func (s *saver) save(ctx context.Context, client int) (int, error) {
	batch := system.Batch{Events: s.clients[client].take(s.size)}
	if s.hot != nil {
		return s.size, s.saveHot(ctx, batch)
	}
	batch.Aggregate = uuid.NewString()
	return s.size, s.session.Save(ctx, batch)
}

// saveHot is what a command handler does that keeps aggregates in memory: it
// saves at the version that it knows, and tries again when another was first.
func (s *saver) saveHot(ctx context.Context, batch system.Batch) error {
	aggregate := &s.hot[s.turn.Add(1)%uint64(len(s.hot))]
	batch.Aggregate = aggregate.id
	for {
		batch.Version = int(aggregate.version.Load())
		err := s.session.Save(ctx, batch)
		if errors.Is(err, system.ErrConflict) && ctx.Err() == nil {
			s.conflicts.Add(1)
			continue
		}
		if err == nil {
			aggregate.version.Add(int64(s.size))
		}
		return err
	}
}

func save(size, clients int, hot bool) func(context.Context, *run) (Sample, error) {
	return func(ctx context.Context, r *run) (Sample, error) {
		s := newSaver(r.session, r.stored.events, size, clients, hot)
		if _, err := r.repeat(ctx, clients, r.warmUp, s.save); err != nil {
			return Sample{}, err
		}
		before, err := r.size(ctx)
		if err != nil {
			return Sample{}, err
		}
		s.conflicts.Store(0)
		sample, err := r.repeat(ctx, clients, r.time, s.save)
		if err != nil {
			return Sample{}, err
		}
		sample.Conflicts = int(s.conflicts.Load())
		after, err := r.size(ctx)
		sample.BytesPerEvent = float64(after-before) / float64(max(1, sample.Events))
		return sample, err
	}
}

const (
	heldEvents       = 100_000
	heldPerAggregate = 100
)

// saveBesideHeld measures saves without and with a transaction that is open.
func saveBesideHeld(ctx context.Context, r *run) (Sample, error) {
	const clients = 16
	s := newSaver(r.session, r.stored.events, 1, clients, false)
	without, err := r.measured(ctx, clients, s.save)
	if err != nil {
		return Sample{}, err
	}
	release, err := r.session.(system.Holder).Hold(ctx, newBatches(r.stored.events, heldEvents, 0).take(heldEvents), heldPerAggregate)
	if err != nil {
		return Sample{}, err
	}
	with, err := r.measured(ctx, clients, s.save)
	with.Ratio = with.Rate() / without.Rate()
	return with, errors.Join(err, release())
}
