// Package testsuite is the one conformance suite that every store passes. Its
// public face, for stores written elsewhere, is package storetest.
package testsuite

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/eventsource-go/eventsource"
)

// Storage opens a store on one and the same storage, each time as another
// process would: with connections of its own, where there are any, and the given
// clock. What it opens is closed when the test ends.
type Storage func(clock func() time.Time) eventsource.Store

// Ability is what a store may lack.
type Ability string

// The abilities. All but LargeData are optional interfaces of package eventsource.
const (
	Append       Ability = "Append"       // eventsource.Appender
	LoadVersions Ability = "LoadVersions" // eventsource.VersionLoader
	Query        Ability = "Query"        // eventsource.Querier
	Follow       Ability = "Follow"       // eventsource.Follower
	Watch        Ability = "Watch"        // eventsource.Watcher
	Horizon      Ability = "Horizon"      // eventsource.HorizonReporter
	Reserve      Ability = "Reserve"      // eventsource.Reserver
	LargeData    Ability = "LargeData"    // events of 1 MB
)

// Harness is what the suite needs of a backend.
type Harness struct {
	// Open makes an empty storage for one test. Required.
	Open func(t *testing.T) Storage
	// Lacks names what the store cannot do. It is then shown to refuse it. Defaults
	// to nothing.
	Lacks []Ability
	// MaxSaveEvents is the most events that one save can have, at least 12, which
	// the suite saves at once. A save of more is shown to be refused with an
	// [eventsource.SaveTooLargeError]. A value that a save reserves or releases counts
	// as an event. Defaults to 0, no limit.
	MaxSaveEvents int
	// MaxSpreadEvents is the same where the events are of many aggregates, if that
	// is less than for those of one. Defaults to MaxSaveEvents.
	MaxSpreadEvents int
}

func (h Harness) lacks(a Ability) bool { return slices.Contains(h.Lacks, a) }

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	if h.Open == nil {
		t.Fatal("testsuite: Harness.Open is nil")
	}
	if h.MaxSpreadEvents == 0 {
		h.MaxSpreadEvents = h.MaxSaveEvents
	}
	for _, group := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"Fields", testFields},
		{"Queries", testQueries},
		{"Versions", testVersions},
		{"Transactions", testTransactions},
		{"Contexts", testContexts},
		{"Input", testInput},
		{"Abilities", testAbilities},
		{"LoadVersions", testLoadVersions},
		{"Reservations", testReservations},
		{"Commands", testCommands},
		{"Order", testOrder},
		{"Model", testModel},
	} {
		t.Run(group.name, func(t *testing.T) { group.run(t, h) })
	}
}

// run runs a test on a storage of its own.
func (h Harness) run(t *testing.T, name string, test func(t *testing.T, open Storage)) {
	t.Run(name, func(t *testing.T) { test(t, h.Open(t)) })
}

// all is no limit.
const all = 0

var anyTime = time.Now

// save stores records in the shortest way and returns them as they were stored.
func save(t testing.TB, store eventsource.Store, records ...eventsource.Record) []eventsource.Record {
	t.Helper()
	stored, err := trySave(t.Context(), store, records...)
	if err != nil {
		t.Fatalf("save: %v", err)
	}
	return stored
}

// saveAll stores records of which there may be more than one save can have.
func (h Harness) saveAll(t testing.TB, store eventsource.Store, records ...eventsource.Record) []eventsource.Record {
	t.Helper()
	if h.MaxSaveEvents == 0 {
		return save(t, store, records...)
	}
	var stored []eventsource.Record
	for part := range slices.Chunk(records, h.MaxSpreadEvents) {
		stored = append(stored, save(t, store, part...)...)
	}
	return stored
}

func trySave(ctx context.Context, store eventsource.Store, records ...eventsource.Record) ([]eventsource.Record, error) {
	if appender, ok := store.(eventsource.Appender); ok {
		return appender.Append(ctx, records...)
	}
	return trySaveInTransaction(ctx, store, records...)
}

func trySaveInTransaction(ctx context.Context, store eventsource.Store, records ...eventsource.Record) ([]eventsource.Record, error) {
	tx, err := store.NewTransaction(ctx, records...)
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	return tx.Records(), nil
}

// begin starts a transaction that is rolled back at the test's end if it is still open.
func begin(t testing.TB, store eventsource.Store, records ...eventsource.Record) eventsource.StoreTransaction {
	t.Helper()
	tx, err := store.NewTransaction(t.Context(), records...)
	if err != nil {
		t.Fatalf("NewTransaction: %v", err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func loadAll(t testing.TB, store eventsource.Store) []eventsource.Record {
	t.Helper()
	records, err := store.LoadBySequenceID(t.Context(), "", all)
	if err != nil {
		t.Fatalf("LoadBySequenceID: %v", err)
	}
	return records
}

func loadAggregate(t testing.TB, store eventsource.Store, id string) []eventsource.Record {
	t.Helper()
	records, err := store.LoadByAggregate(t.Context(), id)
	if err != nil {
		t.Fatalf("LoadByAggregate %q: %v", id, err)
	}
	return records
}

// record is a plain record of an aggregate.
func record(aggregateID string) eventsource.Record {
	return eventsource.Record{AggregateID: aggregateID, Type: "Happened", UserID: "user", Data: []byte(`{"n":1}`)}
}

// recordAt is a plain record that asks for a version.
func recordAt(aggregateID string, version int) eventsource.Record {
	r := record(aggregateID)
	r.Version = version
	return r
}

// equal compares records field by field. Empty and nil are the same: which one a
// store returns is up to it.
func equal(t testing.TB, what string, want, got []eventsource.Record) {
	t.Helper()
	if slices.EqualFunc(want, got, equalRecords) {
		return // without the time that a readable difference takes
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, shorten(diff))
	}
}

func equalRecords(a, b eventsource.Record) bool {
	sameData, sameMetadata := bytes.Equal(a.Data, b.Data), maps.Equal(a.Metadata, b.Metadata)
	a.Data, a.Metadata, b.Data, b.Metadata = nil, nil, nil, nil
	return sameData && sameMetadata && reflect.DeepEqual(a, b)
}

func shorten(s string) string {
	if len(s) > 4000 {
		return s[:4000] + "..."
	}
	return s
}

// newName returns a name that no other call returns.
func newName(prefix string) string { return fmt.Sprintf("%s-%d", prefix, names.Add(1)) }

var names atomic.Int64

func reversed(records []eventsource.Record) []eventsource.Record {
	r := slices.Clone(records)
	slices.Reverse(r)
	return r
}

func wantError(t testing.TB, what string, err, want error, mentions ...string) {
	t.Helper()
	if !isError(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
		return
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			t.Errorf("%s: error %q does not mention %q", what, err, m)
		}
	}
}
