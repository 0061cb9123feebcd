package system

import (
	"context"
	"fmt"

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
