package sqlprojection_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

// wires are the connections of a pool, which a test can watch and cut.
type wires struct {
	mu   sync.Mutex
	open map[*wire]struct{}
	// sends sees what is to be sent, and says what is to be cut: nothing, the connection
	// before it is sent, or after.
	sends func(chunk []byte) cut
	sent  int // how often something was sent
}

type cut int

const (
	no cut = iota
	before
	after
)

type wire struct {
	net.Conn
	all *wires
}

func (w *wire) Write(chunk []byte) (int, error) {
	w.all.mu.Lock()
	w.all.sent++
	var when cut
	if w.all.sends != nil {
		when = w.all.sends(chunk)
	}
	w.all.mu.Unlock()
	if when == before {
		_ = w.Close()
		return 0, errors.New("the connection was cut")
	}
	n, err := w.Conn.Write(chunk)
	if when == after && err == nil {
		// The server's answer shows that it has arrived.
		_, err = w.Read(make([]byte, 1))
		_ = w.Close()
	}
	return n, err
}

// cutAll cuts the connections that there are.
func (w *wires) cutAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Close()
	}
	clear(w.open)
}

func (w *wires) watch(sends func(chunk []byte) cut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sends = sends
}

// sendings counts how often something is sent while do runs.
func (w *wires) sendings(do func()) int {
	w.mu.Lock()
	before := w.sent
	w.mu.Unlock()
	do()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent - before
}

// wiredPool returns a pool whose connections the test has in its hands. They are not
// encrypted.
func wiredPool(t testing.TB, url string) (*pgxpool.Pool, *wires) {
	t.Helper()
	w := &wires{open: make(map[*wire]struct{})}
	return testenv.Pool(t, url, func(c *pgxpool.Config) {
		c.ConnConfig.TLSConfig, c.ConnConfig.Fallbacks = nil, nil
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			made := &wire{conn, w}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.open[made] = struct{}{}
			return made, nil
		}
	}), w
}
