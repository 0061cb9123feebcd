package dynamostore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// seedVariable holds the seed of the networks of a test, which is logged. The
// requests of concurrent calls come in any order, so the same seed gives the same
// faults, but not to the same requests.
const seedVariable = "EVENTSOURCE_TEST_SEED"

// faults say what a [network] does. All but delay are probabilities.
type faults struct {
	// Of each request.
	refused   float64 // it is not sent: there is no connection, or it breaks at once
	busy      float64 // the answer asks for another try, and nothing was carried out
	failed    float64 // the answer is an internal error, and nobody knows
	dropped   float64 // it is carried out, and the answer is lost
	truncated float64 // the same, in the middle of the answer
	lingering float64 // of writes: it is carried out a while after its sender lost the connection
	// Of transactions: the server has forgotten their tokens, as it does in time.
	forgotten float64
	// Of queries.
	torn  float64 // the page has fewer items
	empty float64 // the page has none, and is not the last one
	// delay is the longest time after which an index shows an item.
	delay time.Duration
}

// moderate is some of everything.
var moderate = faults{
	refused: 0.01, busy: 0.02, failed: 0.01, dropped: 0.02, truncated: 0.01, lingering: 0.01, forgotten: 0.3,
	torn: 0.1, empty: 0.02, delay: 10 * time.Millisecond,
}

// fate is what happens to a request.
type fate string

const (
	served    fate = "served"
	refused   fate = "refused"
	busy      fate = "busy"
	failed    fate = "failed"
	dropped   fate = "dropped"
	truncated fate = "truncated"
	lingering fate = "lingering"
)

// network stands between stores and DynamoDB, and shows what the local server is
// too kind for: indexes that are eventually consistent, short pages, overload, and
// connections that break. The stores of one table share it.
type network struct {
	mu     sync.Mutex
	random *rand.Rand
	faults faults
	// script decides the fate of a request, but for those that it returns "" for, and
	// may hold it. Defaults to nil.
	script func(operation string, request document) fate
	// hidden is the sequence ID of an event that no index shows.
	hidden string
	// shows is when the replicas of an index begin to show an item: some time after
	// the first of them was asked for it.
	shows map[showing][replicas]time.Time
	// met is how many requests had which fate.
	met map[fate]int
	// closed is true when no more requests may linger, which are in background.
	closed     bool
	background sync.WaitGroup
}

// replicas is how many of each index there are. An answer comes from any of them.
const replicas = 2

// showing is an item in an index.
type showing struct{ index, aggregate, version string }

// newNetwork returns a network for the stores of one table. When the test ends, it
// waits for requests that linger, so it has to be made after the table.
func newNetwork(t testing.TB, f faults) *network {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	n := &network{
		random: rand.New(rand.NewPCG(seed, 0)), faults: f,
		shows: make(map[showing][replicas]time.Time), met: make(map[fate]int),
	}
	t.Cleanup(func() {
		n.settle()
		n.mu.Lock()
		defer n.mu.Unlock()
		t.Logf("requests: %v", n.met)
	})
	return n
}

// set changes the network.
func (n *network) set(change func(*network)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// heal ends all faults. Indexes show everything from here on.
func (n *network) heal() {
	n.set(func(n *network) {
		n.faults, n.script, n.hidden = faults{}, nil, ""
		clear(n.shows)
	})
}

// settle waits until no request lingers. None will from here on.
func (n *network) settle() {
	n.set(func(n *network) { n.closed = true })
	n.background.Wait()
}

// attach makes a client's requests go through the network. It tries them as often
// as by default, but does not wait as long in between.
func (n *network) attach(o *dynamodb.Options) {
	inner := o.HTTPClient
	o.HTTPClient = &http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
		return n.roundTrip(inner, request)
	})}
	hurry(o)
}

// hurry shortens the waits between a client's tries from seconds to milliseconds.
func hurry(o *dynamodb.Options) {
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) {
			return rand.N(10 * time.Millisecond), nil
		})
		o.RateLimiter = ratelimit.None // it gives up where there are this many faults
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// chance is true with a probability.
func (n *network) chance(probability float64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.random.Float64() < probability
}

// between is a random number from low to high.
func (n *network) between(low, high int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return low + n.random.IntN(high-low+1)
}

// fate decides what happens to a request.
func (n *network) fate(operation string, request document) (what fate) {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer func() { n.met[what]++ }()
	if script := n.script; script != nil {
		n.mu.Unlock()
		what = script(operation, request)
		n.mu.Lock()
		if what != "" {
			return what
		}
	}
	f, draw := &n.faults, n.random.Float64()
	for _, possible := range []struct {
		probability float64
		what        fate
	}{{f.refused, refused}, {f.busy, busy}, {f.failed, failed}, {f.dropped, dropped}, {f.truncated, truncated}, {f.lingering, lingering}} {
		if draw -= possible.probability; draw >= 0 {
			continue
		}
		if possible.what == lingering && operation != transact && operation != update {
			break
		}
		return possible.what
	}
	return served
}

const (
	query    = "Query"
	transact = "TransactWriteItems"
	update   = "UpdateItem"
	get      = "GetItem"
)

// document is the JSON of a request or an answer.
type document map[string]json.RawMessage

// exchange is a request on its way.
type exchange struct {
	network   *network
	inner     dynamodb.HTTPClient
	http      *http.Request
	operation string
	request   document
}

func (n *network) roundTrip(inner dynamodb.HTTPClient, r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	x := &exchange{network: n, inner: inner, http: r, operation: operation}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = errors.Join(r.Body.Close(), json.Unmarshal(body, &x.request))
	}
	if err != nil {
		return nil, err
	}
	what := n.fate(operation, x.request)
	switch what {
	case refused:
		if n.chance(0.5) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		return nil, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	case busy:
		return x.busy(), nil
	case lingering:
		x.linger()
		return nil, lost(n)
	case failed:
		if n.chance(0.5) {
			if _, err := x.serve(r.Context()); err != nil {
				return nil, err
			}
		}
		return reply(http.StatusInternalServerError, document{"__type": quoted("com.amazonaws.dynamodb.v20120810#InternalServerError")}), nil
	}
	response, err := x.serve(r.Context())
	switch {
	case err != nil:
		return nil, err
	case what == dropped:
		return nil, errors.Join(lost(n), response.Body.Close())
	case what == truncated:
		return n.truncate(response)
	}
	return response, nil
}

// lost is the error of a connection that breaks while an answer is waited for.
func lost(n *network) error {
	if n.chance(0.5) {
		return io.ErrUnexpectedEOF
	}
	return &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
}

// truncate ends the body somewhere, as a connection does that breaks.
func (n *network) truncate(response *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	part := bytes.NewReader(body[:n.between(0, len(body)-1)])
	response.Body = io.NopCloser(io.MultiReader(part, broken{}))
	return response, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// linger carries the request out later, whatever becomes of its sender.
func (x *exchange) linger() {
	n := x.network
	wait := time.Duration(n.between(50, 200)) * time.Millisecond
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	ctx := context.WithoutCancel(x.http.Context())
	n.background.Go(func() {
		time.Sleep(wait)
		if response, err := x.serve(ctx); err == nil {
			_ = response.Body.Close()
		}
	})
}

// busy is an answer that asks for another try.
func (x *exchange) busy() *http.Response {
	codes := []string{"com.amazon.coral.availability#ThrottlingException", "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}
	switch x.operation {
	case update:
		codes = append(codes, "com.amazonaws.dynamodb.v20120810#TransactionConflictException")
	case transact:
		const canceled = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
		codes = append(codes, canceled, canceled, canceled)
	}
	code := codes[x.network.between(0, len(codes)-1)]
	body := document{"__type": quoted(code), "Message": quoted("as the test has it")}
	if strings.HasSuffix(code, "#TransactionCanceledException") {
		body["CancellationReasons"] = x.reasons()
	}
	return reply(http.StatusBadRequest, body)
}

// reasons are why a transaction is cancelled: one or some of its items.
func (x *exchange) reasons() json.RawMessage {
	var items []json.RawMessage
	_ = json.Unmarshal(x.request["TransactItems"], &items)
	reasons := make([]map[string]string, len(items))
	guilty := x.network.between(0, len(items)-1)
	for i := range reasons {
		reasons[i] = map[string]string{"Code": "None"}
		if i == guilty || x.network.chance(0.1) {
			code := [...]string{"TransactionConflict", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}[x.network.between(0, 3)]
			reasons[i] = map[string]string{"Code": code, "Message": "as the test has it"}
		}
	}
	return encoded(reasons)
}

// serve carries the request out.
func (x *exchange) serve(ctx context.Context) (*http.Response, error) {
	n := x.network
	n.mu.Lock()
	f := n.faults
	n.mu.Unlock()
	switch {
	case x.operation == transact && n.chance(f.forgotten):
		return x.send(ctx, x.request.with("ClientRequestToken", quoted(fmt.Sprint("forgotten ", n.between(0, 1<<53)))))
	case x.operation == query:
		return x.serveQuery(ctx, f)
	}
	return x.send(ctx, x.request)
}

// serveQuery gives a page that may be short, and of an index what the replica that
// it comes from shows.
func (x *exchange) serveQuery(ctx context.Context, f faults) (*http.Response, error) {
	n := x.network
	if n.chance(f.empty) {
		if page, err := x.emptyPage(ctx); page != nil || err != nil {
			return page, err
		}
	}
	limit := number(x.request["Limit"])
	if n.chance(f.torn) {
		limit = n.between(1, max(min(limit, 20), 2)) // at most 20, and at most one more than was asked for
		if asked := number(x.request["Limit"]); asked > 0 {
			limit = min(limit, asked)
		}
	}
	index := x.request["IndexName"]
	if index == nil {
		request := x.request
		if limit > 0 {
			request = request.with("Limit", encoded(limit))
		}
		return x.send(ctx, request)
	}
	return x.indexPage(ctx, string(index), limit, f.delay)
}

// emptyPage is a page without items that begins where the request does, and says
// that there is more. It is nil where such a page cannot be.
func (x *exchange) emptyPage(ctx context.Context) (*http.Response, error) {
	at := x.request["ExclusiveStartKey"]
	condition := x.request["KeyConditionExpression"]
	if at == nil && (bytes.Contains(condition, []byte("= :at")) || bytes.Contains(condition, []byte("BETWEEN"))) {
		return nil, nil // the first item may be at the very bound, and the server refuses a key beyond it
	}
	if at == nil {
		first, _, err := x.ask(ctx, x.request.with("Limit", encoded(1)))
		if err != nil || first["LastEvaluatedKey"] == nil {
			return nil, err
		}
		at = x.justBefore(first["LastEvaluatedKey"])
	}
	return reply(http.StatusOK, document{"Items": encoded([]int{}), "Count": encoded(0), "ScannedCount": encoded(0), "LastEvaluatedKey": at}), nil
}

// justBefore is a key at which a query finds the item with the given key first.
func (x *exchange) justBefore(key json.RawMessage) json.RawMessage {
	var attributes map[string]map[string]string
	_ = json.Unmarshal(key, &attributes)
	descending := string(x.request["ScanIndexForward"]) == "false"
	switch {
	case x.request["IndexName"] == nil && descending:
		attributes["version"]["N"] += ".5"
	case x.request["IndexName"] == nil:
		version, _ := strconv.Atoi(attributes["version"]["N"])
		attributes["version"]["N"] = fmt.Sprint(version-1, ".5")
	default:
		id := []byte(attributes["sequence_id"]["S"])
		id[len(id)-1]--
		attributes["sequence_id"]["S"] = string(id) + "~"
	}
	return encoded(attributes)
}

// indexPage is a page of what one replica of an index shows by now.
func (x *exchange) indexPage(ctx context.Context, index string, limit int, delay time.Duration) (*http.Response, error) {
	request := x.request
	if limit > 0 {
		request = request.with("Limit", encoded(limit+20)) // to fill up with what comes after hidden ones
	}
	page, response, err := x.ask(ctx, request)
	if err != nil || page["Items"] == nil {
		return response, err
	}
	var items []document
	if err := json.Unmarshal(page["Items"], &items); err != nil {
		return nil, err
	}
	visible := x.network.shown(index, items, delay)
	if len(visible) == len(items) && (limit == 0 || len(items) < limit) {
		return response, nil
	}
	if limit > 0 && len(visible) >= limit {
		visible = visible[:limit]
		page["LastEvaluatedKey"] = indexKey(index, visible[limit-1]) // a full page always has one
	}
	page["Items"], page["Count"], page["ScannedCount"] = encoded(visible), encoded(len(visible)), encoded(len(visible))
	return reply(http.StatusOK, page), nil
}

// shown are the items that one replica of the index shows.
func (n *network) shown(index string, items []document, delay time.Duration) []document {
	n.mu.Lock()
	defer n.mu.Unlock()
	visible := make([]document, 0, len(items))
	now, replica := time.Now(), n.random.IntN(replicas)
	for _, item := range items {
		key := showing{index: index, aggregate: string(item["aggregate_id"]), version: string(item["version"])}
		from, met := n.shows[key]
		if !met {
			for i := range from {
				from[i] = now.Add(time.Duration(n.random.Float64() * float64(delay)))
			}
			n.shows[key] = from
		}
		hidden := n.hidden != "" && strings.Contains(string(item["sequence_id"]), n.hidden)
		if !hidden && !now.Before(from[replica]) {
			visible = append(visible, item)
		}
	}
	return visible
}

// indexKey is the key of an item in an index.
func indexKey(index string, item document) json.RawMessage {
	key := document{}
	names := []string{"aggregate_id", "version", "sequence_id", "shard"}
	if index == `"by_type"` {
		names[3] = "shard_type"
	}
	for _, name := range names {
		key[name] = item[name]
	}
	return encoded(key)
}

// ask sends a request and reads the answer, which can be read again.
func (x *exchange) ask(ctx context.Context, request document) (document, *http.Response, error) {
	response, err := x.send(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	var page document
	return page, response, json.Unmarshal(body, &page)
}

// send sends a request to the server, and returns when it has answered.
func (x *exchange) send(ctx context.Context, request document) (*http.Response, error) {
	body := encoded(request)
	r := x.http.Clone(ctx)
	r.Body, r.ContentLength, r.RequestURI = io.NopCloser(bytes.NewReader(body)), int64(len(body)), ""
	response, err := x.inner.Do(r)
	if err != nil {
		return nil, err
	}
	answered, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(answered))
	return response, nil
}

// reply is an answer that the server did not give.
func reply(status int, body document) *http.Response {
	encoded := encoded(body)
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type": {"application/x-amz-json-1.0"}, "Date": {time.Now().UTC().Format(http.TimeFormat)},
			"X-Amzn-Requestid": {"made by the test"},
		},
		Body: io.NopCloser(bytes.NewReader(encoded)), ContentLength: int64(len(encoded)),
	}
}

// with returns a copy with one more value, or another one.
func (d document) with(name string, value json.RawMessage) document {
	changed := maps.Clone(d)
	changed[name] = value
	return changed
}

func encoded(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // the values of this file have no such
	}
	return text
}

func quoted(text string) json.RawMessage { return encoded(text) }

func number(text json.RawMessage) int {
	n, _ := strconv.Atoi(string(text))
	return n
}
