package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// dynamo is a DynamoDB with a table of events, and a network in front of it.
type dynamo struct {
	server  *testenv.DynamoDBServer
	client  *dynamodb.Client // past the network
	valve   *valve
	network *network
	store   *dynamostore.Store // past the network
	repo    eventsource.Repository
}

const (
	table           = "events"
	checkpointTable = "checkpoints"
)

func newDynamo(t *testing.T, shards int) *dynamo {
	t.Helper()
	d := &dynamo{server: testenv.NewDynamoDBServer(t)}
	d.client = testenv.NewDynamoDBClient(d.server.URL(), new(http.Transport))
	if err := dynamostore.CreateTable(t.Context(), d.client, table, dynamostore.TableOptions{Shards: shards}); err != nil {
		t.Fatal(err)
	}
	d.store = dynamostore.New(d.client, table)
	d.repo = eventsource.NewRepository(d.store, serializer())
	var err error
	if d.valve, err = newValve(d.server.Address()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.valve.close)
	if d.network, err = newNetwork(d.server.Address()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.network.close)
	return d
}

// place says how workers reach the server: one through the valve, the others
// through the network.
func (d *dynamo) place(configs []Config) {
	for i := range configs {
		configs[i].Table, configs[i].URL = table, "http://"+d.network.address()
		if i == 0 {
			configs[i].URL = "http://" + d.valve.address()
		}
		// What a request takes here is the server's business: it is a toy.
		configs[i].Writers, configs[i].Pause = 3, 20*time.Millisecond
	}
}

// networkFaults are what can happen to connections.
func (d *dynamo) networkFaults() []fault { return append(d.network.faults(), d.valve.fault()) }

func (d *dynamo) serverFaults() []fault {
	return []fault{
		{"the server killed", 1, func(ctx context.Context, _ *rand.Rand) (healer, error) {
			return d.server.Start, d.server.Kill(ctx)
		}},
	}
}

// settle waits until the store answers.
func (d *dynamo) settle(ctx context.Context) error {
	if err := d.server.Start(ctx); err != nil {
		return err
	}
	for {
		_, err := d.store.Horizon(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
