package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
)

func cancelled(codes ...string) error {
	err := &types.TransactionCanceledException{}
	for _, code := range codes {
		err.CancellationReasons = append(err.CancellationReasons, types.CancellationReason{Code: aws.String(code)})
	}
	return fmt.Errorf("wrapped: %w", err)
}

func TestBusyIsWhatAnotherTryMayEnd(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("no"), false},
		{&smithy.GenericAPIError{Code: "ThrottlingException"}, true},
		{&types.TransactionConflictException{}, true},
		{&types.ConditionalCheckFailedException{}, false},
		{cancelled(), false},
		{cancelled("None", "None"), false},
		{cancelled("None", "TransactionConflict"), true},
		{cancelled("ThrottlingError", "ProvisionedThroughputExceeded"), true},
		{cancelled("TransactionConflict", "ConditionalCheckFailed"), false},
		{cancelled("ValidationError"), false},
	} {
		if got := dynamo.Busy(test.err); got != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
}

func TestTransientIsWhatSaysNothingOfTheRequest(t *testing.T) {
	reset := &smithyhttp.RequestSendError{Err: &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{reset, true},
		{&smithy.DeserializationError{Err: io.ErrUnexpectedEOF}, true},
		{fmt.Errorf("%w: %w", context.Canceled, reset), false},
		{&types.ConditionalCheckFailedException{}, false},
		{errors.New("no"), false},
	} {
		if got := dynamo.Transient(test.err); got != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
}

// client has every request answered by a function.
func client(answer func() (int, string, error)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), Retryer: aws.NopRetryer{},
		HTTPClient: doer(func(*http.Request) (*http.Response, error) {
			status, body, err := answer()
			return &http.Response{
				StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(body)),
			}, err
		}),
	})
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestCallTriesAgainWhatMayPassAndNothingElse(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		code   string
		err    error
		want   int32 // requests
	}{
		"busy":        {400, "ThrottlingException", nil, 21}, // as long as it is
		"broken":      {0, "", io.ErrUnexpectedEOF, 4},
		"failed":      {500, "InternalServerError", nil, 4},
		"unreachable": {0, "", &net.OpError{Op: "dial", Err: errors.New("refused")}, 2},
		"refused":     {400, "ValidationException", nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			client := client(func() (int, string, error) {
				if requests.Add(1) > 20 {
					return 200, `{"TableNames":["t"]}`, nil
				}
				return test.status, fmt.Sprintf(`{"__type":%q}`, test.code), test.err
			})
			_, err := dynamo.Call(t.Context(), time.Minute, client.ListTables, &dynamodb.ListTablesInput{})
			if n := requests.Load(); n != test.want || (err == nil) != (test.want == 21) {
				t.Errorf("%d requests, error %v", n, err)
			}
		})
	}
}

func TestCallSaysWhatItWaitedForWhenItsContextEnds(t *testing.T) {
	var requests atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	client := client(func() (int, string, error) {
		if requests.Add(1) == 2 {
			cancel()
			return 0, "", ctx.Err() // the second request does not get an answer
		}
		return 400, `{"__type":"ThrottlingException"}`, nil
	})
	_, err := dynamo.Call(ctx, time.Minute, client.ListTables, &dynamodb.ListTablesInput{})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "ThrottlingException") {
		t.Errorf("error is %v", err)
	}
}

func TestInParallelGivesAnErrorAndDoesAll(t *testing.T) {
	var done atomic.Int32
	err := dynamo.InParallel(100, func(i int) error {
		done.Add(1)
		if i == 40 {
			return eventsource.ErrConflict
		}
		return nil
	})
	if !errors.Is(err, eventsource.ErrConflict) || done.Load() != 100 {
		t.Errorf("%d done, error %v", done.Load(), err)
	}
	if err := dynamo.InParallel(0, func(int) error { return eventsource.ErrConflict }); err != nil {
		t.Error(err)
	}
}
