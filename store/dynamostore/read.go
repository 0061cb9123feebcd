package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
)

// LoadByAggregate gives all records of an aggregate in version order. It reads the
// table itself, strongly consistent.
func (s *Store) LoadByAggregate(ctx context.Context, aggregateID string) ([]eventsource.Record, error) {
	if aggregateID == "" {
		return nil, fmt.Errorf("%w: aggregate ID is empty", eventsource.ErrInvalidQuery)
	}
	return whole(collect(s.Query(ctx, eventsource.Query{AggregateID: aggregateID})))
}

// LoadByAggregateVersions gives the records of an aggregate whose versions are above
// after and, unless last is 0, at most last. It reads these and no others from the
// table itself, strongly consistent.
func (s *Store) LoadByAggregateVersions(ctx context.Context, aggregateID string, after, last int) ([]eventsource.Record, error) {
	if aggregateID == "" {
		return nil, fmt.Errorf("%w: aggregate ID is empty", eventsource.ErrInvalidQuery)
	}
	if err := eventsource.CheckVersions(after, last); err != nil {
		return nil, err
	}
	q, err := s.normalize(ctx, eventsource.Query{AggregateID: aggregateID})
	if err != nil || nothingIsNamedSo(&q) || last != 0 && last <= after {
		return nil, err
	}
	var records []eventsource.Record
	err = s.readAggregate(ctx, &q, after, last, func(r *eventsource.Record) bool {
		records = append(records, *r)
		return ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	return whole(records, s.translate(ctx, "read", err))
}

// LoadBySequenceID gives the records after the sequence ID, as far as the index
// shows them without a gap.
func (s *Store) LoadBySequenceID(ctx context.Context, sequenceID string, limit int) ([]eventsource.Record, error) {
	return proven(collect(s.Query(ctx, eventsource.Query{After: sequenceID, Limit: limit})))
}

// LoadBySequenceIDAndType gives the records of one type after the sequence ID, as
// far as the index shows them without a gap.
func (s *Store) LoadBySequenceIDAndType(ctx context.Context, sequenceID, eventType string, limit int) ([]eventsource.Record, error) {
	return proven(collect(s.Query(ctx, eventsource.Query{After: sequenceID, Types: []string{eventType}, Limit: limit})))
}

// LoadByTimestamp gives the records with a greater timestamp. It reads all events
// from where, by the times in the sequence IDs, the first of them can be: events
// that were stored long before they happened make that early.
func (s *Store) LoadByTimestamp(ctx context.Context, timestamp int64, limit int) ([]eventsource.Record, error) {
	if timestamp == math.MaxInt64 {
		_, err := s.normalize(ctx, eventsource.Query{Limit: limit})
		return nil, err
	}
	return whole(collect(func(yield func(eventsource.Record, error) bool) {
		s.query(ctx, eventsource.Query{Limit: limit}, &timestamp, nil, yield)
	}))
}

// Query gives the records that match. One type, or a few, are read from the index
// of types; an aggregate from the table itself; for all else that is no sequence
// ID, events are read and left out.
//
// Where an index does not show an event within [WithIndexTimeout], an ascending
// query ends before it, and with [ErrIndexBehind] if the event is older than a
// minute. A descending one always ends with that error.
func (s *Store) Query(ctx context.Context, query eventsource.Query) iter.Seq2[eventsource.Record, error] {
	return func(yield func(eventsource.Record, error) bool) {
		s.query(ctx, query, nil, nil, yield)
	}
}

// Follow is Query in ascending order. To say how far it has looked it moves the heads
// of the shards that lag behind the last event there, as [Store.Horizon] does.
func (s *Store) Follow(ctx context.Context, query eventsource.Query, reached func(sequenceID string)) iter.Seq2[eventsource.Record, error] {
	if query.Descending || query.AggregateID != "" {
		reached = nil
	}
	return func(yield func(eventsource.Record, error) bool) {
		s.query(ctx, query, nil, reached, yield)
	}
}

// collect returns all records. With an error come those before it.
func collect(pairs iter.Seq2[eventsource.Record, error]) (records []eventsource.Record, err error) {
	for record, err := range pairs {
		if err != nil {
			return records, err
		}
		records = append(records, record)
	}
	return records, nil
}

// proven is the part of a page before an event that the index does not show. Only
// if there is none the page is an error.
func proven(records []eventsource.Record, err error) ([]eventsource.Record, error) {
	if err != nil && (!errors.Is(err, ErrIndexBehind) || len(records) == 0) {
		return nil, err
	}
	return records, nil
}

// whole is records without an error, or none with one.
func whole(records []eventsource.Record, err error) ([]eventsource.Record, error) {
	if err != nil {
		return nil, err
	}
	return records, nil
}

// normalize is everything that can be said of a query without the table.
func (s *Store) normalize(ctx context.Context, q eventsource.Query) (eventsource.Query, error) {
	if s.err != nil {
		return q, s.err
	}
	q, err := q.Normalize()
	if err != nil {
		return q, err
	}
	q.Types = slices.Compact(slices.Sorted(slices.Values(q.Types)))
	return q, ctx.Err()
}

// query gives the records that match, with a greater timestamp if there is one, and
// says how far it has looked if anyone wants to know.
func (s *Store) query(ctx context.Context, q eventsource.Query, newer *int64, reached func(string), yield func(eventsource.Record, error) bool) {
	q, err := s.normalize(ctx, q)
	if err != nil {
		yield(eventsource.Record{}, err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends what is being read ahead

	given, done := 0, false // done when nobody wants more
	give := func(r *eventsource.Record) (more bool) {
		if err = ctx.Err(); err != nil {
			return false
		}
		if !q.Matches(r) || newer != nil && r.Timestamp <= *newer {
			return true
		}
		given++
		done = !yield(*r, nil) || given == q.Limit
		return !done
	}
	if nothingIsNamedSo(&q) {
		return
	}
	var readErr error
	var upTo string
	if q.AggregateID != "" {
		readErr = s.readAggregate(ctx, &q, 0, 0, give)
	} else {
		upTo, readErr = s.readChains(ctx, &q, newer, reached != nil, give)
	}
	if err == nil {
		err = readErr
	}
	if err == nil {
		err = ctx.Err()
	}
	switch {
	case done:
	case err != nil:
		yield(eventsource.Record{}, s.translate(ctx, "read", err))
	case reached != nil && upTo != "":
		reached(upTo)
	}
}

// nothingIsNamedSo reports whether the query asks for a name that is longer than
// any, and than DynamoDB's keys. Types of which only some are lose those.
func nothingIsNamedSo(q *eventsource.Query) bool {
	some := len(q.Types) > 0
	q.Types = slices.DeleteFunc(q.Types, func(name string) bool { return len(name) > eventsource.MaxTypeLength })
	return len(q.AggregateID) > eventsource.MaxAggregateIDLength || some && len(q.Types) == 0
}

// readAggregate reads the versions of an aggregate from the table that are above
// after and, unless it is 0, at most last.
func (s *Store) readAggregate(ctx context.Context, q *eventsource.Query, after, last int, give func(*eventsource.Record) bool) error {
	input := s.aggregateQuery(q.AggregateID, after)
	input.ScanIndexForward = aws.Bool(!q.Descending)
	end := math.MaxInt // the last version when the reading began
	if last != 0 {
		end = last
		input.KeyConditionExpression = aws.String("#a = :a AND #v BETWEEN :first AND :last")
		input.ExpressionAttributeValues = item{
			":a": text(q.AggregateID), ":first": number(int64(after) + 1), ":last": number(int64(last)),
		}
	}
	for {
		out, err := s.runQuery(ctx, input)
		if err != nil {
			return err
		}
		more := len(out.LastEvaluatedKey) > 0
		if more && end == math.MaxInt && !q.Descending {
			if end, err = s.readVersion(ctx, q.AggregateID); err != nil {
				return err
			}
			s.versions.atLeast(q.AggregateID, end)
		}
		highest := 0
		for _, i := range out.Items {
			e, err := parseEvent(i)
			if err != nil {
				return err
			}
			if e.Version > end || !give(&e.Record) {
				return nil
			}
			highest = max(highest, e.Version)
		}
		if highest > 0 || after == 0 {
			s.versions.atLeast(q.AggregateID, highest)
		}
		if !more {
			return nil
		}
		input.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// maxChains is how many chains a query of types reads at a time. For more it reads
// those of all events, and leaves out.
const maxChains = 32

// readChains reads events in sequence order. With follow it returns the sequence ID up
// to which it has looked, if it knows.
func (s *Store) readChains(ctx context.Context, q *eventsource.Query, newer *int64, follow bool, give func(*eventsource.Record) bool) (reached string, err error) {
	heads, err := s.readHeads(ctx, true)
	if err != nil || len(heads) == 0 {
		return "", err
	}
	m := &merge{store: s, heads: heads, query: q, follow: follow}
	m.end = end(heads)
	if m.end <= q.After {
		return "", nil
	}
	eventTypes := q.Types
	if len(eventTypes) == 0 || len(eventTypes)*len(heads) > maxChains {
		eventTypes = []string{""}
	}
	for i := range heads {
		for _, eventType := range eventTypes {
			c := &chain{store: s, head: &heads[i], eventType: eventType, descending: q.Descending}
			// What is added meanwhile is above last, whatever its timestamp.
			c.after = max(q.After, min(startOf(&heads[i], q.From, newer), heads[i].last))
			c.at = c.after
			m.chains = append(m.chains, c)
		}
	}
	m.need = q.Limit
	if q.From != 0 || q.Until != 0 || newer != nil || eventTypes[0] == "" && len(q.Types) > 0 {
		m.need = 0 // how many are read for one that matches, nobody knows
	}
	if q.Descending {
		return "", m.descend(ctx, give)
	}
	err = m.ascend(ctx, give)
	return m.reached, err
}

// startOf is a sequence ID before all events of the shard with such timestamps.
func startOf(h *head, from int64, newer *int64) string {
	var timestamp int64
	switch {
	case newer != nil:
		timestamp = *newer
	case from != 0:
		timestamp = from
	default:
		return ""
	}
	ms := timestamp/int64(time.Millisecond) - 1 // rounded down
	if h.ahead > ms || h.ahead == noLead {
		return ""
	}
	var id ulid.ULID
	if err := id.SetTime(uint64(ms - h.ahead)); err != nil {
		return ""
	}
	return id.String()
}
