package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/testcontainers/testcontainers-go"
)

// dynamoScript starts and kills the server in its container. Its files are in /tmp.
// It runs in the image's folder, which has DynamoDBLocal.jar in it.
const dynamoScript = `
set -euo pipefail
pid=$(cat /tmp/dynamodb.pid 2>/dev/null || echo none)
case $1 in
start)
	[ ! -e "/proc/$pid" ] || exit 0
	mkdir -p /tmp/dynamodb
	java -Xmx1g -jar DynamoDBLocal.jar -sharedDb -dbPath /tmp/dynamodb </dev/null >>/tmp/dynamodb.log 2>&1 &
	echo $! >/tmp/dynamodb.pid
	;;
kill)
	[ -e "/proc/$pid" ] || exit 0
	kill -KILL "$pid" 2>/dev/null || true
	while [ -e "/proc/$pid" ]; do sleep 0.05; done
	;;
log) tail -n 20 /tmp/dynamodb.log ;;
esac
`

// DynamoDBServer is a DynamoDB of a test's own, with its data on disk, in a container
// that stays when the server is killed. So it can be brought back, at the same address
// and with its tables. Its methods may be called from several goroutines at once, and
// none but Client ends the test.
//
// DynamoDB Local answers a transaction a few milliseconds before it commits it, so
// what it has acknowledged could get lost when it is killed, which is not what DynamoDB
// promises. The address is therefore that of a proxy, and see [DynamoDBServer.Kill].
type DynamoDBServer struct {
	machine      *server
	direct       string // the URL of the server itself
	address, url string // of the proxy

	down      atomic.Bool // the proxy lets nothing through
	switching sync.Mutex  // held to start or kill the server
}

// NewDynamoDBServer starts a server that answers. It ends with the test. It takes a
// Docker engine, even where EVENTSOURCE_TEST_DYNAMODB is set.
func NewDynamoDBServer(t testing.TB) *DynamoDBServer {
	t.Helper()
	ctx := t.Context()
	machine, err := dynamo.create(ctx, idle)
	if err != nil {
		sharedDynamoDB.unavailable(t, fmt.Errorf("a server of its own takes a Docker engine: %w", err))
	}
	t.Cleanup(func() {
		if err := machine.stop(); err != nil {
			t.Errorf("testenv: %v", err)
		}
	})
	address, err := machine.address(ctx, dynamo.port)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	s := &DynamoDBServer{machine: machine, direct: dynamo.url(address)}
	if err := s.Start(ctx); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	s.serve(t, address)
	return s
}

// serve starts the proxy in front of the server's own address.
func (s *DynamoDBServer) serve(t testing.TB, address string) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(*http.Response) error {
			if s.down.Load() {
				return errors.New("the server is to look dead")
			}
			return nil
		},
		// What a client sees of a server that dies is that its connection ends.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	front := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s.down.Load() {
				panic(http.ErrAbortHandler)
			}
			proxy.ServeHTTP(w, r)
		}),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	s.address = listener.Addr().String()
	s.url = dynamo.url(s.address)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = front.Serve(listener) // ends when front is closed
	}()
	t.Cleanup(func() {
		_ = front.Close()
		<-served
		transport.CloseIdleConnections()
	})
}

// idle has a container do nothing. Its process 1 inherits what a killed server leaves
// behind: bash, unlike sleep alone, lets such processes go once they have ended.
var idle = testcontainers.CustomizeRequestOption(func(r *testcontainers.GenericContainerRequest) error {
	r.Entrypoint = []string{"bash", "-c", "sleep infinity & wait"}
	r.Cmd = nil
	return nil
})

// URL returns the URL of the endpoint. It stays the same.
func (s *DynamoDBServer) URL() string { return s.url }

// Address returns the host and port of the server, for a proxy in front of it.
func (s *DynamoDBServer) Address() string { return s.address }

// Client returns a client of the server, as [DynamoDBClient] does.
func (s *DynamoDBServer) Client(t testing.TB, options ...func(*dynamodb.Options)) *dynamodb.Client {
	t.Helper()
	return dynamoDBClientOf(t, s.url, options...)
}

// Start starts the server, unless it runs, and waits until it answers.
func (s *DynamoDBServer) Start(ctx context.Context) error {
	s.switching.Lock()
	defer s.switching.Unlock()
	if _, err := s.script(ctx, "start"); err != nil {
		return fmt.Errorf("start DynamoDB: %w", err)
	}
	ready, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	if err := s.machine.answers(ready, s.direct); err != nil {
		return fmt.Errorf("start DynamoDB: %w\n%s", err, s.log())
	}
	s.down.Store(false)
	return nil
}

// Kill ends the server with SIGKILL. One that does not run stays as it is.
//
// From its first moment on no answer gets out. The server is killed after one more
// request, by when the transactions that it has answered are committed; those that are
// on their way have any outcome, but never half of one.
func (s *DynamoDBServer) Kill(ctx context.Context) error {
	s.switching.Lock()
	defer s.switching.Unlock()
	s.down.Store(true)
	_ = s.machine.ping(ctx, s.direct) // it may have ended
	if _, err := s.script(ctx, "kill"); err != nil {
		return fmt.Errorf("kill DynamoDB: %w", err)
	}
	return nil
}

// log returns the end of what the server has printed.
func (s *DynamoDBServer) log() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	output, err := s.script(ctx, "log")
	if err != nil {
		return err.Error()
	}
	return output
}

// script runs a command of the script, as the image's user.
func (s *DynamoDBServer) script(ctx context.Context, command string) (string, error) {
	return s.machine.exec(ctx, "", nil, []string{"bash", "-c", dynamoScript, "dynamodb", command})
}
