package dynamostore

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// versions remembers how many events some aggregates have at least, so that a save
// after a load, or after another save, need not ask. An aggregate may have more by
// now, which the condition on its next item shows. It never has fewer.
type versions struct {
	mu sync.Mutex
	// Two generations: what is used in time moves from the old to the young one.
	young, old map[string]int
}

// generation is how many aggregates a generation has.
const generation = 10_000

func (v *versions) get(aggregateID string) (version int, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if version, known = v.young[aggregateID]; known {
		return version, true
	}
	if version, known = v.old[aggregateID]; known {
		v.put(aggregateID, version)
	}
	return version, known
}

// atLeast notes that the aggregate has this version.
func (v *versions) atLeast(aggregateID string, version int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known, ok := v.young[aggregateID]; !ok || known < version {
		v.put(aggregateID, version)
	}
}

// put is called with the lock held.
func (v *versions) put(aggregateID string, version int) {
	if v.young == nil || len(v.young) >= generation {
		v.young, v.old = make(map[string]int), v.young
	}
	v.young[aggregateID] = max(version, v.old[aggregateID])
}

func (v *versions) forgetAll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.young, v.old = nil, nil
}

// readVersion reads the version of the aggregate's last event, 0 if it has none.
func (s *Store) readVersion(ctx context.Context, aggregateID string) (int, error) {
	input := s.aggregateQuery(aggregateID)
	input.ScanIndexForward = aws.Bool(false)
	input.Limit = aws.Int32(1)
	input.ProjectionExpression = aws.String("#v")
	for {
		out, err := s.ask(ctx, input)
		if err != nil {
			return 0, err
		}
		if len(out.Items) > 0 {
			d := decoder{item: out.Items[0]}
			version := int(d.number(attrVersion))
			return version, d.err
		}
		if len(out.LastEvaluatedKey) == 0 {
			return 0, nil
		}
		input.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// ask makes a query.
func (s *Store) ask(ctx context.Context, input *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	out, err := call(ctx, func() (*dynamodb.QueryOutput, error) { return s.client.Query(ctx, input) })
	if err == nil {
		s.hearTime(out.ResultMetadata)
	}
	return out, err
}

// aggregateQuery asks for the events of an aggregate, all that are there.
func (s *Store) aggregateQuery(aggregateID string) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		TableName:                 &s.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#a = :a AND #v > :heads"),
		ExpressionAttributeNames:  map[string]string{"#a": attrAggregateID, "#v": attrVersion},
		ExpressionAttributeValues: item{":a": text(aggregateID), ":heads": number(0)},
	}
}
