package dynamostore

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
)

// outcome finds out whether a plan was stored, of which an attempt may still be on
// its way. Then it sees to it that the attempt cannot be successful any more. It
// goes on after the end of the context, up to [WithOutcomeTimeout].
func (s *Store) outcome(ctx context.Context, p *plan) (done bool, err error) {
	ctx, cancel := detached(ctx, s.outcomeTimeout)
	defer cancel()
	wait := newBackoff()
	for {
		done, err = s.decide(ctx, p)
		if err == nil {
			return done, nil
		}
		if wait.wait(ctx) != nil {
			return false, err
		}
	}
}

// decide looks for the first event of the plan. If its place is empty, it puts a
// fence above the plan's first ID, so that the condition on the head never holds.
// If that is there or the head has moved on, the look tells.
func (s *Store) decide(ctx context.Context, p *plan) (done bool, err error) {
	there, done, err := s.find(ctx, p)
	if err != nil || there {
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
	case now.tableID == from.tableID && now.last == from.last && now.seq < p.first[0]:
		return false, fmt.Errorf("the head of shard %d is at %s", from.shard, now.seq) // cannot be
	}
	_, done, err = s.find(ctx, p)
	return done, err
}

// find looks whether the place of the plan's first event is taken, and whether the
// event is there. All of them are there, or none is.
func (s *Store) find(ctx context.Context, p *plan) (taken, ours bool, err error) {
	first := &p.saves[0].records[0]
	out, err := call(ctx, func() (*dynamodb.GetItemOutput, error) {
		return s.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: &s.table, Key: eventKey(first), ConsistentRead: aws.Bool(true),
			ProjectionExpression: aws.String("#s"), ExpressionAttributeNames: map[string]string{"#s": attrSequenceID},
		})
	})
	if err != nil || len(out.Item) == 0 {
		return false, false, err
	}
	d := decoder{item: out.Item}
	return true, d.text(attrSequenceID, required) == first.SequenceID, d.err
}

// outcomeUnknown says of which aggregates nobody knows whether they have the events.
func outcomeUnknown(saves []*save, cause error) error {
	unknown := &eventsource.OutcomeUnknownError{Err: cause}
	seen := make(map[string]bool)
	for _, sv := range saves {
		for i := range sv.records {
			if id := sv.records[i].AggregateID; !seen[id] {
				seen[id] = true
				unknown.AggregateIDs = append(unknown.AggregateIDs, id)
			}
		}
	}
	return unknown
}
