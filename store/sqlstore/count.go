package sqlstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
)

// Count says how many events match, in one round trip. The server looks at all of
// them, along an index where the query has a type, an aggregate or sequence IDs.
func (s *Store) Count(ctx context.Context, query eventsource.Query) (int64, error) {
	query, err := query.Normalize()
	if err != nil {
		return 0, err
	}
	conn, err := s.acquire(ctx, "count")
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	n, err := s.countOn(ctx, conn.Conn(), &selection{Query: query, oneAggregate: query.AggregateID != ""})
	if err != nil {
		s.rollback(ctx, conn.Conn())
		return 0, s.translate(ctx, "count", err)
	}
	return n, nil
}

// countOn reads the horizon, and in a later statement counts up to it, as sendPage
// reads a page.
func (s *Store) countOn(ctx context.Context, conn *pgx.Conn, sel *selection) (n int64, err error) {
	from, err := s.session(ctx, conn)
	if err != nil {
		return 0, err
	}
	batch := &pgx.Batch{}
	if !from.readCommitted {
		batch.Queue(s.sql.begin)
	}
	if !sel.oneAggregate {
		batch.Queue(s.sql.readHorizon)
	}
	sql, args := s.pageSQL(sel, how{horizon: !sel.oneAggregate, count: true})
	batch.Queue(sql, args...).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	if !from.readCommitted {
		batch.Queue(s.sql.commit)
	}
	return n, conn.SendBatch(ctx, batch).Close()
}
