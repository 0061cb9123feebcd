package dynamosnapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
)

// TableOptions say how [CreateTable] makes a table. The zero value is a table on demand.
type TableOptions struct {
	// Provisioned is the table's capacity. Defaults to nil, on demand.
	Provisioned *Capacity
	// DeletionProtection makes DynamoDB refuse to delete the table. Defaults to false.
	DeletionProtection bool
	// Tags are put on the table. Defaults to none.
	Tags map[string]string
}

// Capacity is provisioned throughput in capacity units per second.
type Capacity struct{ Read, Write int64 }

var tableKeys = dynamo.Keys(attrPK, attrSK)

// NewCreateTableInput returns the request with which [CreateTable] makes the table, to
// be looked at.
func NewCreateTableInput(name string, options TableOptions) (*dynamodb.CreateTableInput, error) {
	if err := dynamo.CheckTableName(name); err != nil {
		return nil, err
	}
	input := &dynamodb.CreateTableInput{TableName: &name, KeySchema: tableKeys, AttributeDefinitions: attributes(), BillingMode: types.BillingModePayPerRequest}
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

// attributes are those of the keys.
func attributes() (definitions []types.AttributeDefinition) {
	for _, name := range []string{attrPK, attrSK} {
		definitions = append(definitions, types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS})
	}
	return definitions
}

// CreateTable makes a table for snapshots, and waits until it can be used or ctx ends. A
// table that is there already is kept, if it is as this package makes it; otherwise the
// error is [ErrLayout] and says what is wrong.
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
	return CheckTable(ctx, client, name)
}

// CheckTable returns nil if the table can be used by [New]: [ErrNoTable] if it does not
// exist, [ErrLayout] if it has other keys. Indexes are no harm.
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
	is, should := dynamo.DescribeKeys(out.Table.KeySchema, out.Table.AttributeDefinitions), dynamo.DescribeKeys(tableKeys, attributes())
	if is != should {
		return fmt.Errorf("%w: table %q has the keys %s, not %s", ErrLayout, name, is, should)
	}
	return nil
}
