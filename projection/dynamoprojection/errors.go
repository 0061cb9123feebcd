package dynamoprojection

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
	"github.com/eventsource-go/eventsource/projection"
)

// Errors of this package, beside those of package projection. They wrap the error of
// the AWS SDK, so that [errors.As] finds its types as well. What does not fit into a
// request or an item is [eventsource.ErrTooLarge].
var (
	// ErrNoTable is returned when the table does not exist in the client's account
	// and region. The error says how to make it.
	ErrNoTable = errors.New("eventsource/dynamoprojection: table does not exist")

	// ErrLayout is returned when the table, or an item in it, is not what this
	// package has made: other keys, a missing index, a missing attribute.
	ErrLayout = errors.New("eventsource/dynamoprojection: table is not as this package makes it")

	// ErrAccess is returned when AWS did not let the client in: there are no
	// credentials, they have expired or are wrong, or they do not allow the
	// operation. The error says what to do.
	ErrAccess = errors.New("eventsource/dynamoprojection: no access")
)

// translate turns errors of the SDK into those that callers can act on.
func (c *Checkpoints) translate(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	return translate(ctx, c.client, c.table, doing, err)
}

func translate(ctx context.Context, client *dynamodb.Client, table, doing string, err error) error {
	for _, known := range []error{
		projection.ErrStale, projection.ErrFenced, eventsource.ErrMisconfigured, eventsource.ErrTooLarge, ErrLayout, ErrNoTable, ErrAccess,
	} {
		if errors.Is(err, known) {
			return err // says it all
		}
	}
	err = dynamo.Hush(err)
	where := fmt.Sprintf("table %q in region %q: %s", table, client.Options().Region, doing)
	if ctx.Err() != nil {
		if !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return fmt.Errorf("eventsource/dynamoprojection: %s: %w", where, err)
	}
	if advice := dynamo.NoAccess(err, "projection/dynamoprojection/README.md"); advice != "" {
		return fmt.Errorf("%w: %s: %s: %w", ErrAccess, where, advice, err)
	}
	reason := refusal(err)
	switch {
	case dynamo.NoTable(err):
		return fmt.Errorf("%w: %s: make it with dynamoprojection.CreateTable or eventsource dynamodb create-table --projections --name %s, "+
			"or check the client's region, account and endpoint: %w", ErrNoTable, where, table, err)
	case dynamo.OtherKeys(err), strings.Contains(reason, "key element"):
		return fmt.Errorf("%w: %s: dynamoprojection.CheckTable says what is wrong: %w", ErrLayout, where, err)
	case strings.Contains(err.Error()+reason, "maximum allowed size"):
		return fmt.Errorf("%w: %s: %w", eventsource.ErrTooLarge, where, err)
	case reason != "":
		return fmt.Errorf("eventsource/dynamoprojection: %s: %s: %w", where, reason, err)
	}
	return fmt.Errorf("eventsource/dynamoprojection: %s: %w", where, err)
}

// refusal is what DynamoDB says of the item for which it refused a transaction, ""
// if it did not. The SDK's error has the code of it alone.
func refusal(err error) string {
	for _, reason := range dynamo.Reasons(err) {
		if aws.ToString(reason.Code) == "ValidationError" {
			return aws.ToString(reason.Message)
		}
	}
	return ""
}

// refused is an item whose condition did not hold.
type refused struct {
	// at is its place in the transaction.
	at int
	// item is as it was then, empty if there was none.
	item item
}

// conditionsFailed are the items whose conditions did not hold, none if err is of
// another kind.
func conditionsFailed(err error) (all []refused) {
	var one *types.ConditionalCheckFailedException
	if errors.As(err, &one) {
		return []refused{{item: one.Item}}
	}
	for i, reason := range dynamo.Reasons(err) {
		if aws.ToString(reason.Code) == "ConditionalCheckFailed" {
			all = append(all, refused{i, reason.Item})
		}
	}
	return all
}
