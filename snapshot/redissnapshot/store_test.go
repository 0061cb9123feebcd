package redissnapshot_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/snapshot/redissnapshot"
	"github.com/eventsource-go/eventsource/snapshot/snapshottest"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestStore(t *testing.T) {
	snapshottest.Run(t, func(t *testing.T) snapshot.Store { return open(t) })
}

func open(t testing.TB, opts ...redissnapshot.Option) *redissnapshot.Store {
	t.Helper()
	opts = append([]redissnapshot.Option{redissnapshot.WithPrefix(testenv.RedisPrefix(t)), nil}, opts...)
	return redissnapshot.New(testenv.RedisClient(t), opts...)
}

var (
	key  = snapshot.Key{AggregateID: "a", Type: "Account", SchemaVersion: 1}
	snap = eventsource.Snapshot{
		AggregateID: "a", Type: "Account", SchemaVersion: 1, Version: 7, SequenceID: "01K00000000000000000000000", State: []byte(`{}`),
	}
)

// all calls every method.
func all(t testing.TB, s *redissnapshot.Store) map[string]error {
	t.Helper()
	_, err := s.Load(t.Context(), key)
	return map[string]error{"Load": err, "Save": s.Save(t.Context(), snap), "Delete": s.Delete(t.Context(), "a")}
}

func want(t testing.TB, what string, err, want error, mentions ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
		return
	}
	for _, mention := range mentions {
		if !strings.Contains(err.Error(), mention) {
			t.Errorf("%s: error is %v, without %s", what, err, mention)
		}
	}
}

func TestWhatCannotBeIsRefusedByEveryMethod(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	t.Cleanup(func() { _ = client.Close() })
	for mention, s := range map[string]*redissnapshot.Store{
		"client is nil":         redissnapshot.New(nil),
		"client is nil ":        redissnapshot.New((*redis.Client)(nil)),
		`prefix "" has 0 bytes`: redissnapshot.New(client, redissnapshot.WithPrefix("")),
		"has 256 bytes":         redissnapshot.New(client, redissnapshot.WithPrefix(strings.Repeat("x", 256))),
		"live is 999µs":         redissnapshot.New(client, redissnapshot.WithTTL(999*time.Microsecond)),
		"live is -1s":           redissnapshot.New(client, redissnapshot.WithTTL(-time.Second)),
	} {
		want(t, "Err", s.Err(), eventsource.ErrMisconfigured, strings.TrimSpace(mention))
		for what, err := range all(t, s) {
			want(t, what, err, eventsource.ErrMisconfigured)
		}
	}
	if err := redissnapshot.New(client, redissnapshot.WithTTL(time.Millisecond)).Err(); err != nil {
		t.Error(err)
	}
}

func TestAClosedClientIsSaidToBe(t *testing.T) {
	client := testenv.RedisClient(t)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range all(t, redissnapshot.New(client)) {
		want(t, what, err, redis.ErrClosed, "client is closed", redissnapshot.DefaultPrefix+"a")
	}
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	for what, err := range all(t, redissnapshot.New(client)) {
		if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAKeyOfSomebodyElseIsRefusedAndKept(t *testing.T) {
	client, prefix := testenv.RedisClient(t), testenv.RedisPrefix(t)
	s := redissnapshot.New(client, redissnapshot.WithPrefix(prefix))
	if err := client.Set(t.Context(), prefix+"a", "somebody else's", 0).Err(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load(t.Context(), key)
	want(t, "Load", err, redissnapshot.ErrLayout, prefix+"a")
	want(t, "Save", s.Save(t.Context(), snap), redissnapshot.ErrLayout, prefix+"a")
	if got := client.Get(t.Context(), prefix+"a").Val(); got != "somebody else's" {
		t.Errorf("it is now %q", got)
	}
}

func TestFieldsThatAreNotThisPackagesAreRefused(t *testing.T) {
	client, prefix := testenv.RedisClient(t), testenv.RedisPrefix(t)
	s := redissnapshot.New(client, redissnapshot.WithPrefix(prefix))
	for _, fields := range [][]any{
		{"Account/1", "{}"}, {"Account/1/at", "01K00000000000000000000000 7"},
		{"Account/1", "{}", "Account/1/at", "7"}, {"Account/1", "{}", "Account/1/at", "01K00000000000000000000000 x"},
	} {
		if err := errors.Join(client.Del(t.Context(), prefix+"a").Err(), client.HSet(t.Context(), prefix+"a", fields...).Err()); err != nil {
			t.Fatal(err)
		}
		_, err := s.Load(t.Context(), key)
		want(t, "Load", err, redissnapshot.ErrLayout, prefix+"a", "Account/1")
	}
}

func TestSnapshotsLiveAsLongAsTheyAreToldTo(t *testing.T) {
	client, prefix := testenv.RedisClient(t), testenv.RedisPrefix(t)
	ttl := func() time.Duration { return client.PTTL(t.Context(), prefix+"a").Val() }
	forever := redissnapshot.New(client, redissnapshot.WithPrefix(prefix))
	if err := forever.Save(t.Context(), snap); err != nil || ttl() >= 0 {
		t.Errorf("it lives for %v, %v", ttl(), err)
	}
	anHour := redissnapshot.New(client, redissnapshot.WithPrefix(prefix), redissnapshot.WithTTL(time.Hour))
	if err := anHour.Save(t.Context(), snap); err != nil || ttl() < 59*time.Minute || ttl() > time.Hour {
		t.Errorf("it lives for %v, %v", ttl(), err)
	}
	// One that is refused changes nothing.
	older, aDay := snap, redissnapshot.New(client, redissnapshot.WithPrefix(prefix), redissnapshot.WithTTL(24*time.Hour))
	older.SequenceID = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
	if err := aDay.Save(t.Context(), older); err != nil || ttl() > time.Hour {
		t.Errorf("it lives for %v, %v", ttl(), err)
	}
}

func TestAScriptThatTheServerForgotIsSentAgain(t *testing.T) {
	client := testenv.RedisClient(t)
	s := redissnapshot.New(client, redissnapshot.WithPrefix(testenv.RedisPrefix(t)))
	for range 2 {
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(t.Context(), snap); err != nil {
			t.Error(err)
		}
	}
}

func TestAnAggregateIsOneKeyUnderThePrefix(t *testing.T) {
	client, prefix := testenv.RedisClient(t), testenv.RedisPrefix(t)
	s := redissnapshot.New(client, redissnapshot.WithPrefix(prefix))
	second := snap
	second.SchemaVersion = 2
	for _, one := range []eventsource.Snapshot{snap, second} {
		if err := s.Save(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if keys := client.Keys(t.Context(), prefix+"*").Val(); !slices.Equal(keys, []string{prefix + "a"}) {
		t.Errorf("keys are %q", keys)
	}
}

// replica answers every command as a server that takes no writes.
type replica struct{}

type readOnly struct{}

func (readOnly) Error() string { return "READONLY You can't write against a read only replica." }
func (readOnly) RedisError()   {}

func (replica) DialHook(next redis.DialHook) redis.DialHook { return next }
func (replica) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (replica) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		cmd.SetErr(readOnly{})
		return readOnly{}
	}
}

func TestAReplicaIsSaidToBeOne(t *testing.T) {
	client := testenv.RedisClient(t)
	client.AddHook(replica{})
	want(t, "Save", redissnapshot.New(client).Save(t.Context(), snap), redissnapshot.ErrReadOnly, redissnapshot.DefaultPrefix+"a")
}
