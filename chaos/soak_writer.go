package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
)

// soakWriter saves events in all the ways there are, without a rest.
type soakWriter struct {
	*soaker
	random *rand.Rand

	// all has the ledgers of this writer, which gets another name after a save whose
	// outcome is unknown. They are read by others once it is quiet.
	all    map[string]*ledger
	name   string
	number int
	ledger *ledger

	attempts int64
	pending  []eventsource.Event // of the save that has begun
}

func (w *soaker) newSoakWriter(number int) *soakWriter {
	writer := &soakWriter{soaker: w, random: w.random(number), number: number, all: make(map[string]*ledger)}
	writer.rename()
	return writer
}

func (w *soakWriter) rename() {
	w.name = fmt.Sprintf("%s-%d-%d", w.Name, w.number, len(w.all))
	w.ledger = new(ledger)
	w.all[w.name] = w.ledger
}

func (w *soakWriter) run() {
	ways := []way{
		{64, w.saveOne},
		{8, w.saveSeveral},
		{1, w.saveMany},
		{5, w.saveExpected},
		{6, w.transaction},
		{5, w.ownTransaction},
		{5, w.saveInAHurry},
		{6, func(ctx context.Context) { w.load(ctx, w.aggregate()) }},
	}
	for w.quiet.Err() == nil && w.failure() == nil {
		ctx, cancel := w.call()
		w.pending = nil
		pick(w.random, ways, wayWeight).do(ctx)
		cancel()
	}
}

// generation is for how long the same aggregates are in use. They must not grow
// for ever, or it would take longer and longer to load them.
const generation = 10 * time.Second

// aggregate is one of this process, or now and then one of a few that all processes
// save to. If these were more, they would wait for each other most of the time.
func (w *soakWriter) aggregate() string {
	now := time.Now().Unix() / int64(generation/time.Second)
	if w.random.IntN(32) == 0 {
		return fmt.Sprintf("%d.hot.%d", now, w.random.IntN(4))
	}
	return fmt.Sprintf("%d.%s.%d", now, w.Name, w.random.IntN(w.Aggregates))
}

// add has the save that has begun have one more event.
func (w *soakWriter) add(aggregate string, version int) {
	w.attempts++
	number := w.ledger.Events + int64(len(w.pending)) + 1
	event := newEvent(soakKey(w.name, number, w.attempts), aggregate, version, w.random.IntN(3) == 0)
	w.pending = append(w.pending, event)
}

func (w *soakWriter) saveOne(ctx context.Context) {
	w.add(w.aggregate(), 0)
	w.save(ctx)
}

func (w *soakWriter) saveSeveral(ctx context.Context) {
	for range 2 + w.random.IntN(4) {
		w.add(w.aggregate(), 0)
	}
	w.save(ctx)
}

func (w *soakWriter) saveMany(ctx context.Context) {
	for range 30 {
		w.add(w.aggregate(), 0)
	}
	w.save(ctx)
}

// saveInAHurry saves with a context that may end before, in or after the save.
func (w *soakWriter) saveInAHurry(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(w.random.Int64N(int64(10*time.Millisecond))))
	defer cancel()
	w.add(w.aggregate(), 0)
	err := w.repo.Save(ctx, w.pending...)
	if err != nil && ctx.Err() != nil && !errors.Is(err, eventsource.ErrOutcomeUnknown) {
		return // not stored
	}
	w.ended(err)
}

// saveExpected saves with the version that comes after those that it has loaded.
func (w *soakWriter) saveExpected(ctx context.Context) {
	id := w.aggregate()
	if version, ok := w.load(ctx, id); ok {
		w.add(id, version+1)
		w.save(ctx)
	}
}

func (w *soakWriter) save(ctx context.Context) {
	began := time.Now()
	err := w.repo.Save(ctx, w.pending...)
	w.latency.add(time.Since(began))
	w.ended(err)
}

// transaction saves one or two events of one aggregate, or gives up in the end.
func (w *soakWriter) transaction(ctx context.Context) {
	id := w.aggregate()
	for range 1 + w.random.IntN(2) {
		w.add(id, 0)
	}
	tx, err := w.repo.SaveTransaction(ctx, w.pending...)
	if err != nil {
		w.ended(err)
		return
	}
	if w.random.IntN(4) == 0 {
		if err := tx.Rollback(); err != nil {
			w.fail("roll back: %w", err)
		}
		return
	}
	w.ended(tx.Commit())
}

// ownTransaction saves in a transaction of the caller's own, with a part of it
// rolled back, or all. Where there is no such thing it is another save.
func (w *soakWriter) ownTransaction(ctx context.Context) {
	w.add(w.aggregate(), 0)
	if w.sql == nil {
		w.save(ctx)
		return
	}
	back := errors.New("rolled back on purpose")
	committing := false
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		repo := eventsource.NewRepository(w.sql.WithTx(tx), serializer())
		if err := repo.Save(ctx, w.pending...); err != nil {
			return err
		}
		// The number that the part uses up goes to the next event.
		part, err := repo.SaveTransaction(ctx, newEvent(soakKey(w.name, -1, 0), w.pending[0].GetAggregateID(), 0, true))
		if err != nil {
			return err
		}
		if err := part.Rollback(); err != nil {
			return err
		}
		if w.random.IntN(4) == 0 {
			return back
		}
		committing = true
		return nil
	})
	switch {
	case errors.Is(err, back):
	case committing && err != nil && !errors.Is(err, pgx.ErrTxCommitRollback):
		w.ended(&eventsource.OutcomeUnknownError{Err: err})
	default:
		w.ended(err)
	}
	if err == nil {
		_ = w.sql.Notify(ctx) // readers look by themselves as well
	}
}

// load checks that an aggregate's versions have no gap, and returns the last.
func (w *soakWriter) load(ctx context.Context, id string) (version int, ok bool) {
	var loaded collected
	_, err := w.repo.Load(ctx, id, &loaded)
	if err != nil && !errors.Is(err, eventsource.ErrNoHistory) {
		w.fail("load %s: %w", id, err)
		return 0, false
	}
	for i, e := range loaded.events {
		if e.Version != i+1 || e.Aggregate != id || i > 0 && e.SequenceID <= loaded.events[i-1].SequenceID {
			w.fail("load %s: event %d is %+v", id, i+1, e)
			return 0, false
		}
	}
	w.read.Add(int64(len(loaded.events)))
	return len(loaded.events), true
}

// ended takes the answer of a save.
func (w *soakWriter) ended(err error) {
	const deadlock = "40P01" // its caller has to try again
	switch {
	case err == nil:
		w.takePending(w.ledger)
		w.saves.Add(1)
		w.stored.Add(int64(len(w.pending)))
	case errors.Is(err, eventsource.ErrOutcomeUnknown):
		perhaps := *w.ledger
		w.takePending(&perhaps)
		w.ledger.Perhaps = &perhaps
		w.rename()
	case errors.Is(err, eventsource.ErrConflict), sqlState(err) == deadlock:
	default:
		w.fail("save: %w", err)
	}
}

func (w *soakWriter) takePending(l *ledger) {
	for _, event := range w.pending {
		e := seen(event)
		l.take(e.Key, e.Type == "Noted")
	}
}
