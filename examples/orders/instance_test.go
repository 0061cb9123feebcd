package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// instance is a process of the shop, but for that it is in the process of the test.
type instance struct {
	*app
	store *sqlstore.Store
	url   string
	close func() // answers what is under way, and ends
}

// newDatabase makes a database with all tables, and gives its URL.
func newDatabase(t testing.TB) string {
	t.Helper()
	url := testenv.Postgres(t)
	pool, err := openPool(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	return url
}

// start starts the shop on a database. It is closed when the test ends, if not before.
func start(t testing.TB, database string) *instance {
	t.Helper()
	pool, err := openPool(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	store := sqlstore.New(pool)
	i := &instance{app: newApp(store, pool, logger), store: store, url: "http://" + listener.Addr().String()}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- i.serve(ctx, listener) }()
	closed := false
	i.close = func() {
		if closed {
			return
		}
		closed = true
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the shop ended with %v", err)
		}
		pool.Close()
	}
	t.Cleanup(i.close)
	return i
}

// answer is what the shop has said.
type answer struct {
	status int
	header http.Header
	text   string
	body   struct {
		ID         string
		Version    int
		SequenceID string `json:"sequence_id"`
		Repeated   bool
		State      State
		Total      int64
		Balance    int64
		Error      string
		Field      string
	}
}

// send sends a request, with a key if that is not empty.
func send(ctx context.Context, client *http.Client, method, url, key, body string) (answer, error) {
	var a answer
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	if key != "" {
		request.Header.Set(keyHeader, key)
	}
	response, err := client.Do(request)
	if err != nil {
		return a, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	a.status, a.header, a.text = response.StatusCode, response.Header, string(text)
	if strings.HasPrefix(a.text, "{") {
		err = json.Unmarshal(text, &a.body)
	}
	return a, err
}

// newClient gives a client with connections of its own, which end with the test.
func newClient(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}
