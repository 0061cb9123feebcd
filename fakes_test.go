package eventsource_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// plain hides all optional interfaces of a store.
type plain struct{ eventsource.Store }

// broken is a store on which nothing works.
type broken struct{ err error }

func (b broken) NewTransaction(context.Context, ...eventsource.Record) (eventsource.StoreTransaction, error) {
	return nil, b.err
}
func (b broken) LoadByAggregate(context.Context, string) ([]eventsource.Record, error) {
	return nil, b.err
}
func (b broken) LoadBySequenceID(context.Context, string, int) ([]eventsource.Record, error) {
	return nil, b.err
}
func (b broken) LoadBySequenceIDAndType(context.Context, string, string, int) ([]eventsource.Record, error) {
	return nil, b.err
}
func (b broken) LoadByTimestamp(context.Context, int64, int) ([]eventsource.Record, error) {
	return nil, b.err
}

// brokenAppender is broken and has a way to say so in one step.
type brokenAppender struct{ broken }

func (b brokenAppender) Append(context.Context, ...eventsource.Record) ([]eventsource.Record, error) {
	return nil, b.err
}

// brokenAtCommit gives transactions that fail when they are committed.
type brokenAtCommit struct {
	plain
	err       error
	rollbacks *int
}

func (b brokenAtCommit) NewTransaction(ctx context.Context, records ...eventsource.Record) (eventsource.StoreTransaction, error) {
	tx, err := b.plain.NewTransaction(ctx, records...)
	return brokenTransaction{tx, b}, err
}

type brokenTransaction struct {
	eventsource.StoreTransaction
	store brokenAtCommit
}

func (t brokenTransaction) Commit() error { return t.store.err }

func (t brokenTransaction) Rollback() error {
	*t.store.rollbacks++
	return t.StoreTransaction.Rollback()
}

// fixed is a store that answers every load with the same records.
type fixed struct {
	plain
	records []eventsource.Record
}

func (f fixed) LoadByAggregate(context.Context, string) ([]eventsource.Record, error) {
	return f.records, nil
}
func (f fixed) LoadBySequenceID(context.Context, string, int) ([]eventsource.Record, error) {
	return f.records, nil
}

// serializer is made of functions.
type serializer struct {
	marshal   func(eventsource.Event) ([]byte, error)
	unmarshal func([]byte, string) (eventsource.Event, error)
	err       error
}

func (s *serializer) Marshal(event eventsource.Event) ([]byte, error) { return s.marshal(event) }
func (s *serializer) Unmarshal(data []byte, eventType string) (eventsource.Event, error) {
	return s.unmarshal(data, eventType)
}
func (s *serializer) Err() error { return s.err }

// accounts is the serializer of the examples' events.
func accounts() eventsource.Serializer {
	return json.NewSerializer(&Opened{}, &Deposited{}, &Closed{})
}

var errFake = errors.New("the disk is on fire")

// onEachKind runs a test with a store that has all optional interfaces, and with
// one that has none.
func onEachKind(t *testing.T, test func(t *testing.T, store eventsource.Store)) {
	t.Helper()
	t.Run("all interfaces", func(t *testing.T) { test(t, memstore.New()) })
	t.Run("only Store", func(t *testing.T) { test(t, plain{memstore.New()}) })
}

func mustSave(t testing.TB, repo eventsource.Repository, events ...eventsource.Event) {
	t.Helper()
	if err := repo.Save(t.Context(), events...); err != nil {
		t.Fatalf("save: %v", err)
	}
}

// wantError fails unless err is target and mentions all of the texts.
func wantError(t testing.TB, err, target error, mentions ...string) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error is %v, want %v", err, target)
		return
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			t.Errorf("error %q does not mention %q", err, m)
		}
	}
}

// wantEmpty fails unless the store holds nothing.
func wantEmpty(t testing.TB, store eventsource.Store) {
	t.Helper()
	records, err := store.LoadBySequenceID(t.Context(), "", 0)
	if err != nil || len(records) != 0 {
		t.Errorf("the store holds %d records, error %v, want none", len(records), err)
	}
}

func deposit(aggregateID string, amount int) *Deposited {
	return &Deposited{BaseEvent: of(aggregateID), Amount: amount}
}
