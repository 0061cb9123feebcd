package testenv

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/logging"
	"github.com/testcontainers/testcontainers-go"
)

var dynamo = &kind{
	name: "DynamoDB",
	advice: "start a Docker engine (internal/testenv/docker.sh dynamodb does) or set " +
		EnvDynamoDB + " to the URL of a DynamoDB endpoint",
	urlVariable:   EnvDynamoDB,
	imageVariable: EnvDynamoDBImage,
	official:      "amazon/dynamodb-local:latest",
	built:         "eventsource-dynamodb:latest",
	port:          "8000/tcp",
	container: []testcontainers.ContainerCustomizer{
		testcontainers.WithEnv(map[string]string{"DDB_LOCAL_TELEMETRY": "0"}),
		// The arguments of java. Without -sharedDb there would be a database for each
		// region and access key.
		testcontainers.WithCmd("-Xmx1g", "-jar", "DynamoDBLocal.jar", "-inMemory", "-sharedDb"),
	},
	url: func(address string) string { return "http://" + address },
	ping: func(ctx context.Context, url string) error {
		transport := new(http.Transport)
		defer transport.CloseIdleConnections()
		client := NewDynamoDBClient(url, transport, func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 })
		_, err := client.ListTables(ctx, &dynamodb.ListTablesInput{Limit: aws.Int32(1)})
		return err
	},
}

// DynamoDB returns the URL of a DynamoDB endpoint. Tests share its tables; see
// [TableName].
func DynamoDB(t testing.TB) (endpoint string) {
	t.Helper()
	return sharedDynamoDB.server(t)
}

// DynamoDBClient returns a client of [DynamoDB]. Its connections are its own and
// are closed when the test ends. The given functions may change its options.
func DynamoDBClient(t testing.TB, options ...func(*dynamodb.Options)) *dynamodb.Client {
	t.Helper()
	return dynamoDBClientOf(t, DynamoDB(t), options...)
}

func dynamoDBClientOf(t testing.TB, endpoint string, options ...func(*dynamodb.Options)) *dynamodb.Client {
	// The default of two idle connections would have concurrent tests open new ones
	// all the time.
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return NewDynamoDBClient(endpoint, transport, options...)
}

// NewDynamoDBClient returns a client of the endpoint at a URL, which may be that of a
// proxy, with the region and the keys of the others. The transport's connections are
// the caller's to close. The given functions may change the client's options.
func NewDynamoDBClient(endpoint string, transport http.RoundTripper, options ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:   &http.Client{Transport: transport},
		Logger:       logging.Nop{}, // the local server's checksums of some errors are wrong
	}, options...)
}

// TableName returns the name of a table that the test may create. If there is one
// when the test ends, it is deleted, protected or not.
func TableName(t testing.TB) string {
	t.Helper()
	client := DynamoDBClient(t)
	name := randomName()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := deleteTable(ctx, client, name); err != nil {
			t.Errorf("testenv: delete table %s: %v", name, err)
		}
	})
	return name
}

// deleteTable deletes a table if it exists.
func deleteTable(ctx context.Context, client *dynamodb.Client, name string) error {
	err := unprotect(ctx, client, name)
	if err == nil {
		_, err = client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name})
	}
	if errors.As(err, new(*types.ResourceNotFoundException)) {
		return nil
	}
	return err
}

// unprotect switches a table's protection from being deleted off, if it is on.
func unprotect(ctx context.Context, client *dynamodb.Client, name string) error {
	found, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil || !aws.ToBool(found.Table.DeletionProtectionEnabled) {
		return err
	}
	_, err = client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &name, DeletionProtectionEnabled: aws.Bool(false)})
	return err
}
