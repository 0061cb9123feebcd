package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// leaked is what was leaked on purpose. It is kept: what nobody refers to is given
// back, connections too.
type leaked struct {
	times  int
	memory [][]byte
	conns  []*pgx.Conn
}

// leak leaks what is to be leaked on purpose, until ctx ends.
func (w *soaker) leak(ctx context.Context) {
	var l leaked
	for ctx.Err() == nil {
		if err := l.more(ctx, w.Soak.Leak, w.URL); err != nil && ctx.Err() == nil {
			w.fail("leak: %w", err)
			return
		}
		rest(ctx, w.random(2000+l.times), 100*time.Millisecond)
	}
}

// more leaks a little more, ten times a second on average.
func (l *leaked) more(ctx context.Context, what, address string) error {
	l.times++
	switch what {
	case "goroutines":
		go func() { select {} }()
	case "memory":
		l.memory = append(l.memory, make([]byte, 100_000))
	case "connections":
		if l.times%10 == 0 { // the server has not that many
			return l.connect(ctx, address)
		}
	case "locks":
		if l.conns == nil {
			return l.connect(ctx, address)
		}
		_, err := l.conns[0].Exec(ctx, "SELECT pg_advisory_lock(1, $1)", l.times)
		return err
	default:
		return fmt.Errorf("%q is nothing that can be leaked", what)
	}
	return nil
}

func (l *leaked) connect(ctx context.Context, address string) error {
	conn, err := pgx.Connect(ctx, address)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return err
}
