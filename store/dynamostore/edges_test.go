package dynamostore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// packet is a request on its way to the server.
type packet struct {
	ctx             context.Context
	operation, body string
	// pass lets it through, and late also when nobody waits for it any more.
	pass, late func() (*http.Response, error)
}

// has reports whether the request has the string as a value.
func (p packet) has(value string) bool { return strings.Contains(p.body, `"`+value+`"`) }

// wire is between clients and the server. Unlike a [network] it leaves to the test
// what becomes of a request, also after the server has answered it.
type wire struct {
	mu      sync.Mutex
	carrier func(packet) (*http.Response, error)
}

// carry sets what carries requests from now on; nil is what lets all through.
func (w *wire) carry(carrier func(packet) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.carrier = carrier
}

// attach makes a client's requests go over the wire.
func (w *wire) attach(o *dynamodb.Options) {
	inner := o.HTTPClient
	o.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return nil, err
		}
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		send := func(ctx context.Context) (*http.Response, error) {
			again := r.Clone(ctx)
			again.Body = io.NopCloser(bytes.NewReader(body))
			return inner.Do(again)
		}
		pass := func() (*http.Response, error) { return send(r.Context()) }
		late := func() (*http.Response, error) { return send(context.WithoutCancel(r.Context())) }
		w.mu.Lock()
		carrier := w.carrier
		w.mu.Unlock()
		if carrier == nil {
			return pass()
		}
		return carrier(packet{ctx: r.Context(), operation: operation, body: string(body), pass: pass, late: late})
	})}
	hurry(o)
}

// wired opens a store over a wire, and saves an event through it.
func wired(t *testing.T, opts ...dynamostore.Option) (w *wire, store, other *dynamostore.Store) {
	t.Helper()
	table := newTable(t, dynamostore.TableOptions{})
	w = new(wire)
	store = dynamostore.New(testenv.DynamoDBClient(t, w.attach), table, opts...)
	save(t, store, "warm up")
	return w, store, direct(t, table)
}

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// lose carries a request out, and loses the answer.
func (p packet) lose() (*http.Response, error) {
	response, err := p.pass()
	if err == nil {
		_ = response.Body.Close()
	}
	return nil, errReset
}

func throttle() *http.Response {
	return reply(http.StatusBadRequest, document{
		"__type": quoted("com.amazonaws.dynamodb.v20120810#ThrottlingException"), "message": quoted("slow down"),
	})
}

// gate holds requests.
type gate struct{ reached, opened chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}, 100), make(chan struct{})} }

// hold returns when the gate is open, or nobody waits for the request any more.
func (g *gate) hold(p packet) error {
	g.reached <- struct{}{}
	select {
	case <-g.opened:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// patience is for what must not take long. It is less than the least time after
// which a store gives an attempt up by itself.
const patience = 5 * time.Second

// soon waits for what must not take long.
func soon[T any](t *testing.T, what string, c <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
	}
	return value
}

// result is what a save has returned.
type result struct {
	records []eventsource.Record
	err     error
}

// saving begins a save.
func saving(ctx context.Context, store *dynamostore.Store, records ...eventsource.Record) <-chan result {
	c := make(chan result, 1)
	go func() {
		records, err := store.Append(ctx, records...)
		c <- result{records, err}
	}()
	return c
}

// joining begins a save for which nothing has to be read, and returns when it is in
// the queue.
func joining(ctx context.Context, t *testing.T, store *dynamostore.Store, record eventsource.Record) <-chan result {
	t.Helper()
	queued := make(chan struct{})
	c := saving(&queuing{Context: ctx, queued: queued}, store, record)
	soon(t, "a save joins the queue", queued)
	return c
}

// inShard is an aggregate of one of two shards.
func inShard(shard uint32) string {
	for i := 0; ; i++ {
		id := fmt.Sprint("aggregate ", i)
		h := fnv.New32a()
		_, _ = h.Write([]byte(id))
		if h.Sum32()%2 == shard {
			return id
		}
	}
}

// A reader by timestamp begins where the head of each shard says that the first such
// event can be. The heads are not read at one moment: what is saved in between to the
// shard that was read first is after its head, and before the end of the other.
func TestAReaderByTimestampMissesNothingSavedBetweenItsReadsOfTheHeads(t *testing.T) {
	t.Parallel()
	low, high := inShard(0), inShard(1)
	for name, read := range map[string]func(context.Context, *dynamostore.Store, int64) ([]eventsource.Record, error){
		"ascending": func(ctx context.Context, store *dynamostore.Store, from int64) ([]eventsource.Record, error) {
			return collected(ctx, store, eventsource.Query{From: from})
		},
		"descending": func(ctx context.Context, store *dynamostore.Store, from int64) ([]eventsource.Record, error) {
			records, err := collected(ctx, store, eventsource.Query{From: from, Descending: true})
			slices.Reverse(records)
			return records, err
		},
		"LoadByTimestamp": func(ctx context.Context, store *dynamostore.Store, from int64) ([]eventsource.Record, error) {
			return store.LoadByTimestamp(ctx, from-1, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := newTable(t, dynamostore.TableOptions{Shards: 2})
			began := time.Now()
			var ticks atomic.Int64 // so that each save has a later time
			writer := dynamostore.New(testenv.DynamoDBClient(t), table, dynamostore.WithClock(func() time.Time {
				return began.Add(time.Duration(ticks.Add(1)) * time.Millisecond)
			}))
			// The shard that is read first only has an event that was imported: its
			// timestamp is far behind its sequence ID, so the head says that those with
			// the timestamps that are asked for come ten years later.
			imported := happened(low)
			imported.Timestamp = began.AddDate(-10, 0, 0).UnixNano()
			if _, err := writer.Append(t.Context(), imported); err != nil {
				t.Fatal(err)
			}
			want := save(t, writer, high)

			w, meanwhile := new(wire), make(chan result, 1)
			reader := dynamostore.New(testenv.DynamoDBClient(t, w.attach), table)
			if _, err := reader.Horizon(t.Context()); err != nil { // it knows that there are two shards from then on
				t.Fatal(err)
			}
			saved := make(chan struct{})
			var once sync.Once
			w.carry(func(p packet) (*http.Response, error) {
				switch {
				case p.operation == get && p.has("eventsource:head:0"):
					response, err := p.pass()
					once.Do(func() {
						var both result
						for _, id := range []string{low, high} {
							records, err := writer.Append(t.Context(), happened(id))
							both.records, both.err = append(both.records, records...), errors.Join(both.err, err)
						}
						meanwhile <- both
						close(saved)
					})
					return response, err
				case p.operation == get && p.has("eventsource:head:1"):
					select {
					case <-saved:
					case <-p.ctx.Done():
						return nil, p.ctx.Err()
					}
				}
				return p.pass()
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := read(ctx, reader, began.UnixNano())
			if err != nil {
				t.Fatal(err)
			}
			both := soon(t, "the saves between the reads", meanwhile)
			if both.err != nil {
				t.Fatal(both.err)
			}
			if want = append(want, both.records...); !slices.Equal(sequenceIDs(got), sequenceIDs(want)) {
				t.Errorf("%q were given, want %q", sequenceIDs(got), sequenceIDs(want))
			}
		})
	}
}

// collected are the records of a query.
func collected(ctx context.Context, store *dynamostore.Store, q eventsource.Query) (records []eventsource.Record, err error) {
	for record, err := range store.Query(ctx, q) {
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

func sequenceIDs(records []eventsource.Record) (ids []string) {
	for i := range records {
		ids = append(ids, records[i].SequenceID)
	}
	return ids
}

// The first attempt is carried out, and its answer is lost. By the next one DynamoDB
// has forgotten it, so its conditions fail: one of several saves may be the reason,
// but it may also be the first attempt, and nobody can be asked.
func TestASaveWhoseOutcomeIsUnknownIsNotSavedAgain(t *testing.T) {
	t.Parallel()
	w, store, other := wired(t, dynamostore.WithOutcomeTimeout(outcomeTimeout))
	ids := []string{"one", "two"}
	save(t, store, ids...)
	holder := newGate()
	var attempts atomic.Int32
	w.carry(func(p packet) (*http.Response, error) {
		switch {
		case p.operation == transact && p.has("holder"):
			if err := holder.hold(p); err != nil {
				return nil, err
			}
		case p.operation == transact && p.has("one") && p.has("two"):
			if attempts.Add(1) == 1 {
				return p.lose()
			}
			failed := map[string]string{"Code": "ConditionalCheckFailed"}
			return reply(http.StatusBadRequest, document{
				"__type":              quoted("com.amazonaws.dynamodb.v20120810#TransactionCanceledException"),
				"CancellationReasons": encoded([]map[string]string{failed, failed, failed}),
			}), nil
		case p.operation == get && strings.Contains(p.body, "ProjectionExpression"): // the look-up
			return nil, errReset
		}
		return p.pass()
	})
	held := saving(t.Context(), store, first("holder"))
	soon(t, "a save is on its way", holder.reached)
	var results []<-chan result
	for _, id := range ids {
		results = append(results, joining(t.Context(), t, store, happened(id)))
	}
	close(holder.opened)
	if r := soon(t, "the save before", held); r.err != nil {
		t.Error(r.err)
	}
	for i, id := range ids {
		r := soon(t, "a save whose outcome is unknown", results[i])
		var unknown *eventsource.OutcomeUnknownError
		if !errors.Is(r.err, eventsource.ErrOutcomeUnknown) || !errors.As(r.err, &unknown) {
			t.Errorf("%s: error is %v", id, r.err)
		} else if !slices.Equal(unknown.AggregateIDs, []string{id}) {
			t.Errorf("%s: the error names %q", id, unknown.AggregateIDs)
		}
		wantVersions(t, other, id, 2) // one of before, and one now
	}
	if n := attempts.Load(); n < 2 {
		t.Errorf("the two saves had %d attempts together, so nothing was tested", n)
	}
}

func TestVersionsOfALoadBeforeTheFirstSaveDoNotSurviveATableMadeAnew(t *testing.T) {
	t.Parallel()
	client, ctx := testenv.DynamoDBClient(t), t.Context()
	table := newTable(t, dynamostore.TableOptions{})
	save(t, direct(t, table), "a", "a", "a")
	store := dynamostore.New(client, table)
	wantVersions(t, store, "a", 3) // it has seen no head, so it cannot tell of which table that is
	if err := dynamostore.DeleteTable(ctx, client, table, dynamostore.WithDropEvents()); err != nil {
		t.Fatal(err)
	}
	if err := dynamostore.CreateTable(ctx, client, table, dynamostore.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	if stored := save(t, store, "a"); stored[0].Version != 1 {
		t.Errorf("the first event of the aggregate has version %d", stored[0].Version)
	}
}

// headItem reads the head of a shard, as it is in the table.
func headItem(t *testing.T, client *dynamodb.Client, table string, shard int) map[string]types.AttributeValue {
	t.Helper()
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &table, ConsistentRead: aws.Bool(true),
		Key: key(fmt.Sprint("eventsource:head:", shard), 0),
	})
	if err != nil || len(out.Item) == 0 {
		t.Fatalf("head of shard %d: %v", shard, err)
	}
	return out.Item
}

func key(aggregateID string, version int) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"aggregate_id": textValue(aggregateID), "version": numberValue(version)}
}

func textValue(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func numberValue(n int) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

func putItem(t *testing.T, client *dynamodb.Client, table string, item map[string]types.AttributeValue) {
	t.Helper()
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
		t.Fatal(err)
	}
}

// A table that is restored under its name has its old table_id, and heads that are
// lower than those that a process remembers.
func TestSavesGoOnInATableThatWasRestoredToAnEarlierState(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 2} {
		for name, next := range map[string]struct {
			id      string
			version int
		}{
			"an aggregate that has lost an event": {inShard(0), 2},
			"a new aggregate":                     {"new", 1},
		} {
			t.Run(fmt.Sprintf("%s, with shards=%d", name, shards), func(t *testing.T) {
				t.Parallel()
				client := testenv.DynamoDBClient(t)
				table := newTable(t, dynamostore.TableOptions{Shards: shards})
				store := dynamostore.New(client, table)
				ids := []string{inShard(0), inShard(1)}
				save(t, store, ids...)
				var before []map[string]types.AttributeValue
				for shard := range shards {
					before = append(before, headItem(t, client, table, shard))
				}
				for _, lost := range save(t, store, ids...) {
					if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
						TableName: &table, Key: key(lost.AggregateID, lost.Version),
					}); err != nil {
						t.Fatal(err)
					}
				}
				for _, head := range before {
					putItem(t, client, table, head)
				}
				r := soon(t, "a save after the table was restored", saving(t.Context(), store, happened(next.id)))
				if r.err != nil || r.records[0].Version != next.version {
					t.Errorf("stored %+v, want version %d: %v", r.records, next.version, r.err)
				}
				wantVersions(t, direct(t, table), next.id, next.version)
				if feed, err := direct(t, table).LoadBySequenceID(t.Context(), "", 0); err != nil || len(feed) != 3 {
					t.Errorf("the feed has %d events, want 3: %v", len(feed), err)
				}
			})
		}
	}
}

// Saves that are not waited for must not keep others of their shard waiting.
func TestABatchThatNobodyWaitsForAnyMoreIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, conflict := range map[string]bool{"alone": false, "after another save of it ended with a conflict": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A look-up that ends by itself must not be taken for a batch that was given up.
			w, store, other := wired(t, dynamostore.WithOutcomeTimeout(time.Minute))
			save(t, store, "conflicting")
			holder, hole := newGate(), newGate()
			w.carry(func(p packet) (*http.Response, error) {
				switch {
				case p.operation != transact:
				case p.has("holder"):
					if err := holder.hold(p); err != nil {
						return nil, err
					}
				case p.has("deserted") && !p.has("conflicting"):
					return nil, hole.hold(p) // which nobody opens
				}
				return p.pass()
			})
			held := saving(t.Context(), store, first("holder"))
			soon(t, "a save is on its way", holder.reached)
			var inConflict <-chan result
			if conflict {
				second := happened("conflicting")
				second.Version = 2
				inConflict = joining(t.Context(), t, store, second)
				save(t, other, "conflicting") // only now is somebody else faster
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			deserted := joining(ctx, t, store, first("deserted"))
			close(holder.opened)
			if r := soon(t, "the save before", held); r.err != nil {
				t.Error(r.err)
			}
			if conflict {
				if r := soon(t, "the conflict", inConflict); !errors.Is(r.err, eventsource.ErrConflict) {
					t.Errorf("error is %v, want a conflict", r.err)
				}
			}
			soon(t, "the save is on its way", hole.reached)
			cancel()
			r := soon(t, "the end of a save whose context has ended", deserted)
			if !errors.Is(r.err, context.Canceled) || errors.Is(r.err, eventsource.ErrOutcomeUnknown) {
				t.Errorf("error is %v", r.err)
			}
			if r := soon(t, "a later save", saving(t.Context(), store, first("later"))); r.err != nil {
				t.Errorf("a later save: %v", r.err)
			}
			wantVersions(t, other, "deserted", 0)
			wantVersions(t, other, "later", 1)
		})
	}
}

// What the others of a batch wait for is nothing to one who leaves before anything
// was sent, or after what was sent is known to have failed.
func TestACallerWhoseContextEndsBeforeAnythingIsSentGoesAtOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		queued    bool // its context ends before its batch begins
		throttled bool // the first attempt is throttled
		ahead     bool // the clock seems to be ahead, so the server is asked for the time
	}{
		"while another batch is on its way":            {queued: true},
		"while its batch asks the server for the time": {ahead: true},
		"while its batch waits after being throttled":  {throttled: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ahead atomic.Int64
			w, store, other := wired(t, dynamostore.WithOutcomeTimeout(time.Minute), dynamostore.WithClock(func() time.Time {
				return time.Now().Add(time.Duration(ahead.Load()))
			}))
			holder, heads := newGate(), newGate()
			var throttled, sent atomic.Bool
			w.carry(func(p packet) (*http.Response, error) {
				switch {
				case p.operation == transact && p.has("holder"):
					if err := holder.hold(p); err != nil {
						return nil, err
					}
				case p.operation == transact && test.throttled && throttled.CompareAndSwap(false, true):
					return throttle(), nil
				case p.operation == transact && p.has("leaves"):
					sent.Store(true)
				case p.operation == get && p.has("eventsource:head:0"):
					if err := heads.hold(p); err != nil {
						return nil, err
					}
				}
				return p.pass()
			})
			held := saving(t.Context(), store, first("holder"))
			soon(t, "a save is on its way", holder.reached)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			leaves := joining(ctx, t, store, first("leaves"))
			stays := joining(t.Context(), t, store, first("stays"))
			if test.ahead {
				ahead.Store(int64(time.Hour))
			}
			if !test.queued {
				close(holder.opened)
				soon(t, "the batch reads the head", heads.reached)
			}
			cancel()
			r := soon(t, "the end of a save whose context has ended", leaves)
			if !errors.Is(r.err, context.Canceled) || errors.Is(r.err, eventsource.ErrOutcomeUnknown) {
				t.Errorf("error is %v", r.err)
			}
			if test.throttled && !strings.Contains(r.err.Error(), "slow down") {
				t.Errorf("the error does not say what it waited for: %v", r.err)
			}
			ahead.Store(0)
			close(heads.opened)
			if test.queued {
				close(holder.opened)
			}
			for _, c := range []<-chan result{held, stays} {
				if r := soon(t, "the saves of others", c); r.err != nil {
					t.Error(r.err)
				}
			}
			if sent.Load() {
				t.Error("the save was sent after its caller had gone")
			}
			wantVersions(t, other, "leaves", 0)
			wantVersions(t, other, "stays", 1)
		})
	}
}

// Without credentials nothing is sent, so nobody has to be asked what became of it,
// however passing the reason seems.
func TestASaveWithoutCredentialsHasNoUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err      error
		mentions []string
	}{
		"when the connection to their server broke": {
			fmt.Errorf("failed to refresh cached credentials: %w", &smithyhttp.RequestSendError{Err: io.EOF}),
			[]string{"EOF", "AWS_PROFILE"},
		},
		"when a session of single sign-on has ended": {
			errors.New("refresh cached SSO token failed, unable to refresh SSO token, operation error SSO OIDC: CreateToken, InvalidGrantException"),
			[]string{"InvalidGrantException", "aws sso login"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			client := testenv.DynamoDBClient(t, hurry, func(o *dynamodb.Options) {
				inner := o.Credentials
				o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
					if broken.Load() {
						return aws.Credentials{}, test.err
					}
					return inner.Retrieve(ctx)
				})
			})
			table := newTable(t, dynamostore.TableOptions{})
			store := dynamostore.New(client, table, dynamostore.WithOutcomeTimeout(time.Minute))
			save(t, store, "a")
			broken.Store(true)
			r := soon(t, "a save without credentials", saving(t.Context(), store, happened("a")))
			checkNoAccess(t, map[string]error{"a save to a known table": r.err}, test.mentions)
			checkNoAccess(t, everyCall(t.Context(), store), test.mentions)
			broken.Store(false)
			save(t, store, "a")
		})
	}
}

func TestAHostThatNobodyKnowsIsNoAccess(t *testing.T) {
	t.Parallel()
	unknown := &net.DNSError{Err: "no such host", Name: "dynamodb.us-est-1.amazonaws.com", IsNotFound: true}
	var moved atomic.Bool
	w, store, other := wired(t, dynamostore.WithOutcomeTimeout(time.Minute))
	w.carry(func(p packet) (*http.Response, error) {
		if moved.Load() {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: unknown}
		}
		return p.pass()
	})
	moved.Store(true)
	mentions := []string{"no such host", "us-est-1", "AWS_REGION"}
	r := soon(t, "a save to an unknown host", saving(t.Context(), store, happened("a")))
	checkNoAccess(t, map[string]error{"a save to a known table": r.err}, mentions)
	fresh := dynamostore.New(testenv.DynamoDBClient(t, w.attach), "orders")
	checkNoAccess(t, everyCall(t.Context(), fresh), mentions)
	wantVersions(t, other, "a", 0)
}

// checkNoAccess checks that all calls were refused with ErrAccess.
func checkNoAccess(t *testing.T, errs map[string]error, mentions []string) {
	t.Helper()
	for call, err := range errs {
		if !errors.Is(err, dynamostore.ErrAccess) || errors.Is(err, eventsource.ErrOutcomeUnknown) {
			t.Errorf("%s: error is %v", call, err)
			continue
		}
		for _, m := range mentions {
			if !strings.Contains(err.Error(), m) {
				t.Errorf("%s: error %q does not mention %q", call, err, m)
			}
		}
	}
}

// While a machine sleeps, the clock that a process measures with stands still. When
// it wakes up, what it knows of the server's time is as old as the sleep was long.
func TestAMachineThatHasSleptAsksTheServerForTheTime(t *testing.T) {
	t.Parallel()
	var slept atomic.Int64
	w, store, other := wired(t, dynamostore.WithClock(func() time.Time {
		return time.Now().Add(time.Duration(slept.Load()))
	}))
	w.carry(func(p packet) (*http.Response, error) {
		response, err := p.pass()
		if err == nil {
			date := time.Now().Add(time.Duration(slept.Load()))
			response.Header.Set("Date", date.UTC().Format(http.TimeFormat))
		}
		return response, err
	})
	save(t, store, "a")
	slept.Store(int64(10 * time.Minute))
	save(t, store, "a", "a")
	wantVersions(t, other, "a", 3)
}

// Whoever writes such a head, it is no reason to panic, nor to try for ever.
func TestAnOddHeadIsAnErrorOfTheLayout(t *testing.T) {
	t.Parallel()
	client := testenv.DynamoDBClient(t)
	table := newTable(t, dynamostore.TableOptions{Shards: 2})
	known := direct(t, table)
	low, high := inShard(0), inShard(1)
	save(t, known, low, high)
	heads := []map[string]types.AttributeValue{headItem(t, client, table, 0), headItem(t, client, table, 1)}
	without := func(name string) func(map[string]types.AttributeValue) {
		return func(head map[string]types.AttributeValue) { delete(head, name) }
	}
	with := func(name string, value types.AttributeValue) func(map[string]types.AttributeValue) {
		return func(head map[string]types.AttributeValue) { head[name] = value }
	}
	for name, test := range map[string]struct {
		shard    int
		change   func(map[string]types.AttributeValue)
		mentions string
	}{
		"no layout":                             {0, without("layout"), "layout is missing"},
		"no table_id":                           {0, without("table_id"), "table_id is missing"},
		"no shards":                             {0, without("shards"), "shards is missing"},
		"no types":                              {0, without("types"), "types is missing"},
		"no ahead":                              {0, without("ahead"), "ahead is missing"},
		"no attributes but the key":             {0, keepKey, "is missing"},
		"the second has none but the key":       {1, keepKey, "is missing"},
		"a later layout":                        {0, with("layout", numberValue(2)), "layout 2"},
		"a later layout of the second":          {1, with("layout", numberValue(2)), "layout 2"},
		"no shard at all":                       {0, with("shards", numberValue(0)), "shards is 0"},
		"negative shards":                       {0, with("shards", numberValue(-1)), "shards is -1"},
		"too many shards":                       {0, with("shards", numberValue(dynamostore.MaxShards+1)), "shards is 65"},
		"fewer shards than its own number":      {1, with("shards", numberValue(1)), "shards is 1"},
		"more shards than there are":            {0, with("shards", numberValue(3)), "head"},
		"another number of shards in the other": {1, with("shards", numberValue(3)), "different tables"},
		"another table_id in the other":         {1, with("table_id", textValue("of another")), "different tables"},
		"an empty table_id":                     {0, with("table_id", textValue("")), "table_id is empty"},
		"shards of another type":                {0, with("shards", textValue("2")), "shards is no number"},
		"types of another type":                 {0, with("types", textValue("T")), "types is no map"},
	} {
		t.Run(name, func(t *testing.T) {
			odd := maps.Clone(heads[test.shard])
			test.change(odd)
			putItem(t, client, table, odd)
			defer putItem(t, client, table, heads[test.shard])
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			errs, fresh := make(map[string]error), dynamostore.New(client, table)
			_, errs["Append"] = fresh.Append(ctx, happened(low), happened(high))
			_, errs["LoadBySequenceID"] = fresh.LoadBySequenceID(ctx, "", 0)
			_, errs["Horizon of a store that knows the heads"] = known.Horizon(ctx)
			for call, err := range errs {
				if !errors.Is(err, dynamostore.ErrLayout) || !strings.Contains(err.Error(), test.mentions) {
					t.Errorf("%s: error is %v", call, err)
				}
			}
		})
	}
}

// keepKey leaves only the key.
func keepKey(item map[string]types.AttributeValue) {
	maps.DeleteFunc(item, func(name string, _ types.AttributeValue) bool { return name != "aggregate_id" && name != "version" })
}

func TestASaveToAHeadThatHasBecomeOddIsAnErrorOfTheLayout(t *testing.T) {
	t.Parallel()
	client := testenv.DynamoDBClient(t)
	table := newTable(t, dynamostore.TableOptions{})
	store := direct(t, table)
	save(t, store, "a")
	head := headItem(t, client, table, 0)
	for name, change := range map[string]func(map[string]types.AttributeValue){
		"no table_id":               func(head map[string]types.AttributeValue) { delete(head, "table_id") },
		"no attributes but the key": keepKey,
	} {
		odd := maps.Clone(head)
		change(odd)
		putItem(t, client, table, odd)
		r := soon(t, "a save", saving(t.Context(), store, happened("a")))
		if !errors.Is(r.err, dynamostore.ErrLayout) {
			t.Errorf("%s: error is %v", name, r.err)
		}
		putItem(t, client, table, head)
	}
	save(t, store, "a")
	wantVersions(t, store, "a", 2)
}

func TestAThrottledSaveThatEndsWithItsContextSaysWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	w, store, other := wired(t)
	attempts := make(chan struct{}, 1000)
	w.carry(func(p packet) (*http.Response, error) {
		if p.operation != transact {
			return p.pass()
		}
		attempts <- struct{}{}
		return throttle(), nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := saving(ctx, store, first("a"))
	for range 3 {
		soon(t, "another attempt", attempts)
	}
	cancel()
	r := soon(t, "the end of a save whose context has ended", c)
	var api smithy.APIError
	if !errors.Is(r.err, context.Canceled) || errors.Is(r.err, eventsource.ErrOutcomeUnknown) ||
		!errors.As(r.err, &api) || api.ErrorCode() != "ThrottlingException" || !strings.Contains(r.err.Error(), "slow down") {
		t.Errorf("error is %v", r.err)
	}
	wantVersions(t, other, "a", 0)
}

// The client's retryer waits for up to 20 seconds, so this is where the context of a
// caller most likely ends.
func TestASaveThatEndsWhileARetryerWaitsToReadSaysWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	w, waits := new(wire), make(chan struct{}, 1)
	table := newTable(t, dynamostore.TableOptions{})
	store := dynamostore.New(testenv.DynamoDBClient(t, w.attach, func(o *dynamodb.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) {
				waits <- struct{}{}
				return time.Hour, nil
			})
		})
	}), table)
	save(t, store, "warm up")
	w.carry(func(p packet) (*http.Response, error) {
		if p.operation == query {
			return throttle(), nil
		}
		return p.pass()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := saving(ctx, store, happened("hot"))
	soon(t, "the retryer waits", waits)
	cancel()
	r := soon(t, "the end of a save whose context has ended", c)
	if !errors.Is(r.err, context.Canceled) || !strings.Contains(r.err.Error(), "slow down") {
		t.Errorf("error is %v", r.err)
	}
}

// A partition of DynamoDB that is too busy is that of some aggregates, not of all.
func TestAnAggregateWhoseVersionCannotBeReadKeepsNobodyElseWaiting(t *testing.T) {
	t.Parallel()
	w, store, other := wired(t)
	reads := make(chan struct{}, 1000)
	holder := newGate()
	w.carry(func(p packet) (*http.Response, error) {
		switch {
		case p.operation == query && p.has("hot"):
			reads <- struct{}{}
			return throttle(), nil
		case p.operation == transact && p.has("holder"):
			if err := holder.hold(p); err != nil {
				return nil, err
			}
		}
		return p.pass()
	})
	held := saving(t.Context(), store, first("holder"))
	soon(t, "a save is on its way", holder.reached)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hot := saving(ctx, store, happened("hot"))
	soon(t, "a read that is throttled", reads)
	cold := saving(t.Context(), store, happened("cold"))
	known := joining(t.Context(), t, store, happened("warm up"))
	close(holder.opened)
	for _, c := range []<-chan result{held, cold, known} {
		if r := soon(t, "a save of another aggregate", c); r.err != nil {
			t.Error(r.err)
		}
	}
	soon(t, "it is still tried", reads)
	cancel()
	r := soon(t, "the end of a save whose context has ended", hot)
	if !errors.Is(r.err, context.Canceled) || errors.Is(r.err, eventsource.ErrOutcomeUnknown) {
		t.Errorf("error is %v", r.err)
	}
	wantVersions(t, other, "hot", 0)
	wantVersions(t, other, "cold", 1)
	wantVersions(t, other, "warm up", 2)
}
