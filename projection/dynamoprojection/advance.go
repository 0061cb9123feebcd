package dynamoprojection

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// MaxParked is the most events that one Advance parks and unparks, 99: DynamoDB's limit
// of a transaction, of which one item is the row.
const MaxParked = 99

// lane keeps the moves of a row by this process apart, so that a move finds its own
// mark in the row when its answer was lost.
type lane struct {
	free chan struct{} // has something in it while nobody is in the lane
	// position is the row's as of the last move. It may be wrong.
	position string
}

// enter waits until nobody else moves the row.
func (c *Checkpoints) enter(ctx context.Context, row string) (*lane, error) {
	fresh := &lane{free: make(chan struct{}, 1)}
	fresh.free <- struct{}{}
	found, _ := c.lanes.LoadOrStore(row, fresh)
	l := found.(*lane)
	select {
	case <-l.free:
		return l, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *lane) leave() { l.free <- struct{}{} }

// Advance moves a position. It is one request, and one more if events are parked or
// unparked, or if the position is not above the row's for the first time. [MaxParked]
// events at most can be parked and unparked, which take 4 MB together, and 400 KB
// each: more is [eventsource.ErrTooLarge].
func (c *Checkpoints) Advance(ctx context.Context, move projection.Move) (projection.Ack, error) {
	if err := c.ready(ctx); err != nil {
		return projection.Ack{}, err
	}
	if err := checkName(move.Name); err != nil {
		return projection.Ack{}, err
	}
	parked, err := c.parkedItems(&move)
	if err != nil {
		return projection.Ack{}, err
	}
	what := rowText(move.Name, move.Version, move.Partition)
	l, err := c.enter(ctx, what)
	if err != nil {
		return projection.Ack{}, c.translate(ctx, "advance "+what, err)
	}
	defer l.leave()
	s := step{Checkpoints: c, move: &move, id: rand.Text(), parked: parked}
	wanted, err := s.take(ctx, l)
	return projection.Ack{Wanted: wanted}, c.translate(ctx, "advance "+what, err)
}

// parkedItems are what a move writes beside the row, each event once.
func (c *Checkpoints) parkedItems(move *projection.Move) ([]types.TransactWriteItem, error) {
	items, size := make(map[string]types.TransactWriteItem), 0
	for _, id := range move.Unpark {
		if err := checkSequenceID(id); err != nil {
			return nil, err
		}
		items[id] = types.TransactWriteItem{Delete: &types.Delete{TableName: &c.table, Key: key(parkedPartition(move.Name, move.Version), id)}}
	}
	for i := range move.Park {
		p := move.Park[i]
		p.Name, p.Version = move.Name, move.Version
		if err := checkSequenceID(p.SequenceID); err != nil {
			return nil, err
		}
		one := parkedSize(&p)
		if size += one; one > maxItemSize {
			return nil, fmt.Errorf("%w: event %s to park takes %d bytes, it can be %d", eventsource.ErrTooLarge, p.SequenceID, one, maxItemSize)
		}
		items[p.SequenceID] = types.TransactWriteItem{Put: &types.Put{TableName: &c.table, Item: parkedItem(&p)}}
	}
	switch {
	case len(items) > MaxParked:
		return nil, fmt.Errorf("%w: %d events to park and unpark at once, there can be %d", eventsource.ErrTooLarge, len(items), MaxParked)
	case size > maxTransactionSize-itemReserve:
		return nil, fmt.Errorf("%w: %d events to park take %d bytes at once, it can be %d", eventsource.ErrTooLarge, len(move.Park), size, maxTransactionSize-itemReserve)
	}
	sorted := make([]types.TransactWriteItem, 0, len(items))
	for _, id := range slices.Sorted(maps.Keys(items)) {
		sorted = append(sorted, items[id])
	}
	return sorted, nil
}

// step is a move on its way. Its id is left in the row. A step that was carried out
// although its answer was lost is known by it when it is sent again; and one that
// lingers in the network does nothing when it arrives late.
type step struct {
	*Checkpoints
	move   *projection.Move
	id     string
	parked []types.TransactWriteItem
}

// take carries the step out, and gives the row's Wanted. DynamoDB cannot take the
// greater of two positions: a step either goes forward or stays, each on condition
// that this is right. Which one is tried first is only a guess.
func (s *step) take(ctx context.Context, l *lane) (wanted string, err error) {
	forward := s.move.Position > l.position
	for {
		wanted, err := s.try(ctx, forward)
		failed := conditionsFailed(err)
		if len(failed) == 0 {
			if err == nil && forward {
				l.position = s.move.Position
			}
			return wanted, err
		}
		row := failed[0].item // only the row has a condition
		switch {
		case len(row) == 0:
			return "", fmt.Errorf("%w: %s does not exist", projection.ErrFenced, s.row())
		case textOf(row[attrMoveID]) == s.id:
			return textOf(row[attrWanted]), nil
		}
		d := decoder{item: row}
		token, position := d.number(attrToken), d.text(attrPosition)
		switch above := s.move.Position > position; {
		case d.err != nil:
			return "", fmt.Errorf("%w: %s: %w", ErrLayout, s.row(), d.err)
		case token != s.move.Token:
			return "", fmt.Errorf("%w: %s has token %d, not %d", projection.ErrFenced, s.row(), token, s.move.Token)
		case above == forward:
			return "", err // cannot be: all conditions hold
		default:
			l.position, forward = position, above
		}
	}
}

func (s *step) row() string { return rowText(s.move.Name, s.move.Version, s.move.Partition) }

// try makes the request, and gives the row's Wanted.
func (s *step) try(ctx context.Context, forward bool) (wanted string, err error) {
	update := s.update(forward)
	if len(s.parked) == 0 {
		out, err := send(ctx, s.Checkpoints, s.client.UpdateItem, &dynamodb.UpdateItemInput{
			TableName: update.TableName, Key: update.Key,
			UpdateExpression: update.UpdateExpression, ConditionExpression: update.ConditionExpression,
			ExpressionAttributeNames: update.ExpressionAttributeNames, ExpressionAttributeValues: update.ExpressionAttributeValues,
			ReturnValues: types.ReturnValueAllNew, ReturnValuesOnConditionCheckFailure: update.ReturnValuesOnConditionCheckFailure,
		})
		if err != nil {
			return "", err
		}
		return textOf(out.Attributes[attrWanted]), nil
	}
	_, err = send(ctx, s.Checkpoints, s.client.TransactWriteItems, &dynamodb.TransactWriteItemsInput{
		TransactItems: append([]types.TransactWriteItem{{Update: update}}, s.parked...), ClientRequestToken: aws.String(rand.Text()),
	})
	if err != nil {
		return "", err
	}
	return s.wanted(ctx), nil
}

// wanted reads what the answer to a transaction does not say. The step is taken: what
// goes wrong here is no failure of it, and the next one asks again.
func (s *step) wanted(ctx context.Context) string {
	out, err := send(ctx, s.Checkpoints, s.client.GetItem, &dynamodb.GetItemInput{
		TableName: &s.table, Key: rowKey(s.move.Name, s.move.Version, s.move.Partition), ConsistentRead: aws.Bool(true),
		ProjectionExpression: aws.String("#wanted"), ExpressionAttributeNames: map[string]string{"#wanted": attrWanted},
	})
	if err != nil {
		return ""
	}
	return textOf(out.Item[attrWanted])
}

func (s *step) update(forward bool) *types.Update {
	set := "SET #revision = #revision + :one, #handled = #handled + :handled, #move = :move"
	condition := "#token = :token AND (attribute_not_exists(#move) OR #move <> :move)"
	names := map[string]string{"#revision": attrRevision, "#handled": attrHandled, "#move": attrMoveID, "#token": attrToken}
	values := item{":one": number(1), ":handled": number(s.move.Handled), ":move": text(s.id), ":token": number(s.move.Token)}
	if s.move.LastEvent != "" {
		set += ", #last = :last"
		names["#last"], values[":last"] = attrLastEvent, text(s.move.LastEvent)
	}
	if s.move.Position != "" { // nothing is below ""
		names["#position"], values[":position"] = attrPosition, text(s.move.Position)
		if forward {
			set += ", #position = :position"
			condition += " AND #position < :position"
		} else {
			condition += " AND #position >= :position"
		}
	}
	return &types.Update{
		TableName: &s.table, Key: rowKey(s.move.Name, s.move.Version, s.move.Partition),
		UpdateExpression: &set, ConditionExpression: &condition,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
}
