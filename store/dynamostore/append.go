package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/sequence"
)

// runBatch stores the saves of a batch, and sees to it that each is finished.
func (s *Store) runBatch(ctx context.Context, b *batch) {
	err := s.store(ctx, b, b.saves)
	if err == nil {
		return
	}
	for _, sv := range b.saves {
		if sv.finished() {
			continue
		}
		if len(b.saves) > 1 && ctx.Err() == nil && aboutOne(err) {
			err := s.store(sv.ctx, b, []*save{sv})
			if err != nil && !sv.finished() {
				sv.finish(s.translate(sv.ctx, "save", err))
			}
			continue
		}
		sv.finish(s.translate(ctx, "save", err))
	}
}

// aboutOne reports whether the error may be about one of several saves.
func aboutOne(err error) bool {
	return len(reasons(err)) > 0 || errorCode(err) == "ValidationException"
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

// store makes attempts until all saves are finished: stored, in conflict, or given
// up by their callers. After an error nothing is stored of those that are not.
func (s *Store) store(ctx context.Context, b *batch, saves []*save) error {
	wait := newBackoff()
	push := uint64(0)  // see newPlan
	var taken []string // aggregates whose versions were not what was remembered
	for tries := 0; ; tries++ {
		saves = s.group.send(saves)
		p, err := s.prepare(ctx, b, saves, taken, push)
		if err != nil || p == nil {
			return err
		}
		saves = p.saves
		verdict, err := s.write(ctx, p)
		switch verdict {
		case stored:
			s.landed(p)
			return nil
		case fenced:
			// A reader's fence is faster than this process's IDs: give them a lead.
			push = min(max(2*push, 4), 1000)
		case lost, again:
			taken = p.taken
		case refused, unsure, unknown:
			return err
		}
		// The first try after a lost race knows the head of the one who won it.
		if tries > 0 || verdict == again {
			if err := wait.wait(ctx); err != nil {
				return err
			}
			if _, err := s.readHeads(ctx, true); err != nil {
				return err
			}
		}
	}
}

// landed finishes the saves of a plan that was stored.
func (s *Store) landed(p *plan) {
	s.observe(p.next...)
	for _, sv := range p.saves {
		for i := range sv.records {
			s.versions.atLeast(sv.records[i].AggregateID, sv.records[i].Version)
		}
	}
	for _, sv := range p.saves {
		sv.finish(nil)
	}
	s.watchers.wakeAll()
}

// plan is a transaction: what is to be stored, after which heads.
type plan struct {
	saves []*save
	// moved are the heads that it starts from, next those that it makes of them, and
	// first the first of its IDs in their shards.
	moved, next []head
	first       []string
	input       *dynamodb.TransactWriteItemsInput
	// taken are aggregates that turned out to have the version of one of its events.
	taken []string
	// sentBefore is true when an earlier attempt may still be on its way.
	sentBefore bool
}

// prepare makes a plan for the saves that can be stored, and finishes the others.
// It returns none if none is left.
func (s *Store) prepare(ctx context.Context, b *batch, saves []*save, taken []string, push uint64) (*plan, error) {
	if saves = s.finishEnded(saves); len(saves) == 0 {
		return nil, nil
	}
	saves, err := s.assignVersions(ctx, saves, taken)
	if err != nil || len(saves) == 0 {
		return nil, err
	}
	known, shards := s.known.shards(), shardSet(0)
	for _, sv := range saves {
		sv.assignShards(known)
		shards |= sv.shards
	}
	if shards&^b.shards != 0 {
		return nil, errReplaced
	}
	heads, ok := s.known.get(shards.list())
	if !ok {
		if _, err := s.readHeads(ctx, true); err != nil {
			return nil, err
		}
		heads, ok = s.known.get(shards.list())
	}
	if !ok || heads[0].shards != known {
		return nil, errReplaced
	}
	return s.newPlan(heads, saves, push)
}

// errReplaced is returned when the shards are not those that they were.
var errReplaced = fmt.Errorf("%w: it was replaced by another one with the same name; save again", ErrLayout)

// finishEnded finishes the saves whose contexts have ended.
func (s *Store) finishEnded(saves []*save) (left []*save) {
	for _, sv := range saves {
		if err := sv.ctx.Err(); err != nil {
			sv.finish(fmt.Errorf("eventsource/dynamostore: save: %w", err))
			continue
		}
		left = append(left, sv)
	}
	return left
}

// assignVersions gives all records their versions. Saves that ask for others are
// finished with a conflict. The versions of the aggregates in doubt are read.
func (s *Store) assignVersions(ctx context.Context, saves []*save, doubt []string) ([]*save, error) {
	confirmed := make(map[string]int) // read just now
	if err := s.confirm(ctx, doubt, confirmed); err != nil {
		return nil, err
	}
	for {
		var left []*save
		unsure := make(map[string]bool) // what has to be read
		versions := make(map[string]int)
		conflicts := make(map[*save]error)
		for _, sv := range saves {
			err := s.assignTo(sv, versions, confirmed, unsure)
			if err != nil {
				conflicts[sv] = err
				continue
			}
			left = append(left, sv)
		}
		if len(unsure) == 0 {
			for sv, err := range conflicts {
				sv.finish(err)
			}
			return left, nil
		}
		if err := s.confirm(ctx, slices.Collect(maps.Keys(unsure)), confirmed); err != nil {
			return nil, err
		}
	}
}

// assignTo assigns the versions of one save. versions are those that the
// aggregates have with the saves before it. A conflict is only one if the
// aggregate's version was read, not remembered.
func (s *Store) assignTo(sv *save, versions, confirmed map[string]int, unsure map[string]bool) error {
	own := make(map[string]int)
	for i := range sv.records {
		r, asked := &sv.records[i], sv.asked[i]
		id := r.AggregateID
		version, known := own[id]
		if !known {
			version, known = versions[id]
		}
		if !known {
			version, known = confirmed[id]
		}
		if !known {
			version, known = s.versions.get(id)
		}
		if !known && asked == 1 {
			known = true // 0 is what it takes, and the condition on the item will show
		}
		if _, sure := confirmed[id]; !known || asked != 0 && asked != version+1 && !sure {
			unsure[id] = true
			continue
		}
		if asked != 0 && asked != version+1 {
			return &eventsource.ConflictError{AggregateID: id, Expected: asked, Actual: version}
		}
		r.Version = version + 1
		own[id] = r.Version
	}
	for id, version := range own {
		versions[id] = version
	}
	return nil
}

// confirm reads the versions of aggregates.
func (s *Store) confirm(ctx context.Context, ids []string, confirmed map[string]int) error {
	read := make([]int, len(ids))
	err := inParallel(len(ids), func(i int) (err error) {
		read[i], err = s.readVersion(ctx, ids[i])
		return err
	})
	if err != nil {
		return err
	}
	for i, id := range ids {
		confirmed[id] = read[i]
		s.versions.atLeast(id, read[i])
	}
	return nil
}

// newPlan assigns sequence IDs. push are milliseconds that they are ahead of the
// heads at least, for a writer that readers' fences would keep overtaking.
func (s *Store) newPlan(heads []head, saves []*save, push uint64) (*plan, error) {
	now := s.clock()
	if err := s.checkClock(now); err != nil {
		return nil, err
	}
	p := &plan{saves: saves, moved: heads, next: slices.Clone(heads), first: make([]string, len(heads))}
	place := make(map[int]int, len(heads)) // of a shard in heads
	var last ulid.ULID
	for i, h := range heads {
		place[h.shard] = i
		p.next[i].types = maps.Clone(h.types)
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
			put, err := s.put(r, &p.next[at])
			if err != nil {
				return nil, err
			}
			items = append(items, put)
		}
	}
	for i := range heads {
		items = append(items, s.move(&heads[i], &p.next[i], p.first[i]))
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

// put stores an event if its aggregate does not have that version. The head moves on.
func (s *Store) put(r *eventsource.Record, h *head) (types.TransactWriteItem, error) {
	item, err := newItem(r, h.shard, h.last, h.types[r.Type])
	if err != nil {
		return types.TransactWriteItem{}, err
	}
	h.add(r)
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &s.table, Item: item,
		ConditionExpression:      aws.String("attribute_not_exists(#a)"),
		ExpressionAttributeNames: map[string]string{"#a": attrAggregateID},
	}}, nil
}

// move moves a head, if it still names the last event that the new ones follow,
// and nobody was promised that there would be none of their IDs.
func (s *Store) move(from, to *head, first string) types.TransactWriteItem {
	var update strings.Builder
	update.WriteString("SET #h = :last, #l = :last, #d = :ahead")
	names := map[string]string{"#h": attrHead, "#l": attrLast, "#d": attrAhead, "#i": attrTable}
	values := item{
		":last": text(to.last), ":ahead": number(to.ahead),
		":before": text(from.last), ":first": text(first), ":id": text(from.tableID),
	}
	for name, id := range to.types {
		if from.types[name] == id {
			continue
		}
		n := strconv.Itoa(len(names))
		update.WriteString(", #t.#t" + n + " = :t" + n)
		names["#t"], names["#t"+n], values[":t"+n] = attrTypes, name, text(id)
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

// judge says what an error of a transaction means.
func judge(err error) verdict {
	if err == nil {
		return stored
	}
	result := refused
	for _, reason := range reasons(err) {
		switch aws.ToString(reason.Code) {
		case "ConditionalCheckFailed":
			return lost
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			result = again
		}
	}
	switch {
	case errorCode(err) == "TransactionInProgressException": // another attempt is
		return unsure
	case result == again, busy(err):
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
	wait := newBackoff()
	for failures := 0; ; {
		out, err := s.client.TransactWriteItems(ctx, p.input, once)
		if out != nil {
			s.hearTime(out.ResultMetadata)
		}
		switch judge(err) {
		case stored:
			return stored, nil
		case lost:
			return s.lost(ctx, p, err)
		case again:
			if !p.sentBefore {
				return again, nil // with a new plan, since the heads may have moved
			}
		case refused:
			if failures++; !unreachable(err) {
				return s.giveUp(ctx, p, err)
			}
		case unsure:
			failures++
			p.sentBefore = true
		}
		if failures == transientTries {
			return s.giveUp(ctx, p, err)
		}
		if waitErr := wait.wait(ctx); waitErr != nil {
			return s.giveUp(ctx, p, waitErr)
		}
	}
}

// once lets the SDK make one attempt: the store has to know what became of each.
func once(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// giveUp ends a plan with an error, unless an earlier attempt was successful.
func (s *Store) giveUp(ctx context.Context, p *plan, err error) (verdict, error) {
	if !p.sentBefore {
		return refused, err
	}
	done, outcomeErr := s.outcome(ctx, p)
	switch {
	case outcomeErr != nil:
		return unknown, outcomeUnknown(p.saves, errors.Join(err, outcomeErr))
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
			return unknown, outcomeUnknown(p.saves, errors.Join(err, outcomeErr))
		case done:
			return stored, nil
		}
	}
	return s.learn(p, err), nil
}

// learn takes what the reasons of a lost race say about versions and heads.
func (s *Store) learn(p *plan, err error) verdict {
	var events []*eventsource.Record
	for _, sv := range p.saves {
		for i := range sv.records {
			events = append(events, &sv.records[i])
		}
	}
	result := fenced
	for i, reason := range reasons(err) {
		if aws.ToString(reason.Code) != "ConditionalCheckFailed" {
			continue
		}
		if i < len(events) {
			p.taken = append(p.taken, events[i].AggregateID)
			result = lost
			continue
		}
		from := p.moved[i-len(events)]
		now, err := parseHead(reason.Item, from.shard)
		if err != nil {
			result = lost
			continue
		}
		s.observe(now)
		if now.last != from.last || now.tableID != from.tableID {
			result = lost
		}
	}
	return result
}
