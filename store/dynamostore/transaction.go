package dynamostore

import (
	"context"
	"fmt"
	"sync"

	"github.com/eventsource-go/eventsource"
)

// NewTransaction gathers records that Commit stores with one TransactWriteItems,
// and Rollback forgets. Until Commit nothing is written, so it does not stop the
// saves of others, and readers do not wait for it. A conflict that is there already
// is returned here: for records that ask for a version their aggregates are asked,
// unless this process knows them. Whether a value is taken shows at Commit.
func (s *Store) NewTransaction(ctx context.Context, records ...eventsource.Record) (eventsource.StoreTransaction, error) {
	if err := s.validate(ctx, records); err != nil {
		return nil, err
	}
	t := &transaction{store: s, ctx: ctx, records: eventsource.CloneRecords(records)}
	if len(records) == 0 {
		return t, nil
	}
	sv, err := s.newSave(ctx, records)
	if err != nil {
		return nil, err
	}
	// What asks for no version cannot be in conflict, and is looked up at Commit.
	sv.records, sv.asked = sv.asking()
	if err := s.readVersions(ctx, sv, nil); err != nil {
		return nil, s.translate(ctx, "begin a transaction", err)
	}
	return t, nil
}

// asking are the records of aggregates of which one asks for a version.
func (sv *save) asking() (records []eventsource.Record, asked []int) {
	asks := make(map[string]bool)
	for i := range sv.records {
		if sv.asked[i] != 0 {
			asks[sv.records[i].AggregateID] = true
		}
	}
	for i := range sv.records {
		if asks[sv.records[i].AggregateID] {
			records, asked = append(records, sv.records[i]), append(asked, sv.asked[i])
		}
	}
	return records, asked
}

// transaction keeps its records until Commit.
type transaction struct {
	store *Store
	ctx   context.Context

	mu      sync.Mutex
	done    bool
	records []eventsource.Record
}

// end takes the records, once.
func (t *transaction) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return eventsource.ErrTransactionDone
	}
	t.done = true
	return nil
}

func (t *transaction) Commit() error {
	if err := t.end(); err != nil {
		return err
	}
	if err := t.ctx.Err(); err != nil {
		return fmt.Errorf("eventsource/dynamostore: commit: %w", err)
	}
	if len(t.records) == 0 {
		return nil
	}
	stored, err := t.store.append(t.ctx, t.records)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records = stored
	return nil
}

func (t *transaction) Rollback() error { return t.end() }

func (t *transaction) Records() []eventsource.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return eventsource.CloneRecords(t.records)
}
