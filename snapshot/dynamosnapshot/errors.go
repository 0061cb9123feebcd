package dynamosnapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
)

// Errors of this package, beside those of packages snapshot and eventsource. They wrap
// the error of the AWS SDK, so that [errors.As] finds its types as well.
var (
	// ErrNoTable is returned when the table does not exist in the client's account
	// and region. The error says how to make it.
	ErrNoTable = errors.New("eventsource/dynamosnapshot: table does not exist")

	// ErrLayout is returned when the table, or an item in it, is not what this
	// package has made: other keys, a missing attribute.
	ErrLayout = errors.New("eventsource/dynamosnapshot: table is not as this package makes it")

	// ErrAccess is returned when AWS did not let the client in: there are no
	// credentials, they have expired or are wrong, or they do not allow the
	// operation. The error says what to do.
	ErrAccess = errors.New("eventsource/dynamosnapshot: no access")
)

// translate turns errors of the SDK into those that callers can act on.
func (s *Store) translate(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	return translate(ctx, s.client, s.table, doing, err)
}

func translate(ctx context.Context, client *dynamodb.Client, table, doing string, err error) error {
	if errors.Is(err, ErrLayout) || errors.Is(err, eventsource.ErrMisconfigured) {
		return err // says it all
	}
	err = dynamo.Hush(err)
	where := fmt.Sprintf("table %q in region %q: %s", table, client.Options().Region, doing)
	if ctx.Err() != nil {
		if !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return fmt.Errorf("eventsource/dynamosnapshot: %s: %w", where, err)
	}
	if advice := dynamo.NoAccess(err, "snapshot/dynamosnapshot/README.md"); advice != "" {
		return fmt.Errorf("%w: %s: %s: %w", ErrAccess, where, advice, err)
	}
	switch {
	case dynamo.NoTable(err):
		return fmt.Errorf("%w: %s: make it with dynamosnapshot.CreateTable, or check the client's region, account and endpoint: %w", ErrNoTable, where, err)
	case dynamo.OtherKeys(err):
		return fmt.Errorf("%w: %s: dynamosnapshot.CheckTable says what is wrong: %w", ErrLayout, where, err)
	}
	return fmt.Errorf("eventsource/dynamosnapshot: %s: %w", where, err)
}
