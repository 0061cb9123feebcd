package dynamostore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
)

// reservedValue is a value that can be reserved.
type reservedValue struct{ scope, value string }

func valueOf(c *eventsource.ReservationChange) reservedValue {
	return reservedValue{c.Scope, c.Value}
}

// key is the key of the item that says who holds the value. The scope's length tells
// where it ends. Events have versions from 1, so it is not in the way of an aggregate
// of that name.
func (v reservedValue) key() item {
	name := reservationKeyPrefix + strconv.Itoa(len(v.scope)) + ":" + v.scope + ":" + v.value
	return item{attrAggregateID: text(name), attrVersion: number(0)}
}

// reservationOverhead is the most that a change has in a transaction beside what differs
// in length.
const reservationOverhead = len(attrAggregateID+attrVersion+attrScope+attrValue+attrHolder+attrEvent+attrEventVersion+attrUntil+attrExpiresAt) +
	len(reservationKeyPrefix+"255::") + sequenceIDLength + 6*longestNumber

// reservationSize is the most bytes that a change takes in a transaction: the item, which
// has the scope and the value twice, and what its condition compares it with. Whether
// DynamoDB counts that, its documentation does not say; the local server does.
func reservationSize(c *eventsource.ReservationChange) int {
	return reservationOverhead + 2*(len(c.Scope)+len(c.Value)) + len(c.To) + len(c.From)
}

// newReservation is the item of a value after a change. One that was released stays,
// without a holder, so that nobody needs the right to delete items.
func newReservation(c *eventsource.ReservationChange, r *eventsource.Record, now time.Time) item {
	i := valueOf(c).key()
	i[attrScope], i[attrValue], i[attrHolder] = text(c.Scope), text(c.Value), text(c.To)
	i[attrEvent], i[attrEventVersion] = text(r.SequenceID), number(int64(r.Version))
	i[attrUntil] = number(c.Until)
	switch {
	case c.To == "":
		i[attrExpiresAt] = number(now.Unix() + 1)
	case c.Until > 0:
		i[attrExpiresAt] = number(time.Unix(0, c.Until).Unix() + 1)
	}
	return i
}

// parseReservation reads the item of a value. One that this package has not written
// is an error.
func (v reservedValue) parseReservation(i item) (eventsource.Holder, error) {
	d := decoder{item: i}
	h := eventsource.Holder{
		AggregateID: d.text(attrHolder, optional),
		SequenceID:  d.text(attrEvent, required),
		Version:     int(d.number(attrEventVersion)),
		Until:       d.number(attrUntil),
	}
	if i[attrHolder] == nil {
		d.fail(attrHolder, "is missing")
	}
	if scope, value := d.text(attrScope, required), d.text(attrValue, required); d.err == nil && (scope != v.scope || value != v.value) {
		d.err = fmt.Errorf("it is of %s %q", scope, value)
	}
	switch id, err := eventsource.ParseSequenceID(h.SequenceID); {
	case d.err != nil:
	case err != nil || id != h.SequenceID:
		d.err = fmt.Errorf("attribute %s is %q, not a sequence ID", attrEvent, h.SequenceID)
	case h.Version < 1:
		d.err = fmt.Errorf("attribute %s is %d, not positive", attrEventVersion, h.Version)
	case h.Until < 0:
		d.err = fmt.Errorf("attribute %s is %d, which is negative", attrUntil, h.Until)
	}
	if d.err != nil {
		return eventsource.Holder{}, fmt.Errorf("%w: reservation of %s %q: %w", ErrLayout, v.scope, v.value, d.err)
	}
	return h, nil
}

// ended reports whether the reservation has ended by then.
func ended(h *eventsource.Holder, now time.Time) bool {
	return h.Until > 0 && h.Until <= now.UnixNano()
}

// reserve changes who holds a value, if nobody else holds it.
func (s *Store) reserve(c *eventsource.ReservationChange, r *eventsource.Record, now time.Time) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &s.table, Item: newReservation(c, r, now),
		ConditionExpression: aws.String("attribute_not_exists(#a) OR #h IN (:from, :nobody) OR (#u > :never AND #u <= :now)"),
		ExpressionAttributeNames: map[string]string{
			"#a": attrAggregateID, "#h": attrHolder, "#u": attrUntil,
		},
		ExpressionAttributeValues: item{
			":from": text(c.From), ":nobody": text(""), ":never": number(0), ":now": number(now.UnixNano()),
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// reservationTime is the time by which reservations end: DynamoDB's as of its latest
// answers, or this process's if none of them was dated.
func (s *Store) reservationTime() time.Time {
	if now, ok := s.server.now(); ok {
		return now
	}
	return s.clock()
}

// denied is why a change was refused, given the item that was there: nil if it need
// not be so again.
func (s *Store) denied(c *eventsource.ReservationChange, there item) error {
	if len(there) == 0 {
		return nil // DynamoDB does not say
	}
	h, err := valueOf(c).parseReservation(there)
	if err != nil {
		return err
	}
	// It has ended meanwhile, or the time was old, from before this machine slept.
	if h.AggregateID == "" || ended(&h, s.reservationTime()) {
		return nil
	}
	return &eventsource.TakenError{Scope: c.Scope, Value: c.Value, AggregateID: c.From, Holder: h.AggregateID}
}

// Holder says who holds a value, strongly consistent. Reservations end by DynamoDB's
// clock, whose answers are dated to the second: so up to a second late.
func (s *Store) Holder(ctx context.Context, scope, value string) (eventsource.Holder, error) {
	if s.err != nil {
		return eventsource.Holder{}, s.err
	}
	if err := eventsource.CheckReserved(scope, value); err != nil {
		return eventsource.Holder{}, err
	}
	v := reservedValue{scope, value}
	out, err := call(ctx, s.client.GetItem, &dynamodb.GetItemInput{TableName: &s.table, Key: v.key(), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return eventsource.Holder{}, s.translate(ctx, "read a reservation", err)
	}
	s.server.hear(out.ResultMetadata)
	if len(out.Item) == 0 {
		return eventsource.Holder{}, nil
	}
	h, err := v.parseReservation(out.Item)
	if err != nil || h.AggregateID == "" || ended(&h, s.reservationTime()) {
		return eventsource.Holder{}, err
	}
	return h, nil
}
