package system

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// openPool opens a pool of at most conns connections, all of them connected, so
// that no measurement pays for connecting.
func openPool(ctx context.Context, url string, conns int) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(conns)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	held := make([]*pgxpool.Conn, 0, conns)
	defer func() {
		for _, conn := range held {
			conn.Release()
		}
	}()
	for range conns {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			defer pool.Close()
			return nil, fmt.Errorf("connect: %w", err)
		}
		held = append(held, conn)
	}
	return pool, nil
}

// pollPause is how long a reader that is not woken waits when nothing is new.
const pollPause = 2 * time.Millisecond

// poll calls read, which returns how many events were new, until ctx ends.
func poll(ctx context.Context, read func() (n int, err error)) error {
	for {
		n, err := read()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case n > 0:
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollPause):
		}
	}
}
