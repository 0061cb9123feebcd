package dynamoprojection_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
)

func TestATableHasTheSettingsThatWereAskedFor(t *testing.T) {
	t.Parallel()
	client, table := testenv.DynamoDBClient(t), testenv.TableName(t)
	options := dynamoprojection.TableOptions{
		Provisioned: &dynamoprojection.Capacity{Read: 7, Write: 8}, DeletionProtection: true, Tags: map[string]string{"team": "shop", "a": "b"},
	}
	input, err := dynamoprojection.NewCreateTableInput(table, options)
	if err != nil || len(input.Tags) != 2 || *input.Tags[0].Key != "a" || *input.Tags[1].Value != "shop" {
		t.Errorf("request is %+v, error %v", input, err)
	}
	for range 2 { // one that is there is kept
		if err := dynamoprojection.CreateTable(t.Context(), client, table, options); err != nil {
			t.Fatal(err)
		}
	}
	if err := dynamoprojection.CheckTable(t.Context(), client, table); err != nil {
		t.Error(err)
	}
	found, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	if p := found.Table.ProvisionedThroughput; *p.ReadCapacityUnits != 7 || *p.WriteCapacityUnits != 8 || !aws.ToBool(found.Table.DeletionProtectionEnabled) {
		t.Errorf("table is %+v", found.Table)
	}
}

// An index that is on another attribute would leave events out.
func TestATableWithOtherIndexesIsRefused(t *testing.T) {
	t.Parallel()
	client, table := testenv.DynamoDBClient(t), testenv.TableName(t)
	input, err := dynamoprojection.NewCreateTableInput(table, dynamoprojection.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	input.LocalSecondaryIndexes[0].IndexName = aws.String("another")
	input.LocalSecondaryIndexes[1].KeySchema = input.LocalSecondaryIndexes[0].KeySchema
	input.AttributeDefinitions = input.AttributeDefinitions[:3]
	if _, err := client.CreateTable(t.Context(), input); err != nil {
		t.Fatal(err)
	}
	want(t, "CheckTable", dynamoprojection.CheckTable(t.Context(), client, table), dynamoprojection.ErrLayout,
		"by_aggregate is missing", "by_request has the keys HASH pk (S), RANGE aggregate (S), not HASH pk (S), RANGE requested (S)")
}

func TestWhatATableCannotBeIsRefusedByName(t *testing.T) {
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1"})
	for name, test := range map[string]struct {
		table    string
		options  dynamoprojection.TableOptions
		mentions string
	}{
		"a short name": {"ab", dynamoprojection.TableOptions{}, `"ab"`},
		"no capacity":  {"projections", dynamoprojection.TableOptions{Provisioned: &dynamoprojection.Capacity{Read: 5}}, "0 write"},
	} {
		want(t, name, dynamoprojection.CreateTable(t.Context(), client, test.table, test.options), eventsource.ErrMisconfigured, test.mentions)
	}
	want(t, "CheckTable", dynamoprojection.CheckTable(t.Context(), client, "a b"), eventsource.ErrMisconfigured, `"a b"`)
	want(t, "CreateTable without a client", dynamoprojection.CreateTable(t.Context(), nil, "projections", dynamoprojection.TableOptions{}), eventsource.ErrMisconfigured)
	want(t, "CheckTable without a client", dynamoprojection.CheckTable(t.Context(), nil, "projections"), eventsource.ErrMisconfigured)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, "CreateTable", dynamoprojection.CreateTable(ctx, client, "projections", dynamoprojection.TableOptions{}), context.Canceled)
}

func TestTheREADMEsTablesAreThoseOfThePackage(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	input, err := dynamoprojection.NewCreateTableInput("projections", dynamoprojection.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(readme)), " ")
	var parts []string
	for _, a := range input.AttributeDefinitions {
		parts = append(parts, `attribute { name = "`+*a.AttributeName+`" type = "`+string(a.AttributeType)+`" }`,
			`{AttributeName: `+*a.AttributeName+`, AttributeType: `+string(a.AttributeType)+`}`)
	}
	for _, index := range input.LocalSecondaryIndexes {
		parts = append(parts, `local_secondary_index { name = "`+*index.IndexName+`" range_key = "`+*index.KeySchema[1].AttributeName+`" projection_type = "KEYS_ONLY" }`,
			`IndexName: `+*index.IndexName+` KeySchema: - {AttributeName: pk, KeyType: HASH} - {AttributeName: `+*index.KeySchema[1].AttributeName+`, KeyType: RANGE} Projection: {ProjectionType: KEYS_ONLY}`)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the README does not have %s", part)
		}
	}
}

// A new table refuses it for a while.
func TestPointInTimeRecoveryIsAskedForUntilTheTableTakesIt(t *testing.T) {
	t.Parallel()
	const recovery = "UpdateContinuousBackups"
	client, network := clientThrough(t, func(op string, n int, _ document) fate {
		switch {
		case op == recovery && n < 3:
			return "ContinuousBackupsUnavailableException"
		case op == recovery:
			return "AccessDeniedException"
		}
		return served
	})
	table := testenv.TableName(t)
	err := dynamoprojection.CreateTable(t.Context(), client, table, dynamoprojection.TableOptions{PointInTimeRecovery: true})
	want(t, "CreateTable", err, dynamoprojection.ErrAccess, "switch point-in-time recovery on")
	if n := network.requests(recovery); n != 3 {
		t.Errorf("%d requests", n)
	}
}
