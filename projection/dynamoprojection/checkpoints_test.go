package dynamoprojection_test

import (
	"context"
	"flag"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource/internal/projectionsuite"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
	"github.com/eventsource-go/eventsource/projection/projectiontest"
)

func TestMain(m *testing.M) {
	// Each step of a history of the model is several requests. -rapid.checks sets it again.
	if err := flag.Set("rapid.checks", "10"); err != nil {
		panic(err)
	}
	projectionsuite.SideBySide(4)
	os.Exit(testenv.Main(m))
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	projectiontest.Run(t, func(t *testing.T) projection.Checkpoints {
		return dynamoprojection.NewCheckpoints(testenv.DynamoDBClient(t), newTable(t))
	})
}

// newTable makes a table for the test and returns its name.
func newTable(t testing.TB) string {
	t.Helper()
	name := testenv.TableName(t)
	create(t, testenv.DynamoDBClient(t), name)
	return name
}

func create(t testing.TB, client *dynamodb.Client, name string) {
	t.Helper()
	if err := dynamoprojection.CreateTable(t.Context(), client, name, dynamoprojection.TableOptions{}); err != nil {
		t.Fatal(err)
	}
}

// put stores a new row of version 1, partition 0 with a token, and returns it.
func put(t testing.TB, c projection.Checkpoints, name string, token int64) projection.Row {
	t.Helper()
	row := projection.Row{Name: name, Version: 1, Token: token, Owner: "me", Wanted: "you"}
	if err := c.Update(t.Context(), []projection.Row{row}, nil); err != nil {
		t.Fatal(err)
	}
	return only(t, c, name)
}

// only loads the one row of a projection.
func only(t testing.TB, c projection.Checkpoints, name string) projection.Row {
	t.Helper()
	rows, err := c.Load(context.WithoutCancel(t.Context()), name)
	if err != nil || len(rows) != 1 {
		t.Fatalf("rows of %q are %+v, error %v", name, rows, err)
	}
	return rows[0]
}
