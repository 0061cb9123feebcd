package projection

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

type tallied struct{ eventsource.BaseEvent }

func TestAHandlerThatIgnoresItsContextForAMinuteIsDead(t *testing.T) {
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&tallied{}))
	if err := repository.Save(t.Context(), &tallied{eventsource.BaseEvent{AggregateID: "a"}}); err != nil {
		t.Fatal(err)
	}
	called, goOn := make(chan struct{}), make(chan struct{})
	p := New("stuck", repository, Each(func(context.Context, eventsource.Event) error {
		close(called)
		<-goOn
		return nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	<-called
	now := time.Now()
	if reason := p.dead(now.Add(time.Hour)); reason != "" {
		t.Errorf("a handler that takes an hour is dead: %s", reason)
	}
	cancel()
	for _, after := range []time.Duration{0, 59 * time.Second} {
		if reason := p.dead(now.Add(after)); reason != "" {
			t.Errorf("%v after its context it is dead: %s", after, reason)
		}
	}
	if reason := p.dead(now.Add(time.Minute)); !strings.Contains(reason, "handler of partition 0 goes on") {
		t.Errorf("after a minute the reason is %q", reason)
	}
	close(goOn)
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
}

// tallyStore counts as many events as there are between two sequence IDs, where
// number n stands for the sequence ID whose entropy is n.
type tallyStore struct {
	eventsource.Store
	fails   error
	calls   int
	counted int64
}

func (s *tallyStore) Count(_ context.Context, query eventsource.Query) (int64, error) {
	s.calls++
	n := numberOf(query.Before) - 1 - numberOf(query.After)
	s.counted += n
	return n, s.fails
}

func numbered(n int64) string {
	if n == 0 {
		return ""
	}
	var id ulid.ULID
	for i := range 8 {
		id[15-i] = byte(n >> (8 * i))
	}
	return id.String()
}

func numberOf(sequenceID string) (n int64) {
	if sequenceID == "" {
		return 0
	}
	for _, b := range ulid.MustParseStrict(sequenceID) {
		n = n<<8 | int64(b)
	}
	return n
}

func versionAt(position int64) *version {
	return &version{partitions: []partition{{row: Row{Position: numbered(position), Handled: position}}}}
}

func endAt(n int64) storeEnd { return storeEnd{true, numbered(n), numbered(n)} }

func TestATallyIsRightAndCountsEachEventOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store := &tallyStore{Store: memstore.New()}
		feed, _ := feedOf(eventsource.NewRepository(store, json.NewSerializer()))
		var kept tally
		position, end := int64(0), int64(0)
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			end += rapid.Int64Range(0, 1000).Draw(rt, "saved")
			position = min(end, position+rapid.Int64Range(0, 1500).Draw(rt, "handled"))
			if left := kept.ofVersion(t.Context(), feed, versionAt(position), endAt(end)); left != end-position {
				rt.Fatalf("%d are left of %d at %d", left, end, position)
			}
		}
		if store.counted > end {
			rt.Fatalf("%d events were counted, and there are %d", store.counted, end)
		}
	})
}

func TestAResetIsCountedAnew(t *testing.T) {
	store := &tallyStore{Store: memstore.New()}
	feed, _ := feedOf(eventsource.NewRepository(store, json.NewSerializer()))
	var kept tally
	kept.ofVersion(t.Context(), feed, versionAt(500), endAt(1000))
	v := versionAt(100)
	v.partitions[0].row.Handled = 500
	if left := kept.ofVersion(t.Context(), feed, v, endAt(1000)); left != 900 {
		t.Errorf("%d are left, want 900", left)
	}
}

func TestAStoreThatCannotCountIsNotAskedAgainAtOnce(t *testing.T) {
	store := &tallyStore{Store: memstore.New(), fails: errors.New("takes too long")}
	feed, _ := feedOf(eventsource.NewRepository(store, json.NewSerializer()))
	var kept tally
	for range 10 {
		if left := kept.ofVersion(t.Context(), feed, versionAt(500), endAt(1000)); left != -1 {
			t.Errorf("%d are left, want -1", left)
		}
	}
	if store.calls != 1 {
		t.Errorf("it was asked %d times", store.calls)
	}
	store.fails, kept.next = nil, time.Now()
	if left := kept.ofVersion(t.Context(), feed, versionAt(500), endAt(1000)); left != 500 {
		t.Errorf("later %d are left, want 500", left)
	}
}

func TestTheFollowingSequenceIDIsTheNextOne(t *testing.T) {
	for of, want := range map[string]string{
		"":                           "",
		"01ARZ3NDEKTSV4RRFFQ69G5FAV": "01ARZ3NDEKTSV4RRFFQ69G5FAW",
		"01ARZ3NDEKTSV4RRFFQ69GZZZZ": "01ARZ3NDEKTSV4RRFFQ69H0000",
		"7ZZZZZZZZZZZZZZZZZZZZZZZZZ": "",
	} {
		if got := following(of); got != want {
			t.Errorf("after %q comes %q, want %q", of, got, want)
		}
	}
}
