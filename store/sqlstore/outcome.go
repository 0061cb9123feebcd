package sqlstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
)

// outcome finds out what became of a transaction whose commit got no answer
// because of cause. It returns nil if the records are stored, cause if they are
// not and never will be, and [eventsource.ErrOutcomeUnknown] if it cannot be
// known.
//
// The session that was to commit may still be at it. As long as it is, its lock
// of step 1 shows, since PostgreSQL makes a commit visible before it releases the
// locks; so records that are missing after the lock has gone are not stored.
func (s *Store) outcome(ctx context.Context, r *reservation, records []eventsource.Record, cause error) error {
	unknown := outcomeUnknown(records, cause)
	if len(records) == 0 {
		return unknown
	}
	ctx, cancel := s.detached(ctx)
	defer cancel()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		running, stored, err := s.lookUp(ctx, r, &records[0])
		switch {
		case err == nil && stored:
			return nil
		case err == nil && !running:
			return cause
		}
		select {
		case <-ctx.Done():
			return unknown
		case <-time.After(wait):
		}
	}
}

func outcomeUnknown(records []eventsource.Record, cause error) error {
	unknown := &eventsource.OutcomeUnknownError{Err: cause}
	for i := range records {
		unknown.SequenceIDs = append(unknown.SequenceIDs, records[i].SequenceID)
	}
	return unknown
}

func (s *Store) lookUp(ctx context.Context, r *reservation, first *eventsource.Record) (running, stored bool, err error) {
	conn, err := s.acquire(ctx, "look up the outcome of a commit")
	if err != nil {
		return false, false, err
	}
	defer conn.Release()
	// The two are asked outside of a transaction, so that the second sees all that
	// was committed before the first was answered, at any isolation level.
	if err := conn.QueryRow(ctx, s.sql.outcomeRunning, s.sql.table, r.pid, int64(r.bound)).Scan(&running); err != nil {
		return false, false, err
	}
	err = conn.QueryRow(ctx, s.sql.outcomeStored, first.SequenceID, first.AggregateID, first.Version).Scan(&stored)
	return running, stored, err
}

// commitBatch sends what is queued in the batch, whose last statement is COMMIT.
// committing is true if the error leaves open whether it was carried out.
func (s *Store) commitBatch(ctx context.Context, conn *pgx.Conn, batch *pgx.Batch) (committing bool, err error) {
	batch.Queue(s.sql.commit)
	results := conn.SendBatch(ctx, batch)
	for range batch.Len() {
		tag, err := results.Exec()
		if err != nil {
			_ = results.Close()
			return !decided(err), err
		}
		if tag.String() == "ROLLBACK" {
			_ = results.Close()
			return false, pgx.ErrTxCommitRollback
		}
	}
	// COMMIT has been answered: nothing that happens now can undo it.
	_ = results.Close()
	return false, nil
}
