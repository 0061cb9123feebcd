package dynamoprojection_test

import (
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/projectionsuite"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

func TestRunner(t *testing.T) {
	projectionsuite.RunRunner(t, func(t *testing.T) projectionsuite.Backend {
		client, events, checkpoints := testenv.DynamoDBClient(t), testenv.TableName(t), newTable(t)
		if err := dynamostore.CreateTable(t.Context(), client, events, dynamostore.TableOptions{Shards: 2}); err != nil {
			t.Fatal(err)
		}
		return projectionsuite.Backend{
			Store: func(clock func() time.Time) eventsource.Store {
				return dynamostore.New(testenv.DynamoDBClient(t), events, dynamostore.WithClock(clock),
					dynamostore.WithWatchInterval(50*time.Millisecond))
			},
			Checkpoints: func() projection.Checkpoints {
				return dynamoprojection.NewCheckpoints(testenv.DynamoDBClient(t), checkpoints)
			},
			Lease:      2 * time.Second,
			Pause:      20 * time.Millisecond,
			Partitions: 8,
		}
	})
}
