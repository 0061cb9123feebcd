package testenv

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestRedisPrefixGivesEachCallItsOwnKeys(t *testing.T) {
	client := RedisClient(t)
	var first, second string
	set := func(t *testing.T, keys ...string) {
		t.Helper()
		for _, key := range keys {
			if err := client.Set(t.Context(), key, "x", time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("in a test", func(t *testing.T) {
		first = RedisPrefix(t)
		t.Run("and another one in it", func(t *testing.T) {
			second = RedisPrefix(t)
			if !strings.HasPrefix(second, "test_") || second == first {
				t.Errorf("prefixes are %q and %q", first, second)
			}
			set(t, first+"a", first+"b", second+"a")
		})
		if n := client.Exists(t.Context(), first+"a", first+"b", second+"a").Val(); n != 2 {
			t.Errorf("%d keys are left, want those of the test that still runs, 2", n)
		}
	})
	if n := client.Exists(t.Context(), first+"a", first+"b").Val(); n != 0 {
		t.Errorf("%d keys are left after the test", n)
	}
}

func TestRedisClientTakesOptions(t *testing.T) {
	client := RedisClient(t, func(o *redis.Options) { o.ClientName = "a_test" })
	if name, err := client.ClientGetName(t.Context()).Result(); err != nil || name != "a_test" {
		t.Errorf("got name %q, %v", name, err)
	}
}

func TestARedisOfAContainerAnswers(t *testing.T) {
	// One of ours, since the one that other tests use may be somebody's own.
	server, err := redisServer.start(t.Context())
	if err != nil {
		sharedRedis.unavailable(t, err)
	}
	t.Cleanup(func() {
		if err := server.stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := redisServer.ping(ctx, server.url); err != nil {
		t.Error(err)
	}
}

func TestDeleteKeysFailsWhereNobodyAnswers(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	if err := deleteKeys(t.Context(), client, "test_1:"); err == nil {
		t.Error("got no error")
	}
	if err := redisServer.ping(t.Context(), "http://127.0.0.1:1"); err == nil {
		t.Error("a URL of another kind is taken")
	}
}
