package dynamoprojection

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
	"github.com/eventsource-go/eventsource/projection"
)

// batchSize is the most that DynamoDB deletes with one request.
const batchSize = 25

// Parked gives parked and skipped events. Those of an aggregate, and those with a
// request, are read without the others.
func (c *Checkpoints) Parked(ctx context.Context, query projection.ParkedQuery) ([]projection.Parked, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	if query.Limit < 0 {
		return nil, fmt.Errorf("%w: limit %d of parked events", eventsource.ErrInvalidQuery, query.Limit)
	}
	var found []projection.Parked
	err := c.query(ctx, parkedQuery(query), func(i item) (bool, error) {
		p, err := parseParked(query.Name, query.Version, i)
		// An index's key is a hash of the aggregate's ID, and says nothing of the request.
		if err == nil && (query.AggregateID == "" || query.AggregateID == p.AggregateID) && (!query.Requested || p.Request != projection.RequestNone) {
			found = append(found, p)
		}
		return query.Limit == 0 || len(found) < query.Limit, err
	})
	if err != nil {
		return nil, c.translate(ctx, fmt.Sprintf("read parked events of version %d of projection %q", query.Version, query.Name), err)
	}
	return found, nil
}

// parkedQuery is a query of the table, or of the index that has what is asked for, in
// the order of sequence IDs.
func parkedQuery(query projection.ParkedQuery) *dynamodb.QueryInput {
	input := inPartition(parkedPartition(query.Name, query.Version))
	where := func(attribute, condition string, values item) {
		*input.KeyConditionExpression += " AND " + condition
		input.ExpressionAttributeNames["#key"] = attribute
		maps.Copy(input.ExpressionAttributeValues, values)
	}
	attribute := attrSK
	switch {
	case query.AggregateID != "":
		input.IndexName, input.Select = aws.String(aggregateIndex), types.SelectAllAttributes
		prefix := aggregateKey(query.AggregateID)
		after := prefix
		if query.After != "" {
			after += query.After + "\x00" // the lowest that is above
		}
		where(attrAggregate, "#key BETWEEN :after AND :end", item{":after": text(after), ":end": text(prefix + "~")})
		return input
	case query.Requested:
		input.IndexName, input.Select = aws.String(requestIndex), types.SelectAllAttributes
		attribute = attrRequested
	}
	if query.After != "" { // DynamoDB takes no empty keys
		where(attribute, "#key > :after", item{":after": text(query.After)})
	}
	if query.Limit > 0 {
		input.Limit = aws.Int32(int32(min(query.Limit, 1000)))
	}
	return input
}

// RequestParked sets the request of parked events, each by itself: if it fails, some
// may have it.
func (c *Checkpoints) RequestParked(ctx context.Context, name string, version int, request projection.Request, sequenceIDs ...string) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	err := dynamo.InParallel(len(sequenceIDs), func(i int) error {
		if checkSequenceID(sequenceIDs[i]) != nil {
			return nil // there is no such event
		}
		_, err := send(ctx, c, c.client.UpdateItem, c.request(name, version, request, sequenceIDs[i]))
		if len(conditionsFailed(err)) > 0 {
			return nil
		}
		return err
	})
	return c.translate(ctx, fmt.Sprintf("request %q of events parked by version %d of projection %q", request, version, name), err)
}

func (c *Checkpoints) request(name string, version int, request projection.Request, sequenceID string) *dynamodb.UpdateItemInput {
	input := &dynamodb.UpdateItemInput{
		TableName: &c.table, Key: key(parkedPartition(name, version), sequenceID),
		UpdateExpression: aws.String("SET #request = :request REMOVE #requested"), ConditionExpression: aws.String("attribute_exists(#pk)"),
		ExpressionAttributeNames:  map[string]string{"#pk": attrPK, "#request": attrRequest, "#requested": attrRequested},
		ExpressionAttributeValues: item{":request": text(string(request))},
	}
	if request != projection.RequestNone {
		input.UpdateExpression = aws.String("SET #request = :request, #requested = :id")
		input.ExpressionAttributeValues[":id"] = text(sequenceID)
	}
	return input
}

// DeleteParked removes all parked and skipped events of a version, in batches: if it
// fails, some may be gone.
func (c *Checkpoints) DeleteParked(ctx context.Context, name string, version int) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	input := inPartition(parkedPartition(name, version))
	input.ProjectionExpression = aws.String("#pk, #sk")
	input.ExpressionAttributeNames["#sk"] = attrSK
	var requests []types.WriteRequest
	err := c.query(ctx, input, func(found item) (bool, error) {
		requests = append(requests, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: found}})
		return true, nil
	})
	if err == nil {
		batches := slices.Collect(slices.Chunk(requests, batchSize))
		err = dynamo.InParallel(len(batches), func(i int) error { return c.write(ctx, batches[i]) })
	}
	return c.translate(ctx, fmt.Sprintf("delete events parked by version %d of projection %q", version, name), err)
}

// write carries requests out, until DynamoDB has taken all of them.
func (c *Checkpoints) write(ctx context.Context, requests []types.WriteRequest) error {
	left := map[string][]types.WriteRequest{c.table: requests}
	for wait := dynamo.NewBackoff(); ; {
		out, err := send(ctx, c, c.client.BatchWriteItem, &dynamodb.BatchWriteItemInput{RequestItems: left})
		if err != nil || len(out.UnprocessedItems) == 0 {
			return err
		}
		left = out.UnprocessedItems
		if err := wait.Wait(ctx); err != nil {
			return err
		}
	}
}
