// Package system has the event stores that are measured, each behind the same
// small interface and used as its own documentation says.
package system

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/bench/payload"
)

// System is a way to store events in PostgreSQL.
type System struct {
	// Name is short: it stands in tables.
	Name string
	// Module is the module and version that is measured, "" for code of this module.
	Module string
	Kind   Kind
	// Database names the database that it works in. Systems of the same database
	// work on the same tables, and are never measured at the same time.
	Database string
	// Notes say what differs from the others: durability, checks, what is decoded.
	Notes []string

	// Create makes the tables in an empty database.
	Create func(ctx context.Context, pool *pgxpool.Pool) error
	// Fill stores rows quickly, past the system's own code, as the system would have
	// stored them.
	Fill func(ctx context.Context, pool *pgxpool.Pool, rows iter.Seq[Row]) error
	// Open connects to the database with at most the given number of connections
	// for saving, and starts what the system runs in the background.
	Open func(ctx context.Context, url string, conns int) (Session, error)
}

// Kind is what a system is, for the ratios.
type Kind string

// The kinds of systems.
const (
	Limit      Kind = "limit"       // what PostgreSQL gives
	Ours       Kind = "ours"        // this module
	EventStore Kind = "event store" // a peer
	MessageLog Kind = "message log" // orders messages, knows no aggregates
	Naive      Kind = "naive"       // what is often done, without the promise
)

// Row is an event that is stored already.
type Row struct {
	Aggregate string
	Version   int
	Event     payload.Event
	Time      time.Time
}

// Batch is what one save stores.
type Batch struct {
	// Aggregate is a UUID in its text form.
	Aggregate string
	// Version is how many events the aggregate has before. Systems that can append
	// to the end without knowing it ignore it.
	Version int
	Events  []payload.Event
}

// ID names an event that was delivered to a reader.
type ID struct {
	Aggregate string
	// Version counts from 1.
	Version int
}

// ErrConflict says that the aggregate is not at the version the batch named.
var ErrConflict = errors.New("conflict")

// Session is an open system. Save and Load are safe for concurrent use.
type Session interface {
	// Save stores a batch in one transaction, or returns ErrConflict, under which
	// errors of the system's own are wrapped too. The system makes what it needs of
	// the events, IDs included, in the call.
	Save(ctx context.Context, batch Batch) error
	// Load reads a whole aggregate and decodes it as the system does. It returns
	// the number of events.
	Load(ctx context.Context, aggregate string) (int, error)
	// Close stops everything that Open started.
	Close() error
}

// Pager is a session that reads the events of all aggregates page by page.
type Pager interface {
	// Page reads at most limit events after a place, "" for the beginning. It
	// returns how many there were, and the place of the last.
	Page(ctx context.Context, after string, limit int) (n int, last string, err error)
}

// Streamer is a session that reads all events from the beginning in one go.
type Streamer interface {
	// Stream delivers events in the system's order until deliver returns false,
	// ctx ends, or, if the system can tell, there are no more.
	Stream(ctx context.Context, deliver func(ID) bool) error
}

// Follower is a session with a reader that catches up with concurrent writers.
type Follower interface {
	// Follow delivers what is saved from now on, with the system's own means, until
	// ctx ends, and then returns nil. It calls ready once when it is sure that no later event
	// escapes it for the reason that it was not there yet. Deliver is called from one
	// goroutine at a time.
	Follow(ctx context.Context, ready func(), deliver func(ID)) error
}

// Holder is a session that can keep a transaction open.
type Holder interface {
	// Hold saves the events to new aggregates, as many events each as perAggregate says, in one transaction
	// that stays open until release is called, which rolls it back.
	Hold(ctx context.Context, events []payload.Event, perAggregate int) (release func() error, err error)
}
