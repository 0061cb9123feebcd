package dynamo

import (
	"context"
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ErrorCode is the code of an error that AWS has answered, "" of any other.
func ErrorCode(err error) string {
	var apiErr smithy.APIError
	if errors.As(err, &apiErr) {
		return apiErr.ErrorCode()
	}
	return ""
}

// Busy reports whether AWS asks for less, or for another try a little later.
// Nothing was carried out.
func Busy(err error) bool {
	switch ErrorCode(err) {
	case "ThrottlingException", "Throttling", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
		"TooManyRequestsException", "TransactionConflictException", "TransactionInProgressException",
		"ReplicatedWriteConflictException":
		return true
	}
	codes := reasonCodes(err)
	return len(codes) > 0 && !slices.ContainsFunc(codes, func(code string) bool {
		return code != "TransactionConflict" && code != "ThrottlingError" && code != "ProvisionedThroughputExceeded"
	})
}

// Reasons are why a transaction was cancelled, nil if err is of another kind.
func Reasons(err error) []types.CancellationReason {
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		return canceled.CancellationReasons
	}
	return nil
}

// reasonCodes are the codes of the reasons that are ones.
func reasonCodes(err error) (codes []string) {
	for _, reason := range Reasons(err) {
		if code := aws.ToString(reason.Code); code != "" && code != "None" {
			codes = append(codes, code)
		}
	}
	return codes
}

// Transient reports whether another try may bring more: the connection broke, or
// the server failed.
func Transient(err error) bool {
	var response *awshttp.ResponseError
	var send *smithyhttp.RequestSendError
	var garbled *smithy.DeserializationError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &garbled):
		return true
	case errors.As(err, &response):
		return response.HTTPStatusCode() >= 500 || ErrorCode(err) == ""
	}
	return errors.As(err, &send)
}

// Unreachable reports whether there was no connection to send the request on.
func Unreachable(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}

// secrets are what the text of an error may tell: AWS answers a wrong signature with
// what it should have been made of, and the SDK shows what a credential_process printed.
var secrets = regexp.MustCompile(`(?is)(x-amz-security-token:|parse failed of process output:).*`)

// hushed is an error without the secrets in its text.
type hushed struct{ error }

func (h hushed) Error() string { return secrets.ReplaceAllString(h.error.Error(), "${1}xxxxx") }

func (h hushed) Unwrap() error { return h.error }

// Hush hides the secrets in the text of an error. Those of the errors that it wraps
// are as they were.
func Hush(err error) error {
	if err != nil && secrets.MatchString(err.Error()) {
		return hushed{err}
	}
	return err
}

// NoAccess says what to do about an error of a client that AWS did not let in, ""
// about any other. policies says where to find those that a client needs.
func NoAccess(err error, policies string) (advice string) {
	message := err.Error()
	var host *net.DNSError
	switch {
	case strings.Contains(message, "get credentials:"), strings.Contains(message, "refresh cached credentials"):
		return "there are no credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, " +
			"or give the machine a role; a session of single sign-on is renewed with aws sso login"
	case ErrorCode(err) == "" && strings.Contains(message, "service endpoint"), errors.As(err, &host):
		return "the client has no region, or one that does not exist, or the endpoint does not: set AWS_REGION or Options.Region"
	}
	switch ErrorCode(err) {
	case "ExpiredTokenException", "ExpiredToken":
		return "the session token has expired: get new credentials, for instance with aws sso login"
	case "UnrecognizedClientException", "InvalidClientTokenId", "IncompleteSignature", "IncompleteSignatureException", "MissingAuthenticationToken",
		"MissingAuthenticationTokenException":
		return "AWS does not know the credentials: check the access key and whether it is one of this partition and account"
	case "InvalidSignatureException", "SignatureDoesNotMatch":
		return "the signature does not fit: check the secret key, the region (it has to be the endpoint's) and this machine's clock"
	case "AccessDeniedException", "AccessDenied":
		return "the credentials do not allow it: see the policies in " + policies
	}
	return ""
}

// NoTable reports whether the table does not exist.
func NoTable(err error) bool { return ErrorCode(err) == "ResourceNotFoundException" }

// OtherKeys reports whether a request did not fit the table's keys or its indexes.
func OtherKeys(err error) bool {
	if ErrorCode(err) != "ValidationException" {
		return false
	}
	message := err.Error()
	return slices.ContainsFunc([]string{
		"specified index", "key element", "key schema", "Query key condition", "conditions on the keys", "required keys", "Missing the key",
	}, func(part string) bool { return strings.Contains(message, part) })
}

// MissingIndex reports whether a request named an index that the table does not have.
func MissingIndex(err error) bool {
	return ErrorCode(err) == "ValidationException" && strings.Contains(err.Error(), "specified index")
}
