package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/memstore"
)

func TestTheProgramRunsUntilItIsInterrupted(t *testing.T) {
	database := testenv.Postgres(t)
	goroutines := goleak.IgnoreCurrent()
	for range 2 { // the second time all tables are there
		var log buffer
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- run(ctx, []string{"-address", "127.0.0.1:0"}, func(string) string { return database }, &log)
		}()
		v := &visitor{t, &http.Client{Transport: &http.Transport{}}, log.await(t, regexp.MustCompile(`url=(http://[0-9.:]+)\n`))}
		if page := v.get("/", http.StatusOK); !strings.Contains(page.text, "The tea shop") {
			t.Errorf("the page is %s", page.text)
		}
		v.client.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil || !strings.Contains(log.String(), "the shop is closed") {
			t.Errorf("error %v, log %s", err, log.String())
		}
	}
	goleak.VerifyNone(t, goroutines)
}

// buffer is a buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// await gives what the parentheses match, once there is a match.
func (b *buffer) await(t testing.TB, pattern *regexp.Regexp) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if match := pattern.FindStringSubmatch(b.String()); match != nil {
			return match[1]
		}
		if pause(ctx); ctx.Err() != nil {
			t.Fatalf("no %s in %s", pattern, b.String())
		}
	}
}

func TestTheCommandLine(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "-database or DATABASE_URL has to be set"},
		{[]string{"-no"}, "flag provided but not defined: -no"},
		{[]string{"x"}, `unknown argument "x"`},
		{[]string{"-database", "postgres://u:secret@127.0.0.1:1/x?bad=1"}, "connect"},
		{[]string{"-database", "postgres://u:secret@127.0.0.1:x/x"}, "port"},
	} {
		err := run(t.Context(), test.args, func(string) string { return "" }, io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: error %v, want %q in it", test.args, err, test.want)
		}
	}
	var help bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, nil, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-database URL") {
		t.Errorf("-h: error %v, it prints %s", err, help.String())
	}
}

func TestAnAddressThatIsTakenIsAnError(t *testing.T) {
	database := testenv.Postgres(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	err = run(t.Context(), []string{"-database", database, "-address", listener.Addr().String()}, nil, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v", err)
	}
}

// At the end a request that is under way is answered, and what comes later is not taken.
func TestARequestThatIsUnderWayIsAnsweredAtTheEnd(t *testing.T) {
	shop := start(t, newDatabase(t))
	begun := make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(begun) }})
	body, rest := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, "POST", shop.url+"/wallets", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Expect", "100-continue") // the server says so when the handler reads
	client := newClient(t)
	client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	status := make(chan int, 1)
	go func() {
		response, err := client.Do(request)
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		_ = response.Body.Close()
		status <- response.StatusCode
	}()
	<-begun

	closed := make(chan struct{})
	go func() {
		shop.close()
		close(closed)
	}()
	awaitRefusal(t, shop.url)
	if _, err := io.WriteString(rest, `{"email": "ann@example.org"}`); err != nil {
		t.Fatal(err)
	}
	_ = rest.Close()
	if got := <-status; got != http.StatusCreated {
		t.Errorf("status %d", got)
	}
	<-closed
}

// awaitRefusal waits until nobody listens any more.
func awaitRefusal(t testing.TB, url string) {
	t.Helper()
	for {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			return
		}
		_ = conn.Close()
		pause(t.Context())
	}
}

func TestAProjectionThatFailsEndsTheProgram(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(memstore.New(), nil, slog.New(slog.DiscardHandler)) // without a database
	if err := a.serve(t.Context(), listener); !errors.Is(err, eventsource.ErrMisconfigured) {
		t.Errorf("error %v", err)
	}
	awaitRefusal(t, "http://"+listener.Addr().String())
}

func TestAListenerThatFailsEndsTheProgram(t *testing.T) {
	shop := start(t, newDatabase(t))
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	other := newApp(shop.store, shop.pool, shop.logger)
	if err := other.serve(t.Context(), listener); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}
