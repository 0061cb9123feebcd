// Command orders is a small shop: customers have wallets, place orders from a catalogue,
// and see them paid, rejected, shipped or cancelled. It is a web service on PostgreSQL, and
// any number of its processes may run on one database.
//
//	go run ./examples/orders -database postgres://localhost/orders
//
// README.md says what to look at.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/store/sqlstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintf(os.Stderr, "orders: %v\n", err)
		os.Exit(1)
	}
}

// run is the program. It ends well when the context ends.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	flags := flag.NewFlagSet("orders", flag.ContinueOnError)
	flags.SetOutput(stderr)
	database := flags.String("database", "", "`URL` of the PostgreSQL database; its tables are made, or brought up to date\n(default DATABASE_URL)")
	address := flags.String("address", "127.0.0.1:8080", "`host:port` to listen at")
	debug := flags.Bool("debug", false, "log each call of the store")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if *database == "" {
		*database = getenv("DATABASE_URL")
	}
	if *database == "" {
		return errors.New("which database? -database or DATABASE_URL has to be set")
	}
	level := slog.LevelInfo
	if *debug {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))

	pool, err := openPool(ctx, *database)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := migrate(ctx, pool); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *address)
	if err != nil {
		return err
	}
	logger.Info("the shop is open", "url", "http://"+listener.Addr().String())
	err = newApp(sqlstore.New(pool), pool, logger).serve(ctx, listener)
	logger.Info("the shop is closed")
	return err
}

func openPool(ctx context.Context, database string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(database)
	if err != nil {
		return nil, err
	}
	config.MaxConns = max(config.MaxConns, 20) // each worker of a projection takes up to two
	return pgxpool.NewWithConfig(ctx, config)
}
