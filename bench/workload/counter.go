package workload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	neturl "net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// counter stands between a client and the server, and counts what the client asks.
// The server's own statistics come late, or need an extension, and what a client's library
// can trace leaves out pipelines.
type counter struct {
	url      string // to be used instead of the server's
	listener net.Listener
	server   *pgx.ConnConfig
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	asked Asked // so far
}

// Asked is what a client asks of the server.
type Asked struct {
	// Statements are those that the server executes.
	Statements float64 `json:"statements"`
	// RoundTrips are those in which they are sent, several at once or one.
	RoundTrips float64 `json:"round_trips"`
	// Pings are round trips without a statement: a pool sees whether a connection is
	// still there before it gives out one that was idle for a second.
	Pings float64 `json:"pings"`
}

// each is how much of a difference there is each second.
func (a Asked) each(before Asked, seconds float64) Asked {
	return Asked{
		Statements: (a.Statements - before.Statements) / seconds,
		RoundTrips: (a.RoundTrips - before.RoundTrips) / seconds,
		Pings:      (a.Pings - before.Pings) / seconds,
	}
}

// startCounter returns a counter for the server of the URL.
func startCounter(ctx context.Context, url string) (*counter, error) {
	server, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	through, err := neturl.Parse(url)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	query := through.Query()
	query.Set("sslmode", "disable") // what is encrypted cannot be counted
	query.Del("host")
	query.Del("port")
	through.RawQuery, through.Host = query.Encode(), listener.Addr().String()
	c := &counter{url: through.String(), listener: listener, server: server, conns: map[net.Conn]bool{}}
	c.serving.Go(func() { c.accept(ctx) })
	return c, nil
}

func (c *counter) read() Asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// close ends all connections and waits for that.
func (c *counter) close() error {
	err := c.listener.Close()
	c.mu.Lock()
	for conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
	c.mu.Unlock()
	c.serving.Wait()
	return err
}

// keep notes a connection, and reports whether the counter is still open.
func (c *counter) keep(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns == nil {
		return false
	}
	c.conns[conn] = true
	return true
}

func (c *counter) drop(conn net.Conn) {
	_ = conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
}

func (c *counter) accept(ctx context.Context) {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.serving.Go(func() { c.serve(ctx, client) })
	}
}

func (c *counter) serve(ctx context.Context, client net.Conn) {
	defer c.drop(client)
	network, address := "tcp", net.JoinHostPort(c.server.Host, strconv.Itoa(int(c.server.Port)))
	if strings.HasPrefix(c.server.Host, "/") {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", c.server.Host, c.server.Port)
	}
	server, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return
	}
	defer c.drop(server)
	if !c.keep(client) || !c.keep(server) {
		return
	}
	c.serving.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	_ = c.pass(server, bufio.NewReader(client))
}

// pass passes on what the client sends, message by message: a type, but for the
// first one, a length that counts itself, and the rest.
func (c *counter) pass(to io.Writer, from *bufio.Reader) error {
	const lengthSize = 4
	for start := 0; ; start = 1 {
		header, err := from.Peek(start + lengthSize)
		if err != nil {
			return err
		}
		length := binary.BigEndian.Uint32(header[start:])
		if length < lengthSize || length > 1<<30 { // the server takes no more
			return fmt.Errorf("a message cannot be of %d bytes", length)
		}
		message := make([]byte, start+int(length))
		if _, err := io.ReadFull(from, message); err != nil {
			return err
		}
		if start > 0 {
			c.count(message[0], message[start+lengthSize:])
		}
		if _, err := to.Write(message); err != nil {
			return err
		}
	}
}

// count counts a message by its type.
func (c *counter) count(kind byte, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case kind == 'Q' && bytes.HasPrefix(body, []byte("-- ping")):
		c.asked.Pings++
	case kind == 'Q': // Query: both in one; it is taken for one statement, though it may be several
		c.asked.RoundTrips++
		c.asked.Statements++
	case kind == 'E': // Execute
		c.asked.Statements++
	case kind == 'S': // Sync, at the end of what is sent together
		c.asked.RoundTrips++
	}
}
