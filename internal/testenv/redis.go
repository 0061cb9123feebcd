package testenv

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"
)

var redisServer = &kind{
	name: "Redis",
	advice: "start a Docker engine (internal/testenv/docker.sh redis does) or set " +
		EnvRedis + " to the URL of a Redis",
	urlVariable:   EnvRedis,
	imageVariable: EnvRedisImage,
	official:      "redis:8",
	built:         "eventsource-redis:8",
	port:          "6379/tcp",
	container: []testcontainers.ContainerCustomizer{
		// Nothing is kept when it ends.
		testcontainers.WithCmd("redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--appendonly", "no"),
	},
	url: func(address string) string { return "redis://" + address },
	ping: func(ctx context.Context, url string) error {
		options, err := redis.ParseURL(url)
		if err != nil {
			return err
		}
		client := redis.NewClient(options)
		defer func() { _ = client.Close() }()
		return client.Ping(ctx).Err()
	},
}

// Redis returns the URL of a Redis. Tests share it; see [RedisPrefix].
func Redis(t testing.TB) (url string) {
	t.Helper()
	return sharedRedis.server(t)
}

// RedisClient returns a client of [Redis], which is closed when the test ends. The given
// functions may change its options.
func RedisClient(t testing.TB, configure ...func(*redis.Options)) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(Redis(t))
	if err != nil {
		t.Fatalf("testenv: %s: %v", EnvRedis, err)
	}
	for _, c := range configure {
		c(options)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() }) // the test may have closed it
	return client
}

// RedisPrefix returns what the keys of the test may begin with. They are deleted when the
// test ends.
func RedisPrefix(t testing.TB) string {
	t.Helper()
	client := RedisClient(t)
	prefix := randomName() + ":"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := deleteKeys(ctx, client, prefix); err != nil {
			t.Errorf("testenv: delete keys %s*: %v", prefix, err)
		}
	})
	return prefix
}

func deleteKeys(ctx context.Context, client *redis.Client, prefix string) error {
	keys := client.Scan(ctx, 0, prefix+"*", 1000).Iterator()
	for keys.Next(ctx) {
		if err := client.Del(ctx, keys.Val()).Err(); err != nil {
			return err
		}
	}
	return keys.Err()
}
