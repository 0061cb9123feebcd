package dynamostore

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
)

// outcome finds out whether a plan was stored, of which an attempt may still be on
// its way. Then it sees to it that the attempt cannot be successful any more. It
// goes on after the end of the context, up to [WithOutcomeTimeout].
func (s *Store) outcome(ctx context.Context, p *plan) (done bool, err error) {
	ctx, cancel := detached(ctx, s.outcomeTimeout)
	defer cancel()
	wait := dynamo.NewBackoff()
	for {
		done, err = s.decide(ctx, p)
		if err == nil {
			return done, nil
		}
		if wait.Wait(ctx) != nil {
			return false, err
		}
	}
}

// decide looks for the first event of the plan. If its place is empty, it puts a
// fence at the plan's first ID, so that the condition on the head never holds.
func (s *Store) decide(ctx context.Context, p *plan) (done bool, err error) {
	taken, done, err := s.find(ctx, p)
	if err != nil || taken {
		return done, err
	}
	from := p.moved[0]
	now, err := s.updateHead(ctx, from.shard, "SET #h = :first", "#l = :before AND #h < :first AND #t = :id",
		map[string]string{"#h": attrHead, "#l": attrLast},
		item{":first": text(p.first[0]), ":before": text(from.last), ":id": text(from.tableID)})
	switch {
	case errors.Is(err, errNoHead):
		return false, nil // the table was made anew
	case err != nil:
		return false, err
	case now.tableID != from.tableID, now.last == from.last:
		return false, nil // nothing was added to the shard, and the fence is there, ours or another
	}
	_, done, err = s.find(ctx, p) // what was added may be the plan
	return done, err
}

// find looks whether the place of the plan's first event is taken, and whether the
// event is there. All of them are there, or none is.
func (s *Store) find(ctx context.Context, p *plan) (taken, ours bool, err error) {
	first := &p.saves[0].records[0]
	out, err := call(ctx, s.client.GetItem, &dynamodb.GetItemInput{
		TableName: &s.table, Key: eventKey(first), ConsistentRead: aws.Bool(true),
		ProjectionExpression: aws.String("#s"), ExpressionAttributeNames: map[string]string{"#s": attrSequenceID},
	})
	if err != nil || len(out.Item) == 0 {
		return false, false, err
	}
	d := decoder{item: out.Item}
	return true, d.text(attrSequenceID, required) == first.SequenceID, d.err
}

// outcomeUnknown says of which aggregates nobody knows whether they have the events.
func (sv *save) outcomeUnknown(cause error) error {
	unknown := &eventsource.OutcomeUnknownError{Err: cause}
	seen := make(map[string]bool)
	for i := range sv.records {
		if id := sv.records[i].AggregateID; !seen[id] {
			seen[id] = true
			unknown.AggregateIDs = append(unknown.AggregateIDs, id)
		}
	}
	return unknown
}
