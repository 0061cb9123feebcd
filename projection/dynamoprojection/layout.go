package dynamoprojection

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// Attributes of all items. README.md explains the layout.
const (
	attrPK = "pk" // the table's partition key
	attrSK = "sk" // the table's sort key
)

// Attributes of rows.
const (
	attrVersion   = "version"
	attrPartition = "partition"
	attrRevision  = "revision"
	attrToken     = "token"
	attrOwner     = "owner"
	attrWanted    = "wanted"
	attrTTL       = "ttl_ns" // not "ttl", which is a usual name for DynamoDB's own time to live
	attrPosition  = "position"
	attrLastEvent = "last_event"
	attrHandled   = "handled"
	attrData      = "data"
	attrUpdateID  = "update_id" // of the Update that wrote the row last
	attrMoveID    = "move_id"   // of the Advance that wrote the row last
)

// Attributes of parked events, whose sort key is the sequence ID.
const (
	attrAggregate        = "aggregate" // the sort key of aggregateIndex
	attrRequested        = "requested" // the sort key of requestIndex, absent without a request
	attrAggregateID      = "aggregate_id"
	attrAggregateVersion = "aggregate_version"
	attrType             = "type"
	attrState            = "state"
	attrRequest          = "request"
	attrError            = "error"
	attrTries            = "tries"
	attrTime             = "time"
)

// The two local secondary indexes.
const (
	aggregateIndex = "by_aggregate" // the parked events of each aggregate in sequence order
	requestIndex   = "by_request"   // those with a request in sequence order
)

// Limits of DynamoDB (Service, account, and table quotas in the Amazon DynamoDB
// Developer Guide).
const (
	maxItemSize        = 400 << 10 // bytes, names and values of all attributes and of the indexes
	maxTransactionSize = 4 << 20   // bytes
	itemReserve        = 4 << 10   // more than keys, numbers and the names of attributes take
	maxNameLength      = 255       // bytes
	maxSortKey         = 1024      // bytes
)

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number[N int | int64](n N) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(int64(n), 10)}
}

func key(partition, sort string) item { return item{attrPK: text(partition), attrSK: text(sort)} }

// namesPartition has an item for each name that a projection has or had.
const namesPartition = "names"

func rowsPartition(name string) string { return "rows/" + name }

func rowKey(name string, version, partition int) item {
	return key(rowsPartition(name), fmt.Sprintf("%d/%d", version, partition))
}

func parkedPartition(name string, version int) string {
	return fmt.Sprintf("parked/%d/%s", version, name)
}

// checkName refuses what cannot be a projection's name.
func checkName(name string) error {
	if name == "" || len(name) > maxNameLength || !utf8.ValidString(name) {
		return fmt.Errorf("%w: projection name %q: it has to be 1 to %d bytes of UTF-8", eventsource.ErrMisconfigured, name, maxNameLength)
	}
	return nil
}

func checkSequenceID(id string) error {
	if id == "" || len(id) > maxSortKey || !utf8.ValidString(id) {
		return fmt.Errorf("%w: sequence ID %q of a parked event", eventsource.ErrInvalidSequenceID, id)
	}
	return nil
}

// rowValues are the attributes that Update sets.
func rowValues(r *projection.Row, updateID string) item {
	return item{
		attrVersion: number(r.Version), attrPartition: number(r.Partition),
		attrRevision: number(r.Revision + 1), attrToken: number(r.Token),
		attrOwner: text(r.Owner), attrWanted: text(r.Wanted), attrTTL: number(int64(r.TTL)),
		attrPosition: text(r.Position), attrLastEvent: text(r.LastEvent), attrHandled: number(r.Handled),
		attrData: text(string(r.Data)), attrUpdateID: text(updateID),
	}
}

func rowSize(r *projection.Row) int {
	return itemReserve + len(r.Name) + len(r.Owner) + len(r.Wanted) + len(r.Position) + len(r.LastEvent) + len(r.Data)
}

func rowText(name string, version, partition int) string {
	return fmt.Sprintf("partition %d of version %d of projection %q", partition, version, name)
}

func parseRow(name string, i item) (projection.Row, error) {
	d := decoder{item: i}
	r := projection.Row{
		Name: name, Version: int(d.number(attrVersion)), Partition: int(d.number(attrPartition)),
		Revision: d.number(attrRevision), Token: d.number(attrToken),
		Owner: d.text(attrOwner), Wanted: d.text(attrWanted), TTL: time.Duration(d.number(attrTTL)),
		Position: d.text(attrPosition), LastEvent: d.text(attrLastEvent), Handled: d.number(attrHandled),
	}
	if data := d.text(attrData); data != "" {
		r.Data = json.RawMessage(data)
	}
	if d.err != nil {
		return projection.Row{}, fmt.Errorf("%w: row %s of projection %q: %w", ErrLayout, textOf(i[attrSK]), name, d.err)
	}
	return r, nil
}

// aggregateKey begins the sort keys of an aggregate's events in aggregateIndex. It
// is a hash, since keys may have 1,024 bytes, as aggregate IDs may.
func aggregateKey(aggregateID string) string {
	hash := sha256.Sum256([]byte(aggregateID))
	return hex.EncodeToString(hash[:16]) + "#"
}

func parkedItem(p *projection.Parked) item {
	i := key(parkedPartition(p.Name, p.Version), p.SequenceID)
	i[attrAggregate] = text(aggregateKey(p.AggregateID) + p.SequenceID)
	i[attrAggregateID] = text(p.AggregateID)
	i[attrAggregateVersion] = number(p.AggregateVersion)
	i[attrType] = text(p.Type)
	i[attrState] = text(string(p.State))
	i[attrRequest] = text(string(p.Request))
	i[attrError] = text(p.Error)
	i[attrTries] = number(p.Tries)
	i[attrTime] = text(p.Time.UTC().Format(time.RFC3339Nano))
	if p.Request != projection.RequestNone {
		i[attrRequested] = text(p.SequenceID)
	}
	return i
}

func parkedSize(p *projection.Parked) int {
	return itemReserve + 3*len(p.Name) + 5*len(p.SequenceID) + len(p.AggregateID) + len(p.Type) + len(p.State) + len(p.Request) + len(p.Error)
}

func parseParked(name string, version int, i item) (projection.Parked, error) {
	d := decoder{item: i}
	p := projection.Parked{
		Name: name, Version: version, SequenceID: d.text(attrSK),
		AggregateID: d.text(attrAggregateID), AggregateVersion: int(d.number(attrAggregateVersion)), Type: d.text(attrType),
		State: projection.ParkedState(d.text(attrState)), Request: projection.Request(d.text(attrRequest)),
		Error: d.text(attrError), Tries: int(d.number(attrTries)),
	}
	var err error
	if p.Time, err = time.Parse(time.RFC3339Nano, d.text(attrTime)); err != nil {
		d.fail(attrTime, "is no time: %w", err)
	}
	if d.err != nil {
		return projection.Parked{}, fmt.Errorf("%w: event %s, parked by version %d of projection %q: %w", ErrLayout, p.SequenceID, version, name, d.err)
	}
	return p, nil
}

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

func (d *decoder) text(name string) string {
	s, ok := d.item[name].(*types.AttributeValueMemberS)
	if !ok {
		d.fail(name, "is no string, but %T", d.item[name])
		return ""
	}
	return s.Value
}

func (d *decoder) number(name string) int64 {
	n, ok := d.item[name].(*types.AttributeValueMemberN)
	if !ok {
		d.fail(name, "is no number, but %T", d.item[name])
		return 0
	}
	value, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		d.fail(name, "is %q, not an integer of 64 bits", n.Value)
	}
	return value
}

// textOf is a string, "" of anything else.
func textOf(value types.AttributeValue) string {
	if s, ok := value.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}
