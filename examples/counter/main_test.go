package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
)

// counting starts the web service on a new schema and returns how to ask it.
func counting(t *testing.T) func(method, path, key string) (status int, body string) {
	pool := testenv.Pool(t, testenv.Postgres(t))
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(newHandler(pool))
	t.Cleanup(server.Close)
	return func(method, path, key string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Idempotency-Key", key)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, strings.TrimSpace(string(body))
	}
}

func TestItCounts(t *testing.T) {
	ask := counting(t)
	for _, test := range []struct {
		method, path, key string
		status            int
		body              string
	}{
		{"GET", "/apples", "", 404, `eventsource: aggregate has no events: "apples"`},
		{"POST", "/apples", "", 200, "version 1"},
		{"POST", "/apples?n=41", "", 200, "version 2"},
		{"GET", "/apples", "", 200, "42"},
		{"POST", "/apples?n=0", "", 400, "only what is positive can be added, and 0 is not"},
		{"POST", "/apples?n=x", "", 400, `strconv.Atoi: parsing "x": invalid syntax`},
		{"POST", "/apples", "click-1", 200, "version 3"},
		{"POST", "/apples", "click-1", 200, "version 3"},
		{"GET", "/apples", "", 200, "43"},
		{"GET", "/pears", "", 404, `eventsource: aggregate has no events: "pears"`},
	} {
		if status, body := ask(test.method, test.path, test.key); status != test.status || body != test.body {
			t.Errorf("%s %s: got %d %q, want %d %q", test.method, test.path, status, body, test.status, test.body)
		}
	}
}

// More than a hundred, so that it goes on from a snapshot.
func TestItCountsWithManyAtOnce(t *testing.T) {
	ask := counting(t)
	const clients, each = 6, 40
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range each {
				for { // 503 says that others were faster 20 times
					if status, body := ask("POST", "/apples", ""); status == 200 {
						break
					} else if status != 503 || !strings.Contains(body, "conflict") {
						t.Errorf("got %d %q", status, body)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if status, body := ask("GET", "/apples", ""); status != 200 || body != "240" {
		t.Errorf("got %d %q", status, body)
	}
}

func TestItFitsOnAScreen(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(source, []byte("\n")); lines >= 120 {
		t.Errorf("main.go has %d lines", lines)
	}
}
