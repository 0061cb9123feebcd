package sqlstore_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between a store and the server, and can cut connections.
type proxy struct {
	url    string
	target string

	mu sync.Mutex
	// fromServer sees every chunk before it goes to the client, and toServer every
	// one before it goes to the server, with the number of the connection.
	// Returning false cuts it.
	fromServer, toServer func(conn int, chunk []byte) bool
	conns                int
	refuse               bool // new connections
	open                 map[net.Conn]struct{}
}

// newProxy returns a proxy for the server in the URL, through plain TCP.
func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: u.Host, open: make(map[net.Conn]struct{})}
	if u.Port() == "" {
		p.target = net.JoinHostPort(u.Hostname(), "5432")
	}
	u.Host = listener.Addr().String()
	query := u.Query()
	query.Set("sslmode", "disable") // what it passes on has to be readable
	u.RawQuery = query.Encode()
	p.url = u.String()
	t.Cleanup(func() {
		_ = listener.Close()
		p.cutAll()
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

func (p *proxy) set(change func(*proxy)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	refuse := p.refuse
	p.mu.Unlock()
	if refuse {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var number int
	p.set(func(p *proxy) {
		p.conns++
		number = p.conns
		p.open[client], p.open[server] = struct{}{}, struct{}{}
	})
	defer p.set(func(p *proxy) { delete(p.open, client); delete(p.open, server) })

	var wg sync.WaitGroup
	wg.Go(func() { p.pass(number, client, server, func() func(int, []byte) bool { return p.toServer }) })
	wg.Go(func() { p.pass(number, server, client, func() func(int, []byte) bool { return p.fromServer }) })
	wg.Wait()
}

// pass copies until one side ends or the check says so, and then cuts both.
func (p *proxy) pass(number int, from, to net.Conn, check func() func(int, []byte) bool) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			p.mu.Lock()
			allowed := check()
			p.mu.Unlock()
			if allowed != nil && !allowed(number, buffer[:n]) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
