package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
)

// migrationFiles are the application's own migrations, which make its read model.
// Those of the events and of the checkpoints are the library's.
//
//go:embed sql/migrations/*.sql
var migrationFiles embed.FS

//go:embed sql/takeover.sql
var takeoverSQL string

// migrateModel makes the tables of the read model. Its migrations are counted in a
// table of their own.
func migrateModel(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrationFiles, "sql/migrations")
	if err != nil {
		return err
	}
	const lockID = 0x676974686973746f // the bytes of "githisto"
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(1, 60))
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName("history_schema_version"), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// sqlModel is a read model in PostgreSQL. Each event counts exactly once in it, whatever
// happens: it is written in the transaction that moves the checkpoint.
type sqlModel struct {
	pool        *pgxpool.Pool
	checkpoints *sqlprojection.Checkpoints
	options     []projection.Option
	// rebuild has version 2 begin at half of the history, and take over.
	rebuild bool
	// superseded is closed when version 2 has taken over, perhaps in an earlier process.
	superseded chan struct{}
}

func newSQLModel(pool *pgxpool.Pool, rebuild bool, options ...projection.Option) *sqlModel {
	return &sqlModel{
		pool: pool, checkpoints: sqlprojection.NewCheckpoints(pool), options: options,
		rebuild: rebuild, superseded: make(chan struct{}),
	}
}

// run runs version 1 until version 2 has taken over, and version 2 from when it is
// wanted. They have tables of their own and do not wait for each other.
func (m *sqlModel) run(ctx context.Context, repo eventsource.Repository, halfway <-chan struct{}) error {
	both, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var versions sync.WaitGroup
	versions.Go(func() {
		switch err := m.projection(repo, 1).Run(both); {
		case errors.Is(err, projection.ErrSuperseded):
			close(m.superseded)
		case err != nil:
			cancel(err)
		}
	})
	versions.Go(func() {
		if m.awaitVersion2(both, halfway) != nil {
			return // the end came first
		}
		if err := m.projection(repo, 2).Run(both); err != nil {
			cancel(err)
		}
	})
	versions.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(both)
}

// awaitVersion2 returns nil when version 2 is to run.
func (m *sqlModel) awaitVersion2(ctx context.Context, halfway <-chan struct{}) error {
	if !m.rebuild {
		halfway = nil // never
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-m.superseded:
		return nil
	case <-halfway:
		return nil
	}
}

func (m *sqlModel) projection(repo eventsource.Repository, version int) *projection.Projection {
	options := []projection.Option{
		projection.WithCheckpoints(m.checkpoints), projection.WithVersion(version),
	}
	if version == 2 {
		options = append(options, projection.WithTakeover(takeOver), projection.WithDropOld())
	}
	handler := sqlprojection.Batch(newStatements(version).handle, modelEvents()...)
	return projection.New(projectionName, repo, handler, append(options, m.options...)...)
}

// takeOver has the views show the tables of version 2, and drops those of version 1, in
// the transaction in which version 2 becomes the active one.
func takeOver(ctx context.Context) error {
	tx, ok := sqlprojection.Tx(ctx)
	if !ok {
		return errors.New("takeover without a transaction")
	}
	_, err := tx.Exec(ctx, takeoverSQL)
	return err
}

// statements write the tables of one version.
type statements struct {
	putFile, deleteFile, countChange, countCommit, countWeek string
}

func newStatements(version int) *statements {
	s := &statements{
		putFile: `INSERT INTO history_files_v1 AS f (id, repository, path, mode, blob, changes, changed_by, changed_at)
			VALUES (@id, @repository, @path, @mode, @blob, 1, @author, @at)
			ON CONFLICT (id) DO UPDATE SET mode = excluded.mode, blob = excluded.blob, changes = f.changes + 1,
				changed_by = excluded.changed_by, changed_at = excluded.changed_at`,
		deleteFile: `DELETE FROM history_files_v1 WHERE id = @id`,
		countChange: `INSERT INTO history_authors_v1 AS a (repository, author, commits, changes)
			VALUES (@repository, @author, 0, 1)
			ON CONFLICT (repository, author) DO UPDATE SET changes = a.changes + 1`,
		countCommit: `INSERT INTO history_authors_v1 AS a (repository, author, commits, changes, first_commit, last_commit)
			VALUES (@repository, @author, 1, 0, @at, @at)
			ON CONFLICT (repository, author) DO UPDATE SET commits = a.commits + 1,
				first_commit = least(a.first_commit, excluded.first_commit),
				last_commit = greatest(a.last_commit, excluded.last_commit)`,
		countWeek: `INSERT INTO history_weeks_v1 AS w (repository, week, commits)
			VALUES (@repository, @week, 1)
			ON CONFLICT (repository, week) DO UPDATE SET commits = w.commits + 1`,
	}
	if version == 2 {
		s.countWeek = `INSERT INTO history_weeks_v2 AS w (repository, week, author, commits)
			VALUES (@repository, @week, @author, 1)
			ON CONFLICT (repository, week, author) DO UPDATE SET commits = w.commits + 1`
		for _, statement := range []*string{&s.putFile, &s.deleteFile, &s.countChange, &s.countCommit} {
			*statement = strings.Replace(*statement, "_v1", "_v2", 1)
		}
	}
	return s
}

// handle writes what follows from some events, in one round trip.
func (s *statements) handle(ctx context.Context, tx pgx.Tx, events []eventsource.Event) error {
	var batch pgx.Batch
	for _, event := range events {
		s.queue(&batch, event)
	}
	return tx.SendBatch(ctx, &batch).Close()
}

func (s *statements) queue(batch *pgx.Batch, event eventsource.Event) {
	switch e := event.(type) {
	case *FileAdded:
		s.queueFile(batch, e.BaseEvent, e.Path, e.Mode, e.Blob)
	case *FileModified:
		s.queueFile(batch, e.BaseEvent, e.Path, e.Mode, e.Blob)
	case *FileDeleted:
		args := pgx.NamedArgs{"id": e.AggregateID, "repository": repositoryOf(e.AggregateID), "author": e.UserID}
		batch.Queue(s.deleteFile, args)
		batch.Queue(s.countChange, args)
	case *CommitImported:
		args := pgx.NamedArgs{"repository": e.AggregateID, "author": e.Author.encode(), "at": nil}
		if at, ok := timeOf(e.Time); ok {
			args["at"], args["week"] = at, weekOf(at)
			batch.Queue(s.countWeek, args)
		}
		batch.Queue(s.countCommit, args)
	}
}

func (s *statements) queueFile(batch *pgx.Batch, base eventsource.BaseEvent, path Text, mode, blob string) {
	args := pgx.NamedArgs{
		"id": base.AggregateID, "repository": repositoryOf(base.AggregateID), "author": base.UserID,
		"path": path.encode(), "mode": mode, "blob": blob, "at": time.Unix(0, base.Timestamp),
	}
	batch.Queue(s.putFile, args)
	batch.Queue(s.countChange, args)
}

func (m *sqlModel) upTo(ctx context.Context, repo eventsource.Repository, repositoryID, sequenceID string) (*snapshot, error) {
	manager := projection.NewManager(repo, m.checkpoints)
	if m.rebuild {
		if err := manager.WaitUntilActive(ctx, projectionName, 2); err != nil {
			return nil, err
		}
	}
	if err := manager.WaitFor(ctx, projectionName, sequenceID); err != nil {
		return nil, err
	}
	s := newSnapshot()
	// All views as they are at one moment: a takeover comes before or after.
	err := pgx.BeginTxFunc(ctx, m.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return s.load(ctx, tx, repositoryID)
	})
	return s, err
}

// load reads the views.
func (s *snapshot) load(ctx context.Context, tx pgx.Tx, repositoryID string) error {
	if err := tx.QueryRow(ctx, `SELECT version FROM history_version`).Scan(&s.version); err != nil {
		return err
	}
	var (
		text    string
		file    fileState
		author  authorState
		week    time.Time
		commits int
	)
	each := func(query string, into []any, do func()) error {
		rows, err := tx.Query(ctx, query, repositoryID)
		if err == nil {
			_, err = pgx.ForEachRow(rows, into, func() error { do(); return nil })
		}
		return err
	}
	err := errors.Join(
		each(`SELECT path, mode, blob, changes, changed_by FROM history_files WHERE repository = $1`,
			[]any{&text, &file.mode, &file.blob, &file.changes, &file.author}, func() { s.files[text] = file }),
		each(`SELECT author, commits, changes,
				coalesce(extract(epoch FROM first_commit), 0)::bigint, coalesce(extract(epoch FROM last_commit), 0)::bigint
				FROM history_authors WHERE repository = $1`,
			[]any{&text, &author.commits, &author.changes, &author.first, &author.last}, func() { s.authors[text] = author }),
		each(`SELECT week, commits FROM history_weeks WHERE repository = $1`,
			[]any{&week, &commits}, func() { s.weeks[week] = commits }))
	if err != nil {
		return err
	}
	if s.version == 1 {
		s.weeksByAuthor = nil
		return nil
	}
	return each(`SELECT week, author, commits FROM history_weeks_by_author WHERE repository = $1`,
		[]any{&week, &text, &commits}, func() { s.weeksByAuthor[authorWeek{week, text}] = commits })
}
