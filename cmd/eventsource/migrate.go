package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/eventsource-go/eventsource/migrations"
)

// envDSN is the environment variable that stands in for --dsn.
const envDSN = "DATABASE_URL"

func newMigrateCommand(getenv func(string) string) *cobra.Command {
	return newGroup("migrate", "Make the tables in PostgreSQL, or bring them up to date",
		`Makes the tables for package store/sqlstore in PostgreSQL, brings them up to date,
or takes the last step back.`,
		newMigrateUpCommand(getenv), newMigrateDownCommand(getenv), newMigrateStatusCommand(getenv))
}

// migrateFlags say which table of which database is meant.
type migrateFlags struct {
	getenv             func(string) string
	dsn, schema, table string
}

func (f *migrateFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dsn, "dsn", "", "`URL` of the database, such as postgres://user:password@host:5432/database (required, unless "+envDSN+" is set)")
	flags.StringVar(&f.schema, "schema", "", "`name` of the schema, if not the first one of the search path")
	flags.StringVar(&f.table, "table", migrations.DefaultTable, "`name` of the table of events")
}

// do calls what works on the database.
func (f *migrateFlags) do(cmd *cobra.Command, work func(ctx context.Context, db *sql.DB, options []migrations.Option) error) error {
	source, dsn := "--dsn", f.dsn
	if dsn == "" {
		source, dsn = envDSN, f.getenv(envDSN)
	}
	if dsn == "" {
		return wrong("there is no database: give --dsn, or set %s", envDSN)
	}
	db, err := openDatabase(source, dsn)
	if err != nil {
		return err
	}
	options := []migrations.Option{migrations.WithTable(f.table)}
	if f.schema != "" {
		options = append(options, migrations.WithSchema(f.schema))
	}
	return errors.Join(work(cmd.Context(), db, options), db.Close())
}

// where names the table.
func (f *migrateFlags) where() string {
	if f.schema == "" {
		return "table " + f.table
	}
	return "table " + f.schema + "." + f.table
}

func newMigrateUpCommand(getenv func(string) string) *cobra.Command {
	f := &migrateFlags{getenv: getenv}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Apply all migrations that have not been applied",
		Long: `Applies all migrations that have not been applied, and makes the schema if
--schema names one that is not there. Several may be at work at once: one
migrates, the others wait for up to five minutes.`,
		Example: examples(
			"eventsource migrate up --dsn postgres://user:password@host/database",
			"DATABASE_URL=postgres://user:password@host/database eventsource migrate up --schema shop --table orders",
		),
		Args: noArguments,
		RunE: action(func(cmd *cobra.Command) error {
			return f.do(cmd, func(ctx context.Context, db *sql.DB, options []migrations.Option) error {
				changed, err := change(ctx, db, migrations.Up, options)
				for _, m := range changed {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: applied %s\n", f.where(), m.Name)
				}
				if err == nil && len(changed) == 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: is up to date\n", f.where())
				}
				return err
			})
		}),
	}
	f.add(cmd)
	return cmd
}

func newMigrateDownCommand(getenv func(string) string) *cobra.Command {
	f := &migrateFlags{getenv: getenv}
	var dropEvents bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Take back the last migration",
		Long: `Takes back the last migration that was applied, and only that one. Those that
made tables, of events or of projections, drop them, which is refused while there
is anything in them, unless --drop-events is given.`,
		Example: examples(
			"eventsource migrate down --dsn postgres://user:password@host/database",
			"eventsource migrate down --table orders --drop-events",
		),
		Args: noArguments,
		RunE: action(func(cmd *cobra.Command) error {
			return f.do(cmd, func(ctx context.Context, db *sql.DB, options []migrations.Option) error {
				if dropEvents {
					options = append(options, migrations.WithDropEvents())
				}
				changed, err := change(ctx, db, migrations.Down, options)
				for _, m := range changed {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: took back %s\n", f.where(), m.Name)
				}
				if err == nil && len(changed) == 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: there is nothing to take back\n", f.where())
				}
				if refused(err) {
					err = fmt.Errorf("%w (--drop-events drops it with all events)", err)
				}
				return err
			})
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&dropEvents, "drop-events", false, "drop a table with all its events")
	return cmd
}

// refused reports whether the table was not dropped because of its events.
func refused(err error) bool {
	const restrictViolation = "23001"
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == restrictViolation
}

// change migrates, and returns the migrations that were applied or taken back.
func change(ctx context.Context, db *sql.DB, migrate func(context.Context, *sql.DB, ...migrations.Option) error, options []migrations.Option) (changed []migrations.Migration, err error) {
	before, err := migrations.Status(ctx, db, options...)
	if err != nil {
		return nil, err
	}
	failed := migrate(ctx, db, options...)
	after, err := migrations.Status(ctx, db, options...)
	for i := range after { // the same ones, in the same order
		if before[i].AppliedAt.IsZero() != after[i].AppliedAt.IsZero() {
			changed = append(changed, after[i])
		}
	}
	if failed != nil {
		err = failed
	}
	return changed, err
}

func newMigrateStatusCommand(getenv func(string) string) *cobra.Command {
	f := &migrateFlags{getenv: getenv}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which migrations were applied, and when",
		Long:  `Shows which migrations were applied, and when. It changes nothing.`,
		Example: examples(
			"eventsource migrate status --dsn postgres://user:password@host/database",
		),
		Args: noArguments,
		RunE: action(func(cmd *cobra.Command) error {
			return f.do(cmd, func(ctx context.Context, db *sql.DB, options []migrations.Option) error {
				all, err := migrations.Status(ctx, db, options...)
				if err != nil {
					return err
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				for _, m := range all {
					fmt.Fprintf(w, "%d\t%s\t%s\n", m.Version, m.Name, applied(m))
				}
				return w.Flush()
			})
		}),
	}
	f.add(cmd)
	return cmd
}

func applied(m migrations.Migration) string {
	if m.AppliedAt.IsZero() {
		return "not applied"
	}
	return "applied " + m.AppliedAt.UTC().Format(time.RFC3339)
}
