package testenv

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// createTable creates a small table.
func createTable(t *testing.T, client *dynamodb.Client, name string, protected bool) {
	t.Helper()
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:                 &name,
		BillingMode:               types.BillingModePayPerRequest,
		DeletionProtectionEnabled: &protected,
		AttributeDefinitions:      []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:                 []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tables returns the names of all tables.
func tables(t *testing.T, client *dynamodb.Client) []string {
	t.Helper()
	var names []string
	pages := dynamodb.NewListTablesPaginator(client, &dynamodb.ListTablesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, page.TableNames...)
	}
	return names
}

func TestTableNameGivesEachCallItsOwnTable(t *testing.T) {
	client := DynamoDBClient(t)
	var plain, protected string
	t.Run("in a test", func(t *testing.T) {
		plain, protected = TableName(t), TableName(t)
		unused := TableName(t)
		for _, name := range []string{plain, protected, unused} {
			if !regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`).MatchString(name) {
				t.Errorf("%q is no name of a table", name)
			}
		}
		// Fails for the second one if it is the first one's name.
		createTable(t, client, plain, false)
		createTable(t, client, protected, true)

		here := tables(t, client)
		if !slices.Contains(here, plain) || !slices.Contains(here, protected) || slices.Contains(here, unused) {
			t.Errorf("got tables %q, want %s and %s among them and not %s", here, plain, protected, unused)
		}
	})

	here := tables(t, client)
	for _, name := range []string{plain, protected} {
		if slices.Contains(here, name) {
			t.Errorf("table %s is still there after the test", name)
		}
	}
}

func TestDeleteTableFailsWhereNobodyAnswers(t *testing.T) {
	client := NewDynamoDBClient("http://127.0.0.1:1", new(http.Transport), func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 })
	if err := deleteTable(t.Context(), client, "test_1"); err == nil {
		t.Error("got no error")
	}
}

func TestDynamoDBOfAContainerIsOneForAllRegionsAndKeys(t *testing.T) {
	// One of ours, since the one that other tests use may be somebody's own.
	server, err := dynamo.start(t.Context())
	if err != nil {
		sharedDynamoDB.unavailable(t, err)
	}
	t.Cleanup(func() {
		if err := server.stop(); err != nil {
			t.Error(err)
		}
	})
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	one := NewDynamoDBClient(server.url, transport)
	other := NewDynamoDBClient(server.url, transport, func(o *dynamodb.Options) {
		o.Region = "eu-central-1"
		o.Credentials = credentials.NewStaticCredentialsProvider("somebody", "else", "")
	})
	createTable(t, one, "shared", false)
	if got := tables(t, other); !slices.Equal(got, []string{"shared"}) {
		t.Errorf("got tables %q, want that of another region and key", got)
	}
}

func TestDynamoDBClient(t *testing.T) {
	// A DynamoDB without tables that keeps what it sees.
	var signature string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signature = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		fmt.Fprint(w, `{"TableNames":[]}`)
	}))
	var open atomic.Int64 // connections
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		case http.StateActive, http.StateIdle, http.StateHijacked:
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	t.Setenv(EnvDynamoDB, server.URL)

	t.Run("is of the endpoint from the environment", func(t *testing.T) {
		if got := DynamoDB(t); got != server.URL {
			t.Errorf("got endpoint %q, want %q", got, server.URL)
		}
		if got := tables(t, DynamoDBClient(t)); len(got) != 0 {
			t.Errorf("got tables %q, want none", got)
		}
		if !strings.Contains(signature, "/us-east-1/dynamodb/") {
			t.Errorf("got signature %q, want one for us-east-1", signature)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); open.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are still open after the test", open.Load())
		}
	}

	t.Run("takes options", func(t *testing.T) {
		tables(t, DynamoDBClient(t, func(o *dynamodb.Options) { o.Region = "eu-central-1" }))
		if !strings.Contains(signature, "/eu-central-1/dynamodb/") {
			t.Errorf("got signature %q, want one for eu-central-1", signature)
		}
	})
}

func TestDynamoDBIsReadyOnceItListsTables(t *testing.T) {
	status := http.StatusInternalServerError
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "DynamoDB_20120810.ListTables" {
			t.Errorf("got a request for %q", r.Header.Get("X-Amz-Target"))
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		fmt.Fprint(w, `{"TableNames":[]}`)
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	if err := dynamo.ping(ctx, server.URL); err == nil {
		t.Error("ready although it answers with an error")
	}
	status = http.StatusOK
	if err := dynamo.ping(ctx, server.URL); err != nil {
		t.Errorf("got %v, want ready", err)
	}
}
