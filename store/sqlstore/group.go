package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
)

// Bounds of a batch of saves, beyond the first save in it. They keep the time
// for which a batch holds readers back short.
const (
	maxBatchRecords = 1000
	maxBatchSize    = 4 << 20 // bytes of data
	// patience is how long a batch waits for a transaction that is about to write
	// the same version of an aggregate. Then its saves go on alone, so that only
	// those wait which have to.
	patience = 100 * time.Millisecond
	// batchTries is how often a batch that loses races to other processes is tried
	// again before its saves go on alone.
	batchTries = 3

	// maxBatches is how many batches may be on their way, so that the server works on
	// one while this process makes the next. More have been no faster.
	maxBatches = 2
	// secondBatch is how many records have to wait before a second batch starts, and
	// at least as many as are on their way: two halves are only better than a whole
	// while both are large.
	secondBatch = 8
	// connsForTwo is the size of a pool from which on two batches leave enough of it
	// to others.
	connsForTwo = 4
)

// group lets concurrent saves share a transaction. While a batch is on its way,
// the next one gathers; no timer is involved, so a save that is alone starts at
// once.
type group struct {
	mu    sync.Mutex
	queue []*save
	// queued is how many records the queue has, and passed how many of them it is
	// known that they cannot go before one of the batches has landed.
	queued, passed int
	// running is how many goroutines run batches: up to limit. Some of them may be
	// between two batches.
	running, limit int
	// batches are on their way. No two of them have an aggregate in common.
	batches []*batch
	// alone has the aggregates, and the values, of saves that were taken out of a batch,
	// because they had to wait. Later saves of these do not join a batch.
	alone map[string]*lane
	// slots bounds how many connections such saves take.
	slots chan struct{}
}

// lane is where the saves of an aggregate, or of a value, that are alone wait for each
// other, so that only one of them needs a connection to wait on.
type lane struct {
	saves int // guarded by group.mu
	turn  chan struct{}
}

// save is one call of Append on its way.
type save struct {
	entry
	ctx  context.Context
	done chan struct{}
	err  error // set before done is closed

	// values are the names of those that it reserves or releases.
	values []string
	// For a save that is alone: its aggregates and values, sorted, and their lanes.
	names []string
	lanes []*lane

	// Guarded by group.mu.
	batch *batch // nil where the save has its own context
	// left is true when the caller went away.
	left bool
	// sent is true while the records may be on their way to the server, so that
	// the caller cannot go away without an answer.
	sent bool
}

func (sv *save) finish(err error) {
	sv.err = err
	close(sv.done)
}

// result is what Append returns once the save is finished.
func (sv *save) result() ([]eventsource.Record, error) {
	switch {
	case sv.err == nil:
		return sv.records, nil
	case errors.Is(sv.err, eventsource.ErrOutcomeUnknown):
		return nil, sv.err // whatever else it wraps
	case sv.ctx.Err() != nil && errors.Is(sv.err, context.Canceled):
		// The shared context was cancelled because this one had ended.
		return nil, fmt.Errorf("eventsource/sqlstore: save: %w", sv.ctx.Err())
	default:
		return nil, sv.err
	}
}

// batch is some saves that share a transaction.
type batch struct {
	saves []*save
	// aggregates are those of the records, one for each. The records themselves may
	// be their callers' again before the batch has landed.
	aggregates []string
	// values are those of all saves, each of which one save has.
	values []string
	// alone are saves that were found in the queue when the batch was made, and have
	// to go alone.
	alone  []*save
	cancel context.CancelFunc
	// waiting is how many callers still wait. When none does, the batch is cancelled.
	waiting int
}

// Append stores the records, all or none, in a transaction that concurrent calls
// share. When ctx ends before the records were sent, nothing is stored and its
// error is returned at once. When it ends later, Append still tells whether they
// were stored, for which it waits up to [WithOutcomeTimeout].
//
// With [WithInTransaction] each call has a transaction of its own.
func (s *Store) Append(ctx context.Context, records ...eventsource.Record) ([]eventsource.Record, error) {
	if err := s.validate(ctx, records); err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, nil
	}
	if len(s.hooks) > 0 {
		return s.appendUnshared(ctx, records)
	}
	e, err := newEntry(records)
	if err != nil {
		return nil, err
	}
	sv := &save{entry: e, ctx: ctx, done: make(chan struct{}), values: namesOf(e.changes)}
	if sv.size > maxCallSize {
		return s.appendUnshared(ctx, records)
	}
	switch how, lone := s.join(sv); how {
	case alone:
		s.appendAlone(sv)
	case first:
		// Nobody shares its transaction, so it runs here and with its own context.
		s.runBatch(sv.ctx, []*save{sv})
		if s.group.landed(lone) {
			go s.runBatches() //nolint:gosec // the batches are of others, and end with their contexts
		}
	}
	return s.await(sv)
}

// How a save joins the group.
type joined int

const (
	queued joined = iota // it will be in a batch
	first                // it is the only one, and its caller runs it
	alone                // it has to wait for others of its aggregates or values
)

// appendUnshared stores in a transaction of its own what is too large for one call,
// or calls hooks, where one that fails must fail alone.
func (s *Store) appendUnshared(ctx context.Context, records []eventsource.Record) ([]eventsource.Record, error) {
	tx, err := s.NewTransaction(ctx, records...)
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	return tx.Records(), nil
}

// join puts the save into the queue, unless nothing is on its way, or others of
// one of its aggregates or values have to wait. With first comes the batch that it is.
func (s *Store) join(sv *save) (joined, *batch) {
	g := &s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isAlone(sv) {
		g.makeAlone(sv, s.pool)
		return alone, nil
	}
	if g.running == 0 {
		g.running = 1
		lone := new(batch)
		lone.add(sv)
		g.batches = append(g.batches, lone)
		return first, lone
	}
	g.queue = append(g.queue, sv)
	g.queued += len(sv.records)
	if g.running < g.limit && g.worthwhile() {
		g.running++
		go s.runBatches()
	}
	return queued, nil
}

// isAlone reports whether saves of one of its aggregates or values are alone. The caller
// holds the lock.
func (g *group) isAlone(sv *save) bool {
	for i := range sv.records {
		if g.alone[sv.records[i].AggregateID] != nil {
			return true
		}
	}
	return g.valueIsAlone(sv)
}

func (g *group) valueIsAlone(sv *save) bool {
	return slices.ContainsFunc(sv.values, func(name string) bool { return g.alone[name] != nil })
}

// worthwhile reports whether enough records wait for a batch beside those that
// are on their way. The caller holds the lock.
func (g *group) worthwhile() bool {
	flying := 0
	for _, b := range g.batches {
		flying += len(b.aggregates)
	}
	return g.queued-g.passed >= max(secondBatch, flying)
}

// await waits for the save's result, and after the end of its context no longer
// than needed.
func (s *Store) await(sv *save) ([]eventsource.Record, error) {
	select {
	case <-sv.done:
		return sv.result()
	case <-sv.ctx.Done():
	}
	if s.leave(sv) {
		return nil, fmt.Errorf("eventsource/sqlstore: save: %w", sv.ctx.Err())
	}
	timer := time.NewTimer(s.outcomeTimeout + time.Second) // the look-up gives up first
	defer timer.Stop()
	select {
	case <-sv.done:
		return sv.result()
	case <-timer.C:
		return nil, outcomeUnknown(sv.records, sv.ctx.Err())
	}
}

// leave is called when the caller of a save wants to go away. It reports whether
// it can: nothing was sent, and nothing will be.
func (s *Store) leave(sv *save) bool {
	g := &s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	sv.left = true
	if b := sv.batch; b != nil {
		if b.waiting--; b.waiting == 0 {
			b.cancel()
		}
	}
	return !sv.sent
}

// runBatches works until there is nothing to do for it.
func (s *Store) runBatches() {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		b := s.group.next(cancel, s.pool)
		for _, sv := range b.alone {
			go s.appendAlone(sv)
		}
		if len(b.saves) > 0 {
			s.runBatch(ctx, b.saves)
		}
		cancel()
		if !s.group.landed(b) {
			return
		}
	}
}

// landed is called when a batch is no longer on its way. It reports whether there
// may be another one. Otherwise the caller stops running them.
func (g *group) landed(b *batch) bool {
	g.mu.Lock()
	g.batches = slices.DeleteFunc(g.batches, func(other *batch) bool { return other == b })
	if len(b.saves) > 0 {
		g.passed = 0
	}
	g.mu.Unlock()
	// Those whose save has just been stored may have the next one ready: let them
	// run first, so that it is in the next batch instead of the one after it.
	runtime.Gosched()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) > 0 && (g.running == 1 || g.worthwhile()) {
		return true
	}
	g.running--
	return false
}

// next takes a batch from the queue. It passes over saves of aggregates or values that
// are on their way, of values that the batch has, and over later ones of the same.
func (g *group) next(cancel context.CancelFunc, pool *pgxpool.Pool) *batch {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := &batch{cancel: cancel}
	under, reserved := g.underWay(), names{}
	g.passed = 0
	var kept []*save
	size := 0
	for len(g.queue) > 0 {
		sv := g.queue[0]
		if len(b.saves) > 0 && (len(b.aggregates)+len(sv.records) > maxBatchRecords || len(b.values)+len(sv.values) > maxBatchRecords ||
			size+sv.size > maxBatchSize) {
			break
		}
		g.queue[0], g.queue = nil, g.queue[1:]
		if !sv.left && (under.has(sv) || reserved.hasValue(sv)) {
			under.add(sv)
			kept = append(kept, sv)
			g.passed += len(sv.records)
			continue
		}
		g.queued -= len(sv.records)
		if sv.left {
			continue
		}
		if g.valueIsAlone(sv) { // since it was put into the queue; a batch has each value once, so many would wait in turn
			sv.sent = true // from here on the save ends with its own context
			g.makeAlone(sv, pool)
			b.alone = append(b.alone, sv)
			continue
		}
		sv.batch = b
		b.waiting++
		b.add(sv)
		reserved.addValues(sv)
		size += sv.size
	}
	g.queue = append(kept, g.queue...)
	g.batches = append(g.batches, b)
	return b
}

func (b *batch) add(sv *save) {
	b.saves = append(b.saves, sv)
	for i := range sv.records {
		b.aggregates = append(b.aggregates, sv.records[i].AggregateID)
	}
	b.values = append(b.values, sv.values...)
}

// names is a set of aggregates and values.
type names map[string]struct{}

// namesOf are the names of values. No aggregate has one of them: IDs have no NUL.
func namesOf(changes []eventsource.ReservationChange) (all []string) {
	for i := range changes {
		all = append(all, "\x00"+changes[i].Scope+"\x00"+changes[i].Value)
	}
	return all
}

// underWay returns those of all batches. The caller holds the lock.
func (g *group) underWay() names {
	under := names{}
	for _, b := range g.batches {
		for _, id := range b.aggregates {
			under[id] = struct{}{}
		}
		for _, name := range b.values {
			under[name] = struct{}{}
		}
	}
	return under
}

func (n names) add(sv *save) {
	for i := range sv.records {
		n[sv.records[i].AggregateID] = struct{}{}
	}
	n.addValues(sv)
}

func (n names) addValues(sv *save) {
	for _, name := range sv.values {
		n[name] = struct{}{}
	}
}

func (n names) has(sv *save) bool {
	if len(n) == 0 {
		return false
	}
	for i := range sv.records {
		if _, ok := n[sv.records[i].AggregateID]; ok {
			return true
		}
	}
	return n.hasValue(sv)
}

func (n names) hasValue(sv *save) bool {
	for _, name := range sv.values {
		if _, ok := n[name]; ok {
			return true
		}
	}
	return false
}

// runBatch stores the saves, and sees to it that each of them is finished.
func (s *Store) runBatch(ctx context.Context, saves []*save) {
	var err error
	for range batchTries {
		if err = s.try(ctx, saves, patience); !lostRace(err) {
			break
		}
	}
	switch {
	case err == nil:
	case decided(err) && (len(saves) > 1 || lostRace(err) || shouldStandAside(err)):
		s.separate(saves)
	default:
		// It is about the only save; or the connection failed, or nobody waits any more.
		for _, sv := range saves {
			sv.finish(err)
		}
	}
}

// separate lets each save go on alone: one of them was refused, or has to wait.
func (s *Store) separate(saves []*save) {
	g := &s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, sv := range saves {
		sv.batch = nil
		sv.sent = true // from here on the save ends with its own context
		g.makeAlone(sv, s.pool)
		go s.appendAlone(sv)
	}
}

// makeAlone gives the save its lanes, in an order that is the same for all, so
// that none waits for another that waits for it. The caller holds the lock.
func (g *group) makeAlone(sv *save, pool *pgxpool.Pool) {
	if g.alone == nil {
		g.alone = make(map[string]*lane)
		g.slots = make(chan struct{}, max(1, pool.Config().MaxConns/2))
	}
	for i := range sv.records {
		sv.names = append(sv.names, sv.records[i].AggregateID)
	}
	sv.names = append(sv.names, sv.values...)
	slices.Sort(sv.names)
	sv.names = slices.Compact(sv.names)
	for _, name := range sv.names {
		if g.alone[name] == nil {
			g.alone[name] = &lane{turn: make(chan struct{}, 1)}
		}
		g.alone[name].saves++
		sv.lanes = append(sv.lanes, g.alone[name])
	}
}

// leaveLanes lets the aggregates and values of a save that was alone join batches again.
func (g *group) leaveLanes(sv *save) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, name := range sv.names {
		if sv.lanes[i].saves--; sv.lanes[i].saves == 0 {
			delete(g.alone, name)
		}
	}
}

// appendAlone stores a save in a transaction of its own, and finishes it. It
// waits for other transactions for as long as the save's context lasts.
func (s *Store) appendAlone(sv *save) {
	defer s.group.leaveLanes(sv)
	turns := make([]chan struct{}, 0, len(sv.lanes)+1)
	for _, lane := range sv.lanes {
		turns = append(turns, lane.turn)
	}
	for _, turn := range append(turns, s.group.slots) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-sv.ctx.Done():
			sv.finish(s.translate(sv.ctx, "save", sv.ctx.Err()))
			return
		}
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := s.try(sv.ctx, []*save{sv}, 0)
		if err == nil {
			return // finished
		}
		if !lostRace(err) && sqlState(err) != codeDeadlockDetected {
			sv.finish(err)
			return
		}
		select {
		case <-sv.ctx.Done():
			sv.finish(s.translate(sv.ctx, "save", sv.ctx.Err()))
			return
		case <-time.After(rand.N(wait)): //nolint:gosec // jitter
		}
	}
}

// try makes one attempt at storing the saves in one transaction. If it returns
// nil, each save is finished: stored, in conflict, or given up by its caller.
// After an error nothing is stored and no save is finished. A patience of 0
// waits for other transactions without limit.
func (s *Store) try(ctx context.Context, saves []*save, patience time.Duration) error {
	conn, err := s.acquire(ctx, "save")
	if err != nil {
		return err
	}
	defer func() {
		if conn != nil {
			conn.Release()
		}
	}()

	from, err := s.session(ctx, conn.Conn())
	if err != nil {
		return s.translate(ctx, "save", err)
	}
	results := make(map[*save]error, len(saves))
	pending := s.send(saves, results)
	var behind []*save // others are in their way, which are not stored yet
	for len(pending) > 0 {
		entries := make([]*entry, len(pending))
		for i, sv := range pending {
			entries[i] = &sv.entry
		}
		refused, err := s.appendAndCommit(ctx, conn.Conn(), from, patience, entries)
		if err != nil && !decided(err) {
			_ = conn.Conn().Close(ctx)
			conn.Release() // the look-up may need the pool's only connection
			conn = nil
			if len(refused) == 0 { // else there was nothing to store
				err = s.settle(ctx, from, pending, results, err)
			}
		}
		if err != nil {
			return s.translate(ctx, "save", err)
		}
		if len(refused) == 0 {
			break
		}
		// Nothing is stored: those that are left try again without the refused.
		pending = slices.DeleteFunc(pending, func(sv *save) bool {
			reason, isRefused := refused[&sv.entry]
			switch {
			case reason != nil:
				results[sv] = reason
			case isRefused:
				behind = append(behind, sv)
			}
			return isRefused
		})
	}
	undecided := conflictWith(pending, behind, results)
	for _, sv := range saves {
		if !slices.Contains(undecided, sv) {
			sv.finish(results[sv])
		}
	}
	if len(undecided) > 0 {
		s.separate(undecided)
	}
	if len(pending) > 0 {
		s.notifier.wake(s)
	}
	return nil
}

// conflictWith sets the results of saves that others were in the way of, now that
// these are stored. It returns those for which that is not so: they were refused
// themselves after all, or it cannot be known.
func conflictWith(others, behind []*save, results map[*save]error) (undecided []*save) {
	if len(behind) == 0 {
		return nil
	}
	versions := make(map[string]int)
	for _, sv := range others {
		if results[sv] != nil {
			continue
		}
		for i := range sv.records {
			r := &sv.records[i]
			versions[r.AggregateID] = max(versions[r.AggregateID], r.Version)
		}
	}
	for _, sv := range behind {
		if conflict := sv.conflict(versions); conflict != nil {
			results[sv] = conflict
		} else {
			undecided = append(undecided, sv)
		}
	}
	return undecided
}

// appendAndCommit is appendEntries in a transaction of its own. A statement on its
// own is one, if its isolation level is the right one.
func (s *Store) appendAndCommit(ctx context.Context, conn *pgx.Conn, from session, patience time.Duration, entries []*entry) (refused refusals, err error) {
	if from.readCommitted {
		return s.appendEntries(ctx, conn, patience, entries)
	}
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		refused, err = s.appendEntries(ctx, tx, patience, entries)
		return err
	})
	return refused, err
}

// send holds the callers of the saves from now on, and returns those that are
// still there. The result of the others is set.
func (s *Store) send(saves []*save, results map[*save]error) (pending []*save) {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	for _, sv := range saves {
		if sv.left {
			results[sv] = context.Canceled
			continue
		}
		sv.sent = true
		pending = append(pending, sv)
	}
	return pending
}

// settle looks up the outcome of the saves after an answer was lost. If it cannot
// be known, that is the result of each.
func (s *Store) settle(ctx context.Context, from session, pending []*save, results map[*save]error, cause error) error {
	var records []eventsource.Record
	for _, sv := range pending {
		records = append(records, sv.records...)
	}
	err := s.outcome(ctx, from, records, false, cause)
	if errors.Is(err, eventsource.ErrOutcomeUnknown) {
		for _, sv := range pending {
			results[sv] = outcomeUnknown(sv.records, cause)
		}
		return nil
	}
	for _, sv := range pending {
		records = records[copy(sv.records, records):]
	}
	return err
}
