package projection_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	esjson "github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

type verdict struct {
	Projection string   `json:"projection"`
	Version    int      `json:"version"`
	OK         bool     `json:"ok"`
	Reason     string   `json:"reason"`
	Lag        *float64 `json:"lag_seconds"`
}

// ask asks a health handler.
func ask(t testing.TB, h http.Handler) verdict {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(t.Context()))
	var v verdict
	if err := json.Unmarshal(recorder.Body.Bytes(), &v); err != nil {
		t.Fatalf("%s: %v", recorder.Body, err)
	}
	if v.OK != (recorder.Code == http.StatusOK) || !v.OK && recorder.Code != http.StatusServiceUnavailable || v.OK != (v.Reason == "") {
		t.Errorf("%d with %s", recorder.Code, recorder.Body)
	}
	if recorder.Header().Get("Content-Type") != "application/json" || recorder.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("header is %v", recorder.Header())
	}
	return v
}

func wantReason(t testing.TB, v verdict, want string) {
	t.Helper()
	if v.OK || !strings.Contains(v.Reason, want) {
		t.Errorf("got %+v, want a reason with %q", v, want)
	}
}

// failingCheckpoints cannot be reached while down is true.
type failingCheckpoints struct {
	projection.Checkpoints
	down   atomic.Bool
	failed atomic.Int64
}

var errDown = errors.New("database is down")

func (c *failingCheckpoints) Load(ctx context.Context, name string) ([]projection.Row, error) {
	if c.down.Load() {
		c.failed.Add(1)
		return nil, errDown
	}
	return c.Checkpoints.Load(ctx, name)
}

func (c *failingCheckpoints) Advance(ctx context.Context, move projection.Move) (projection.Ack, error) {
	if c.down.Load() {
		c.failed.Add(1)
		return projection.Ack{}, errDown
	}
	return c.Checkpoints.Advance(ctx, move)
}

func TestAProjectionIsLiveWhileItRuns(t *testing.T) {
	repository := watchedRepository(t, memstore.New(), 10)
	p := projection.New("orders", repository, newGate(100).Handler(), projection.WithVersion(2), quiet)
	live := p.LiveHandler()
	wantReason(t, ask(t, live), "Run has not been called")
	stop := runIt(t, p)
	eventually(t, "live", func() bool { return ask(t, live).OK })
	if v := ask(t, live); v.Projection != "orders" || v.Version != 2 {
		t.Errorf("got %+v", v)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	wantReason(t, ask(t, live), "Run has ended: its context has")
}

func TestAProjectionThatHasStoppedIsNotLiveAndTellsNothingOfItsEvents(t *testing.T) {
	repository := watchedRepository(t, memstore.New(), 10)
	p := projection.New("orders", repository, projection.Each(func(context.Context, eventsource.Event) error {
		return projection.Permanent(errors.New("Jane Doe has no address"))
	}), quiet)
	if err := p.Run(t.Context()); !errors.Is(err, projection.ErrEventFailed) {
		t.Fatal(err)
	}
	v := ask(t, p.LiveHandler())
	wantReason(t, v, "event could not be handled")
	if strings.Contains(v.Reason, "Jane") {
		t.Errorf("it tells %q", v.Reason)
	}
}

func TestADatabaseThatIsDownDoesNotMakeAProjectionDead(t *testing.T) {
	repository := watchedRepository(t, memstore.New(), 10)
	checkpoints := &failingCheckpoints{Checkpoints: projection.NewMemory()}
	p := projection.New("orders", repository, newGate(100).Handler(), projection.WithCheckpoints(checkpoints), projection.WithLease(100*time.Millisecond), quiet)
	stop := runIt(t, p)
	caughtUp := p.CaughtUpHandler(time.Second)
	eventually(t, "caught up", func() bool { return ask(t, caughtUp).OK })
	checkpoints.down.Store(true)
	eventually(t, "the lease is lost and cannot be had again", func() bool {
		s, err := p.Status(t.Context())
		return errors.Is(err, errDown) && errors.Is(s.LastError, errDown)
	})
	if v := ask(t, p.LiveHandler()); !v.OK {
		t.Errorf("got %+v", v)
	}
	v := ask(t, caughtUp)
	wantReason(t, v, "checkpoints cannot be reached")
	if strings.Contains(v.Reason, errDown.Error()) {
		t.Errorf("it tells %q", v.Reason)
	}
	checkpoints.down.Store(false)
	eventually(t, "caught up again", func() bool { return ask(t, caughtUp).OK })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestCaughtUpIsTheSameInAllProcesses(t *testing.T) {
	clock := time.UnixMilli(1_700_000_000_000)
	repository := watchedRepository(t, memstore.New(memstore.WithClock(func() time.Time { return clock })), 20)
	clock = clock.Add(time.Minute)
	saveWatched(t, repository, 10)
	checkpoints, g := projection.NewMemory(), newGate(10)
	options := []projection.Option{projection.WithCheckpoints(checkpoints), projection.WithBatchSize(10), quiet}
	working := projection.New("orders", repository, g.Handler(), options...)
	waiting := projection.New("orders", repository, g.Handler(), options...)
	idle := projection.New("orders", repository, g.Handler(), options...)
	wantReason(t, ask(t, idle.CaughtUpHandler(time.Hour)), "never run")
	runIt(t, working)
	eventually(t, "the gate is reached", func() bool { return working.Progress().Done >= 10 })
	runIt(t, waiting)
	for name, p := range map[string]*projection.Projection{"working": working, "waiting": waiting, "not run": idle} {
		if v := ask(t, p.CaughtUpHandler(time.Hour)); !v.OK || v.Lag == nil || *v.Lag != 60 {
			t.Errorf("%s: within the hour it is %+v", name, v)
		}
		v := ask(t, p.CaughtUpHandler(59*time.Second))
		wantReason(t, v, "1m0s behind, more than 59s")
	}
	g.open()
	for name, p := range map[string]*projection.Projection{"working": working, "waiting": waiting, "not run": idle} {
		eventually(t, name+" is level", func() bool { return ask(t, p.CaughtUpHandler(0)).OK })
	}
}

func TestOneNewEventAfterAQuietYearIsNotAYearBehind(t *testing.T) {
	clock := time.UnixMilli(1_600_000_000_000)
	repository := watchedRepository(t, memstore.New(memstore.WithClock(func() time.Time { return clock })), 10)
	g := newGate(100)
	p := projection.New("orders", repository, g.Handler(), quiet)
	runIt(t, p)
	seen, fresh := p.CaughtUpHandler(time.Hour), p.CaughtUpHandler(time.Hour)
	eventually(t, "caught up", func() bool { return ask(t, seen).OK })
	clock = clock.Add(365 * 24 * time.Hour)
	late := &watched{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}, N: 100}
	if err := repository.Save(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if v := ask(t, seen); !v.OK {
		t.Errorf("got %+v", v)
	}
	wantReason(t, ask(t, fresh), "behind") // it cannot know better
	g.open()
	eventually(t, "caught up", func() bool { return ask(t, fresh).OK })
}

func TestHealthOfWhatCannotBeIsBad(t *testing.T) {
	p := projection.New("", nil, nil)
	wantReason(t, ask(t, p.LiveHandler()), "misconfigured")
	wantReason(t, ask(t, p.CaughtUpHandler(time.Hour)), "misconfigured")
	repository := watchedRepository(t, memstore.New(), 1)
	p = projection.New("orders", repository, newGate(100).Handler(), quiet)
	runIt(t, p)
	eventually(t, "level", level(p))
	wantReason(t, ask(t, p.CaughtUpHandler(-time.Second)), "more than -1s")
}

func TestAStoreThatCannotTellItsEndIsCaughtUpWhenTheProjectionSaysSo(t *testing.T) {
	repository := watchedRepository(t, struct{ eventsource.Store }{memstore.New()}, 20)
	g := newGate(10)
	p := projection.New("orders", repository, g.Handler(), projection.WithBatchSize(10), quiet)
	runIt(t, p)
	eventually(t, "the gate is reached", func() bool { return p.Progress().Done == 10 })
	wantReason(t, ask(t, p.CaughtUpHandler(time.Hour)), "not level")
	g.open()
	eventually(t, "caught up", func() bool { return ask(t, p.CaughtUpHandler(0)).OK })
}

func ExampleProjection_CaughtUpHandler() {
	repository := eventsource.NewRepository(memstore.New(), esjson.NewSerializer(&Deposited{}, &Withdrawn{}))
	balances := &Balances{byAccount: make(map[string]int)}
	balancing := projection.New("balances", repository, balances.Handler())

	mux := http.NewServeMux()
	mux.Handle("/livez", balancing.LiveHandler())
	mux.Handle("/readyz", balancing.CaughtUpHandler(10*time.Second))

	for _, path := range []string{"/livez", "/readyz"} {
		response := httptest.NewRecorder()
		mux.ServeHTTP(response, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Print(response.Code, " ", response.Body)
	}
	// Output:
	// 503 {"projection":"balances","version":1,"ok":false,"reason":"Run has not been called"}
	// 503 {"projection":"balances","version":1,"ok":false,"reason":"the version has never run"}
}
