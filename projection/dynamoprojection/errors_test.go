package dynamoprojection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
)

// everyCall makes every call that checkpoints have, and gives their errors.
func everyCall(ctx context.Context, c projection.Checkpoints) map[string]error {
	errs := map[string]error{}
	_, errs["Names"] = c.Names(ctx)
	_, errs["Load"] = c.Load(ctx, "p")
	errs["Update"] = c.Update(ctx, []projection.Row{{Name: "p"}}, nil)
	errs["Update of an old row"] = c.Update(ctx, []projection.Row{{Name: "p", Revision: 3}}, nil)
	_, errs["Advance"] = c.Advance(ctx, projection.Move{Name: "p", Version: 1})
	_, errs["Advance with an event to park"] = c.Advance(ctx, projection.Move{Name: "p", Version: 1, Park: []projection.Parked{event("1")}})
	_, errs["Parked"] = c.Parked(ctx, projection.ParkedQuery{Name: "p", Version: 1})
	_, errs["Parked of an aggregate"] = c.Parked(ctx, projection.ParkedQuery{Name: "p", Version: 1, AggregateID: "a"})
	_, errs["Parked with a request"] = c.Parked(ctx, projection.ParkedQuery{Name: "p", Version: 1, Requested: true})
	errs["RequestParked"] = c.RequestParked(ctx, "p", 1, projection.RequestRetry, "1", "2")
	errs["DeleteParked"] = c.DeleteParked(ctx, "p", 1)
	return errs
}

// want checks an error and what it mentions.
func want(t testing.TB, what string, err, want error, mentions ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
		return
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			t.Errorf("%s: error %q does not mention %q", what, err, m)
		}
	}
}

func TestCheckpointsThatWereMadeOfNonsenseSaySoInEveryCall(t *testing.T) {
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1"})
	for name, test := range map[string]struct {
		checkpoints *dynamoprojection.Checkpoints
		mentions    string
	}{
		"no client":               {dynamoprojection.NewCheckpoints(nil, "projections"), "client is nil"},
		"no table":                {dynamoprojection.NewCheckpoints(client, ""), `""`},
		"a strange table":         {dynamoprojection.NewCheckpoints(client, "a b c"), `"a b c"`},
		"no request timeout":      {dynamoprojection.NewCheckpoints(client, "projections", dynamoprojection.WithRequestTimeout(0)), "0s"},
		"nil options are no harm": {dynamoprojection.NewCheckpoints(nil, "projections", nil), "client is nil"},
	} {
		want(t, name, test.checkpoints.Err(), eventsource.ErrMisconfigured, test.mentions)
		for call, err := range everyCall(t.Context(), test.checkpoints) {
			want(t, name+": "+call, err, eventsource.ErrMisconfigured, test.mentions)
		}
	}
	arn := dynamoprojection.NewCheckpoints(client, "arn:aws:dynamodb:us-west-2:123456789012:table/projections", dynamoprojection.WithRequestTimeout(time.Second))
	if err := arn.Err(); err != nil {
		t.Errorf("an ARN: %v", err)
	}
}

func TestATableThatDoesNotExistIsNamed(t *testing.T) {
	t.Parallel()
	c := dynamoprojection.NewCheckpoints(testenv.DynamoDBClient(t), "no-such-table")
	for call, err := range everyCall(t.Context(), c) {
		want(t, call, err, dynamoprojection.ErrNoTable, `"no-such-table"`, `"us-east-1"`, "create-table --projections --name no-such-table")
		var missing *types.ResourceNotFoundException
		if !errors.As(err, &missing) {
			t.Errorf("%s: the SDK's error is not in %v", call, err)
		}
	}
	want(t, "CheckTable", dynamoprojection.CheckTable(t.Context(), testenv.DynamoDBClient(t), "no-such-table"), dynamoprojection.ErrNoTable)
}

func TestATableWithOtherKeysIsNoTableForCheckpoints(t *testing.T) {
	t.Parallel()
	client, table := testenv.DynamoDBClient(t), testenv.TableName(t)
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeN}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for call, err := range everyCall(t.Context(), dynamoprojection.NewCheckpoints(client, table)) {
		want(t, call, err, dynamoprojection.ErrLayout, table)
	}
	for call, err := range map[string]error{
		"CheckTable":  dynamoprojection.CheckTable(t.Context(), client, table),
		"CreateTable": dynamoprojection.CreateTable(t.Context(), client, table, dynamoprojection.TableOptions{}),
	} {
		want(t, call, err, dynamoprojection.ErrLayout, table, "HASH id (N), not HASH pk (S), RANGE sk (S)", "index by_aggregate is missing", "index by_request is missing")
	}
}

func TestWhatAWSRefusesSaysWhatToDo(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	for code, mentions := range map[fate]string{
		"AccessDeniedException": "projection/dynamoprojection/README.md", "ExpiredTokenException": "aws sso login", "InvalidSignatureException": "secret key",
	} {
		c, _ := through(t, table, func(string, int, document) fate { return code })
		for call, err := range everyCall(t.Context(), c) {
			want(t, call, err, dynamoprojection.ErrAccess, mentions, table)
			var api smithy.APIError
			if !errors.As(err, &api) || api.ErrorCode() != string(code) {
				t.Errorf("%s: the SDK's error is not in %v", call, err)
			}
		}
	}
}

func TestAnItemThatIsNotOursIsAnErrorAndNotAPanic(t *testing.T) {
	t.Parallel()
	client, table := testenv.DynamoDBClient(t), newTable(t)
	c := dynamoprojection.NewCheckpoints(client, table)
	for _, key := range [][2]string{{"rows/p", "1/0"}, {"parked/1/p", "1"}} {
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: key[0]}, "sk": &types.AttributeValueMemberS{Value: key[1]},
			"token": &types.AttributeValueMemberS{Value: "seven"}, "revision": &types.AttributeValueMemberN{Value: "1.5"},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Load(t.Context(), "p")
	want(t, "Load", err, dynamoprojection.ErrLayout, `"p"`, "version")
	_, err = c.Parked(t.Context(), projection.ParkedQuery{Name: "p", Version: 1})
	want(t, "Parked", err, dynamoprojection.ErrLayout, `"p"`, "aggregate_id")
	_, err = c.Advance(t.Context(), projection.Move{Name: "p", Version: 1})
	want(t, "Advance", err, dynamoprojection.ErrLayout, `"p"`, "token")
}

func TestWhatCannotBeStoredIsRefusedByName(t *testing.T) {
	t.Parallel()
	c := direct(t, newTable(t))
	put(t, c, "p", 7)
	for _, name := range []string{"", strings.Repeat("n", 256), "\xff"} {
		want(t, "Update", c.Update(t.Context(), []projection.Row{{Name: name}}, nil), eventsource.ErrMisconfigured, fmt.Sprintf("%q", name))
		want(t, "Advance", second(c.Advance(t.Context(), projection.Move{Name: name})), eventsource.ErrMisconfigured, fmt.Sprintf("%q", name))
	}
	twice := []projection.Row{{Name: "q", Version: 2, Partition: 3}, {Name: "q"}, {Name: "q", Version: 2, Partition: 3}}
	want(t, "a row that is there twice", c.Update(t.Context(), twice, nil), eventsource.ErrMisconfigured, "partition 3 of version 2", "twice")
	for _, id := range []string{"", "\xff", strings.Repeat("1", 1025)} {
		move := projection.Move{Name: "p", Version: 1, Token: 7, Park: []projection.Parked{event(id)}}
		want(t, "Park", second(c.Advance(t.Context(), move)), eventsource.ErrInvalidSequenceID, fmt.Sprintf("%q", id))
		move.Park, move.Unpark = nil, []string{id}
		want(t, "Unpark", second(c.Advance(t.Context(), move)), eventsource.ErrInvalidSequenceID, fmt.Sprintf("%q", id))
		if err := c.RequestParked(t.Context(), "p", 1, projection.RequestRetry, id); err != nil {
			t.Errorf("RequestParked: %v", err)
		}
	}
	_, err := c.Parked(t.Context(), projection.ParkedQuery{Name: "p", Limit: -1})
	want(t, "Parked", err, eventsource.ErrInvalidQuery, "-1")
	if row := only(t, c, "p"); row.Revision != 1 {
		t.Errorf("row is %+v", row)
	}
}

func TestAnAdvanceParksAndUnparksUpTo99Events(t *testing.T) {
	t.Parallel()
	c := direct(t, newTable(t))
	put(t, c, "p", 7)
	move := projection.Move{Name: "p", Version: 1, Token: 7}
	for i := range dynamoprojection.MaxParked {
		move.Park = append(move.Park, event(fmt.Sprintf("%03d", i)))
	}
	// Events that are named twice count once.
	move.Park = append(move.Park, event("000"))
	move.Unpark = []string{"001"}
	if _, err := c.Advance(t.Context(), move); err != nil {
		t.Fatal(err)
	}
	found, err := c.Parked(t.Context(), projection.ParkedQuery{Name: "p", Version: 1})
	if err != nil || len(found) != dynamoprojection.MaxParked {
		t.Errorf("%d events, error %v", len(found), err)
	}
	move.Unpark = []string{"100"}
	_, err = c.Advance(t.Context(), move)
	want(t, "one more", err, eventsource.ErrTooLarge, "100 events", "there can be 99")
	if row := only(t, c, "p"); row.Revision != 2 {
		t.Errorf("row is %+v", row)
	}
}

func TestAnUpdateWritesUpTo100Rows(t *testing.T) {
	t.Parallel()
	c := direct(t, newTable(t))
	rows := make([]projection.Row, dynamoprojection.MaxRows)
	for i := range rows {
		rows[i] = projection.Row{Name: fmt.Sprint("p", i%10), Version: i}
	}
	if err := c.Update(t.Context(), rows, nil); err != nil {
		t.Error(err)
	}
	err := c.Update(t.Context(), rows, []projection.Row{{Name: "q"}})
	want(t, "one more", err, eventsource.ErrTooLarge, "101 rows", "there can be 100")
	if names, err := c.Names(t.Context()); err != nil || len(names) != 10 {
		t.Errorf("names are %q, error %v", names, err)
	}
}

func TestAnItemOfUpTo400KBIsStoredAndALargerOneIsRefused(t *testing.T) {
	t.Parallel()
	c := direct(t, newTable(t))
	name := strings.Repeat("n", 255)
	put(t, c, name, 7)
	row := projection.Row{Name: name, Version: 2, Data: []byte(`{"a":"` + strings.Repeat("x", 395_000) + `"}`)}
	if err := c.Update(t.Context(), []projection.Row{row}, nil); err != nil {
		t.Errorf("DynamoDB refuses what fits: %v", err)
	}
	row.Version, row.Data = 3, []byte(`{"a":"`+strings.Repeat("x", 400<<10)+`"}`)
	want(t, "a row", c.Update(t.Context(), []projection.Row{row}, nil), eventsource.ErrTooLarge, "version 3", "409600")

	failed := event("1")
	failed.AggregateID, failed.Type, failed.Request = strings.Repeat("a", 1024), strings.Repeat("t", 255), projection.RequestRetry
	failed.Error = strings.Repeat("x", 390_000)
	move := projection.Move{Name: name, Version: 1, Token: 7, Park: []projection.Parked{failed}}
	if _, err := c.Advance(t.Context(), move); err != nil {
		t.Errorf("DynamoDB refuses what fits: %v", err)
	}
	move.Park[0].Error = strings.Repeat("x", 400<<10)
	want(t, "an event", second(c.Advance(t.Context(), move)), eventsource.ErrTooLarge, "event 1", "409600")
	move.Park = nil
	for i := range 11 {
		failed.SequenceID, failed.Error = fmt.Sprint(i), strings.Repeat("x", 390_000)
		move.Park = append(move.Park, failed)
	}
	want(t, "events together", second(c.Advance(t.Context(), move)), eventsource.ErrTooLarge, "11 events")
	move.Park = move.Park[:10]
	if _, err := c.Advance(t.Context(), move); err != nil {
		t.Errorf("DynamoDB refuses what fits: %v", err)
	}
	// They are more than a page of an answer.
	for _, q := range []projection.ParkedQuery{{}, {AggregateID: failed.AggregateID}, {Requested: true}, {Limit: 10}} {
		q.Name, q.Version = name, 1
		if found, err := c.Parked(t.Context(), q); err != nil || len(found) != 10 {
			t.Errorf("%+v: %d events, error %v", q, len(found), err)
		}
	}
	if err := c.DeleteParked(t.Context(), name, 1); err != nil {
		t.Error(err)
	}
	if found, err := c.Parked(t.Context(), projection.ParkedQuery{Name: name, Version: 1}); err != nil || len(found) > 0 {
		t.Errorf("%d events, error %v", len(found), err)
	}
}
