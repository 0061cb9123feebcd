package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/eventsource-go/eventsource/migrations"
)

// migrationFiles are the application's own migrations: they make the tables that it reads.
//
//go:embed sql/migrations/*.sql
var migrationFiles embed.FS

// migrate makes all tables, or brings them up to date. Several processes may do so at
// once: the others wait for the first one.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	db := stdlib.OpenDBFromPool(pool)
	return errors.Join(migrateAll(ctx, db), db.Close())
}

func migrateAll(ctx context.Context, db *sql.DB) error {
	if err := migrations.Up(ctx, db); err != nil { // events, and checkpoints of projections
		return err
	}
	files, err := fs.Sub(migrationFiles, "sql/migrations")
	if err != nil {
		return err
	}
	// Whatever number, as long as nobody else locks with it: the bytes of "ordersex".
	const lockID = 0x6f72646572736578
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(1, 60))
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName("orders_schema_version"), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}
