package dynamostore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// says is an answer with a text.
func says(status int, text string) roundTripper {
	return func(request *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Request: request, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
			Body: io.NopCloser(strings.NewReader(text)),
		}, nil
	}
}

func refuses(code string) roundTripper {
	return says(http.StatusBadRequest, fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"no"}`, code))
}

func TestSecretsAreInNoErrorAndNoLog(t *testing.T) {
	secret := credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "hush/secret+key", "hush/session+token")
	for name, test := range map[string]struct {
		endpoint string
		through  roundTripper
		want     string // in every error
	}{
		"a wrong signature":              {"", refuses("InvalidSignatureException"), "signature"},
		"an unknown key":                 {"", refuses("UnrecognizedClientException"), "access key"},
		"an expired token":               {"", refuses("ExpiredTokenException"), "expired"},
		"no permission":                  {"", refuses("AccessDeniedException"), "policies"},
		"no table":                       {"", refuses("ResourceNotFoundException"), "create-table"},
		"a request that was not valid":   {"", refuses("ValidationException"), "ValidationException"},
		"an answer of something else":    {"", says(http.StatusOK, "<html>"), "deserialization failed"},
		"a proxy's answer":               {"", says(http.StatusProxyAuthRequired, ""), "407"},
		"nobody there":                   {"http://127.0.0.1:1", nil, "127.0.0.1:1"},
		"a password in the endpoint":     {"http://user:hushhush@127.0.0.1:1", nil, "127.0.0.1:1"},
		"a password that must be quoted": {"http://user:hush%2F%40%20hush@127.0.0.1:1", nil, "127.0.0.1:1"},
		"an endpoint of another kind":    {"ftp://user:hushhush@127.0.0.1:1", nil, "unsupported protocol scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			options := dynamodb.Options{Region: "eu-west-1", Credentials: secret, Retryer: aws.NopRetryer{}}
			if test.endpoint != "" {
				options.BaseEndpoint = &test.endpoint
			}
			if test.through != nil {
				options.HTTPClient = &http.Client{Transport: test.through}
			}
			checkHush(t.Context(), t, dynamodb.New(options), test.want)
		})
	}
	t.Run("what AWS should have been sent", func(t *testing.T) {
		echoes := roundTripper(func(request *http.Request) (*http.Response, error) {
			return says(http.StatusBadRequest, fmt.Sprintf(`{"__type":"com.amazon.coral.service#InvalidSignatureException","message":`+
				`"The Canonical String for this request should have been\n'POST\n/\n\nhost:h\nx-amz-security-token:%s\n'"}`,
				request.Header.Get("X-Amz-Security-Token")))(request)
		})
		checkHush(t.Context(), t, dynamodb.New(dynamodb.Options{Region: "eu-west-1", Credentials: secret, Retryer: aws.NopRetryer{},
			HTTPClient: &http.Client{Transport: echoes}}), "the signature does not fit")
	})
	t.Run("what a process printed", func(t *testing.T) {
		prints := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			return processcreds.NewProviderCommand(processcreds.NewCommandBuilderFunc(func(ctx context.Context) (*exec.Cmd, error) {
				return exec.CommandContext(ctx, "echo", `{"Version":1,"SecretAccessKey":"hush`), nil
			})).Retrieve(ctx)
		})
		checkHush(t.Context(), t, dynamodb.New(dynamodb.Options{Region: "eu-west-1", Credentials: prints, Retryer: aws.NopRetryer{}}), "no credentials")
	})
	t.Run("a context that has ended", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		endless := roundTripper(func(request *http.Request) (*http.Response, error) {
			<-request.Context().Done()
			return nil, fmt.Errorf("sent to %s: %w", request.URL, request.Context().Err())
		})
		checkHush(ctx, t, dynamodb.New(dynamodb.Options{Region: "eu-west-1", Credentials: secret, HTTPClient: &http.Client{Transport: endless}}), "deadline exceeded")
	})
}

// checkHush makes every call with a client that gets nowhere, and looks for its
// secrets in what is said of that.
func checkHush(ctx context.Context, t *testing.T, client *dynamodb.Client, want string) {
	t.Helper()
	store := dynamostore.New(client, "orders")
	errs := everyCall(ctx, store)
	delete(errs, "Watch") // it only fails when the context has ended
	errs["CreateTable"] = dynamostore.CreateTable(ctx, client, "orders", dynamostore.TableOptions{})
	errs["CheckTable"] = dynamostore.CheckTable(ctx, client, "orders")
	var log bytes.Buffer
	for call, err := range errs {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, without %q", call, err, want)
		}
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(handler).Error("failed", "error", err)
		}
		fmt.Fprintf(&log, "%v %+v %q\n", err, err, err)
	}
	if strings.Contains(strings.ToLower(log.String()), "hush") {
		t.Errorf("a secret is shown: %s", log.String())
	}
}

func TestTheCauseOfAnUnknownOutcomeShowsNoSecret(t *testing.T) {
	table := newTable(t, dynamostore.TableOptions{})
	var sent atomic.Bool
	client := testenv.DynamoDBClient(t, func(o *dynamodb.Options) {
		server := o.HTTPClient
		o.Credentials = credentials.NewStaticCredentialsProvider("test", "test", "hush/session+token")
		o.Retryer = aws.NopRetryer{}
		o.HTTPClient = &http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
			if strings.HasSuffix(request.Header.Get("X-Amz-Target"), ".TransactWriteItems") {
				sent.Store(true)
				return nil, errors.New("connection reset")
			}
			if sent.Load() { // the credentials were replaced meanwhile
				return says(http.StatusBadRequest, fmt.Sprintf(`{"__type":"com.amazon.coral.service#InvalidSignatureException","message":`+
					`"should have been\nx-amz-security-token:%s\n"}`, request.Header.Get("X-Amz-Security-Token")))(request)
			}
			return server.Do(request)
		})}
	})
	store := dynamostore.New(client, table, dynamostore.WithOutcomeTimeout(300*time.Millisecond))
	var err error
	for range 20 { // the time for the look-up may end before it gets an answer
		sent.Store(false)
		_, err = store.Append(t.Context(), happened("a"))
		if err == nil || strings.Contains(err.Error(), "InvalidSignature") {
			break
		}
	}
	if !errors.Is(err, eventsource.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "InvalidSignature") {
		t.Fatalf("got %v, want an unknown outcome, and why it could not be looked up", err)
	}
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("the token is in the error: %v", err)
	}
}
