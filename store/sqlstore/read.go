package sqlstore

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
)

// LoadByAggregate gives all records of an aggregate in version order, also those
// that readers of the feed may not see yet.
func (s *Store) LoadByAggregate(ctx context.Context, aggregateID string) ([]eventsource.Record, error) {
	return load(ctx, s, s, selection{Query: eventsource.Query{AggregateID: aggregateID}, oneAggregate: true})
}

// LoadByAggregateVersions gives the records of an aggregate from one version to another,
// along the index.
func (s *Store) LoadByAggregateVersions(ctx context.Context, aggregateID string, after, last int) ([]eventsource.Record, error) {
	return loadVersions(ctx, s, s, aggregateID, after, last)
}

// LoadBySequenceID gives the records after the sequence ID.
func (s *Store) LoadBySequenceID(ctx context.Context, sequenceID string, limit int) ([]eventsource.Record, error) {
	return load(ctx, s, s, selection{Query: eventsource.Query{After: sequenceID, Limit: limit}})
}

// LoadBySequenceIDAndType gives the records of one type after the sequence ID.
func (s *Store) LoadBySequenceIDAndType(ctx context.Context, sequenceID, eventType string, limit int) ([]eventsource.Record, error) {
	return load(ctx, s, s, selection{Query: eventsource.Query{After: sequenceID, Types: []string{eventType}, Limit: limit}})
}

// LoadByTimestamp gives the records with a greater timestamp. Unlike a sequence
// ID, a timestamp is no place in the table: with many events before or after it
// the server has to look through them.
func (s *Store) LoadByTimestamp(ctx context.Context, timestamp int64, limit int) ([]eventsource.Record, error) {
	return load(ctx, s, s, selection{Query: eventsource.Query{Limit: limit}, laterThan: &timestamp})
}

// Query gives the records that match, page by page, and ends where the last
// readable record was when the iteration began. While the loop's body runs, it
// reads the next page; besides that it holds no connection.
func (s *Store) Query(ctx context.Context, query eventsource.Query) iter.Seq2[eventsource.Record, error] {
	return stream(ctx, s, s, query, true, func(string) {})
}

// Follow is Query in ascending order. It says how far it has looked, which is the
// horizon that it has read with the first page. In the rare case that the records end
// with a full page it cannot tell.
func (s *Store) Follow(ctx context.Context, query eventsource.Query, reached func(sequenceID string)) iter.Seq2[eventsource.Record, error] {
	if query.Descending || query.AggregateID != "" { // the horizon does not matter to an aggregate, and is not read
		reached = func(string) {}
	}
	return stream(ctx, s, s, query, true, reached)
}

// LoadByAggregate gives all records of an aggregate, with those that this
// transaction has saved.
func (s *TxStore) LoadByAggregate(ctx context.Context, aggregateID string) ([]eventsource.Record, error) {
	return load(ctx, s.store, s, selection{Query: eventsource.Query{AggregateID: aggregateID}, oneAggregate: true})
}

// LoadByAggregateVersions gives the records of an aggregate from one version to another.
func (s *TxStore) LoadByAggregateVersions(ctx context.Context, aggregateID string, after, last int) ([]eventsource.Record, error) {
	return loadVersions(ctx, s.store, s, aggregateID, after, last)
}

// LoadBySequenceID gives the records after the sequence ID.
func (s *TxStore) LoadBySequenceID(ctx context.Context, sequenceID string, limit int) ([]eventsource.Record, error) {
	return load(ctx, s.store, s, selection{Query: eventsource.Query{After: sequenceID, Limit: limit}})
}

// LoadBySequenceIDAndType gives the records of one type after the sequence ID.
func (s *TxStore) LoadBySequenceIDAndType(ctx context.Context, sequenceID, eventType string, limit int) ([]eventsource.Record, error) {
	return load(ctx, s.store, s, selection{Query: eventsource.Query{After: sequenceID, Types: []string{eventType}, Limit: limit}})
}

// LoadByTimestamp gives the records with a greater timestamp.
func (s *TxStore) LoadByTimestamp(ctx context.Context, timestamp int64, limit int) ([]eventsource.Record, error) {
	return load(ctx, s.store, s, selection{Query: eventsource.Query{Limit: limit}, laterThan: &timestamp})
}

// Query gives the records that match, page by page, in the caller's transaction,
// which may be used in the loop's body.
func (s *TxStore) Query(ctx context.Context, query eventsource.Query) iter.Seq2[eventsource.Record, error] {
	return stream(ctx, s.store, s, query, false, func(string) {})
}

// pager reads one page, on a connection of the pool or in a caller's transaction.
type pager interface {
	page(ctx context.Context, sel *selection) (*page, error)
}

// batchSender is a connection or a transaction.
type batchSender interface {
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// page is some records in order, and how far the transaction that read them could read.
type page struct {
	records []eventsource.Record
	size    int     // bytes of data
	horizon horizon // zero where it was not asked for
	reached string  // what is behind the last page: nothing at or below it; "" if that is not known
}

// selection is a query with what only this store needs.
type selection struct {
	eventsource.Query
	// laterThan is a timestamp that all records are later than.
	laterThan *int64
	// oneAggregate reads an aggregate in version order. The horizon does not
	// matter to it: whoever wrote version n+1 had seen version n committed.
	oneAggregate bool
	// needsEnd asks for the horizon as it is now.
	needsEnd bool
	// afterVersion and lastVersion bound the versions of an aggregate, 0 if they do not.
	// The pages of a stream that follow the first have the first of them too, and bound:
	// there is nothing to read behind it.
	afterVersion, lastVersion int
	bound                     horizon
}

// load reads a selection as one page.
func load(ctx context.Context, s *Store, p pager, sel selection) ([]eventsource.Record, error) {
	if sel.oneAggregate && sel.AggregateID == "" {
		return nil, fmt.Errorf("%w: aggregate ID is empty", eventsource.ErrInvalidQuery)
	}
	var err error
	if sel.Query, err = sel.Normalize(); err != nil {
		return nil, err
	}
	if s.err != nil {
		return nil, s.err
	}
	got, err := p.page(ctx, &sel)
	if err != nil {
		return nil, err
	}
	return got.records, nil
}

func loadVersions(ctx context.Context, s *Store, p pager, aggregateID string, after, last int) ([]eventsource.Record, error) {
	if err := eventsource.CheckVersions(after, last); err != nil {
		return nil, err
	}
	return load(ctx, s, p, selection{
		Query: eventsource.Query{AggregateID: aggregateID}, oneAggregate: true, afterVersion: after, lastVersion: last,
	})
}

// Bounds of the pages of a stream, in records and in bytes of data.
const (
	firstPage    = 128
	largestPage  = 2048
	pageDataSize = 4 << 20
)

// stream reads a query page by page, and says how far it has looked if it knows.
func stream(ctx context.Context, s *Store, p pager, query eventsource.Query, ahead bool, reached func(string)) iter.Seq2[eventsource.Record, error] {
	return func(yield func(eventsource.Record, error) bool) {
		query, err := query.Normalize()
		if err == nil {
			err = s.err
		}
		if err != nil {
			yield(eventsource.Record{}, err)
			return
		}
		var end string
		for got, err := range pages(ctx, p, query, ahead) {
			if err != nil {
				yield(eventsource.Record{}, err)
				return
			}
			for _, record := range got.records {
				if !yield(record, nil) {
					return
				}
			}
			end = got.reached
		}
		if end != "" {
			reached(end)
		}
	}
}

// pages gives the pages of a query. The bound of the first holds for all: what is
// at or below it is final. With ahead it reads a page while the loop's body is
// busy with the one before, but not while that is the first: many want no more.
func pages(ctx context.Context, p pager, query eventsource.Query, ahead bool) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		var reading sync.WaitGroup
		defer reading.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // who breaks off does not wait for a page, nor for a connection

		sel := selection{Query: query, oneAggregate: query.AggregateID != "", needsEnd: true}
		left := query.Limit
		sel.Limit = atMost(left, firstPage)
		read := func() (*page, error) { return p.page(ctx, &sel) }
		for isFirst := true; ; isFirst = false {
			got, err := read()
			if err != nil {
				yield(nil, err)
				return
			}
			if len(got.records) < sel.Limit || len(got.records) == left {
				got.reached = sel.reached(got)
				yield(got, nil)
				return
			}
			if isFirst {
				if err := sel.endAt(ctx, p, got); err != nil {
					yield(nil, err)
					return
				}
			}
			sel.continueAfter(got.records[len(got.records)-1])
			left = max(0, left-len(got.records)) // 0 stays no limit
			sel.Limit = atMost(left, nextPageSize(len(got.records), got.size))
			read = func() (*page, error) { return p.page(ctx, &sel) }
			if ahead && !isFirst {
				type result struct {
					*page
					err error
				}
				next, sel := make(chan result, 1), sel
				reading.Go(func() {
					got, err := p.page(ctx, &sel)
					next <- result{got, err}
				})
				read = func() (*page, error) {
					r := <-next
					return r.page, r.err
				}
			}
			if !yield(got, nil) {
				return
			}
		}
	}
}

// reached is up to where nothing is left behind the last page, "" if that is not known:
// a later page without records may come from another server than the bound.
func (sel *selection) reached(last *page) string {
	switch {
	case len(last.records) == sel.Limit:
		return ""
	case sel.bound.end == "":
		return last.horizon.end
	case len(last.records) == 0:
		return ""
	case last.horizon.end != "": // it was read by a horizon of its own
		return min(sel.bound.end, last.horizon.end)
	default:
		return sel.bound.end
	}
}

// atMost is a page size that goes no further than what is left, where 0 is no limit.
func atMost(left, size int) int {
	if left > 0 {
		return min(left, size)
	}
	return size
}

// endAt keeps where a stream ends, given its first page: at the horizon, or at the
// aggregate's last event.
func (sel *selection) endAt(ctx context.Context, p pager, first *page) error {
	switch {
	case !sel.oneAggregate:
		sel.bound = first.horizon
		return nil
	case sel.Descending: // it goes to the beginning
		return nil
	}
	last := selection{oneAggregate: true, Query: eventsource.Query{AggregateID: sel.AggregateID, Limit: 1, Descending: true}}
	got, err := p.page(ctx, &last)
	if err == nil && len(got.records) > 0 {
		sel.bound.end = got.records[0].SequenceID
	}
	return err
}

// continueAfter makes the selection that of the next page.
func (sel *selection) continueAfter(last eventsource.Record) {
	if sel.Descending {
		sel.Before = last.SequenceID
	} else {
		sel.After = last.SequenceID
	}
	if sel.oneAggregate {
		sel.afterVersion = last.Version
	}
	sel.needsEnd = false
}

// nextPageSize grows pages of small records and shrinks those of large ones.
func nextPageSize(size, bytes int) int {
	return max(1, min(size*4, largestPage, size*pageDataSize/(bytes+1)))
}

// page reads a page on a connection of the pool.
func (s *Store) page(ctx context.Context, sel *selection) (*page, error) {
	conn, err := s.acquire(ctx, "read")
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	got, err := s.pageOn(ctx, conn.Conn(), sel)
	if err != nil {
		s.rollback(ctx, conn.Conn())
		return nil, s.translate(ctx, "read", err)
	}
	return got, nil
}

// pageOn reads a page, without the horizon where an earlier one is enough.
func (s *Store) pageOn(ctx context.Context, conn *pgx.Conn, sel *selection) (*page, error) {
	got := new(page)
	if sel.oneAggregate {
		return got, s.sendPage(ctx, conn, sel, how{}, got)
	}
	byIndex := sel.laterThan == nil && sel.From == 0 && sel.Until == 0
	rest := *sel
	if known := s.horizonFor(sel, byIndex); known.end != "" && (known == sel.bound || known.holdsOn(conn)) {
		err := s.sendPage(ctx, conn, sel, how{known: known, byIndex: byIndex}, got)
		n := len(got.records)
		// No record at all may also mean that the horizon is one of elsewhere.
		if err != nil || n > 0 && (n == sel.Limit || known == sel.bound) {
			return got, err
		}
		if n > 0 { // it goes on behind what it has, which is final
			rest.continueAfter(got.records[n-1])
			rest.Limit -= n
		}
	}
	from, err := s.session(ctx, conn)
	if err != nil {
		return nil, err
	}
	got.horizon.asked = time.Now()
	err = s.sendPage(ctx, conn, &rest, how{horizon: true, begin: !from.readCommitted, byIndex: byIndex}, got)
	if err == nil {
		s.knowHorizon(got.horizon)
	}
	return got, err
}

// page reads a page in the caller's transaction.
func (s *TxStore) page(ctx context.Context, sel *selection) (*page, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	got := new(page)
	h := how{horizon: !sel.oneAggregate}
	if h.horizon && sel.bound.end != "" {
		h = how{known: sel.bound}
	}
	if err := s.store.sendPage(ctx, s.pgxTx, sel, h, got); err != nil {
		return nil, s.store.translate(ctx, "read", err)
	}
	return got, nil
}

// horizon is how far readers of a table may read.
//
// It stays true: no event at or below its end will ever appear that a statement
// which is sent after it was known does not see, for a transaction's events are
// visible before its lock is gone. So pages that end below a known one need none of
// their own. Another server may have lost what this one had, so a statement that
// relies on it has the server check that it is still the one. So may this one after
// a crash, where commits do not wait for the disk: see holdsOn. Only a stream relies
// on its own bound all the same, or a writer whose clock is behind could end it early.
type horizon struct {
	end    string // a sequence ID
	table  uint32 // its oid: the search path may mean another one the next time
	server time.Time
	asked  time.Time // by this process's clock, before it was read
}

// holdsOn reports whether the horizon still holds for statements on a connection: a
// crash ends all sessions, and this one is older. What a proxy serves is not known.
func (h horizon) holdsOn(conn *pgx.Conn) bool {
	on, known := conn.PgConn().CustomData()[sessionKey].(session)
	return known && on.direct && !on.asked.After(h.asked)
}

// horizonFor is a known horizon that may do for a page.
func (s *Store) horizonFor(sel *selection, byIndex bool) horizon {
	if sel.bound.end != "" {
		return sel.bound
	}
	known := s.known.Load()
	// A page that is not full has to be read on. Without an index it would have
	// looked through many events for that.
	if known == nil || sel.needsEnd || sel.Descending || sel.Limit == 0 || sel.After >= known.end || !byIndex {
		return horizon{}
	}
	return *known
}

// knowHorizon keeps a horizon. One that is behind is no news: a transaction whose
// clock is behind holds readers back, but adds nothing below. One that is the same
// holds on more connections.
func (s *Store) knowHorizon(h horizon) {
	known := s.known.Load()
	if known == nil || known.table != h.table || !known.server.Equal(h.server) || known.end < h.end ||
		known.end == h.end && known.asked.Before(h.asked) {
		s.known.CompareAndSwap(known, &h)
	}
}

// how a page is read.
type how struct {
	// horizon reads it first. Otherwise the page ends at a known one, if there is
	// one, and is empty if server and table are not those of that.
	horizon bool
	known   horizon
	// begin opens a transaction for it, where a statement's own would be of the wrong
	// isolation level.
	begin bool
	// count only counts.
	count bool
	// byIndex has the server read along an index. It sets what only lasts for the
	// transaction, so it is not for a caller's.
	byIndex bool
}

// sendPage reads the horizon, if it has to, and then, in a later statement, a
// page up to it, which is added to what it got. It all travels in one round trip,
// which is one transaction, or in that of the caller.
func (s *Store) sendPage(ctx context.Context, db batchSender, sel *selection, h how, got *page) (err error) {
	batch := &pgx.Batch{}
	if h.begin {
		batch.Queue(s.sql.begin)
	}
	switch {
	case h.horizon && h.byIndex:
		batch.Queue(s.sql.readHorizonByIndex)
	case h.horizon:
		batch.Queue(s.sql.readHorizon)
	case h.byIndex:
		batch.Queue(s.sql.readPlan)
	}
	sql, args := s.pageSQL(sel, h)
	batch.Queue(sql, args...)
	if h.begin {
		batch.Queue(s.sql.commit)
	}

	results := db.SendBatch(ctx, batch)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
	}()
	if h.begin {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	switch {
	case h.horizon:
		into := []any{&got.horizon.end, &got.horizon.table, &got.horizon.server}
		if h.byIndex {
			into = append(into, nil, nil, nil) // what was set
		}
		if err := results.QueryRow().Scan(into...); err != nil {
			return err
		}
	case h.byIndex:
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	reader := newRecordReader(rows)
	for rows.Next() {
		r, err := reader.read()
		if err != nil {
			return err
		}
		if got.records == nil && sel.Limit > 1 {
			got.records = make([]eventsource.Record, 0, min(sel.Limit, largestPage))
		}
		got.size += len(r.Data)
		got.records = append(got.records, r)
	}
	return rows.Err() // a cut connection shows here, not in Next
}

// pageSQL returns the statement for a page, and its arguments.
func (s *Store) pageSQL(sel *selection, h how) (string, []any) {
	var limit *int // NULL is no limit
	if sel.Limit > 0 {
		limit = &sel.Limit
	}
	args := []any{limit}
	argument := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}

	var where []string
	types := slices.Compact(slices.Sorted(slices.Values(sel.Types)))
	sql := s.sql.readPage
	if h.count {
		sql = s.sql.count
	}
	switch {
	case len(types) == 1:
		where = append(where, "e.type = "+argument(types[0]))
	case len(types) > 1 && !sel.oneAggregate && sel.Limit > 0 && !h.count:
		sql = s.sql.readPageOfTypes
		argument(types) // $2
	case len(types) > 1:
		where = append(where, "e.type = ANY("+argument(types)+"::text[])")
	}
	if sel.oneAggregate {
		where = append(where, "e.aggregate_id = "+argument(sel.AggregateID))
		switch {
		case sel.afterVersion > 0 && sel.Descending:
			where = append(where, "e.version < "+argument(sel.afterVersion))
		case sel.afterVersion > 0:
			where = append(where, "e.version > "+argument(sel.afterVersion))
		}
		if sel.lastVersion > 0 {
			where = append(where, "e.version <= "+argument(sel.lastVersion))
		}
	}
	if h.horizon {
		where = append(where, "e.sequence_id <= current_setting('eventsource.safe_end')")
	}
	if h.known.end != "" {
		where = append(where, "e.sequence_id <= "+argument(h.known.end),
			"'"+s.sql.table+"'::regclass::oid = "+argument(h.known.table), "pg_postmaster_start_time() = "+argument(h.known.server))
	}
	if sel.After != "" {
		where = append(where, "e.sequence_id > "+argument(sel.After))
	}
	if sel.Before != "" {
		where = append(where, "e.sequence_id < "+argument(sel.Before))
	}
	if sel.bound.end != "" && h.known.end == "" {
		where = append(where, "e.sequence_id <= "+argument(sel.bound.end))
	}
	if sel.laterThan != nil {
		where = append(where, "e.timestamp > "+argument(*sel.laterThan))
	}
	if sel.From != 0 {
		where = append(where, "e.timestamp >= "+argument(sel.From))
	}
	if sel.Until != 0 {
		where = append(where, "e.timestamp < "+argument(sel.Until))
	}

	order := "e.sequence_id"
	if sel.oneAggregate {
		order = "e.version" // the order of an aggregate's sequence IDs too
	}
	if sel.Descending {
		order += " DESC"
	}
	return strings.NewReplacer("{where}", strings.Join(where, " AND "), "{order}", order).Replace(sql), args
}
