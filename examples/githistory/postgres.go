package main

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

func isPostgresURL(name string) bool {
	return strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://")
}

// openPostgres connects to a database, makes the tables of the store and of the read
// model or brings them up to date, and gives both.
func openPostgres(ctx context.Context, url string, rebuild bool, options ...projection.Option) (*backend, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = max(config.MaxConns, 10) // one watches, one saves, one reads; a version of the projection uses up to three
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	err = migrations.Up(ctx, db)
	if err == nil {
		err = migrateModel(ctx, db)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		pool.Close()
		return nil, err
	}
	return &backend{store: sqlstore.New(pool), model: newSQLModel(pool, rebuild, options...), close: pool.Close}, nil
}
