package dynamosnapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/snapshot/dynamosnapshot"
	"github.com/eventsource-go/eventsource/snapshot/snapshottest"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestStore(t *testing.T) {
	snapshottest.Run(t, func(t *testing.T) snapshot.Store {
		return dynamosnapshot.New(testenv.DynamoDBClient(t), newTable(t), nil)
	})
}

// newTable makes a table for the test and returns its name.
func newTable(t testing.TB) string {
	t.Helper()
	name := testenv.TableName(t)
	if err := dynamosnapshot.CreateTable(t.Context(), testenv.DynamoDBClient(t), name, dynamosnapshot.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

var (
	key  = snapshot.Key{AggregateID: "a", Type: "Account", SchemaVersion: 1}
	snap = eventsource.Snapshot{
		AggregateID: "a", Type: "Account", SchemaVersion: 1, Version: 7, SequenceID: "01K00000000000000000000000", State: []byte(`{}`),
	}
)

// all calls every method.
func all(t testing.TB, s *dynamosnapshot.Store) map[string]error {
	t.Helper()
	_, err := s.Load(t.Context(), key)
	return map[string]error{"Load": err, "Save": s.Save(t.Context(), snap), "Delete": s.Delete(t.Context(), "a")}
}

func want(t testing.TB, what string, err, want error, mentions ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
		return
	}
	for _, mention := range mentions {
		if !strings.Contains(err.Error(), mention) {
			t.Errorf("%s: error is %v, without %s", what, err, mention)
		}
	}
}

func TestWhatCannotBeIsRefusedByEveryMethod(t *testing.T) {
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1"})
	for mention, s := range map[string]*dynamosnapshot.Store{
		"client is nil":         dynamosnapshot.New(nil, "snapshots"),
		`"ab"`:                  dynamosnapshot.New(client, "ab"),
		"request timeout is 0s": dynamosnapshot.New(client, "snapshots", dynamosnapshot.WithRequestTimeout(0)),
	} {
		want(t, "Err", s.Err(), eventsource.ErrMisconfigured, mention)
		for what, err := range all(t, s) {
			want(t, what, err, eventsource.ErrMisconfigured, mention)
		}
	}
}

func TestATableThatIsMissingIsNamed(t *testing.T) {
	client := testenv.DynamoDBClient(t)
	for what, err := range all(t, dynamosnapshot.New(client, "no_such_table")) {
		want(t, what, err, dynamosnapshot.ErrNoTable, `"no_such_table"`, "us-east-1", "dynamosnapshot.CreateTable")
	}
	want(t, "CheckTable", dynamosnapshot.CheckTable(t.Context(), client, "no_such_table"), dynamosnapshot.ErrNoTable)
}

func TestATableWithOtherKeysIsRefused(t *testing.T) {
	client, name := testenv.DynamoDBClient(t), testenv.TableName(t)
	input, err := dynamosnapshot.NewCreateTableInput(name, dynamosnapshot.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	input.KeySchema = []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}}
	input.AttributeDefinitions = []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}}
	if _, err := client.CreateTable(t.Context(), input); err != nil {
		t.Fatal(err)
	}
	for what, err := range all(t, dynamosnapshot.New(client, name)) {
		want(t, what, err, dynamosnapshot.ErrLayout, name, "dynamosnapshot.CheckTable")
	}
	for what, err := range map[string]error{
		"CheckTable":  dynamosnapshot.CheckTable(t.Context(), client, name),
		"CreateTable": dynamosnapshot.CreateTable(t.Context(), client, name, dynamosnapshot.TableOptions{}),
	} {
		want(t, what, err, dynamosnapshot.ErrLayout, "HASH id (S), not HASH pk (S), RANGE sk (S)")
	}
}

func TestItemsThatAreNotThisPackagesAreRefused(t *testing.T) {
	client, name := testenv.DynamoDBClient(t), newTable(t)
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	for mention, change := range map[string]map[string]types.AttributeValue{
		"version":     {"version": text("7")},
		`"7.5"`:       {"version": &types.AttributeValueMemberN{Value: "7.5"}},
		"sequence_id": {"sequence_id": &types.AttributeValueMemberN{Value: "7"}},
		"state":       {"state": text("{}")},
	} {
		item := map[string]types.AttributeValue{
			"pk": text("a"), "sk": text("Account/1"), "version": &types.AttributeValueMemberN{Value: "7"},
			"sequence_id": text(snap.SequenceID), "state": &types.AttributeValueMemberB{Value: snap.State},
		}
		for attribute, value := range change {
			item[attribute] = value
		}
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: item}); err != nil {
			t.Fatal(err)
		}
		_, err := dynamosnapshot.New(client, name).Load(t.Context(), key)
		want(t, "Load", err, dynamosnapshot.ErrLayout, `"a"`, mention)
	}
}

func TestTheLargestSnapshotFitsIntoAnItem(t *testing.T) {
	s := dynamosnapshot.New(testenv.DynamoDBClient(t), newTable(t))
	largest := snap
	largest.AggregateID, largest.Type = strings.Repeat("i", 1024), strings.Repeat("t", 255)
	largest.State = bytes.Repeat([]byte{0xff}, dynamosnapshot.MaxItemSize-200-1024-255)
	largest.Version, largest.SchemaVersion = 1<<62, 1<<31
	if err := s.Save(t.Context(), largest); err != nil {
		t.Error(err)
	}
	largest.State = append(largest.State, 0)
	want(t, "Save", s.Save(t.Context(), largest), eventsource.ErrTooLarge, "409601 bytes", "limit is 409600")
}

// answers has every request answered by a function.
type answers func(n int) (status int, body string)

func (a answers) client(t testing.TB) *dynamodb.Client {
	n := 0
	return testenv.NewDynamoDBClient("http://dynamodb.test", roundTripper(func(r *http.Request) (*http.Response, error) {
		n++
		status, body := a(n)
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Request: r,
			Body: io.NopCloser(strings.NewReader(body)),
		}, t.Context().Err()
	}), func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

func TestARequestThatIsThrottledIsMadeAgain(t *testing.T) {
	requests := 0
	client := answers(func(n int) (int, string) {
		if requests = n; n < 4 {
			return 400, `{"__type":"ThrottlingException"}`
		}
		return 200, `{}`
	}).client(t)
	if err := dynamosnapshot.New(client, "snapshots").Save(t.Context(), snap); err != nil || requests != 4 {
		t.Errorf("%d requests, error %v", requests, err)
	}
}

func TestNoAccessIsSaidToBe(t *testing.T) {
	client := answers(func(int) (int, string) { return 400, `{"__type":"AccessDeniedException"}` }).client(t)
	for what, err := range all(t, dynamosnapshot.New(client, "snapshots")) {
		want(t, what, err, dynamosnapshot.ErrAccess, `"snapshots"`, "snapshot/dynamosnapshot/README.md")
	}
}

func TestAContextThatEndsWhileDynamoDBIsBusyEndsTheCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := answers(func(n int) (int, string) {
		if n == 2 {
			cancel()
		}
		return 400, `{"__type":"ThrottlingException"}`
	}).client(t)
	s := dynamosnapshot.New(client, "snapshots", dynamosnapshot.WithRequestTimeout(time.Minute))
	want(t, "Save", s.Save(ctx, snap), context.Canceled, "ThrottlingException", `"a"`)
}

func TestADeleteOfManyPagesDeletesAll(t *testing.T) {
	s := dynamosnapshot.New(testenv.DynamoDBClient(t), newTable(t))
	one := snap
	one.State = make([]byte, 300<<10) // a page has 1 MB
	for one.SchemaVersion = range 8 {
		if err := s.Save(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for version := range 8 {
		if found, err := s.Load(t.Context(), snapshot.Key{AggregateID: "a", Type: "Account", SchemaVersion: version}); err != nil || found != nil {
			t.Errorf("schema version %d: %v, %v", version, found != nil, err)
		}
	}
}

func TestATableHasTheSettingsThatWereAskedFor(t *testing.T) {
	client, table := testenv.DynamoDBClient(t), testenv.TableName(t)
	options := dynamosnapshot.TableOptions{
		Provisioned: &dynamosnapshot.Capacity{Read: 7, Write: 8}, DeletionProtection: true, Tags: map[string]string{"team": "shop", "a": "b"},
	}
	input, err := dynamosnapshot.NewCreateTableInput(table, options)
	if err != nil || len(input.Tags) != 2 || *input.Tags[0].Key != "a" || *input.Tags[1].Value != "shop" {
		t.Errorf("request is %+v, error %v", input, err)
	}
	for range 2 { // one that is there is kept
		if err := dynamosnapshot.CreateTable(t.Context(), client, table, options); err != nil {
			t.Fatal(err)
		}
	}
	found, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	if p := found.Table.ProvisionedThroughput; *p.ReadCapacityUnits != 7 || *p.WriteCapacityUnits != 8 || !aws.ToBool(found.Table.DeletionProtectionEnabled) {
		t.Errorf("table is %+v", found.Table)
	}
}

func TestWhatATableCannotBeIsRefusedByName(t *testing.T) {
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1"})
	none := dynamosnapshot.TableOptions{}
	noWrites := dynamosnapshot.TableOptions{Provisioned: &dynamosnapshot.Capacity{Read: 5}}
	want(t, "a short name", dynamosnapshot.CreateTable(t.Context(), client, "ab", none), eventsource.ErrMisconfigured, `"ab"`)
	want(t, "no capacity", dynamosnapshot.CreateTable(t.Context(), client, "abc", noWrites), eventsource.ErrMisconfigured, "0 write")
	want(t, "CheckTable", dynamosnapshot.CheckTable(t.Context(), client, "a b"), eventsource.ErrMisconfigured, `"a b"`)
	want(t, "CreateTable without a client", dynamosnapshot.CreateTable(t.Context(), nil, "snapshots", none), eventsource.ErrMisconfigured)
	want(t, "CheckTable without a client", dynamosnapshot.CheckTable(t.Context(), nil, "snapshots"), eventsource.ErrMisconfigured)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, "CreateTable", dynamosnapshot.CreateTable(ctx, client, "snapshots", none), context.Canceled)
}

func TestTheREADMEsTablesAreThoseOfThePackage(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	input, err := dynamosnapshot.NewCreateTableInput("snapshots", dynamosnapshot.TableOptions{})
	if err != nil || len(input.LocalSecondaryIndexes)+len(input.GlobalSecondaryIndexes) != 0 {
		t.Fatalf("%+v, %v", input, err)
	}
	text := strings.Join(strings.Fields(string(readme)), " ")
	parts := []string{`hash_key = "pk" range_key = "sk"`}
	for i, a := range input.AttributeDefinitions {
		parts = append(parts, fmt.Sprintf(`attribute { name = %q type = %q }`, *a.AttributeName, a.AttributeType),
			fmt.Sprintf(`{AttributeName: %s, AttributeType: %s}`, *a.AttributeName, a.AttributeType),
			fmt.Sprintf(`{AttributeName: %s, KeyType: %s}`, *input.KeySchema[i].AttributeName, input.KeySchema[i].KeyType))
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the README does not have %s", part)
		}
	}
}
