package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// network is a proxy between workers and their server.
type network struct {
	proxy *toxiproxy.Proxy
	added int
}

// newNetwork returns a proxy for a server at an address, which listens.
func newNetwork(address string) (*network, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "server", "127.0.0.1:0", address)
	if err := proxy.Start(); err != nil {
		return nil, fmt.Errorf("start a proxy for %s: %w", address, err)
	}
	return &network{proxy: proxy}, nil
}

// address is what the proxy listens on. It never changes.
func (n *network) address() string { return n.proxy.Listen }

// add makes connections bad, those that are open and new ones, and returns what
// makes them good again. The attributes are those of Toxiproxy.
func (n *network) add(kind, direction string, attributes map[string]any) (heal func(context.Context) error, err error) {
	n.added++
	name := fmt.Sprintf("%s-%d", kind, n.added)
	text, err := json.Marshal(map[string]any{"name": name, "type": kind, "stream": direction, "toxicity": 1, "attributes": attributes})
	if err != nil {
		return nil, err
	}
	if _, err := n.proxy.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return func(ctx context.Context) error { return n.proxy.Toxics.RemoveToxic(ctx, name) }, nil
}

// faults are what can happen to the network.
func (n *network) faults() []fault {
	return []fault{
		{"connections cut and refused", 3, func(context.Context, *rand.Rand) (healer, error) {
			n.proxy.Stop()
			return n.listen, nil
		}},
		{"connections cut", 4, func(ctx context.Context, _ *rand.Rand) (healer, error) {
			n.proxy.Stop()
			return nil, n.listen(ctx)
		}},
		n.fault("data delayed", 3, "latency", func(random *rand.Rand) map[string]any {
			return map[string]any{"latency": random.IntN(100), "jitter": random.IntN(50)}
		}),
		n.fault("data lost, connections open", 3, "timeout", func(*rand.Rand) map[string]any {
			return map[string]any{"timeout": 0}
		}),
		n.fault("data lost, connections closed later", 2, "timeout", func(random *rand.Rand) map[string]any {
			return map[string]any{"timeout": 1 + random.IntN(1500)}
		}),
		n.fault("connections reset", 2, "reset_peer", func(random *rand.Rand) map[string]any {
			return map[string]any{"timeout": random.IntN(300)}
		}),
		n.fault("connections closed after some data", 3, "limit_data", func(random *rand.Rand) map[string]any {
			return map[string]any{"bytes": 1000 + random.IntN(100_000)}
		}),
		n.fault("data in small pieces", 2, "slicer", func(random *rand.Rand) map[string]any {
			return map[string]any{"average_size": 1 + random.IntN(64), "size_variation": 0, "delay": random.IntN(300)}
		}),
		n.fault("connections closed late", 1, "slow_close", func(random *rand.Rand) map[string]any {
			return map[string]any{"delay": 1 + random.IntN(2000)}
		}),
	}
}

// fault is one of Toxiproxy's kinds, in either direction.
func (n *network) fault(name string, weight int, kind string, attributes func(*rand.Rand) map[string]any) fault {
	return fault{name, weight, func(_ context.Context, random *rand.Rand) (healer, error) {
		direction := "upstream"
		if random.IntN(2) == 0 {
			direction = "downstream"
		}
		return n.add(kind, direction, attributes(random))
	}}
}

// listen has the proxy listen again. Somebody else's connection may have its port
// for a moment.
func (n *network) listen(ctx context.Context) error {
	for {
		err := n.proxy.Start()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// close ends the proxy.
func (n *network) close() { n.proxy.Stop() }
