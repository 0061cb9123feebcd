package dynamostore

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
)

// chain reads the events of a shard, or those of one type in it, from an index.
// Each event names the one before it, so a reader that follows the links misses
// none, whatever the index does not show yet.
type chain struct {
	store      *Store
	head       *head
	eventType  string // "" for all
	after      string // it is read for events after this one
	descending bool

	// at is where the links have been followed to: ascending, nothing is missing up to
	// it; descending, it is the next event to come, "" after the last one.
	at string
	// page are events that were linked and not taken yet.
	page []event
	// ahead is the page that is being read ahead, nil if none is.
	ahead chan page
	// pages is how many were read.
	pages int
	// missing is an event that the index does not show, and behind is true when it has
	// not done so in time.
	missing string
	behind  bool
}

// page is what one query of an index gives.
type page struct {
	after  string
	events []event
	more   bool
	err    error
}

// maxPage is how many events are asked for at a time. DynamoDB ends a page at 1 MB
// anyway.
const maxPage = 1000

// retryPage is how many events are asked for to see whether the next one is there.
const retryPage = 10

func (c *chain) prev(e *event) string {
	if c.eventType == "" {
		return e.prev
	}
	return e.typePrev
}

func (c *chain) index() (name, partitionName string) {
	if c.eventType == "" {
		return SequenceIndex, attrShard
	}
	return TypeIndex, attrShardType
}

// last is the chain's last event, as its head says.
func (c *chain) last() string { return c.head.lastOf(c.eventType) }

// next is the next event, nil if there is none at hand.
func (c *chain) next() *event {
	if len(c.page) == 0 {
		return nil
	}
	return &c.page[0]
}

func (c *chain) take() *event {
	e := &c.page[0]
	c.page = c.page[1:]
	return e
}

// over reports whether the chain has been read to its end.
func (c *chain) over() bool {
	if c.descending {
		return c.at <= c.after
	}
	return c.at >= c.last()
}

// fill sees to it that the next event of a chain that is not over is at hand, unless
// the index does not show it in time. It asks for limit events, and if more than those
// are wanted, it reads on while the caller works.
func (c *chain) fill(ctx context.Context, limit int, more bool) error {
	deadline := time.Now().Add(c.store.indexTimeout)
	for wait := dynamo.NewBackoff(); ; {
		p := c.turn(ctx, limit)
		if p.err != nil {
			return p.err
		}
		c.link(p.events)
		if len(c.page) > 0 {
			// Not after the first page: many callers want no more than that.
			if c.pages++; more && c.pages > 1 && p.more && len(c.page) == len(p.events) && !c.over() {
				c.readAhead(ctx, limit)
			}
			return nil
		}
		limit = min(limit, retryPage)
		if time.Now().After(deadline) {
			c.behind = true
			return nil
		}
		if err := wait.Wait(ctx); err != nil {
			return err
		}
	}
}

// link accepts the events up to the first broken link.
func (c *chain) link(events []event) {
	n := 0
	for i := range events {
		e := &events[i]
		prev := c.prev(e)
		if c.descending && e.SequenceID != c.at {
			break
		}
		if !c.descending && prev > c.at {
			c.missing = prev
			break
		}
		if c.at = e.SequenceID; c.descending {
			c.at = prev
		}
		n++
	}
	c.page = events[:n]
	if c.descending {
		c.missing = c.at
	} else if n == len(events) {
		c.missing = c.last()
	}
}

// turn returns the next page: the one that was read ahead, if it fits.
func (c *chain) turn(ctx context.Context, limit int) page {
	if c.ahead != nil {
		p := <-c.ahead
		c.ahead = nil
		if p.after == c.at {
			return p
		}
	}
	return c.read(ctx, c.at, limit)
}

// readAhead starts reading the page after this one. It ends with the context.
func (c *chain) readAhead(ctx context.Context, limit int) {
	after, ahead := c.at, make(chan page, 1)
	c.ahead = ahead
	go func() { ahead <- c.read(ctx, after, limit) }()
}

// read asks the index for a page of events after at, or from at on when descending.
func (c *chain) read(ctx context.Context, at string, limit int) page {
	condition := "#p = :p AND #s > :at"
	if c.descending {
		condition = "#p = :p AND #s <= :at"
	}
	return c.ask(ctx, condition, at, limit, !c.descending)
}

// ask makes a query. Pages without events are turned over.
func (c *chain) ask(ctx context.Context, condition, at string, limit int, ascending bool) page {
	index, partitionName := c.index()
	partition := number(int64(c.head.shard))
	if c.eventType != "" {
		partition = text(shardType(c.head.shard, c.eventType))
	}
	if at == "" {
		at = " " // before all sequence IDs; a key must not be empty
	}
	input := &dynamodb.QueryInput{
		TableName: &c.store.table, IndexName: &index,
		KeyConditionExpression:    &condition,
		ExpressionAttributeNames:  map[string]string{"#p": partitionName, "#s": attrSequenceID},
		ExpressionAttributeValues: item{":p": partition, ":at": text(at)},
		ScanIndexForward:          &ascending,
		Limit:                     aws.Int32(int32(limit)),
	}
	for {
		out, err := c.store.runQuery(ctx, input)
		if err != nil {
			return page{err: err}
		}
		p := page{after: at, events: make([]event, 0, len(out.Items)), more: len(out.LastEvaluatedKey) > 0}
		for _, i := range out.Items {
			e, err := parseEvent(i)
			if err != nil {
				return page{err: err}
			}
			p.events = append(p.events, e)
		}
		if len(p.events) > 0 || !p.more {
			return p
		}
		input.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// from sets where a descending chain begins: at its last event before a sequence
// ID, "" for the end. It reports false if the index did not show it in time.
func (c *chain) from(ctx context.Context, before string) (found bool, err error) {
	if c.at = c.last(); before == "" || c.at < before {
		return true, nil
	}
	deadline := time.Now().Add(c.store.indexTimeout)
	for wait := dynamo.NewBackoff(); ; {
		// The first event that is not before it names the last one that is.
		p := c.ask(ctx, "#p = :p AND #s >= :at", before, 1, true)
		if p.err != nil {
			return false, p.err
		}
		c.missing = c.last()
		if len(p.events) > 0 {
			c.missing = c.prev(&p.events[0])
		}
		if c.missing < before {
			c.at = c.missing
			return true, nil
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		if err := wait.Wait(ctx); err != nil {
			return false, err
		}
	}
}

// behindError is the error of a chain whose index is behind.
func (c *chain) behindError() error {
	index, _ := c.index()
	return &IndexBehindError{Index: index, SequenceID: c.missing}
}

// behindErrorIfOld is nil as long as the index may only be slow.
func (c *chain) behindErrorIfOld() error {
	if time.Since(time.UnixMilli(timeOf(c.missing))) < time.Minute {
		return nil
	}
	return c.behindError()
}

// merge puts chains into one order.
type merge struct {
	store  *Store
	query  *eventsource.Query
	heads  []head
	chains []*chain
	// end is the last event when the reading began.
	end string
	// need is how many events are asked for, 0 if nobody knows.
	need int
	// follow asks for reached: nothing at or below it is left, or will ever appear.
	follow  bool
	reached string
	empty   []*chain // those to be filled
}

// fill fills all chains.
func (m *merge) fill(ctx context.Context) error {
	limit := maxPage
	if m.need > 0 {
		// Each chain has its part, and a little more, since parts are not equal.
		limit = min(limit, m.need)
		if n := len(m.chains); n > 1 {
			limit = min(limit, m.need/n+8)
		}
	}
	m.empty = m.empty[:0]
	for _, c := range m.chains {
		if c.next() == nil && !c.behind && !c.over() {
			m.empty = append(m.empty, c)
		}
	}
	if len(m.empty) == 0 {
		return nil
	}
	more := m.need == 0 || m.need > limit
	return dynamo.InParallel(len(m.empty), func(i int) error { return m.empty[i].fill(ctx, limit, more) })
}

// ascend gives events until give wants no more, the end is reached, or the rest
// cannot be proven to be without a gap.
func (m *merge) ascend(ctx context.Context, give func(*eventsource.Record) bool) error {
	for {
		if err := m.fill(ctx); err != nil {
			return err
		}
		first := m.first(func(a, b *event) bool { return a.SequenceID < b.SequenceID })
		for _, c := range m.chains {
			if c.behind && c.next() == nil {
				return c.behindErrorIfOld()
			}
		}
		// The heads have to be at what is given, and at the end if that is to be final.
		id, last := m.end, true
		if first != nil && first.next().SequenceID <= m.end {
			id, last = first.next().SequenceID, false
		}
		if m.query.Before != "" && id >= m.query.Before {
			last = true
		}
		if last && !m.follow {
			return nil
		}
		if moved, err := m.fence(ctx, id); err != nil {
			return err
		} else if moved {
			continue // there may be events that were not there before
		}
		if last {
			m.reached = id
			return nil
		}
		if m.need > 0 {
			m.need--
		}
		if !give(&first.take().Record) {
			return nil
		}
	}
}

// first is the chain with the first event, nil if none has one.
func (m *merge) first(less func(a, b *event) bool) *chain {
	var first *chain
	for _, c := range m.chains {
		if c.next() != nil && (first == nil || less(c.next(), first.next())) {
			first = c
		}
	}
	return first
}

// fence moves the heads of the shards up to which nothing is proven at id, so that
// no event will be added to them before it. It reports whether it has moved one.
func (m *merge) fence(ctx context.Context, id string) (moved bool, err error) {
	var behind []int
	for i := range m.heads {
		if m.heads[i].seq < id {
			behind = append(behind, i)
		}
	}
	if len(behind) == 0 {
		return false, nil
	}
	return true, dynamo.InParallel(len(behind), func(i int) error {
		now, err := m.store.fence(ctx, behind[i], m.end)
		if err == nil {
			m.heads[behind[i]] = now
		}
		return err
	})
}

// descend gives events from the end on.
func (m *merge) descend(ctx context.Context, give func(*eventsource.Record) bool) error {
	if _, err := m.fence(ctx, m.end); err != nil {
		return err
	}
	err := dynamo.InParallel(len(m.chains), func(i int) error {
		c := m.chains[i]
		found, err := c.from(ctx, m.query.Before)
		if err == nil && !found {
			return c.behindError()
		}
		return err
	})
	if err != nil {
		return err
	}
	for {
		if err := m.fill(ctx); err != nil {
			return err
		}
		for _, c := range m.chains {
			if c.behind && c.next() == nil {
				return c.behindError()
			}
		}
		first := m.first(func(a, b *event) bool { return a.SequenceID > b.SequenceID })
		if first == nil {
			return nil
		}
		e := first.take()
		if e.SequenceID > m.end {
			continue // added since the reading began
		}
		if e.SequenceID <= m.query.After || !give(&e.Record) {
			return nil
		}
	}
}
