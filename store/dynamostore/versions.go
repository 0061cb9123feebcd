package dynamostore

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
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
	input := s.aggregateQuery(aggregateID, 0)
	input.ScanIndexForward = aws.Bool(false)
	input.Limit = aws.Int32(1)
	input.ProjectionExpression = aws.String("#v")
	for {
		out, err := s.runQuery(ctx, input)
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

// aggregateQuery asks for the events of an aggregate after a version, all that are
// there. Version 0 may be another item.
func (s *Store) aggregateQuery(aggregateID string, after int) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		TableName:                 &s.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#a = :a AND #v > :after"),
		ExpressionAttributeNames:  map[string]string{"#a": attrAggregateID, "#v": attrVersion},
		ExpressionAttributeValues: item{":a": text(aggregateID), ":after": number(int64(after))},
	}
}

// readVersions reads the versions of the save's aggregates that have to be known
// and are not, or are in doubt. A record that asks for another version than the next
// one is a conflict: that is only said of a version that was read just now.
func (s *Store) readVersions(ctx context.Context, sv *save, doubt []string) error {
	unsure := make(map[string]bool)
	for _, id := range doubt {
		unsure[id] = true
	}
	for _, id := range s.assign(sv, make(map[string]int)) {
		unsure[id] = true
	}
	ids := slices.Collect(maps.Keys(unsure))
	versions := make([]int, len(ids))
	err := dynamo.InParallel(len(ids), func(i int) (err error) {
		versions[i], err = s.readVersion(ctx, ids[i])
		return err
	})
	if err != nil {
		return err
	}
	confirmed := make(map[string]int, len(ids))
	for i, id := range ids {
		confirmed[id] = versions[i]
		s.versions.atLeast(id, versions[i])
	}
	for i := range sv.records {
		id := sv.records[i].AggregateID
		version, ok := confirmed[id]
		if !ok {
			continue
		}
		if asked := sv.asked[i]; asked != 0 && asked != version+1 {
			return &eventsource.ConflictError{AggregateID: id, Expected: asked, Actual: version}
		}
		confirmed[id]++
	}
	return nil
}

// assign gives the records their versions, as far as they are remembered. versions
// are those that aggregates have with the saves before this one, and are moved on. It
// returns the aggregates that have to be read: those that nobody remembers, and those
// that do not have the version before the one that is asked for.
func (s *Store) assign(sv *save, versions map[string]int) (unsure []string) {
	own := make(map[string]int)
	for i := range sv.records {
		r, asked := &sv.records[i], sv.asked[i]
		id := r.AggregateID
		version, known := own[id]
		if !known {
			version, known = versions[id]
		}
		if !known {
			version, known = s.versions.get(id)
		}
		if !known && asked == 1 {
			known = true // it takes none, and the condition on the item will show
		}
		if !known || asked != 0 && asked != version+1 {
			unsure = append(unsure, id)
			continue
		}
		r.Version = version + 1
		own[id] = r.Version
	}
	if len(unsure) == 0 {
		maps.Copy(versions, own)
	}
	return unsure
}
