package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource/internal/dynamo"
)

// head is the end of a shard's chain. Those that are known share their maps, which
// are therefore never changed.
type head struct {
	tableID       string
	shard, shards int
	// seq is what all later events of the shard are above: its last event, or a
	// fence that a reader has put there.
	seq string
	// last is the last event, "" if there is none.
	last string
	// types are the last event of each type.
	types map[string]string
	// ahead is by how many milliseconds an event's timestamp is ahead of the time in
	// its sequence ID at most, so that a reader of timestamps knows where to begin.
	ahead int64
}

// noLead is the ahead of a shard without events: nothing is ahead.
const noLead = math.MinInt64

// lastOf is the last event of a type, or of all types if it is "".
func (h *head) lastOf(eventType string) string {
	if eventType == "" {
		return h.last
	}
	return h.types[eventType]
}

// lead is by how many milliseconds, rounded up, a timestamp is ahead of an ID.
func lead(timestamp int64, sequenceID string) int64 {
	const nanos = int64(time.Millisecond)
	ms := timestamp / nanos
	if timestamp%nanos > 0 {
		ms++
	}
	return ms - timeOf(sequenceID)
}

// timeOf is the time in a sequence ID, in Unix milliseconds.
func timeOf(sequenceID string) int64 {
	id, err := ulid.ParseStrict(sequenceID)
	if err != nil {
		return 0
	}
	return int64(id.Time())
}

func (h *head) item() item {
	typesItem := make(item, len(h.types))
	for name, id := range h.types {
		typesItem[name] = text(id)
	}
	i := headKey(h.shard)
	i[attrLayout] = number(layoutVersion)
	i[attrTable] = text(h.tableID)
	i[attrShards] = number(int64(h.shards))
	i[attrHead] = text(h.seq)
	i[attrLast] = text(h.last)
	i[attrTypes] = &types.AttributeValueMemberM{Value: typesItem}
	i[attrAhead] = number(h.ahead)
	return i
}

func parseHead(i item, shard int) (head, error) {
	d := decoder{item: i}
	layout := d.number(attrLayout)
	h := head{
		tableID: d.text(attrTable, required),
		shard:   shard,
		shards:  int(d.number(attrShards)),
		seq:     d.text(attrHead, optional),
		last:    d.text(attrLast, optional),
		types:   d.texts(attrTypes),
		ahead:   d.number(attrAhead),
	}
	if d.err == nil && layout != layoutVersion {
		d.err = fmt.Errorf("it has layout %d, this version of the package knows %d", layout, layoutVersion)
	}
	if d.err == nil && (h.shards <= shard || h.shards > MaxShards) {
		d.err = fmt.Errorf("attribute %s is %d, not between %d and %d", attrShards, h.shards, shard+1, MaxShards)
	}
	if d.err != nil {
		return head{}, fmt.Errorf("%w: head of shard %d: %w", ErrLayout, shard, d.err)
	}
	return h, nil
}

// knownHeads are the latest heads that this process has seen. They may be behind:
// a writer that starts from one finds out.
type knownHeads struct {
	mu sync.Mutex
	// tableID tells a table from another one of the same name, made after it.
	tableID string
	heads   []head // of all shards, empty if none is known
}

// shards is the number of shards, 0 if it is not known.
func (k *knownHeads) shards() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.heads)
}

// get returns the heads of the shards.
func (k *knownHeads) get(shards []int) (heads []head, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, shard := range shards {
		if shard >= len(k.heads) || k.heads[shard].tableID == "" {
			return nil, false
		}
		heads = append(heads, k.heads[shard])
	}
	return heads, true
}

// note remembers the heads that are newer than those that are known. It reports
// false if they are of another table, or the first: then it is not known what else
// is remembered is of.
func (k *knownHeads) note(heads ...head) (same bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	same = true
	for _, h := range heads {
		if h.tableID != k.tableID || h.shards != len(k.heads) {
			same = false
			k.tableID = h.tableID
			k.heads = make([]head, h.shards)
		}
		if h.seq >= k.heads[h.shard].seq {
			k.heads[h.shard] = h
		}
	}
	return same
}

func (k *knownHeads) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tableID, k.heads = "", nil
}

// observe keeps what heads say.
func (s *Store) observe(heads ...head) {
	if !s.known.note(heads...) {
		s.versions.forgetAll()
	}
}

// forget is for when the table has lost all.
func (s *Store) forget() {
	s.known.forget()
	s.versions.forgetAll()
}

// readHeads reads the heads of all shards. It returns none if the table has not
// been used yet. Each is as it was at one moment, but not all at the same.
func (s *Store) readHeads(ctx context.Context, consistent bool) ([]head, error) {
	for shards := max(s.known.shards(), 1); ; {
		heads := make([]head, shards)
		err := dynamo.InParallel(shards, func(shard int) (err error) {
			heads[shard], err = s.readHead(ctx, shard, consistent)
			return err
		})
		first := &heads[0]
		switch {
		case first.tableID == "" && errors.Is(err, errNoHead):
			s.forget()
			return nil, nil
		case first.tableID != "" && first.shards != shards:
			shards = first.shards
			continue
		case err != nil:
			return nil, err
		}
		for _, h := range heads[1:] {
			if h.tableID != first.tableID || h.shards != first.shards {
				return nil, fmt.Errorf("%w: the heads of shards 0 and %d are of different tables", ErrLayout, h.shard)
			}
		}
		s.observe(heads...)
		return heads, nil
	}
}

// refreshHeads reads the heads of some shards.
func (s *Store) refreshHeads(ctx context.Context, shards []int) error {
	return dynamo.InParallel(len(shards), func(i int) error {
		h, err := s.readHead(ctx, shards[i], true)
		switch {
		case errors.Is(err, errNoHead):
			s.forget()
			return errReplaced
		case err == nil:
			s.observe(h)
		}
		return err
	})
}

// errReplaced is returned when the shards are not those that they were.
var errReplaced = fmt.Errorf("%w: it was replaced by another one with the same name; save again", ErrLayout)

// end is the last event of all shards.
func end(heads []head) string {
	last := ""
	for _, h := range heads {
		last = max(last, h.last)
	}
	return last
}

// errNoHead is returned when a shard has no head.
var errNoHead = fmt.Errorf("%w: a shard has no head", ErrLayout)

func (s *Store) readHead(ctx context.Context, shard int, consistent bool) (head, error) {
	out, err := call(ctx, s.client.GetItem, &dynamodb.GetItemInput{TableName: &s.table, Key: headKey(shard), ConsistentRead: &consistent})
	if err != nil {
		return head{}, err
	}
	s.server.hear(out.ResultMetadata)
	if len(out.Item) == 0 {
		return head{}, errNoHead
	}
	return parseHead(out.Item, shard)
}

// initialise gives a table its heads. Where it has some, they stay.
func initialise(ctx context.Context, client *dynamodb.Client, table string, shards int) error {
	id := ulid.Make().String()
	puts := make([]types.TransactWriteItem, shards)
	for shard := range shards {
		h := head{tableID: id, shard: shard, shards: shards, ahead: noLead}
		puts[shard].Put = &types.Put{
			TableName: &table, Item: h.item(),
			ConditionExpression: aws.String("attribute_not_exists(#a)"), ExpressionAttributeNames: map[string]string{"#a": attrAggregateID},
		}
	}
	for wait := dynamo.NewBackoff(); ; {
		_, err := client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: puts})
		switch judge(err, true) {
		case stored, lost: // to somebody else who was faster, or to an earlier attempt
			return nil
		case again:
			if err := wait.Wait(ctx); err != nil {
				return err
			}
		case fenced, refused, unsure, unknown:
			return err
		}
	}
}

// fence moves the head of a shard up to target without an event, unless it is
// there: nothing at or below target will be added to the shard afterwards. It
// returns the head as it is then.
func (s *Store) fence(ctx context.Context, shard int, target string) (head, error) {
	names := map[string]string{"#h": attrHead}
	values := item{":target": text(target)}
	return s.updateHead(ctx, shard, "SET #h = :target", "#h < :target", names, values)
}

// updateHead updates the head of a shard if the condition holds, and returns it as
// it is after that, or as it is because the condition does not hold.
func (s *Store) updateHead(ctx context.Context, shard int, update, condition string, names map[string]string, values item) (head, error) {
	names["#t"] = attrTable // an update of an item that is not there would make one
	out, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: headKey(shard),
		UpdateExpression: &update, ConditionExpression: aws.String("attribute_exists(#t) AND " + condition),
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var failed *types.ConditionalCheckFailedException
	var attributes item
	switch {
	case err == nil:
		attributes = out.Attributes
	case errors.As(err, &failed) && len(failed.Item) == 0:
		return head{}, errNoHead
	case errors.As(err, &failed):
		attributes = failed.Item
	default:
		return head{}, err
	}
	h, err := parseHead(attributes, shard)
	if err == nil {
		s.observe(h)
	}
	return h, err
}
