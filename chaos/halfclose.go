package chaos

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

// valve is a proxy whose connections can be half-closed, which Toxiproxy's cannot:
// one side has said that it sends no more, and the other may still. It can also forget
// connections, as a firewall does: what is sent is lost, and nobody is told.
type valve struct {
	listener net.Listener
	target   string

	mu   sync.Mutex
	open map[*pipe]struct{}
}

// pipe is a connection through a valve.
type pipe struct {
	client, server *net.TCPConn
	forgotten      atomic.Bool
}

// newValve returns a proxy for a server at an address, which listens.
func newValve(target string) (*valve, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	v := &valve{listener: listener, target: target, open: make(map[*pipe]struct{})}
	go v.accept()
	return v, nil
}

func (v *valve) address() string { return v.listener.Addr().String() }

func (v *valve) accept() {
	for {
		client, err := v.listener.Accept()
		if err != nil {
			return // it was closed
		}
		go v.serve(client.(*net.TCPConn))
	}
}

func (v *valve) serve(client *net.TCPConn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", v.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	p := &pipe{client: client, server: server.(*net.TCPConn)}
	v.mu.Lock()
	v.open[p] = struct{}{}
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		delete(v.open, p)
		v.mu.Unlock()
	}()

	var wg sync.WaitGroup
	wg.Go(func() { p.pass(p.client, p.server) })
	wg.Go(func() { p.pass(p.server, p.client) })
	wg.Wait()
}

// pass copies one direction, and passes its end on, but not that of the other.
func (p *pipe) pass(from, to *net.TCPConn) {
	if _, err := io.Copy(lossy{to, p}, from); err != nil {
		_, _ = from.Close(), to.Close()
		return
	}
	if !p.forgotten.Load() {
		_ = to.CloseWrite()
	}
}

// lossy is where what comes through a pipe is written to.
type lossy struct {
	to   io.Writer
	pipe *pipe
}

func (l lossy) Write(data []byte) (int, error) {
	if l.pipe.forgotten.Load() {
		return len(data), nil
	}
	return l.to.Write(data)
}

// forget loses all that is sent from now on through the connections that are open.
func (v *valve) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for p := range v.open {
		p.forgotten.Store(true)
	}
}

// halfClose tells one side of each open connection that no more will come.
func (v *valve) halfClose(toServer bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for p := range v.open {
		if toServer {
			_ = p.server.CloseWrite()
		} else {
			_ = p.client.CloseWrite()
		}
	}
}

func (v *valve) fault() fault {
	return fault{"connections half-closed", 3, func(_ context.Context, random *rand.Rand) (healer, error) {
		v.halfClose(random.IntN(2) == 0)
		return nil, nil
	}}
}

// forgetting has connections forgotten.
func (v *valve) forgetting() fault {
	return fault{"connections forgotten", 3, func(context.Context, *rand.Rand) (healer, error) {
		v.forget()
		return nil, nil
	}}
}

// close ends the proxy and all connections.
func (v *valve) close() {
	_ = v.listener.Close()
	v.mu.Lock()
	defer v.mu.Unlock()
	for p := range v.open {
		_, _ = p.client.Close(), p.server.Close()
	}
}
