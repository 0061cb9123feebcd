package dynamostore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
	"github.com/eventsource-go/eventsource/internal/sequence"
)

// runBatch stores the saves of a batch, and sees to it that each is finished.
func (s *Store) runBatch(ctx context.Context, b *batch) {
	verdict, err := s.store(ctx, b, b.saves)
	for _, sv := range b.saves {
		switch {
		case sv.finished():
		case verdict == refused && len(b.saves) > 1 && ctx.Err() == nil && aboutOne(err):
			if verdict, err := s.store(sv.ctx, b, []*save{sv}); !sv.finished() {
				s.fail(sv.ctx, sv, verdict, err)
			}
		default:
			s.fail(ctx, sv, verdict, err)
		}
	}
}

// fail finishes a save that was not stored, or of which nobody knows.
func (s *Store) fail(ctx context.Context, sv *save, verdict verdict, err error) {
	if verdict == unknown {
		err = sv.outcomeUnknown(dynamo.Hush(err))
	}
	s.group.finish(sv, s.translate(ctx, "save", err))
}

// aboutOne reports whether what was refused may be so because of one of several saves.
func aboutOne(err error) bool {
	return len(dynamo.Reasons(err)) > 0 || dynamo.ErrorCode(err) == "ValidationException"
}

// store makes attempts until all saves are finished: stored, given up by their
// callers, or unsure of versions. Otherwise the rest is not stored, or unknown, as the
// verdict says.
func (s *Store) store(ctx context.Context, b *batch, saves []*save) (verdict, error) {
	wait := dynamo.NewBackoff()
	push := uint64(0) // see newPlan
	for tries := 0; ; tries++ {
		p, err := s.prepare(ctx, b, saves, push)
		if err != nil {
			return refused, err
		}
		if p == nil {
			return stored, nil
		}
		saves = p.saves
		if !s.group.send(saves) {
			continue // without those who have left
		}
		verdict, err := s.write(ctx, p)
		switch verdict {
		case stored:
			s.complete(p)
			return stored, nil
		case fenced:
			// A reader's fence is faster than this process's IDs: give them a lead.
			push = min(max(2*push, 4), 1000)
		case lost, again:
		case refused, unsure, unknown:
			return verdict, err
		}
		s.group.failed(saves, err)
		saves = s.finishRefused(p)
		// The first try after a lost race knows the head of the one who won it.
		if tries > 0 || verdict == again {
			if err := wait.Wait(ctx); err != nil {
				return refused, err
			}
			if err := s.refreshHeads(ctx, p.shards()); err != nil {
				return refused, err
			}
		}
	}
}

// complete finishes the saves of a plan that was stored.
func (s *Store) complete(p *plan) {
	s.observe(p.heads()...)
	for _, sv := range p.saves {
		for i := range sv.records {
			s.versions.atLeast(sv.records[i].AggregateID, sv.records[i].Version)
		}
	}
	for _, sv := range p.saves {
		s.group.finish(sv, nil)
	}
	s.watchers.wakeAll()
}

// finishRefused finishes the saves of a lost plan whose aggregates turned out to have
// other versions than those that were remembered, and those whose values others hold.
func (s *Store) finishRefused(p *plan) (left []*save) {
	for _, sv := range p.saves {
		var doubt []string
		for i := range sv.records {
			if id := sv.records[i].AggregateID; p.taken[id] {
				doubt = append(doubt, id)
			}
		}
		switch {
		case len(doubt) > 0:
			s.group.finish(sv, &unsureError{doubt})
		case p.denied[sv] != nil:
			s.group.finish(sv, p.denied[sv])
		default:
			left = append(left, sv)
		}
	}
	return left
}

// plan is a transaction: what is to be stored, after which heads.
type plan struct {
	saves []*save
	// moved are the heads that it starts from, and next those that it makes of them;
	// their types are only those that it moves. first are the first of its IDs in
	// their shards.
	moved, next []head
	first       []string
	input       *dynamodb.TransactWriteItemsInput
	// taken are aggregates that turned out to have the version of one of its events, and
	// denied says why saves cannot have what they reserve or release.
	taken  map[string]bool
	denied map[*save]error
	// sentBefore is true when an earlier attempt may still be on its way.
	sentBefore bool
}

func (p *plan) shards() []int {
	var shards []int
	for i := range p.moved {
		shards = append(shards, p.moved[i].shard)
	}
	return shards
}

// heads are those after the plan was stored.
func (p *plan) heads() []head {
	heads := slices.Clone(p.next)
	for i := range heads {
		heads[i].types = maps.Clone(p.moved[i].types)
		maps.Copy(heads[i].types, p.next[i].types)
	}
	return heads
}

// prepare makes a plan for the saves that can be stored, and finishes the others.
// It returns none if none is left.
func (s *Store) prepare(ctx context.Context, b *batch, saves []*save, push uint64) (*plan, error) {
	var left []*save
	versions := make(map[string]int)
	for _, sv := range saves {
		if sv.ctx.Err() != nil {
			s.group.finish(sv, sv.ended())
		} else if unsure := s.assign(sv, versions); len(unsure) > 0 {
			s.group.finish(sv, &unsureError{unsure})
		} else {
			left = append(left, sv)
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	known, shards := s.known.shards(), shardSet(0)
	for _, sv := range left {
		sv.assignShards(known)
		shards |= sv.shards
	}
	if known == 0 || shards&^b.shards != 0 {
		return nil, errReplaced
	}
	heads, ok := s.known.get(shards.list())
	if !ok {
		if err := s.refreshHeads(ctx, shards.list()); err != nil {
			return nil, err
		}
		heads, ok = s.known.get(shards.list())
	}
	if !ok || heads[0].shards != known {
		return nil, errReplaced
	}
	p, err := s.newPlan(heads, left, push)
	if errors.Is(err, ErrClockAhead) {
		// What is known of the server's clock may be old, from before this machine slept.
		if err := s.refreshHeads(ctx, shards.list()); err != nil {
			return nil, err
		}
		p, err = s.newPlan(heads, left, push)
	}
	return p, err
}

// newPlan assigns sequence IDs. push are milliseconds that they are ahead of the
// heads at least, for a writer that readers' fences would keep overtaking.
func (s *Store) newPlan(heads []head, saves []*save, push uint64) (*plan, error) {
	now := s.clock()
	if err := s.server.check(now, s.maxClockAhead); err != nil {
		return nil, err
	}
	p := &plan{saves: saves, moved: heads, next: slices.Clone(heads), first: make([]string, len(heads))}
	place := make(map[int]int, len(heads)) // of a shard in heads
	var last ulid.ULID
	for i, h := range heads {
		place[h.shard] = i
		p.next[i].types = make(map[string]string)
		if seq, err := ulid.ParseStrict(h.seq); err == nil && seq.Compare(last) > 0 {
			last = seq
		}
	}
	ms := uint64(max(now.UnixMilli(), 0))
	if push > 0 {
		ms = max(ms, last.Time()+push)
	}

	var items []types.TransactWriteItem
	for _, sv := range saves {
		for i := range sv.records {
			r := &sv.records[i]
			at := place[shardOf(r.AggregateID, heads[0].shards)]
			var err error
			if last, err = nextID(last, ms, heads[at].shard); err != nil {
				return nil, err
			}
			r.SequenceID = last.String()
			if r.Timestamp == 0 {
				r.Timestamp = now.UnixNano()
			}
			if p.first[at] == "" {
				p.first[at] = r.SequenceID
			}
			items = append(items, s.put(r, &p.moved[at], &p.next[at]))
		}
	}
	for i := range heads {
		items = append(items, s.move(&heads[i], &p.next[i], p.first[i]))
	}
	ending := s.reservationTime()
	for _, sv := range saves {
		for i := range sv.changes {
			c := &sv.changes[i]
			items = append(items, s.reserve(c, &sv.records[c.Record], ending))
		}
	}
	p.input = &dynamodb.TransactWriteItemsInput{
		TransactItems: items,
		// The last ID is nobody else's, nor of another attempt.
		ClientRequestToken: aws.String(last.String()),
	}
	return p, nil
}

// nextID returns an ID above last. Its lowest byte is the shard, so that two shards
// never make the same.
func nextID(last ulid.ULID, ms uint64, shard int) (ulid.ULID, error) {
	for next := last; ; {
		var err error
		if next, err = sequence.Next(next, ms); err != nil {
			return next, err
		}
		id := next
		id[len(id)-1] = byte(shard)
		if id.Compare(last) > 0 {
			return id, nil
		}
	}
}

// put stores an event if its aggregate does not have that version. The new head
// moves to it.
func (s *Store) put(r *eventsource.Record, from, to *head) types.TransactWriteItem {
	typePrev, ok := to.types[r.Type]
	if !ok {
		typePrev = from.types[r.Type]
	}
	item := newItem(r, from.shard, to.last, typePrev)
	to.seq, to.last, to.types[r.Type] = r.SequenceID, r.SequenceID, r.SequenceID
	to.ahead = max(to.ahead, lead(r.Timestamp, r.SequenceID))
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &s.table, Item: item,
		ConditionExpression:      aws.String("attribute_not_exists(#a)"),
		ExpressionAttributeNames: map[string]string{"#a": attrAggregateID},
	}}
}

// move moves a head, if it still names the last event that the new ones follow,
// and nobody was promised that there would be none of their IDs.
func (s *Store) move(from, to *head, first string) types.TransactWriteItem {
	var update strings.Builder
	update.WriteString("SET #h = :last, #l = :last, #d = :ahead")
	names := map[string]string{"#h": attrHead, "#l": attrLast, "#d": attrAhead, "#i": attrTable, "#t": attrTypes}
	values := item{
		":last": text(to.last), ":ahead": number(to.ahead),
		":before": text(from.last), ":first": text(first), ":id": text(from.tableID),
	}
	count := 0
	for name, id := range to.types {
		n := strconv.Itoa(count)
		update.WriteString(", #t.#t" + n + " = :t" + n)
		names["#t"+n], values[":t"+n] = name, text(id)
		count++
	}
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &s.table, Key: headKey(from.shard),
		UpdateExpression:         aws.String(update.String()),
		ConditionExpression:      aws.String("#l = :before AND #h < :first AND #i = :id"),
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// verdict is what became of an attempt.
type verdict int

const (
	stored  verdict = iota
	lost            // somebody else was faster: nothing is stored, and a new plan is due
	fenced          // the same, but it was only a reader's fence
	again           // nothing is stored, and DynamoDB asks for another try
	refused         // nothing is stored, and the same would happen again
	unsure          // it may be stored, now or later
	unknown         // it may be stored, and nobody could be asked
)

// judge says what an error of a transaction means, whose request was sent or not.
func judge(err error, sent bool) verdict {
	if err == nil {
		return stored
	}
	if !sent || dynamo.Unreachable(err) {
		return refused
	}
	result := refused
	for _, reason := range dynamo.Reasons(err) {
		switch aws.ToString(reason.Code) {
		case "ConditionalCheckFailed":
			return lost
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			result = again
		}
	}
	switch {
	case dynamo.ErrorCode(err) == "TransactionInProgressException": // another attempt is
		return unsure
	case result == again, dynamo.Busy(err):
		return again
	case decided(err):
		return refused
	}
	return unsure
}

// transientTries is how often what may be a passing failure is tried.
const transientTries = 8

// write carries the plan out. Its verdict is never unsure.
func (s *Store) write(ctx context.Context, p *plan) (verdict, error) {
	wait := dynamo.NewBackoff()
	for failures := 0; ; {
		sent, err := s.try(ctx, p)
		switch judge(err, sent) {
		case stored:
			return stored, nil
		case lost, fenced:
			return s.lost(ctx, p, err)
		case again:
			if !p.sentBefore {
				return again, err // with a new plan, since the heads may have moved
			}
		case refused:
			if failures++; !dynamo.Unreachable(err) {
				return s.giveUp(ctx, p, err)
			}
		case unsure, unknown:
			failures++
			p.sentBefore = true
		}
		if failures == transientTries {
			return s.giveUp(ctx, p, err)
		}
		if waitErr := wait.Wait(ctx); waitErr != nil {
			return s.giveUp(ctx, p, waitErr)
		}
	}
}

// try makes one attempt. It reports whether the request may have been sent.
func (s *Store) try(ctx context.Context, p *plan) (sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	var a dynamo.Attempt
	out, err := s.client.TransactWriteItems(ctx, p.input, once, a.Note)
	if out != nil {
		s.server.hear(out.ResultMetadata)
	}
	s.server.hearError(err)
	return a.Sent, err
}

// giveUp ends a plan with an error, unless an earlier attempt was successful.
func (s *Store) giveUp(ctx context.Context, p *plan, err error) (verdict, error) {
	if !p.sentBefore {
		return refused, err
	}
	done, outcomeErr := s.outcome(ctx, p)
	switch {
	case outcomeErr != nil:
		return unknown, errors.Join(err, outcomeErr)
	case done:
		return stored, nil
	}
	return refused, err
}

// lost finds out to whom. It may have been an earlier attempt of the same plan.
func (s *Store) lost(ctx context.Context, p *plan, err error) (verdict, error) {
	if p.sentBefore {
		done, outcomeErr := s.outcome(ctx, p)
		switch {
		case outcomeErr != nil:
			return unknown, errors.Join(err, outcomeErr)
		case done:
			return stored, nil
		}
	}
	return s.learn(p, err), err
}

// learn takes what the reasons of a lost race say about versions, heads and
// reservations, which are the transaction's items in this order.
func (s *Store) learn(p *plan, err error) verdict {
	result := fenced
	p.taken, p.denied = make(map[string]bool), make(map[*save]error)
	reasons := dynamo.Reasons(err)
	next := func() (item item, failed bool) {
		if len(reasons) == 0 {
			return nil, false
		}
		reason := reasons[0]
		reasons = reasons[1:]
		return reason.Item, aws.ToString(reason.Code) == "ConditionalCheckFailed"
	}
	for _, sv := range p.saves {
		for i := range sv.records {
			if _, failed := next(); failed {
				p.taken[sv.records[i].AggregateID] = true
				result = lost
			}
		}
	}
	for i := range p.moved {
		if there, failed := next(); failed && s.learnHead(&p.moved[i], there) == lost {
			result = lost
		}
	}
	for _, sv := range p.saves {
		for i := range sv.changes {
			there, failed := next()
			if !failed {
				continue
			}
			result = lost
			if p.denied[sv] == nil {
				p.denied[sv] = s.denied(&sv.changes[i], there)
			}
		}
	}
	return result
}

// learnHead takes what a head has become that was to be moved.
func (s *Store) learnHead(from *head, there item) verdict {
	now, err := parseHead(there, from.shard)
	if err != nil {
		return lost
	}
	if now.tableID == from.tableID && now.seq < from.seq {
		s.forget() // the table was restored to what it was before
	}
	s.observe(now)
	if now.last != from.last || now.tableID != from.tableID {
		return lost
	}
	return fenced
}
