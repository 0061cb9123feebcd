package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
)

// Errors of this store, beside those of package eventsource. They wrap the error
// of the AWS SDK, so that [errors.As] finds its types as well.
var (
	// ErrNoTable is returned when the table does not exist in the client's account
	// and region. The error says how to make it.
	ErrNoTable = errors.New("eventsource/dynamostore: table does not exist")

	// ErrLayout is returned when the table, or an item in it, is not what this
	// package has made: other keys, a missing index, a missing attribute.
	ErrLayout = errors.New("eventsource/dynamostore: table is not as this package makes it")

	// ErrAccess is returned when AWS did not let the client in: there are no
	// credentials, they have expired or are wrong, or they do not allow the
	// operation. The error says what to do.
	ErrAccess = errors.New("eventsource/dynamostore: no access")

	// ErrClockAhead is returned when this process's clock is ahead of DynamoDB's by
	// more than [WithMaxClockAhead]. The details are in a [ClockAheadError].
	ErrClockAhead = errors.New("eventsource/dynamostore: clock is ahead of the server's")

	// ErrIndexBehind is returned when an index does not show an event which, as the
	// events around it prove, was stored: in an ascending query more than a minute
	// ago, by the time in its sequence ID. The index is throttled, or the event's item
	// was deleted. The details are in an [IndexBehindError].
	ErrIndexBehind = errors.New("eventsource/dynamostore: index does not show an event that was stored")
)

// ClockAheadError says by how much. It unwraps to [ErrClockAhead].
type ClockAheadError struct {
	// Ahead is by how much this process's clock was ahead, Bound how much is allowed.
	Ahead, Bound time.Duration
}

func (e *ClockAheadError) Error() string {
	return fmt.Sprintf("%v by %v, the bound is %v", ErrClockAhead, e.Ahead, e.Bound)
}

// Unwrap returns [ErrClockAhead].
func (e *ClockAheadError) Unwrap() error { return ErrClockAhead }

// IndexBehindError says what is missing. It unwraps to [ErrIndexBehind].
type IndexBehindError struct {
	// Index is the name of the index.
	Index string
	// SequenceID is an event that it does not show. There may be more before it.
	SequenceID string
}

func (e *IndexBehindError) Error() string {
	return fmt.Sprintf("%v: %s does not show %s: the index may be throttled (see its WriteThrottleEvents), or an item was deleted",
		ErrIndexBehind, e.Index, e.SequenceID)
}

// Unwrap returns [ErrIndexBehind].
func (e *IndexBehindError) Unwrap() error { return ErrIndexBehind }

// decided reports whether the answer says that nothing was carried out.
func decided(err error) bool {
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() < 500 && dynamo.ErrorCode(err) != ""
}

// translate turns errors of the SDK into those that callers can act on.
func (s *Store) translate(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	return translate(ctx, s.client, s.table, doing, err)
}

func translate(ctx context.Context, client *dynamodb.Client, table, doing string, err error) error {
	for _, known := range []error{
		eventsource.ErrConflict, eventsource.ErrTaken, eventsource.ErrInvalidEvent, eventsource.ErrTooLarge, eventsource.ErrOutcomeUnknown,
		ErrLayout, ErrClockAhead, ErrIndexBehind, ErrNoTable, ErrAccess,
	} {
		if errors.Is(err, known) {
			return err // says it all
		}
	}
	err = dynamo.Hush(err)
	where := fmt.Sprintf("table %q in region %q", table, client.Options().Region)
	say := func(sentinel error, advice string) error {
		return fmt.Errorf("%w: %s: %s: %s: %w", sentinel, where, doing, advice, err)
	}
	if ctx.Err() != nil {
		if errors.Is(err, ctx.Err()) {
			return fmt.Errorf("eventsource/dynamostore: %s: %w", doing, err)
		}
		return fmt.Errorf("eventsource/dynamostore: %s: %w: %w", doing, ctx.Err(), err)
	}
	if advice := dynamo.NoAccess(err, "store/dynamostore/README.md"); advice != "" {
		return say(ErrAccess, advice)
	}
	switch {
	case dynamo.NoTable(err):
		return say(ErrNoTable, fmt.Sprintf("make it with dynamostore.CreateTable or eventsource dynamodb create-table --name %s, "+
			"or check the client's region, account and endpoint", table))
	case dynamo.MissingIndex(err):
		return say(ErrLayout, "an index is missing: dynamostore.CheckTable or eventsource dynamodb describe-table says which")
	case dynamo.OtherKeys(err):
		return say(ErrLayout, "it has other keys: dynamostore.CheckTable or eventsource dynamodb describe-table says which")
	}
	return fmt.Errorf("eventsource/dynamostore: %s: %s: %w", where, doing, err)
}
