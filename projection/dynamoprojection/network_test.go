package dynamoprojection_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
)

// Operations of DynamoDB.
const (
	update   = "UpdateItem"
	transact = "TransactWriteItems"
	batch    = "BatchWriteItem"
	query    = "Query"
)

// fate is what happens to a request. Anything else than these is the code with which
// it is refused, or with "cancelled:" before it the reason why a transaction is.
type fate string

const (
	served fate = ""
	// lost is carried out, and the answer does not come.
	lost fate = "lost"
	// broken is not carried out: there is no connection.
	broken fate = "broken"
	// silent is not carried out, and there is no answer until nobody waits for it.
	silent fate = "silent"
	// forgotten is carried out as if the server did not know the token of an earlier
	// attempt any more.
	forgotten fate = "forgotten"
	// partly is carried out for the first item of a batch, and the answer says so.
	partly fate = "partly"
)

// document is the JSON of a request or an answer.
type document map[string]json.RawMessage

// network stands between checkpoints and DynamoDB.
type network struct {
	mu sync.Mutex
	// script decides what happens to the nth request of an operation, from 1.
	script func(operation string, n int, request document) fate
	met    map[string]int // how many requests there were of each operation
}

// through returns checkpoints on a table whose requests go through a network.
func through(t testing.TB, table string, script func(operation string, n int, request document) fate, opts ...dynamoprojection.Option) (*dynamoprojection.Checkpoints, *network) {
	client, n := clientThrough(t, script)
	return dynamoprojection.NewCheckpoints(client, table, opts...), n
}

func clientThrough(t testing.TB, script func(operation string, n int, request document) fate) (*dynamodb.Client, *network) {
	n := &network{met: map[string]int{}, script: script}
	client := testenv.DynamoDBClient(t, func(o *dynamodb.Options) {
		inner := o.HTTPClient
		o.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) { return n.roundTrip(inner, r) })}
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return rand.N(5 * time.Millisecond), nil })
			o.RateLimiter = ratelimit.None // it gives up where there are many faults
		})
	})
	return client, n
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// requests is how many there were of an operation.
func (n *network) requests(operation string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.met[operation]
}

func (n *network) roundTrip(inner dynamodb.HTTPClient, r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	var request document
	if err := errors.Join(err, json.Unmarshal(body, &request)); err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	n.mu.Lock()
	n.met[operation]++
	count := n.met[operation]
	n.mu.Unlock()
	what := served
	if n.script != nil {
		what = n.script(operation, count, request)
	}
	switch what {
	case served:
	case broken:
		return nil, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	case silent:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case forgotten:
		request["ClientRequestToken"] = json.RawMessage(fmt.Sprintf("%q", fmt.Sprint(rand.Int64())))
		body, _ = json.Marshal(request)
	case partly:
		body = firstOf(request)
	case lost:
	default:
		return refusal(what, request), nil
	}
	clone := r.Clone(r.Context())
	clone.Body, clone.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	response, err := inner.Do(clone)
	switch {
	case err != nil:
		return nil, err
	case what == lost:
		return nil, errors.Join(io.ErrUnexpectedEOF, response.Body.Close())
	case what == partly:
		return reply(http.StatusOK, fmt.Sprintf(`{"UnprocessedItems":%s}`, request["RequestItems"])), response.Body.Close()
	}
	return response, nil
}

// firstOf is the request for the first item of a batch. The others stay in request.
func firstOf(request document) (body []byte) {
	var tables map[string][]json.RawMessage
	_ = json.Unmarshal(request["RequestItems"], &tables)
	rest := map[string][]json.RawMessage{}
	for name, items := range tables {
		tables[name] = items[:1]
		if len(items) > 1 {
			rest[name] = items[1:]
		}
	}
	request["RequestItems"], _ = json.Marshal(tables)
	body, _ = json.Marshal(request)
	request["RequestItems"], _ = json.Marshal(rest)
	return body
}

func refusal(what fate, request document) *http.Response {
	code, body := string(what), ""
	if reason, ok := strings.CutPrefix(code, "cancelled:"); ok {
		var items []json.RawMessage
		_ = json.Unmarshal(request["TransactItems"], &items)
		body = fmt.Sprintf(`,"CancellationReasons":[%s{"Code":%q}]`, strings.Repeat(`{"Code":"None"},`, len(items)-1), reason)
		code = "TransactionCanceledException"
	}
	return reply(http.StatusBadRequest, fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"as the test has it"%s}`, code, body))
}

func reply(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}
