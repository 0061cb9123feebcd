package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
)

// ErrHasEvents is returned by [DeleteTable] for a table that holds events.
var ErrHasEvents = errors.New("eventsource/dynamostore: table holds events")

// TableOptions say how [CreateTable] makes a table. The zero value is a table with
// one shard, on demand, without backups.
type TableOptions struct {
	// Shards is how many chains of events the table has, up to [MaxShards]. The
	// saves of a shard follow one after the other; those of different shards do not
	// wait for each other, at the price of a write for each reader that comes to the
	// end and finds a shard without new events. It cannot be changed later. Defaults to 1.
	Shards int
	// Provisioned is the capacity of the table, and of each of its two indexes.
	// Defaults to nil, on demand.
	Provisioned *Capacity
	// PointInTimeRecovery switches continuous backups on. Defaults to false.
	PointInTimeRecovery bool
	// DeletionProtection makes DynamoDB refuse to delete the table. Defaults to false.
	DeletionProtection bool
	// Stream switches the table's stream on, and says what is in it. New images are
	// enough for events, since they never change. Defaults to "", no stream.
	Stream types.StreamViewType
	// Tags are put on the table. Defaults to none.
	Tags map[string]string
}

// Capacity is provisioned throughput in capacity units per second.
type Capacity struct{ Read, Write int64 }

// check refuses what cannot be.
func (o *TableOptions) check(name string) error {
	if err := dynamo.CheckTableName(name); err != nil {
		return err
	}
	switch {
	case o.Shards < 0 || o.Shards > MaxShards:
		return fmt.Errorf("%w: %d shards, there can be 1 to %d", eventsource.ErrMisconfigured, o.Shards, MaxShards)
	case o.Provisioned != nil && (o.Provisioned.Read < 1 || o.Provisioned.Write < 1):
		return fmt.Errorf("%w: provisioned capacity is %d read and %d write units, each has to be 1 or more",
			eventsource.ErrMisconfigured, o.Provisioned.Read, o.Provisioned.Write)
	case o.Stream != "" && !slices.Contains(o.Stream.Values(), o.Stream):
		return fmt.Errorf("%w: stream view %q is none of %v", eventsource.ErrMisconfigured, o.Stream, o.Stream.Values())
	}
	return nil
}

// NewCreateTableInput returns the request with which [CreateTable] makes the table,
// to be looked at. Point-in-time recovery is switched on by another one, and the
// shards are items in the table.
func NewCreateTableInput(name string, options TableOptions) (*dynamodb.CreateTableInput, error) {
	if err := options.check(name); err != nil {
		return nil, err
	}
	input := &dynamodb.CreateTableInput{
		TableName:             &name,
		KeySchema:             tableKeys,
		BillingMode:           types.BillingModePayPerRequest,
		ProvisionedThroughput: options.throughput(),
	}
	if options.Provisioned != nil {
		input.BillingMode = types.BillingModeProvisioned
	}
	for _, a := range keyAttributes {
		input.AttributeDefinitions = append(input.AttributeDefinitions, types.AttributeDefinition{AttributeName: &a.name, AttributeType: a.kind})
	}
	for _, index := range indexes {
		input.GlobalSecondaryIndexes = append(input.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: &index.name, KeySchema: index.keys,
			Projection:            &types.Projection{ProjectionType: types.ProjectionTypeAll},
			ProvisionedThroughput: options.throughput(),
		})
	}
	if options.DeletionProtection {
		input.DeletionProtectionEnabled = aws.Bool(true)
	}
	if options.Stream != "" {
		input.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: options.Stream}
	}
	for _, key := range slices.Sorted(maps.Keys(options.Tags)) {
		input.Tags = append(input.Tags, types.Tag{Key: &key, Value: aws.String(options.Tags[key])})
	}
	return input, nil
}

func (o *TableOptions) throughput() *types.ProvisionedThroughput {
	if o.Provisioned == nil {
		return nil
	}
	return &types.ProvisionedThroughput{ReadCapacityUnits: &o.Provisioned.Read, WriteCapacityUnits: &o.Provisioned.Write}
}

var (
	keyAttributes = []struct {
		name string
		kind types.ScalarAttributeType
	}{
		{attrAggregateID, types.ScalarAttributeTypeS},
		{attrVersion, types.ScalarAttributeTypeN},
		{attrShard, types.ScalarAttributeTypeN},
		{attrSequenceID, types.ScalarAttributeTypeS},
		{attrShardType, types.ScalarAttributeTypeS},
	}
	tableKeys = dynamo.Keys(attrAggregateID, attrVersion)
	indexes   = []struct {
		name string
		keys []types.KeySchemaElement
	}{
		{SequenceIndex, dynamo.Keys(attrShard, attrSequenceID)},
		{TypeIndex, dynamo.Keys(attrShardType, attrSequenceID)},
	}
)

// CreateTable makes a table for events, and waits until it can be used or ctx
// ends. A table that is there already is kept, if it is as this package makes it
// and has as many shards; otherwise the error is [ErrLayout] and says what is wrong.
// What it lacks it gets, so that CreateTable can be called again after a failure and
// on a table that another tool has made: the shards, if it has none yet, and
// point-in-time recovery, if that is asked for. The other options change nothing there.
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
	// The shards come first: without them, the first save would make one.
	if err := createShards(ctx, client, name, max(options.Shards, 1)); err != nil {
		return err
	}
	if options.PointInTimeRecovery {
		return translate(ctx, client, name, "switch point-in-time recovery on", dynamo.SwitchRecoveryOn(ctx, client, name))
	}
	return nil
}

// createShards gives a table its shards, unless it has them.
func createShards(ctx context.Context, client *dynamodb.Client, name string, shards int) error {
	description, err := DescribeTable(ctx, client, name)
	if err == nil && len(description.Problems) == 0 && description.Shards == 0 {
		if err := initialise(ctx, client, name, shards); err != nil {
			return translate(ctx, client, name, "create the heads of the shards", err)
		}
		description, err = DescribeTable(ctx, client, name)
	}
	if err != nil {
		return err
	}
	if len(description.Problems) == 0 && description.Shards != shards {
		description.Problems = []string{fmt.Sprintf("it has %d shards, not %d", description.Shards, shards)}
	}
	return description.check()
}

// DeleteOption is an option of [DeleteTable].
type DeleteOption func(*deleteConfig)

type deleteConfig struct{ dropEvents bool }

// WithDropEvents deletes the table with all its events. Defaults to refusing that.
func WithDropEvents() DeleteOption { return func(c *deleteConfig) { c.dropEvents = true } }

// DeleteTable deletes a table, and waits until it is gone or ctx ends. One that
// holds events is refused with [ErrHasEvents], unless [WithDropEvents] is given;
// one that does not exist with [ErrNoTable]; and one with deletion protection by
// DynamoDB.
func DeleteTable(ctx context.Context, client *dynamodb.Client, name string, opts ...DeleteOption) error {
	var config deleteConfig
	for _, opt := range opts {
		if opt != nil {
			opt(&config)
		}
	}
	description, err := DescribeTable(ctx, client, name)
	if err != nil {
		return err
	}
	if !config.dropEvents {
		if err := description.check(); err != nil {
			return fmt.Errorf("not deleted: %w", err) // it may hold anything
		}
		if description.Head != "" {
			return fmt.Errorf("%w: table %q, up to %s: not deleted", ErrHasEvents, name, description.Head)
		}
	}
	if _, err := client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
		return translate(ctx, client, name, "delete table", err)
	}
	for wait := dynamo.NewBackoff(); ; {
		_, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
		var gone *types.ResourceNotFoundException
		if errors.As(err, &gone) {
			return nil
		}
		if err == nil {
			err = wait.Wait(ctx)
		}
		if err != nil {
			return translate(ctx, client, name, "wait for the table to be gone", err)
		}
	}
}

// TableDescription is what [DescribeTable] finds.
type TableDescription struct {
	// Name and ARN name the table.
	Name, ARN string
	// Status is DynamoDB's, such as ACTIVE.
	Status types.TableStatus
	// Created is when the table was made.
	Created time.Time
	// Shards is how many shards the table has, 0 if it was made by another tool and
	// has not been used, or is not there yet. The first save then gives it one.
	Shards int
	// Head is the last event's sequence ID, "" if there is none.
	Head string
	// Types are the names of the event types that the table has, sorted.
	Types []string
	// Provisioned is the table's capacity, nil if it is on demand.
	Provisioned *Capacity
	// PointInTimeRecovery reports whether there are continuous backups. It is nil
	// where the server or the credentials do not allow to ask.
	PointInTimeRecovery *bool
	// DeletionProtection reports whether DynamoDB refuses to delete the table.
	DeletionProtection bool
	// Stream is what the table's stream shows, "" if there is none, and StreamARN its name.
	Stream    types.StreamViewType
	StreamARN string
	// Items and Bytes are the table's size, which DynamoDB counts about every six hours.
	Items, Bytes int64
	// Problems say what is not as this package makes it.
	Problems []string
}

// check is nil, or [ErrLayout] with the problems.
func (d *TableDescription) check() error {
	if len(d.Problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: table %q: %s", ErrLayout, d.Name, strings.Join(d.Problems, "; "))
}

// CheckTable returns nil if the table can be used by [New]: [ErrNoTable] if it
// does not exist, [ErrLayout] with a word on all that is wrong if it has other keys
// or indexes.
func CheckTable(ctx context.Context, client *dynamodb.Client, name string) error {
	description, err := DescribeTable(ctx, client, name)
	if err != nil {
		return err
	}
	return description.check()
}

// DescribeTable looks at a table. One that does not exist is [ErrNoTable]; what is
// not as it should be is in [TableDescription].Problems.
func DescribeTable(ctx context.Context, client *dynamodb.Client, name string) (TableDescription, error) {
	if err := dynamo.CheckTableName(name); err != nil {
		return TableDescription{}, err
	}
	if client == nil {
		return TableDescription{}, errNoClient
	}
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		return TableDescription{}, translate(ctx, client, name, "describe table", err)
	}
	table := out.Table
	d := TableDescription{
		Name: name, ARN: aws.ToString(table.TableArn), Status: table.TableStatus, Created: aws.ToTime(table.CreationDateTime),
		DeletionProtection: aws.ToBool(table.DeletionProtectionEnabled),
		Items:              aws.ToInt64(table.ItemCount), Bytes: aws.ToInt64(table.TableSizeBytes),
		Problems: problems(table),
	}
	onDemand := table.BillingModeSummary != nil && table.BillingModeSummary.BillingMode == types.BillingModePayPerRequest
	if t := table.ProvisionedThroughput; t != nil && !onDemand {
		d.Provisioned = &Capacity{Read: aws.ToInt64(t.ReadCapacityUnits), Write: aws.ToInt64(t.WriteCapacityUnits)}
	}
	if stream := table.StreamSpecification; stream != nil && aws.ToBool(stream.StreamEnabled) {
		d.Stream, d.StreamARN = stream.StreamViewType, aws.ToString(table.LatestStreamArn)
	}
	d.PointInTimeRecovery = recovery(ctx, client, name)
	if len(d.Problems) > 0 || d.Status == types.TableStatusCreating || d.Status == types.TableStatusDeleting {
		return d, nil
	}
	return d, d.addHeads(ctx, client)
}

// recovery reports whether there are continuous backups, nil if that cannot be told.
func recovery(ctx context.Context, client *dynamodb.Client, name string) *bool {
	out, err := client.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &name})
	if err != nil || out.ContinuousBackupsDescription == nil || out.ContinuousBackupsDescription.PointInTimeRecoveryDescription == nil {
		return nil
	}
	status := out.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus
	return aws.Bool(status == types.PointInTimeRecoveryStatusEnabled)
}

// addHeads adds what the heads say.
func (d *TableDescription) addHeads(ctx context.Context, client *dynamodb.Client) error {
	heads, err := New(client, d.Name).readHeads(ctx, true)
	if errors.Is(err, ErrLayout) {
		d.Problems = append(d.Problems, strings.TrimPrefix(err.Error(), ErrLayout.Error()+": "))
		return nil
	}
	if err != nil {
		return translate(ctx, client, d.Name, "read heads", err)
	}
	d.Shards = len(heads)
	names := map[string]bool{}
	for _, h := range heads {
		d.Head = max(d.Head, h.last)
		for name := range h.types {
			names[name] = true
		}
	}
	d.Types = slices.Sorted(maps.Keys(names))
	return nil
}

// problems says what is not as this package makes it. More indexes are no harm.
func problems(table *types.TableDescription) []string {
	var found []string
	kinds := map[string]types.ScalarAttributeType{}
	for _, a := range table.AttributeDefinitions {
		kinds[aws.ToString(a.AttributeName)] = a.AttributeType
	}
	describe := func(keys []types.KeySchemaElement) string {
		var parts []string
		for _, key := range keys {
			name := aws.ToString(key.AttributeName)
			parts = append(parts, fmt.Sprintf("%s %s (%s)", key.KeyType, name, kinds[name]))
		}
		return strings.Join(parts, ", ")
	}
	check := func(what string, got, want []types.KeySchemaElement) {
		var wanted []string
		for _, key := range want {
			for _, a := range keyAttributes {
				if a.name == *key.AttributeName {
					wanted = append(wanted, fmt.Sprintf("%s %s (%s)", key.KeyType, a.name, a.kind))
				}
			}
		}
		if is, should := describe(got), strings.Join(wanted, ", "); is != should {
			found = append(found, fmt.Sprintf("%s has the keys %s, not %s", what, is, should))
		}
	}
	check("the table", table.KeySchema, tableKeys)
	for _, want := range indexes {
		i := slices.IndexFunc(table.GlobalSecondaryIndexes, func(got types.GlobalSecondaryIndexDescription) bool {
			return aws.ToString(got.IndexName) == want.name
		})
		if i < 0 {
			found = append(found, fmt.Sprintf("the global secondary index %s is missing", want.name))
			continue
		}
		got := table.GlobalSecondaryIndexes[i]
		check("the index "+want.name, got.KeySchema, want.keys)
		if got.Projection == nil || got.Projection.ProjectionType != types.ProjectionTypeAll {
			found = append(found, fmt.Sprintf("the index %s does not project all attributes", want.name))
		}
	}
	return found
}
