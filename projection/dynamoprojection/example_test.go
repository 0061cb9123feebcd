package dynamoprojection_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
)

// TestExample runs the example, which needs a server, and compares what it prints.
func TestExample(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", testenv.DynamoDB(t))
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	exampleTable = testenv.TableName(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	func() {
		defer func() { os.Stdout = stdout }()
		Example()
	}()
	_ = w.Close()
	printed, err := io.ReadAll(r)
	if got, want := strings.TrimSpace(string(printed)), "[orders] at 01K00000000000000000000000"; err != nil || got != want {
		t.Errorf("it prints\n%s\nwant\n%s", got, want)
	}
}

var exampleTable string

// Checkpoints are given to projection.New with projection.WithCheckpoints, which uses
// them as here.
func Example() {
	ctx, table := context.Background(), exampleTable
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Panic(err)
	}
	client := dynamodb.NewFromConfig(settings)
	if err := dynamoprojection.CreateTable(ctx, client, table, dynamoprojection.TableOptions{}); err != nil {
		log.Panic(err)
	}
	checkpoints := dynamoprojection.NewCheckpoints(client, table)

	row := projection.Row{Name: "orders", Version: 1, Token: 1, Owner: "host-1"}
	if err := checkpoints.Update(ctx, []projection.Row{row}, nil); err != nil {
		log.Panic(err)
	}
	move := projection.Move{Name: "orders", Version: 1, Token: 1, Position: "01K00000000000000000000000", Handled: 100}
	if _, err := checkpoints.Advance(ctx, move); err != nil {
		log.Panic(err)
	}

	names, err := checkpoints.Names(ctx)
	if err != nil {
		log.Panic(err)
	}
	rows, err := checkpoints.Load(ctx, "orders")
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(names, "at", rows[0].Position)
}
