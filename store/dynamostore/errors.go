package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/eventsource-go/eventsource"
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

// errorCode is the code of an error that AWS has answered, "" of any other.
func errorCode(err error) string {
	var apiErr smithy.APIError
	if errors.As(err, &apiErr) {
		return apiErr.ErrorCode()
	}
	return ""
}

// busy reports whether AWS asks for less, or for another try a little later.
// Nothing was carried out.
func busy(err error) bool {
	switch errorCode(err) {
	case "ThrottlingException", "Throttling", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
		"TooManyRequestsException", "TransactionConflictException", "TransactionInProgressException",
		"ReplicatedWriteConflictException":
		return true
	}
	return false
}

// transient reports whether another try may bring more: the connection broke, or
// the server failed.
func transient(err error) bool {
	var response *awshttp.ResponseError
	var send *smithyhttp.RequestSendError
	var garbled *smithy.DeserializationError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &garbled):
		return true
	case errors.As(err, &response):
		return response.HTTPStatusCode() >= 500 || errorCode(err) == ""
	}
	return errors.As(err, &send)
}

// unreachable reports whether there was no connection to send the request on.
func unreachable(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}

// decided reports whether the answer says that nothing was carried out.
func decided(err error) bool {
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() < 500 && errorCode(err) != ""
}

// reasons are why a transaction was cancelled, nil if err is of another kind.
func reasons(err error) []types.CancellationReason {
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		return canceled.CancellationReasons
	}
	return nil
}

// translate turns errors of the SDK into those that callers can act on.
func (s *Store) translate(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	return translate(ctx, s.client, s.table, doing, err)
}

// secrets are what the text of an error may tell: AWS answers a wrong signature with
// what it should have been made of, and the SDK shows what a credential_process printed.
var secrets = regexp.MustCompile(`(?is)(x-amz-security-token:|parse failed of process output:).*`)

// hushed is an error without the secrets in its text.
type hushed struct{ error }

func (h hushed) Error() string { return secrets.ReplaceAllString(h.error.Error(), "${1}xxxxx") }

func (h hushed) Unwrap() error { return h.error }

// hush hides the secrets in the text of an error. Those of the errors that it wraps
// are as they were.
func hush(err error) error {
	if err != nil && secrets.MatchString(err.Error()) {
		return hushed{err}
	}
	return err
}

func translate(ctx context.Context, client *dynamodb.Client, table, doing string, err error) error {
	for _, known := range []error{
		eventsource.ErrConflict, eventsource.ErrInvalidEvent, eventsource.ErrTooLarge, eventsource.ErrOutcomeUnknown,
		ErrLayout, ErrClockAhead, ErrIndexBehind, ErrNoTable, ErrAccess,
	} {
		if errors.Is(err, known) {
			return err // says it all
		}
	}
	err = hush(err)
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
	message := err.Error()
	var host *net.DNSError
	switch {
	case strings.Contains(message, "get credentials:"), strings.Contains(message, "refresh cached credentials"):
		return say(ErrAccess, "there are no credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "+
			"or give the machine a role; a session of single sign-on is renewed with aws sso login")
	case errorCode(err) == "" && strings.Contains(message, "service endpoint"), errors.As(err, &host):
		return say(ErrAccess, "the client has no region, or one that does not exist, or the endpoint does not: set AWS_REGION or Options.Region")
	}
	switch errorCode(err) {
	case "ResourceNotFoundException":
		return say(ErrNoTable, fmt.Sprintf("make it with dynamostore.CreateTable or eventsource dynamodb create-table --name %s, "+
			"or check the client's region, account and endpoint", table))
	case "ExpiredTokenException", "ExpiredToken":
		return say(ErrAccess, "the session token has expired: get new credentials, for instance with aws sso login")
	case "UnrecognizedClientException", "InvalidClientTokenId", "IncompleteSignature", "IncompleteSignatureException", "MissingAuthenticationToken",
		"MissingAuthenticationTokenException":
		return say(ErrAccess, "AWS does not know the credentials: check the access key and whether it is one of this partition and account")
	case "InvalidSignatureException", "SignatureDoesNotMatch":
		return say(ErrAccess, "the signature does not fit: check the secret key, the region (it has to be the endpoint's) and this machine's clock")
	case "AccessDeniedException", "AccessDenied":
		return say(ErrAccess, "the credentials do not allow it: see the policies in store/dynamostore/README.md")
	case "ValidationException":
		if strings.Contains(message, "specified index") {
			return say(ErrLayout, "an index is missing: dynamostore.CheckTable or eventsource dynamodb describe-table says which")
		}
		if strings.Contains(message, "key element") || strings.Contains(message, "key schema") || strings.Contains(message, "Query key condition") {
			return say(ErrLayout, "it has other keys: dynamostore.CheckTable or eventsource dynamodb describe-table says which")
		}
	}
	return fmt.Errorf("eventsource/dynamostore: %s: %s: %w", where, doing, err)
}
