package dynamostore

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
)

// The two indexes of a table.
const (
	// SequenceIndex has the events of each shard in sequence order.
	SequenceIndex = "by_sequence"
	// TypeIndex has the events of each shard and type in sequence order.
	TypeIndex = "by_type"
)

// Attributes of events. README.md explains the layout.
const (
	attrAggregateID = "aggregate_id" // the table's partition key
	attrVersion     = "version"      // the table's sort key
	attrSequenceID  = "sequence_id"  // the sort key of both indexes
	attrShard       = "shard"        // the partition key of SequenceIndex
	attrShardType   = "shard_type"   // the partition key of TypeIndex
	attrPrev        = "prev"         // the shard's event before, absent in its first
	attrTypePrev    = "type_prev"    // the same among those of the type
	attrType        = "type"
	attrTimestamp   = "timestamp"
	attrUserID      = "user_id"
	attrData        = "data"
	attrMetadata    = "metadata"
)

// Attributes of heads.
const (
	attrHead   = "head"     // no event at or below it will be added to the shard
	attrLast   = "last"     // the shard's last event
	attrTypes  = "types"    // the shard's last event of each type
	attrAhead  = "ahead"    // see head.ahead
	attrShards = "shards"   // how many shards the table has
	attrTable  = "table_id" // tells the table from others of the same name
	attrLayout = "layout"   // the version of the layout
)

// Attributes of reservations. An item is only in an index if it has all keys of the
// index, so reservations are in none.
const (
	attrScope        = "scope"
	attrValue        = "value"
	attrHolder       = "holder"        // the aggregate that holds the value, "" if it was released
	attrEvent        = "event"         // sequence ID of the event that it was reserved or released with
	attrEventVersion = "event_version" // that event's version
	attrUntil        = "until"         // when the reservation ends, in Unix nanoseconds, 0 if it does not
	attrExpiresAt    = "expires_at"    // when the item is of no use any more, in Unix seconds; absent if that is never
)

// layoutVersion is the version of the layout that this package writes and reads.
const layoutVersion = 1

// Limits of DynamoDB (Service, account, and table quotas in the Amazon DynamoDB
// Developer Guide).
const (
	maxItemSize          = 400 << 10 // bytes, names and values of all attributes
	maxTransactionItems  = 100
	maxTransactionSize   = 4 << 20 // bytes
	headReserve          = 64 << 10
	maxSaveSize          = maxTransactionSize - headReserve
	headKeyPrefix        = "eventsource:head:"
	reservationKeyPrefix = "eventsource:reserved:"
	sequenceIDLength     = 26
	longestNumber        = 21 // bytes that a number may take
)

// MaxShards is the most shards that a table can have.
const MaxShards = 64

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// shardOf is the shard of an aggregate: FNV-1a, 32 bits, modulo their number.
func shardOf(aggregateID string, shards int) int {
	if shards <= 1 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(aggregateID))
	return int(h.Sum32() % uint32(shards))
}

// shardType is the partition of a type's events of a shard in TypeIndex.
func shardType(shard int, eventType string) string {
	return strconv.Itoa(shard) + "#" + eventType
}

// headKey is the key of a shard's head. Events have versions from 1, so it is not
// in the way of an aggregate of that name.
func headKey(shard int) item {
	return item{attrAggregateID: text(headKeyPrefix + strconv.Itoa(shard)), attrVersion: number(0)}
}

func eventKey(r *eventsource.Record) item {
	return item{attrAggregateID: text(r.AggregateID), attrVersion: number(int64(r.Version))}
}

// newItem is the item of a record whose fields are all assigned.
func newItem(r *eventsource.Record, shard int, prev, typePrev string) item {
	i := item{
		attrAggregateID: text(r.AggregateID),
		attrVersion:     number(int64(r.Version)),
		attrSequenceID:  text(r.SequenceID),
		attrShard:       number(int64(shard)),
		attrShardType:   text(shardType(shard, r.Type)),
		attrType:        text(r.Type),
		attrTimestamp:   number(r.Timestamp),
	}
	if prev != "" {
		i[attrPrev] = text(prev)
	}
	if typePrev != "" {
		i[attrTypePrev] = text(typePrev)
	}
	if r.UserID != "" {
		i[attrUserID] = text(r.UserID)
	}
	if len(r.Data) > 0 {
		i[attrData] = &types.AttributeValueMemberB{Value: r.Data}
	}
	if len(r.Metadata) > 0 {
		i[attrMetadata] = text(metadataText(r.Metadata))
	}
	return i
}

// metadataText is how metadata is stored: not as a map of DynamoDB, which has none
// with an empty key.
func metadataText(metadata eventsource.Metadata) string {
	encoded, _ := json.Marshal(metadata) // a map of strings is always JSON
	return string(encoded)
}

// event is a record with its place in a chain.
type event struct {
	eventsource.Record
	prev, typePrev string
}

// parseEvent reads an item. One that this package has not written is an error.
func parseEvent(i item) (event, error) {
	d := decoder{item: i}
	e := event{
		Record: eventsource.Record{
			SequenceID:  d.text(attrSequenceID, required),
			AggregateID: d.text(attrAggregateID, required),
			Version:     int(d.number(attrVersion)),
			Type:        d.text(attrType, required),
			Timestamp:   d.number(attrTimestamp),
			UserID:      d.text(attrUserID, optional),
			Data:        d.bytes(attrData),
		},
		prev:     d.text(attrPrev, optional),
		typePrev: d.text(attrTypePrev, optional),
	}
	if metadata := d.text(attrMetadata, optional); metadata != "" && d.err == nil {
		if err := json.Unmarshal([]byte(metadata), &e.Metadata); err != nil {
			d.err = fmt.Errorf("attribute %s: %w", attrMetadata, err)
		}
	}
	if d.err == nil && e.Version < 1 {
		d.err = fmt.Errorf("attribute %s is %d, not positive", attrVersion, e.Version)
	}
	if d.err == nil {
		if id, err := eventsource.ParseSequenceID(e.SequenceID); err != nil || id != e.SequenceID {
			d.err = fmt.Errorf("attribute %s is %q, not a sequence ID", attrSequenceID, e.SequenceID)
		}
	}
	if d.err != nil {
		return event{}, fmt.Errorf("%w: version %d of aggregate %q: %w", ErrLayout, e.Version, e.AggregateID, d.err)
	}
	return e, nil
}

const (
	required = true
	optional = false
)

// decoder reads attributes, and keeps the first error.
type decoder struct {
	item item
	err  error
}

func (d *decoder) fail(name, format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("attribute %s "+format, append([]any{name}, args...)...)
	}
}

func (d *decoder) text(name string, required bool) string {
	switch v := d.item[name].(type) {
	case *types.AttributeValueMemberS:
		if required && v.Value == "" {
			d.fail(name, "is empty")
		}
		return v.Value
	case nil:
		if required {
			d.fail(name, "is missing")
		}
	default:
		d.fail(name, "is no string, but %T", v)
	}
	return ""
}

func (d *decoder) number(name string) int64 {
	switch v := d.item[name].(type) {
	case *types.AttributeValueMemberN:
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err != nil {
			d.fail(name, "is %q, not an integer of 64 bits", v.Value)
		}
		return n
	case nil:
		d.fail(name, "is missing")
	default:
		d.fail(name, "is no number, but %T", v)
	}
	return 0
}

func (d *decoder) bytes(name string) []byte {
	switch v := d.item[name].(type) {
	case *types.AttributeValueMemberB:
		return v.Value
	case nil:
	default:
		d.fail(name, "is not binary, but %T", v)
	}
	return nil
}

// texts reads a map of strings.
func (d *decoder) texts(name string) map[string]string {
	switch v := d.item[name].(type) {
	case *types.AttributeValueMemberM:
		m := make(map[string]string, len(v.Value))
		inner := decoder{item: v.Value}
		for key := range v.Value {
			m[key] = inner.text(key, required)
		}
		if inner.err != nil {
			d.fail(name, "has an %w", inner.err)
		}
		return m
	case nil:
		d.fail(name, "is missing")
	default:
		d.fail(name, "is no map, but %T", v)
	}
	return nil
}

// itemOverhead is the size of an item beside the fields that differ in length:
// the names of all attributes, and the values of those with a fixed length.
var itemOverhead = func() int {
	size := 0
	for _, name := range []string{
		attrAggregateID, attrVersion, attrSequenceID, attrShard, attrShardType, attrPrev, attrTypePrev,
		attrType, attrTimestamp, attrUserID, attrData, attrMetadata,
	} {
		size += len(name)
	}
	return size + 3*sequenceIDLength + 3*longestNumber + len("63#")
}()

// itemSize is the most bytes that the item of the record takes, as DynamoDB counts
// them (Item sizes and formats in the Developer Guide).
func itemSize(r *eventsource.Record) int {
	size := itemOverhead + len(r.AggregateID) + 2*len(r.Type) + len(r.UserID) + len(r.Data)
	if len(r.Metadata) > 0 {
		size += len(metadataText(r.Metadata))
	}
	return size
}
