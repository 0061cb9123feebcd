package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"time"

	"github.com/eventsource-go/eventsource"
)

// group lets concurrent saves share a transaction. While a batch is on its way to
// a shard, the next one gathers; no timer is involved, so a save that is alone
// starts at once. Batches of different shards do not wait for each other.
type group struct {
	mu    sync.Mutex
	queue []*save
	// busy are the shards that batches are on their way to.
	busy shardSet
}

// shardSet has bit i for shard i.
type shardSet uint64

func (set shardSet) len() int { return bits.OnesCount64(uint64(set)) }

// list gives the shards in ascending order.
func (set shardSet) list() []int {
	var shards []int
	for ; set != 0; set &= set - 1 {
		shards = append(shards, bits.TrailingZeros64(uint64(set)))
	}
	return shards
}

// save is one call of Append, or of Commit, on its way.
type save struct {
	ctx     context.Context
	records []eventsource.Record // as they will be stored
	asked   []int                // the versions that they ask for, 0 for the next one
	changes []eventsource.ReservationChange
	size    int // bytes
	shards  shardSet

	done chan struct{}
	err  error // set before done is closed

	// Guarded by group.mu.
	batch *batch
	// left is true when the caller went away.
	left bool
	// sent is true while the records may be on their way, so that the caller cannot
	// go away without an answer.
	sent bool
	// cause is what the latest attempt failed with.
	cause error
}

// batch is some saves that share a transaction.
type batch struct {
	saves  []*save
	shards shardSet
	items  int // without heads
	size   int
	// aggregates are those of its records: true where a record asks for a version.
	aggregates map[string]bool
	// values are those that it reserves or releases.
	values map[reservedValue]bool
	cancel context.CancelFunc
}

// Append stores the records, all or none, in a transaction that concurrent calls
// share. When ctx ends before the records were sent, nothing is stored and its
// error is returned at once. When it ends later, Append still tells whether they
// were stored, for which it waits a second longer than [WithOutcomeTimeout].
//
// A save of more than 100 items, which are its events, one for each shard that they
// belong to and one for each value that is reserved or released, or of more than 4 MB,
// is refused with [eventsource.ErrTooLarge].
func (s *Store) Append(ctx context.Context, records ...eventsource.Record) ([]eventsource.Record, error) {
	if err := s.validate(ctx, records); err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, nil
	}
	return s.append(ctx, records)
}

// append stores records that are valid. What has to be read for that is read by the
// caller, so that nobody else waits for it.
func (s *Store) append(ctx context.Context, records []eventsource.Record) ([]eventsource.Record, error) {
	var doubt []string
	for {
		sv, err := s.newSave(ctx, records)
		if err != nil {
			return nil, err
		}
		if err := s.readVersions(ctx, sv, doubt); err != nil {
			return nil, s.translate(ctx, "save", err)
		}
		s.group.join(sv)
		s.startBatches()
		stored, err := s.await(sv)
		var unsure *unsureError
		if !errors.As(err, &unsure) {
			return stored, err
		}
		doubt = unsure.aggregates
	}
}

// unsureError is the result of a save that has to read versions before it can go on.
type unsureError struct{ aggregates []string }

func (e *unsureError) Error() string {
	return fmt.Sprintf("versions of %q are not known", e.aggregates)
}

// newSave refuses what is too large.
func (s *Store) newSave(ctx context.Context, records []eventsource.Record) (*save, error) {
	shards, err := s.shardCount(ctx)
	if err != nil {
		return nil, s.translate(ctx, "save", err)
	}
	sv := &save{ctx: ctx, records: eventsource.CloneRecords(records), done: make(chan struct{})}
	for i := range sv.records {
		r := &sv.records[i]
		sv.asked = append(sv.asked, r.Version)
		r.Reservations = nil // they are not kept with it
		size := itemSize(r)
		if size > maxItemSize {
			return nil, &eventsource.TooLargeError{AggregateID: r.AggregateID, Type: r.Type, Size: size, Limit: maxItemSize}
		}
		sv.size += size
	}
	if sv.changes, err = eventsource.ReservationChanges(records); err != nil {
		return nil, err
	}
	for i := range sv.changes {
		sv.size += reservationSize(&sv.changes[i])
	}
	sv.assignShards(shards)
	if maxItems := maxTransactionItems - sv.shards.len(); sv.items() > maxItems {
		return nil, &eventsource.SaveTooLargeError{Events: sv.items(), MaxEvents: maxItems}
	}
	if sv.size > maxSaveSize {
		return nil, &eventsource.SaveTooLargeError{Events: sv.items(), Size: sv.size, MaxSize: maxSaveSize}
	}
	return sv, nil
}

// items is how many a transaction has for the save, without heads.
func (sv *save) items() int { return len(sv.records) + len(sv.changes) }

func (sv *save) assignShards(shards int) {
	sv.shards = 0
	for i := range sv.records {
		sv.shards |= 1 << shardOf(sv.records[i].AggregateID, shards)
	}
}

// shardCount is how many shards the table has. A table that has not been used is
// given one.
func (s *Store) shardCount(ctx context.Context) (int, error) {
	if shards := s.known.shards(); shards > 0 {
		return shards, nil
	}
	for {
		heads, err := s.readHeads(ctx, true)
		if err != nil || len(heads) > 0 {
			return len(heads), err
		}
		if err := initialise(ctx, s.client, s.table, 1); err != nil {
			return 0, err
		}
	}
}

func (g *group) join(sv *save) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, sv)
}

// startBatches starts a batch for all shards that are free and have saves waiting.
func (s *Store) startBatches() {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		b := s.group.next(cancel)
		if b == nil {
			cancel()
			return
		}
		go func() {
			defer cancel()
			s.runBatch(ctx, b)
			s.group.free(b)
			// Those whose save has just been stored may have the next one ready: let them
			// run first, so that it is in the next batch instead of the one after it.
			runtime.Gosched()
			s.startBatches()
		}()
	}
}

// next takes a batch from the queue, nil if there is none to be started. The first
// save decides the shards. Saves that are passed over keep later ones of their
// shards from going first.
func (g *group) next(cancel context.CancelFunc) *batch {
	g.mu.Lock()
	defer g.mu.Unlock()
	var b *batch
	blocked := g.busy
	var kept []*save
	for _, sv := range g.queue {
		switch {
		case sv.left:
		case sv.shards&blocked == 0 && b == nil:
			b = &batch{shards: sv.shards, aggregates: make(map[string]bool), values: make(map[reservedValue]bool), cancel: cancel}
			b.add(sv)
		case sv.shards&blocked == 0 && b.takes(sv):
			b.add(sv)
		default:
			kept = append(kept, sv)
			blocked |= sv.shards
		}
	}
	g.queue = kept
	if b != nil {
		g.busy |= b.shards
	}
	return b
}

// free is called when a batch is no longer on its way.
func (g *group) free(b *batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy &^= b.shards
}

// takes reports whether the save can be in the batch. A record that asks for a
// version is not in one with other records of its aggregate: whether there is a
// conflict would depend on what becomes of them. A transaction has one item for a value.
func (b *batch) takes(sv *save) bool {
	if sv.shards&^b.shards != 0 || b.items+sv.items()+b.shards.len() > maxTransactionItems || b.size+sv.size > maxSaveSize {
		return false
	}
	for i := range sv.records {
		if asks, there := b.aggregates[sv.records[i].AggregateID]; there && (asks || sv.asked[i] != 0) {
			return false
		}
	}
	for i := range sv.changes {
		if b.values[valueOf(&sv.changes[i])] {
			return false
		}
	}
	return true
}

func (b *batch) add(sv *save) {
	sv.batch = b
	b.saves = append(b.saves, sv)
	b.items += sv.items()
	b.size += sv.size
	for i := range sv.changes {
		b.values[valueOf(&sv.changes[i])] = true
	}
	for i := range sv.records {
		id := sv.records[i].AggregateID
		b.aggregates[id] = b.aggregates[id] || sv.asked[i] != 0
	}
}

// finish gives a save its result.
func (g *group) finish(sv *save, err error) {
	sv.err = err
	close(sv.done)
	g.mu.Lock()
	defer g.mu.Unlock()
	sv.batch.cancelIfDeserted()
}

// finished reports whether the save has its result.
func (sv *save) finished() bool {
	select {
	case <-sv.done:
		return true
	default:
		return false
	}
}

// cancelIfDeserted ends the work for a batch when nobody waits for it any more. It
// is called with the group's lock held.
func (b *batch) cancelIfDeserted() {
	for _, sv := range b.saves {
		if !sv.left && !sv.finished() {
			return
		}
	}
	b.cancel()
}

// await waits for the save's result, and after the end of its context no longer
// than needed.
func (s *Store) await(sv *save) ([]eventsource.Record, error) {
	select {
	case <-sv.done:
		return sv.result()
	case <-sv.ctx.Done():
	}
	if s.group.leave(sv) {
		return nil, sv.ended()
	}
	timer := time.NewTimer(s.outcomeTimeout + time.Second) // the look-up gives up first
	defer timer.Stop()
	select {
	case <-sv.done:
		return sv.result()
	case <-timer.C:
		return nil, sv.outcomeUnknown(sv.ctx.Err())
	}
}

func (sv *save) result() ([]eventsource.Record, error) {
	switch {
	case sv.err == nil:
		return sv.records, nil
	case errors.Is(sv.err, eventsource.ErrOutcomeUnknown):
		return nil, sv.err // whatever else it wraps
	case sv.ctx.Err() != nil && errors.Is(sv.err, context.Canceled):
		return nil, sv.ended() // the shared context was cancelled because this one had ended
	default:
		return nil, sv.err
	}
}

// ended is the error of a save that was not stored when its context ended.
func (sv *save) ended() error {
	if sv.cause == nil {
		return fmt.Errorf("eventsource/dynamostore: save: %w", sv.ctx.Err())
	}
	return fmt.Errorf("eventsource/dynamostore: save: %w, after %w", sv.ctx.Err(), sv.cause)
}

// leave is called when the caller of a save wants to go away. It reports whether
// it can: nothing is on its way, and nothing will be.
func (g *group) leave(sv *save) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	sv.left = true
	if sv.batch != nil {
		sv.batch.cancelIfDeserted()
	}
	return !sv.sent
}

// send is called before the saves are sent. It reports false if a caller has gone.
func (g *group) send(saves []*save) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, sv := range saves {
		if sv.left {
			return false
		}
	}
	for _, sv := range saves {
		sv.sent = true
	}
	return true
}

// failed is called when an attempt has failed, and nothing is on its way any more.
func (g *group) failed(saves []*save, cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, sv := range saves {
		sv.sent, sv.cause = false, cause
	}
}
