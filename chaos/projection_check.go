package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/internal/history"
)

// list is a read model of one version: events in the order in which they were handled.
type list []entry

// lists are those of all models and their versions.
type lists map[listKey]list

type listKey struct {
	Model   string
	Version int
}

func (l lists) add(e entry) {
	key := listKey{e.Model, e.ModelVersion}
	l[key] = append(l[key], e)
}

// readTables reads the models that are in PostgreSQL.
func readTables(ctx context.Context, pool *pgxpool.Pool) (lists, error) {
	rows, err := pool.Query(ctx, `SELECT model, model_version, sequence_id, aggregate, aggregate_version, process FROM handled ORDER BY place`)
	if err != nil {
		return nil, err
	}
	entries, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	all := make(lists)
	for _, e := range entries {
		all.add(e)
	}
	return all, err
}

// readJournal reads the models that are in a file.
func readJournal(file string) (lists, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	all := make(lists)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %q: %w", lines.Bytes(), err)
		}
		all.add(e)
	}
	return all, lines.Err()
}

// checkOrder checks that the events of each aggregate are there from the first one on:
// exactly once each, or, if they may be repeated, so that no event comes before the one
// that precedes it was handled at least once.
func (l list) checkOrder(repeated bool) error {
	var found problems
	last := make(map[string]int)
	for _, e := range l {
		next := last[e.Aggregate] + 1
		switch {
		case e.AggregateVersion == next:
			last[e.Aggregate] = next
		case e.AggregateVersion > next:
			found.add("%+v is there after version %d of the aggregate", e, next-1)
			last[e.Aggregate] = e.AggregateVersion
		case !repeated:
			found.add("%+v is there again, after version %d of the aggregate", e, next-1)
		}
	}
	return found.err()
}

// checkComplete checks that exactly those events are there that are stored.
func (l list) checkComplete(stored []history.Event) error {
	var found problems
	missing := make(map[string]history.Event, len(stored))
	events := make(map[string]history.Event, len(stored))
	for _, e := range stored {
		missing[e.SequenceID], events[e.SequenceID] = e, e
	}
	for _, e := range l {
		is, ok := events[e.SequenceID]
		if !ok || is.Aggregate != e.Aggregate || is.Version != e.AggregateVersion {
			found.add("%+v was handled, and is not stored", e)
		}
		delete(missing, e.SequenceID)
	}
	for _, e := range missing {
		found.add("%+v was not handled", e)
	}
	return found.err()
}

// repeats is how many entries are there again.
func (l list) repeats() int {
	seen := make(map[string]bool, len(l))
	for _, e := range l {
		seen[e.SequenceID] = true
	}
	return len(l) - len(seen)
}

// problems are some of what was found, and how much it was.
type problems struct {
	first []error
	count int
}

func (p *problems) add(format string, args ...any) {
	if p.count++; p.count <= 5 {
		p.first = append(p.first, fmt.Errorf(format, args...))
	}
}

func (p *problems) err() error {
	if p.count == 0 {
		return nil
	}
	return fmt.Errorf("%d mistakes, such as:\n%w", p.count, errors.Join(p.first...))
}
