// Package testenv gives tests a PostgreSQL, a DynamoDB and a Redis.
//
// The servers are those whose URLs are in EVENTSOURCE_TEST_POSTGRES,
// EVENTSOURCE_TEST_DYNAMODB and EVENTSOURCE_TEST_REDIS. Where one is not set and a test
// asks for that server, a container is started, once per test process, and ended by [Main]:
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
//
// A test that cannot have a server is skipped. With EVENTSOURCE_TEST_REQUIRE=1 it
// fails instead, so that a test run on which something depends cannot pass by
// skipping.
//
// A test that breaks its server has one of its own: [NewCluster] and
// [NewDynamoDBServer] start servers that can be killed and brought back.
//
// go test runs one process per package. The command in run starts the servers for
// all of them, and "make test" goes through it.
package testenv

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The environment variables of this package.
const (
	// EnvPostgres holds the URL of a server to use, as a superuser.
	EnvPostgres = "EVENTSOURCE_TEST_POSTGRES"
	// EnvDynamoDB holds the URL of a DynamoDB endpoint to use.
	EnvDynamoDB = "EVENTSOURCE_TEST_DYNAMODB"
	// EnvRedis holds the URL of a Redis to use.
	EnvRedis = "EVENTSOURCE_TEST_REDIS"
	// EnvRequire is 1 where a test must fail if it cannot have a server.
	EnvRequire = "EVENTSOURCE_TEST_REQUIRE"
	// EnvPostgresImage holds the name of the image of which containers are started.
	EnvPostgresImage = "EVENTSOURCE_POSTGRES_IMAGE"
	// EnvDynamoDBImage is the same for DynamoDB.
	EnvDynamoDBImage = "EVENTSOURCE_DYNAMODB_IMAGE"
	// EnvRedisImage is the same for Redis.
	EnvRedisImage = "EVENTSOURCE_REDIS_IMAGE"
)

// environment is where the tests of this process get one kind of server from.
type environment struct {
	kind   *kind
	getenv func(string) string
	start  func(ctx context.Context) (*server, error)

	once   sync.Once
	shared *server
	err    error
}

// What the tests of this process share.
var (
	sharedPostgres = &environment{kind: postgres, getenv: os.Getenv, start: postgres.start}
	sharedDynamoDB = &environment{kind: dynamo, getenv: os.Getenv, start: dynamo.start}
	sharedRedis    = &environment{kind: redisServer, getenv: os.Getenv, start: redisServer.start}
)

// Main runs the tests of a package and ends the containers started for them, if
// any. It returns the code to exit with.
func Main(m *testing.M) int {
	code := m.Run()
	for _, e := range []*environment{sharedPostgres, sharedDynamoDB, sharedRedis} {
		if e.shared == nil {
			continue
		}
		if err := e.shared.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "testenv:", err)
			code = max(code, 1)
		}
	}
	return code
}

// Start starts a PostgreSQL in a container and returns its URL and what ends it.
// It is for programs; tests call [Postgres] or [Server].
func Start(ctx context.Context) (url string, stop func() error, err error) {
	return postgres.run(ctx)
}

// StartDynamoDB is [Start] for a DynamoDB. Tests call [DynamoDB].
func StartDynamoDB(ctx context.Context) (endpoint string, stop func() error, err error) {
	return dynamo.run(ctx)
}

// StartRedis is [Start] for a Redis. Tests call [Redis].
func StartRedis(ctx context.Context) (url string, stop func() error, err error) {
	return redisServer.run(ctx)
}

// Server returns the URL of the PostgreSQL server's database, as a superuser. What a test
// changes there, other tests see.
func Server(t testing.TB) string {
	t.Helper()
	return sharedPostgres.server(t)
}

// Postgres returns the URL of a new, empty schema of the test's own. Connections
// have it as their search_path. It is dropped when the test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	server := sharedPostgres.server(t)
	schema := randomName()

	exec(t, server, "CREATE SCHEMA "+schema)
	t.Cleanup(func() {
		// Waits for locks that the test still holds, so not without a limit.
		exec(t, server, "DROP SCHEMA "+schema+" CASCADE")
	})

	u, err := withParam(server, "search_path", schema)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return u
}

// Pool opens a pool of connections and closes it when the test ends. The given
// functions may change its configuration before.
func Pool(t testing.TB, url string, configure ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	for _, c := range configure {
		c(config)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatalf("testenv: open pool: %v", err)
	}
	t.Cleanup(func() {
		// Close waits for every connection to come back to the pool.
		closed := make(chan struct{})
		go func() {
			pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			t.Errorf("testenv: the test did not give %d connections back to its pool", pool.Stat().AcquiredConns())
		}
	})
	if err := pool.Ping(ctx); err != nil {
		t.Fatalf("testenv: connect: %v", err)
	}
	return pool
}

// server returns the URL of the server, or ends the test.
func (e *environment) server(t testing.TB) string {
	t.Helper()
	if u := e.getenv(e.kind.urlVariable); u != "" {
		return u
	}
	e.once.Do(func() {
		e.shared, e.err = e.start(context.Background())
	})
	if e.err != nil {
		e.unavailable(t, e.err)
	}
	return e.shared.url
}

// unavailable ends a test that cannot have a server.
func (e *environment) unavailable(t testing.TB, cause error) {
	t.Helper()
	if e.getenv(EnvRequire) == "1" {
		t.Fatalf("testenv: no %s: %s\ncause: %v", e.kind.name, e.kind.advice, cause)
	}
	t.Skipf("testenv: no %s: %s\ncause: %v", e.kind.name, e.kind.advice, cause)
}

// randomName returns a name for what is a test's own.
func randomName() string {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails
	return "test_" + hex.EncodeToString(id)
}

// exec runs one statement on a connection of its own.
func exec(t testing.TB, url, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("testenv: connect: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("testenv: %s: %v", statement, err)
	}
}

// withParam returns the URL with a query parameter set.
func withParam(rawURL, name, value string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", fmt.Errorf("%s: %w", EnvPostgres, err)
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", fmt.Errorf("%s is not a URL of the form postgres://user:password@host:port/database", EnvPostgres)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String(), nil
}
