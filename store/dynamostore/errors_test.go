package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// everyCall makes every call that a store has, and gives their errors.
func everyCall(ctx context.Context, store *dynamostore.Store) map[string]error {
	errs := map[string]error{}
	record := eventsource.Record{AggregateID: "a", Type: "T"}
	_, errs["Append"] = store.Append(ctx, record)
	tx, err := store.NewTransaction(ctx, record)
	if err == nil {
		err = tx.Commit()
	}
	errs["NewTransaction"] = err
	_, errs["LoadByAggregate"] = store.LoadByAggregate(ctx, "a")
	_, errs["LoadByAggregateVersions"] = store.LoadByAggregateVersions(ctx, "a", 1, 2)
	_, errs["LoadBySequenceID"] = store.LoadBySequenceID(ctx, "", 0)
	_, errs["LoadBySequenceIDAndType"] = store.LoadBySequenceIDAndType(ctx, "", "T", 0)
	_, errs["LoadByTimestamp"] = store.LoadByTimestamp(ctx, 0, 0)
	for _, err := range store.Query(ctx, eventsource.Query{Descending: true}) {
		errs["Query"] = err
	}
	_, errs["Watch"] = store.Watch(ctx)
	_, errs["Horizon"] = store.Horizon(ctx)
	_, errs["Holder"] = store.Holder(ctx, "email", "x")
	return errs
}

func TestAStoreThatWasMadeOfNonsenseSaysSoInEveryCall(t *testing.T) {
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1"})
	for name, test := range map[string]struct {
		store    *dynamostore.Store
		mentions string
	}{
		"no client":               {dynamostore.New(nil, "orders"), "client is nil"},
		"no table":                {dynamostore.New(client, ""), `""`},
		"a strange table":         {dynamostore.New(client, "a b c"), `"a b c"`},
		"no clock":                {dynamostore.New(client, "orders", dynamostore.WithClock(nil)), "clock is nil"},
		"negative clock bound":    {dynamostore.New(client, "orders", dynamostore.WithMaxClockAhead(-1)), "-1ns"},
		"negative outcome":        {dynamostore.New(client, "orders", dynamostore.WithOutcomeTimeout(-2)), "-2ns"},
		"negative index timeout":  {dynamostore.New(client, "orders", dynamostore.WithIndexTimeout(-3)), "-3ns"},
		"no watch interval":       {dynamostore.New(client, "orders", dynamostore.WithWatchInterval(0)), "0s"},
		"nil options are no harm": {dynamostore.New(nil, "orders", nil), "client is nil"},
	} {
		if !errors.Is(test.store.Err(), eventsource.ErrMisconfigured) {
			t.Errorf("%s: Err is %v", name, test.store.Err())
		}
		for call, err := range everyCall(t.Context(), test.store) {
			if !errors.Is(err, eventsource.ErrMisconfigured) || !strings.Contains(err.Error(), test.mentions) {
				t.Errorf("%s: %s: error is %v", name, call, err)
			}
		}
	}
	arn := dynamostore.New(client, "arn:aws:dynamodb:us-west-2:123456789012:table/orders")
	if err := arn.Err(); err != nil {
		t.Errorf("an ARN: %v", err)
	}
}

// answer is a server that always answers the same.
type answer struct {
	status int
	code   string
}

func (a answer) RoundTrip(request *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Request: request, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"no"}`, a.code))),
	}, nil
}

func TestWhatAWSRefusesSaysWhatToDo(t *testing.T) {
	static := credentials.NewStaticCredentialsProvider("key", "secret", "token")
	for name, test := range map[string]struct {
		options  dynamodb.Options
		answer   answer
		want     error
		mentions []string
	}{
		"unknown table": {answer: answer{400, "ResourceNotFoundException"}, want: dynamostore.ErrNoTable,
			mentions: []string{`"orders"`, `"eu-west-1"`, "create-table --name orders", "region"}},
		"expired token": {answer: answer{400, "ExpiredTokenException"}, want: dynamostore.ErrAccess,
			mentions: []string{"expired", "aws sso login"}},
		"unknown key":  {answer: answer{400, "UnrecognizedClientException"}, want: dynamostore.ErrAccess, mentions: []string{"access key"}},
		"wrong region": {answer: answer{400, "InvalidSignatureException"}, want: dynamostore.ErrAccess, mentions: []string{"region", `"eu-west-1"`}},
		"no permission": {answer: answer{400, "AccessDeniedException"}, want: dynamostore.ErrAccess,
			mentions: []string{"do not allow", "policies"}},
		"no credentials": {options: dynamodb.Options{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(
			func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, errors.New("failed to find any")
			})},
			want: dynamostore.ErrAccess, mentions: []string{"no credentials", "AWS_PROFILE"}},
		"no region": {options: dynamodb.Options{Credentials: static}, want: dynamostore.ErrAccess, mentions: []string{"AWS_REGION"}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.options.Credentials == nil {
				test.options.Region, test.options.Credentials = "eu-west-1", static
			}
			test.options.HTTPClient = &http.Client{Transport: test.answer}
			test.options.Retryer = aws.NopRetryer{} // it would wait between tries
			store := dynamostore.New(dynamodb.New(test.options), "orders")
			for call, err := range everyCall(t.Context(), store) {
				if !errors.Is(err, test.want) {
					t.Errorf("%s: error is %v", call, err)
					continue
				}
				for _, m := range test.mentions {
					if !strings.Contains(err.Error(), m) {
						t.Errorf("%s: error %q does not mention %q", call, err, m)
					}
				}
				var api smithy.APIError
				if test.answer.code != "" && (!errors.As(err, &api) || api.ErrorCode() != test.answer.code) {
					t.Errorf("%s: the SDK's error is not in %v", call, err)
				}
				if strings.Contains(err.Error(), "secret") && name != "wrong region" || strings.Contains(err.Error(), "token\"") {
					t.Errorf("%s: error %q tells a secret", call, err)
				}
			}
		})
	}
}

func TestAMissingIndexIsNamedWhenItIsRead(t *testing.T) {
	table := otherTools(t, func(input *dynamodb.CreateTableInput) {
		input.GlobalSecondaryIndexes = input.GlobalSecondaryIndexes[:1]
		input.AttributeDefinitions = input.AttributeDefinitions[:4]
	})
	store := dynamostore.New(testenv.DynamoDBClient(t), table)
	save(t, store, "a")
	if records, err := store.LoadBySequenceID(t.Context(), "", 0); err != nil || len(records) != 1 {
		t.Errorf("the other index: %d records, %v", len(records), err)
	}
	_, err := store.LoadBySequenceIDAndType(t.Context(), "", "T", 0)
	if !errors.Is(err, dynamostore.ErrLayout) || !strings.Contains(err.Error(), "describe-table") {
		t.Errorf("error is %v", err)
	}
}

func TestAClockThatIsFarAheadIsRefused(t *testing.T) {
	table := newTable(t, dynamostore.TableOptions{})
	ahead := func() time.Time { return time.Now().Add(3 * time.Minute) }
	store := dynamostore.New(testenv.DynamoDBClient(t), table, dynamostore.WithClock(ahead))
	for range 2 {
		_, err := store.Append(t.Context(), eventsource.Record{AggregateID: "a", Type: "T"})
		var details *dynamostore.ClockAheadError
		if !errors.Is(err, dynamostore.ErrClockAhead) || !errors.As(err, &details) || details.Bound != time.Minute ||
			details.Ahead < 2*time.Minute || details.Ahead > 4*time.Minute {
			t.Errorf("error is %v", err)
		}
	}
	patient := dynamostore.New(testenv.DynamoDBClient(t), table, dynamostore.WithClock(ahead), dynamostore.WithMaxClockAhead(time.Hour))
	save(t, patient, "a")
	if records, err := store.LoadByAggregate(t.Context(), "a"); err != nil || len(records) != 1 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// incompressible is data of n bytes.
func incompressible(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rand.IntN(256))
	}
	return data
}

func TestAnEventOfUpTo400KBIsStoredAndALargerOneIsRefused(t *testing.T) {
	store := dynamostore.New(testenv.DynamoDBClient(t), newTable(t, dynamostore.TableOptions{}))
	ctx := t.Context()
	record := eventsource.Record{
		AggregateID: strings.Repeat("a", eventsource.MaxAggregateIDLength), Type: strings.Repeat("t", eventsource.MaxTypeLength),
		UserID: strings.Repeat("u", 500), Metadata: eventsource.Metadata{"key": strings.Repeat("v", 1000)}, Data: []byte{1},
		Timestamp: -1 << 63,
	}
	// The first that is refused says how much room there is.
	record.Data = incompressible(400 << 10)
	var tooLarge *eventsource.TooLargeError
	if _, err := store.Append(ctx, record); !errors.As(err, &tooLarge) || tooLarge.Limit != 400<<10 || tooLarge.Size <= tooLarge.Limit ||
		tooLarge.AggregateID != record.AggregateID || !errors.Is(err, eventsource.ErrTooLarge) {
		t.Fatalf("error is %v", err)
	}
	fits := len(record.Data) - (tooLarge.Size - tooLarge.Limit)
	for _, more := range []int{1, 100} {
		record.Data = incompressible(fits + more)
		if _, err := store.NewTransaction(ctx, eventsource.Record{AggregateID: "b", Type: "T"}, record); !errors.As(err, &tooLarge) {
			t.Errorf("%d bytes more than fit: error is %v", more, err)
		}
	}
	record.Data = incompressible(fits)
	for i := range 2 { // with prev and type_prev
		if _, err := store.Append(ctx, record); err != nil {
			t.Errorf("%d: DynamoDB refuses what fits: %v", i, err)
		}
	}
	if feed, err := store.LoadBySequenceID(ctx, "", 0); err != nil || len(feed) != 2 {
		t.Errorf("%d records, %v", len(feed), err)
	}
}

func TestASaveOfUpTo4MBIsStoredAndALargerOneIsRefused(t *testing.T) {
	store := dynamostore.New(testenv.DynamoDBClient(t), newTable(t, dynamostore.TableOptions{}))
	ctx := t.Context()
	records := make([]eventsource.Record, 11)
	for i := range records {
		records[i] = eventsource.Record{AggregateID: fmt.Sprint("aggregate ", i), Type: "T", Data: incompressible(390_000)}
	}
	var tooLarge *eventsource.SaveTooLargeError
	if _, err := store.Append(ctx, records...); !errors.As(err, &tooLarge) || tooLarge.Events != 11 || tooLarge.Size < 11*390_000 ||
		tooLarge.MaxSize > 4<<20 || !errors.Is(err, eventsource.ErrTooLarge) {
		t.Fatalf("error is %v", err)
	}
	if feed, err := store.LoadBySequenceID(ctx, "", 0); err != nil || len(feed) != 0 {
		t.Errorf("%d records of a save that was refused, %v", len(feed), err)
	}
	records[10].Data = incompressible(390_000 - (tooLarge.Size - tooLarge.MaxSize))
	if _, err := store.Append(ctx, records...); err != nil {
		t.Errorf("DynamoDB refuses what fits: %v", err)
	}
	// Saves that do not fit into one transaction together do not share one.
	errs := make(chan error)
	for i := range 8 {
		go func() {
			_, err := store.Append(ctx, records[i], records[i+1], records[i+2])
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	given := 0
	for _, err := range store.Query(ctx, eventsource.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		given++
	}
	if want := 11 + 8*3; given != want {
		t.Errorf("%d records, want %d", given, want)
	}
}
