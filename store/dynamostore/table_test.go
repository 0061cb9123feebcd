package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

func describe(t *testing.T, client *dynamodb.Client, name string) dynamostore.TableDescription {
	t.Helper()
	description, err := dynamostore.DescribeTable(t.Context(), client, name)
	if err != nil {
		t.Fatal(err)
	}
	return description
}

func TestCreateTable_makes_what_the_options_say(t *testing.T) {
	client := testenv.DynamoDBClient(t)
	for name, test := range map[string]struct {
		options dynamostore.TableOptions
		check   func(dynamostore.TableDescription) bool
	}{
		"nothing": {dynamostore.TableOptions{}, func(d dynamostore.TableDescription) bool {
			return d.Shards == 1 && d.Provisioned == nil && !d.DeletionProtection && d.Stream == "" && d.Head == "" && d.Status == types.TableStatusActive
		}},
		"shards": {dynamostore.TableOptions{Shards: dynamostore.MaxShards}, func(d dynamostore.TableDescription) bool {
			return d.Shards == dynamostore.MaxShards
		}},
		"capacity": {dynamostore.TableOptions{Provisioned: &dynamostore.Capacity{Read: 7, Write: 9}}, func(d dynamostore.TableDescription) bool {
			return *d.Provisioned == dynamostore.Capacity{Read: 7, Write: 9}
		}},
		"protection": {dynamostore.TableOptions{DeletionProtection: true}, func(d dynamostore.TableDescription) bool {
			return d.DeletionProtection
		}},
		"stream": {dynamostore.TableOptions{Stream: types.StreamViewTypeNewImage}, func(d dynamostore.TableDescription) bool {
			return d.Stream == types.StreamViewTypeNewImage && d.StreamARN != ""
		}},
		"tags": {dynamostore.TableOptions{Tags: map[string]string{"team": "orders"}}, func(dynamostore.TableDescription) bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTable(t, test.options)
			if d := describe(t, client, table); !test.check(d) || len(d.Problems) > 0 || d.Name != table || d.ARN == "" || d.Created.IsZero() {
				t.Errorf("the table is %+v", d)
			}
			if err := dynamostore.CheckTable(t.Context(), client, table); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCreateTable_leaves_a_table_that_fits_as_it_is(t *testing.T) {
	client, ctx := testenv.DynamoDBClient(t), t.Context()
	table := newTable(t, dynamostore.TableOptions{Shards: 2})
	save(t, dynamostore.New(client, table), "a", "b", "c")
	before := describe(t, client, table)
	if err := dynamostore.CreateTable(ctx, client, table, dynamostore.TableOptions{Shards: 2}); err != nil {
		t.Error(err)
	}
	if after := describe(t, client, table); after.Head != before.Head || after.Head == "" || after.Shards != 2 {
		t.Errorf("the table is %+v, it was %+v", after, before)
	}
	err := dynamostore.CreateTable(ctx, client, table, dynamostore.TableOptions{Shards: 3})
	if !errors.Is(err, dynamostore.ErrLayout) || !strings.Contains(err.Error(), "it has 2 shards, not 3") {
		t.Errorf("error is %v", err)
	}
}

// otherTools makes a table as another tool would, with what the test changes.
func otherTools(t *testing.T, change func(*dynamodb.CreateTableInput)) (table string) {
	t.Helper()
	table = testenv.TableName(t)
	input, err := dynamostore.NewCreateTableInput(table, dynamostore.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	change(input)
	if _, err := testenv.DynamoDBClient(t).CreateTable(t.Context(), input); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestATableOfAnotherToolGetsItsShardsFromCreateTable(t *testing.T) {
	client := testenv.DynamoDBClient(t)
	table := otherTools(t, func(*dynamodb.CreateTableInput) {})
	if d := describe(t, client, table); d.Shards != 0 || len(d.Problems) > 0 {
		t.Errorf("before, the table is %+v", d)
	}
	if err := dynamostore.CreateTable(t.Context(), client, table, dynamostore.TableOptions{Shards: 4}); err != nil {
		t.Fatal(err)
	}
	save(t, dynamostore.New(client, table), "a", "b", "c")
	if d := describe(t, client, table); d.Shards != 4 || d.Head == "" {
		t.Errorf("after, the table is %+v", d)
	}
}

func TestATableOfAnotherToolGetsOneShardFromTheFirstSave(t *testing.T) {
	client := testenv.DynamoDBClient(t)
	table := otherTools(t, func(*dynamodb.CreateTableInput) {})
	store := dynamostore.New(client, table)
	if records, err := store.LoadBySequenceID(t.Context(), "", 0); err != nil || len(records) > 0 {
		t.Errorf("%d records, %v", len(records), err)
	}
	if horizon, err := store.Horizon(t.Context()); err != nil || horizon != (eventsource.Horizon{}) {
		t.Errorf("horizon is %+v, %v", horizon, err)
	}
	// Many at once: one of them makes the shard.
	errs := make(chan error)
	for i := range 8 {
		go func() {
			_, err := dynamostore.New(client, table).Append(t.Context(), eventsource.Record{AggregateID: fmt.Sprint(i), Type: "T"})
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if records, err := store.LoadBySequenceID(t.Context(), "", 0); err != nil || len(records) != 8 {
		t.Errorf("%d records, %v", len(records), err)
	}
	if d := describe(t, client, table); d.Shards != 1 || !slices.Equal(d.Types, []string{"T"}) {
		t.Errorf("the table is %+v", d)
	}
}

func TestATableThatDoesNotFitIsRefusedWithAWordOnWhatIsWrong(t *testing.T) {
	client, ctx := testenv.DynamoDBClient(t), t.Context()
	for name, test := range map[string]struct {
		change   func(*dynamodb.CreateTableInput)
		mentions []string
		read     bool // reading the feed shows it too
	}{
		"no indexes": {func(input *dynamodb.CreateTableInput) {
			input.GlobalSecondaryIndexes = nil
			input.AttributeDefinitions = input.AttributeDefinitions[:2]
		}, []string{"index by_sequence is missing", "index by_type is missing"}, true},
		"other keys": {func(input *dynamodb.CreateTableInput) {
			input.GlobalSecondaryIndexes = nil
			input.AttributeDefinitions = []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}}
			input.KeySchema = []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}}
		}, []string{"HASH id (S)", "HASH aggregate_id (S), RANGE version (N)"}, false},
		"a key of another type": {func(input *dynamodb.CreateTableInput) {
			input.AttributeDefinitions[2].AttributeType = types.ScalarAttributeTypeS
		}, []string{"index by_sequence has the keys HASH shard (S), RANGE sequence_id (S), not HASH shard (N), RANGE sequence_id (S)"}, true},
		"an index of keys only": {func(input *dynamodb.CreateTableInput) {
			input.GlobalSecondaryIndexes[1].Projection.ProjectionType = types.ProjectionTypeKeysOnly
		}, []string{"index by_type does not project all attributes"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			table := otherTools(t, test.change)
			refused := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, dynamostore.ErrLayout) {
					t.Errorf("%s: error is %v", what, err)
				}
			}
			check := dynamostore.CheckTable(ctx, client, table)
			refused("CheckTable", check)
			for _, m := range append(test.mentions, table) {
				if !strings.Contains(check.Error(), m) {
					t.Errorf("error %q does not mention %q", check, m)
				}
			}
			refused("CreateTable", dynamostore.CreateTable(ctx, client, table, dynamostore.TableOptions{}))
			refused("DeleteTable", dynamostore.DeleteTable(ctx, client, table))
			if test.read {
				store := dynamostore.New(client, table)
				_, _ = store.Append(ctx, eventsource.Record{AggregateID: "a", Type: "T"})
				_, err := store.LoadBySequenceID(ctx, "", 0)
				if err != nil { // else there was nothing to read, since nothing could be saved
					refused("LoadBySequenceID", err)
				}
			}
			if err := dynamostore.DeleteTable(ctx, client, table, dynamostore.WithDropEvents()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatATableCannotBeIsRefusedByName(t *testing.T) {
	client, ctx := testenv.DynamoDBClient(t), t.Context()
	for name, test := range map[string]struct {
		table    string
		options  dynamostore.TableOptions
		mentions string
	}{
		"no name":           {"", dynamostore.TableOptions{}, `""`},
		"a short name":      {"ab", dynamostore.TableOptions{}, `"ab"`},
		"a strange name":    {"my table", dynamostore.TableOptions{}, `"my table"`},
		"a long name":       {strings.Repeat("a", 256), dynamostore.TableOptions{}, "255"},
		"negative shards":   {"orders", dynamostore.TableOptions{Shards: -1}, "-1 shards"},
		"many shards":       {"orders", dynamostore.TableOptions{Shards: 65}, "65 shards"},
		"no capacity":       {"orders", dynamostore.TableOptions{Provisioned: &dynamostore.Capacity{Read: 5}}, "0 write"},
		"an unknown stream": {"orders", dynamostore.TableOptions{Stream: "EVERYTHING"}, `"EVERYTHING"`},
	} {
		err := dynamostore.CreateTable(ctx, client, test.table, test.options)
		if !errors.Is(err, eventsource.ErrMisconfigured) || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	for what, err := range map[string]error{
		"CreateTable": dynamostore.CreateTable(ctx, nil, "orders", dynamostore.TableOptions{}),
		"DeleteTable": dynamostore.DeleteTable(ctx, nil, "orders"),
		"CheckTable":  dynamostore.CheckTable(ctx, nil, "orders"),
	} {
		if !errors.Is(err, eventsource.ErrMisconfigured) {
			t.Errorf("%s without a client: error is %v", what, err)
		}
	}
}

func TestDeleteTable_refuses_events_unless_it_is_told_to_drop_them(t *testing.T) {
	client, ctx := testenv.DynamoDBClient(t), t.Context()
	table := newTable(t, dynamostore.TableOptions{})
	save(t, dynamostore.New(client, table), "a")
	err := dynamostore.DeleteTable(ctx, client, table)
	if !errors.Is(err, dynamostore.ErrHasEvents) || !strings.Contains(err.Error(), table) {
		t.Errorf("error is %v", err)
	}
	if err := dynamostore.DeleteTable(ctx, client, table, dynamostore.WithDropEvents()); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"DeleteTable": dynamostore.DeleteTable(ctx, client, table),
		"CheckTable":  dynamostore.CheckTable(ctx, client, table),
	} {
		if !errors.Is(err, dynamostore.ErrNoTable) {
			t.Errorf("%s of a table that is gone: error is %v", what, err)
		}
	}
	empty := newTable(t, dynamostore.TableOptions{Shards: 3})
	if err := dynamostore.DeleteTable(ctx, client, empty); err != nil {
		t.Error(err)
	}
}

func TestCreateTable_ends_with_its_context(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := dynamostore.CreateTable(ctx, testenv.DynamoDBClient(t), testenv.TableName(t), dynamostore.TableOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// A table that is made anew under its name while a process uses it must not get
// what the process knew of the old one.
func TestATableThatIsMadeAnewIsNotMistakenForTheOldOne(t *testing.T) {
	client, ctx := testenv.DynamoDBClient(t), t.Context()
	table := newTable(t, dynamostore.TableOptions{})
	store := dynamostore.New(client, table)
	save(t, store, "a", "a", "a")
	for _, shards := range []int{1, 4, 2} {
		if err := dynamostore.DeleteTable(ctx, client, table, dynamostore.WithDropEvents()); err != nil {
			t.Fatal(err)
		}
		if err := dynamostore.CreateTable(ctx, client, table, dynamostore.TableOptions{Shards: shards}); err != nil {
			t.Fatal(err)
		}
		// The first save may find out, and say so.
		if _, err := store.Append(ctx, eventsource.Record{AggregateID: "b", Type: "T"}); err != nil && !errors.Is(err, dynamostore.ErrLayout) {
			t.Errorf("%d shards: %v", shards, err)
		}
		save(t, store, "a", "a")
		records, err := store.LoadByAggregate(ctx, "a")
		if err != nil || len(records) != 2 || records[0].Version != 1 {
			t.Errorf("%d shards: the aggregate has %+v, %v", shards, records, err)
		}
		if feed, err := store.LoadBySequenceID(ctx, "", 0); err != nil || len(feed) < 2 || len(feed) > 3 {
			t.Errorf("%d shards: the feed has %+v, %v", shards, feed, err)
		}
	}
}

// save stores an event for each name of an aggregate, each by itself.
func save(t testing.TB, store *dynamostore.Store, aggregates ...string) (stored []eventsource.Record) {
	t.Helper()
	for _, id := range aggregates {
		records, err := store.Append(t.Context(), eventsource.Record{AggregateID: id, Type: "T"})
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, records...)
	}
	return stored
}
