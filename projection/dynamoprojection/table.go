package dynamoprojection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
)

// TableOptions say how [CreateTable] makes a table. The zero value is a table on
// demand, without backups.
type TableOptions struct {
	// Provisioned is the table's capacity. Defaults to nil, on demand.
	Provisioned *Capacity
	// PointInTimeRecovery switches continuous backups on. Defaults to false.
	PointInTimeRecovery bool
	// DeletionProtection makes DynamoDB refuse to delete the table. Defaults to false.
	DeletionProtection bool
	// Tags are put on the table. Defaults to none.
	Tags map[string]string
}

// Capacity is provisioned throughput in capacity units per second.
type Capacity struct{ Read, Write int64 }

var (
	keyAttributes = []string{attrPK, attrSK, attrAggregate, attrRequested}
	tableKeys     = dynamo.Keys(attrPK, attrSK)
	indexes       = []struct {
		name string
		keys []types.KeySchemaElement
	}{
		{aggregateIndex, dynamo.Keys(attrPK, attrAggregate)},
		{requestIndex, dynamo.Keys(attrPK, attrRequested)},
	}
)

// NewCreateTableInput returns the request with which [CreateTable] makes the table,
// to be looked at. Point-in-time recovery is switched on by another one.
func NewCreateTableInput(name string, options TableOptions) (*dynamodb.CreateTableInput, error) {
	if err := dynamo.CheckTableName(name); err != nil {
		return nil, err
	}
	input := &dynamodb.CreateTableInput{TableName: &name, KeySchema: tableKeys, AttributeDefinitions: attributes(), BillingMode: types.BillingModePayPerRequest}
	for _, index := range indexes {
		input.LocalSecondaryIndexes = append(input.LocalSecondaryIndexes, types.LocalSecondaryIndex{
			IndexName: &index.name, KeySchema: index.keys, Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		})
	}
	if p := options.Provisioned; p != nil {
		if p.Read < 1 || p.Write < 1 {
			return nil, fmt.Errorf("%w: provisioned capacity is %d read and %d write units, each has to be 1 or more", eventsource.ErrMisconfigured, p.Read, p.Write)
		}
		input.BillingMode = types.BillingModeProvisioned
		input.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: &p.Read, WriteCapacityUnits: &p.Write}
	}
	if options.DeletionProtection {
		input.DeletionProtectionEnabled = aws.Bool(true)
	}
	for _, key := range slices.Sorted(maps.Keys(options.Tags)) {
		input.Tags = append(input.Tags, types.Tag{Key: &key, Value: aws.String(options.Tags[key])})
	}
	return input, nil
}

// attributes are those of the keys of the table and its indexes.
func attributes() (definitions []types.AttributeDefinition) {
	for _, name := range keyAttributes {
		definitions = append(definitions, types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS})
	}
	return definitions
}

// CreateTable makes a table for checkpoints, and waits until it can be used or ctx
// ends. Any number of projections share one. A table that is there already is kept, if
// it is as this package makes it; otherwise the error is [ErrLayout] and says what is
// wrong. Of the options, only point-in-time recovery is switched on there.
func CreateTable(ctx context.Context, client *dynamodb.Client, name string, options TableOptions) error {
	input, err := NewCreateTableInput(name, options)
	if err != nil {
		return err
	}
	if client == nil {
		return errNoClient
	}
	var exists *types.ResourceInUseException
	if _, err := client.CreateTable(ctx, input); err != nil && !errors.As(err, &exists) {
		return translate(ctx, client, name, "create table", err)
	}
	if err := dynamo.WaitUntilActive(ctx, client, name); err != nil {
		return translate(ctx, client, name, "wait for the table to be active", err)
	}
	if err := CheckTable(ctx, client, name); err != nil || !options.PointInTimeRecovery {
		return err
	}
	if err := dynamo.SwitchRecoveryOn(ctx, client, name); err != nil {
		return translate(ctx, client, name, "switch point-in-time recovery on", err)
	}
	return nil
}

// CheckTable returns nil if the table can be used by [NewCheckpoints]: [ErrNoTable] if
// it does not exist, [ErrLayout] with a word on all that is wrong if it has other keys
// or indexes. More indexes are no harm.
func CheckTable(ctx context.Context, client *dynamodb.Client, name string) error {
	if err := dynamo.CheckTableName(name); err != nil {
		return err
	}
	if client == nil {
		return errNoClient
	}
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		return translate(ctx, client, name, "describe table", err)
	}
	if found := problems(out.Table); len(found) > 0 {
		return fmt.Errorf("%w: table %q: %s", ErrLayout, name, strings.Join(found, "; "))
	}
	return nil
}

// problems says what is not as this package makes it.
func problems(table *types.TableDescription) (found []string) {
	check := func(what string, got, want []types.KeySchemaElement) {
		is, should := dynamo.DescribeKeys(got, table.AttributeDefinitions), dynamo.DescribeKeys(want, attributes())
		if is != should {
			found = append(found, fmt.Sprintf("%s has the keys %s, not %s", what, is, should))
		}
	}
	check("the table", table.KeySchema, tableKeys)
	for _, want := range indexes {
		i := slices.IndexFunc(table.LocalSecondaryIndexes, func(got types.LocalSecondaryIndexDescription) bool {
			return aws.ToString(got.IndexName) == want.name
		})
		if i < 0 {
			found = append(found, fmt.Sprintf("the local secondary index %s is missing", want.name))
			continue
		}
		check("the index "+want.name, table.LocalSecondaryIndexes[i].KeySchema, want.keys)
	}
	return found
}
