package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/history"
)

// writer saves events, in all the ways there are, until it is to be quiet.
type writer struct {
	*worker
	name   string
	random *rand.Rand
	keys   int
}

func (w *worker) newWriter(number int) *writer {
	return &writer{worker: w, name: fmt.Sprintf("%s-%d", w.process(), number), random: w.random(number)}
}

// way is something that a writer does, and how often, compared with others.
type way struct {
	weight int
	do     func(context.Context)
}

func wayWeight(w way) int { return w.weight }

func (w *writer) run() {
	ways := []way{
		{30, w.save},
		{25, w.saveNext},
		{20, w.transaction},
		{10, w.ownTransaction},
		{10, w.saveInAHurry},
		{5, w.saveMany},
	}
	for w.quiet.Err() == nil {
		ctx, cancel := w.call()
		pick(w.random, ways, wayWeight).do(ctx)
		cancel()
		rest(w.quiet, w.random, w.Pause)
	}
}

// event makes one with a key of its own.
func (w *writer) event(aggregate string, version int) eventsource.Event {
	w.keys++
	return newEvent(fmt.Sprintf("%s-%d", w.name, w.keys), aggregate, version, w.random.IntN(3) == 0)
}

// aggregate is one of all; a few are asked for often.
func (w *writer) aggregate() string {
	n := w.random.IntN(w.Aggregates)
	if w.random.IntN(2) == 0 {
		n %= cmp.Or(w.Hot, 5)
	}
	generation := int64(0)
	if w.Generation > 0 {
		generation = time.Now().UnixNano() / int64(w.Generation)
	}
	return fmt.Sprintf("aggregate-%d-%d", generation, n)
}

// some makes one to four events of one or more aggregates.
func (w *writer) some() []eventsource.Event {
	events := []eventsource.Event{w.event(w.aggregate(), 0)}
	for w.random.IntN(3) == 0 && len(events) < 4 {
		aggregate := events[0].GetAggregateID()
		if w.random.IntN(2) == 0 {
			aggregate = w.aggregate()
		}
		events = append(events, w.event(aggregate, 0))
	}
	return events
}

// save saves events at the end of their aggregates.
func (w *writer) save(ctx context.Context) { w.record(ctx, w.some()) }

// saveMany saves many events at once.
func (w *writer) saveMany(ctx context.Context) {
	var events []eventsource.Event
	for range 20 + w.random.IntN(30) {
		events = append(events, w.event(w.aggregate(), 0))
	}
	w.record(ctx, events)
}

// saveInAHurry saves events with a context that may end in the middle. Who is patient
// just saves them.
func (w *writer) saveInAHurry(ctx context.Context) {
	if w.Patient {
		w.save(ctx)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(w.random.Int64N(int64(20*time.Millisecond))))
	defer cancel()
	w.record(ctx, w.some())
}

func (w *writer) record(ctx context.Context, events []eventsource.Event) {
	call := w.recorder.Save(wanted(events))
	err := w.repo.Save(ctx, events...)
	call.Return(allSeen(events), err)
	w.backOff(err)
}

// saveNext loads an aggregate and saves its next event, or its next two.
func (w *writer) saveNext(ctx context.Context) {
	id := w.aggregate()
	call := w.recorder.Load(id)
	var loaded collected
	_, err := w.repo.Load(ctx, id, &loaded)
	if errors.Is(err, eventsource.ErrNoHistory) {
		err = nil
	}
	call.Return(loaded.events, err)
	if err != nil {
		w.backOff(err)
		return
	}
	next := len(loaded.events) + 1
	events := []eventsource.Event{w.event(id, next)}
	if w.random.IntN(4) == 0 {
		events = append(events, w.event(id, next+1))
	}
	w.record(ctx, events)
}

// transaction saves events in a transaction that stays open for a while.
func (w *writer) transaction(ctx context.Context) {
	events := w.some()
	call := w.recorder.Save(wanted(events))
	tx, err := w.repo.SaveTransaction(ctx, events...)
	if err != nil {
		call.Return(nil, err)
		w.backOff(err)
		return
	}
	rest(ctx, w.random, 20*time.Millisecond)
	if w.random.IntN(4) == 0 {
		_ = tx.Rollback() // whatever comes of it: what is not committed is gone
		call.RolledBack()
		return
	}
	err = tx.Commit()
	call.Return(allSeen(events), err)
	w.backOff(err)
}

// ownTransaction saves events twice in a transaction of the caller's own, the
// second time perhaps for nothing. In DynamoDB it is another save.
func (w *writer) ownTransaction(ctx context.Context) {
	if w.sql == nil {
		w.save(ctx)
		return
	}
	events := w.some()
	call := w.recorder.Save(wanted(events))
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		call.Return(nil, err)
		w.backOff(err)
		return
	}
	repo := eventsource.NewRepository(w.sql.WithTx(tx), serializer())
	if err := repo.Save(ctx, events...); err != nil {
		_ = tx.Rollback(ctx)
		call.Return(nil, err)
		w.backOff(err)
		return
	}
	rest(ctx, w.random, 5*time.Millisecond)
	saves := []ended{{call, events}}
	if second, ok := w.behindSavepoint(ctx, repo); ok {
		saves = append(saves, second)
	}
	w.commit(ctx, tx, saves)
}

// behindSavepoint saves more events in a transaction, and reports whether they
// are to be stored with it.
func (w *writer) behindSavepoint(ctx context.Context, repo eventsource.Repository) (ended, bool) {
	events := w.some()
	call := w.recorder.Save(wanted(events))
	part, err := repo.SaveTransaction(ctx, events...)
	if err == nil && w.random.IntN(2) == 0 {
		err = part.Rollback()
		if err == nil {
			call.RolledBack()
			return ended{}, false
		}
	} else if err == nil {
		err = part.Commit()
	}
	if err != nil {
		// The transaction goes on without them, or fails.
		call.Return(nil, err)
		return ended{}, false
	}
	return ended{call, events}, true
}

// ended is a save that waits for the end of its transaction.
type ended struct {
	call   *history.SaveCall
	events []eventsource.Event
}

// commit commits the caller's transaction. If that gets no answer nobody looks up
// what came of it.
func (w *writer) commit(ctx context.Context, tx pgx.Tx, saves []ended) {
	err := tx.Commit(ctx)
	for _, save := range saves {
		switch {
		case err == nil:
			save.call.Return(allSeen(save.events), nil)
		case errors.Is(err, pgx.ErrTxCommitRollback):
			save.call.RolledBack()
		default:
			save.call.Unknown(err)
		}
	}
	if err == nil {
		_ = w.sql.Notify(ctx)
	}
	w.backOff(err)
}

// backOff waits a little after an error that is not the writers' own doing.
func (w *writer) backOff(err error) {
	if err != nil && !errors.Is(err, eventsource.ErrConflict) && !errors.Is(err, context.DeadlineExceeded) {
		rest(w.quiet, w.random, 50*time.Millisecond)
	}
}
