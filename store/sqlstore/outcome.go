package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/sequence"
)

// session is the process of the server behind a connection, and how it is set up.
type session struct {
	pid   int
	since *time.Time
	// direct is false when a proxy stands between: the process then serves others
	// too, and the next statement may be served by another one.
	direct bool
	// readCommitted is true when a statement on its own runs in READ COMMITTED.
	readCommitted bool
	// asked is when this was found out, by this process's clock.
	asked time.Time
}

// sessionKey is where a connection keeps its session.
const sessionKey = "github.com/eventsource-go/eventsource/store/sqlstore.session"

// session asks what is behind a connection, once for each connection.
func (s *Store) session(ctx context.Context, conn *pgx.Conn) (session, error) {
	kept := conn.PgConn().CustomData()
	if known, ok := kept[sessionKey].(session); ok {
		return known, nil
	}
	var (
		found     session
		isolation string
	)
	if err := conn.QueryRow(ctx, s.sql.session).Scan(&found.pid, &found.since, &isolation); err != nil {
		return session{}, err
	}
	found.asked = time.Now()
	found.readCommitted = isolation == string(pgx.ReadCommitted)
	found.direct = found.since != nil && found.pid == int(conn.PgConn().PID())
	kept[sessionKey] = found
	return found, nil
}

// outcome finds out what became of a transaction whose commit got no answer
// because of cause. It returns nil if the records are stored; cause if they are
// not and never will be; and [eventsource.ErrOutcomeUnknown] if it cannot be
// known. Unless sequence IDs and versions are final already, it sets them.
//
// The process that was to commit may still be at it. Once it has ended, the
// connection having been closed, records that are missing are not stored. Those that
// are there count once a commit after theirs is as durable as commits are to be.
func (s *Store) outcome(ctx context.Context, from session, records []eventsource.Record, final bool, cause error) error {
	if len(records) == 0 {
		return &eventsource.OutcomeUnknownError{Err: cause}
	}
	if records[0].SequenceID == "" {
		return cause // it broke before anything was sent
	}
	ctx, cancel := detached(ctx, s.outcomeTimeout)
	defer cancel()
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		running, stored, err := s.lookUp(ctx, from, records, final)
		switch {
		case err == nil && stored:
			return nil
		case err == nil && !running:
			return cause
		}
		select {
		case <-ctx.Done():
			return outcomeUnknown(records, cause)
		case <-time.After(wait):
		}
	}
}

func outcomeUnknown(records []eventsource.Record, cause error) error {
	unknown := &eventsource.OutcomeUnknownError{Err: cause}
	seen := make(map[string]bool)
	for i := range records {
		if id := records[i].AggregateID; !seen[id] {
			seen[id] = true
			unknown.AggregateIDs = append(unknown.AggregateIDs, id)
		}
	}
	return unknown
}

func (s *Store) lookUp(ctx context.Context, from session, records []eventsource.Record, final bool) (running, stored bool, err error) {
	conn, err := s.acquire(ctx, "look up the outcome of a commit")
	if err != nil {
		return false, false, err
	}
	defer conn.Release()
	// The statements run outside of a transaction, so that each sees all that was
	// committed before the one before it was answered, at any isolation level.
	running = true
	if from.direct {
		if err := conn.QueryRow(ctx, s.sql.outcomeRunning, from.pid, from.since).Scan(&running); err != nil {
			return false, false, err
		}
	}
	// The server may have chosen a higher stem than was sent, but not another tail.
	first := &records[0]
	var id string
	err = conn.QueryRow(ctx, s.sql.outcomeStored, first.AggregateID, first.SequenceID[:sequence.StemLength],
		first.SequenceID[sequence.StemLength:], first.Timestamp).Scan(&id)
	if err != nil || id == "" {
		return running, false, err
	}
	if !final {
		if err := s.restore(ctx, conn.Conn(), records, id); err != nil {
			return running, false, err
		}
	}
	durable, err := conn.Exec(ctx, s.sql.outcomeDurable, id)
	if err != nil {
		return running, false, err
	}
	if durable.RowsAffected() != 1 {
		return running, false, errors.New("the event that was found is gone")
	}
	return running, true, nil
}

// restore sets sequence IDs and versions of records that are stored, given the
// sequence ID of the first.
func (s *Store) restore(ctx context.Context, conn *pgx.Conn, records []eventsource.Record, first string) error {
	ids := make([]string, len(records))
	for i := range records {
		ids[i] = first[:sequence.StemLength] + records[i].SequenceID[sequence.StemLength:]
	}
	var versions []int
	if err := conn.QueryRow(ctx, s.sql.outcomeVersions, ids).Scan(&versions); err != nil {
		return err
	}
	if len(versions) != len(records) { // see outcome_durable
		return fmt.Errorf("of %d events that were found together %d are there", len(records), len(versions))
	}
	for i := range records {
		records[i].SequenceID, records[i].Version = ids[i], versions[i]
	}
	return nil
}
