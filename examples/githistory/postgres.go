package main

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

func isPostgresURL(name string) bool {
	return strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://")
}

// openPostgres connects to a database, makes the store's tables or brings them
// up to date, and gives a store on it and what closes the connections.
func openPostgres(ctx context.Context, url string) (store eventsource.Store, closeStore func(), err error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, nil, err
	}
	config.MaxConns = max(config.MaxConns, 4) // one watches, one saves, one reads
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	if err := errors.Join(migrations.Up(ctx, db), db.Close()); err != nil {
		pool.Close()
		return nil, nil, err
	}
	return sqlstore.New(pool), pool.Close, nil
}
