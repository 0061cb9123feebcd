package dynamo

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
)

var tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

// CheckTableName refuses what DynamoDB would refuse, but for ARNs, which name
// tables of other accounts.
func CheckTableName(name string) error {
	if !tableName.MatchString(name) && !strings.HasPrefix(name, "arn:") {
		return fmt.Errorf("%w: table name %q: it has to be 3 to 255 letters, digits, '_', '-' and '.'", eventsource.ErrMisconfigured, name)
	}
	return nil
}

// Keys is the key schema of a partition key and a sort key.
func Keys(partition, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &partition, KeyType: types.KeyTypeHash},
		{AttributeName: &sort, KeyType: types.KeyTypeRange},
	}
}

// DescribeKeys puts a key schema into words, with the types of the attributes.
func DescribeKeys(keys []types.KeySchemaElement, attributes []types.AttributeDefinition) string {
	var parts []string
	for _, key := range keys {
		name, kind := aws.ToString(key.AttributeName), types.ScalarAttributeType("")
		for _, a := range attributes {
			if aws.ToString(a.AttributeName) == name {
				kind = a.AttributeType
			}
		}
		parts = append(parts, fmt.Sprintf("%s %s (%s)", key.KeyType, name, kind))
	}
	return strings.Join(parts, ", ")
}

// WaitUntilActive waits for a table that is being made, and its indexes.
func WaitUntilActive(ctx context.Context, client *dynamodb.Client, name string) error {
	for wait := NewBackoff(); ; {
		out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
		switch {
		case NoTable(err): // not everybody knows yet
		case err != nil:
			return err
		case active(out.Table):
			return nil
		}
		if err := wait.Wait(ctx); err != nil {
			return err
		}
	}
}

func active(table *types.TableDescription) bool {
	return table.TableStatus == types.TableStatusActive &&
		!slices.ContainsFunc(table.GlobalSecondaryIndexes, func(index types.GlobalSecondaryIndexDescription) bool {
			return index.IndexStatus != types.IndexStatusActive
		})
}

// SwitchRecoveryOn switches point-in-time recovery on. A new table refuses it for
// a while.
func SwitchRecoveryOn(ctx context.Context, client *dynamodb.Client, name string) error {
	for wait := NewBackoff(); ; {
		_, err := client.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
			TableName:                        &name,
			PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)},
		})
		var notYet *types.ContinuousBackupsUnavailableException
		if err == nil || !errors.As(err, &notYet) {
			return err
		}
		if err := wait.Wait(ctx); err != nil {
			return err
		}
	}
}
