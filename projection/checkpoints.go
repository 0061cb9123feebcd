package projection

import (
	"context"
	"encoding/json"
	"time"
)

// Checkpoints keeps, for each projection, how far it is, who works on it, and which
// events it has parked. [NewMemory] keeps them in memory; packages sqlprojection and
// dynamoprojection in PostgreSQL and DynamoDB. Package
// projectiontest shows whether an implementation keeps these promises.
//
// It is a table of rows with two ways to write them. Update is for what happens
// rarely: leases, definitions, versions. It changes any row, if that has not changed
// since it was loaded. Advance is for what happens all the time: it moves the position
// of one row, if the lease has not changed.
//
// All methods are safe for concurrent use. Slices that are returned belong to the
// caller; those that are passed in are neither changed nor kept. Every write is seen
// by all reads that begin after it has returned.
type Checkpoints interface {
	// Names gives the names of all projections, sorted.
	Names(ctx context.Context) ([]string, error)

	// Load gives all rows of a projection, of all its versions, sorted by Version and
	// Partition; none if there is no projection of that name.
	Load(ctx context.Context, name string) ([]Row, error)

	// Update writes the rows of put and removes those of remove, at most 100 together,
	// all or none. Each must be at the Revision that it carries, 0 for one that does not
	// exist, or else the error is [ErrStale]. The Revision is raised by one.
	Update(ctx context.Context, put, remove []Row) error

	// Advance moves a row's position forward, counts what was handled, and parks and
	// unparks events, all or nothing, if the row is there with this Token: otherwise the
	// error is [ErrFenced]. It raises the Revision by one, so that others see that the
	// owner lives. A position that is not above the row's leaves it as it is.
	Advance(ctx context.Context, move Move) (Ack, error)

	// Parked gives parked and skipped events in the order of their sequence IDs.
	Parked(ctx context.Context, query ParkedQuery) ([]Parked, error)

	// RequestParked sets the Request of these events. Those that are not there are left out.
	RequestParked(ctx context.Context, name string, version int, request Request, sequenceIDs ...string) error

	// DeleteParked removes all parked and skipped events of a version.
	DeleteParked(ctx context.Context, name string, version int) error
}

// Transactor is implemented by [Checkpoints] in a database whose transactions handlers
// can share, which makes exactly-once handling possible.
type Transactor interface {
	// Transact runs fn in a transaction and commits it. All methods of the Checkpoints
	// that are called with the context that fn gets work in it. If fn returns an error or
	// panics, or the context ends, nothing is done. If the connection broke or the
	// outcome is not known the error is [ErrUnavailable], whatever fn returned.
	Transact(ctx context.Context, fn func(ctx context.Context) error) error
}

// Row is a projection, one of its versions, or one of a version's partitions. Who
// implements [Checkpoints] has to know Name, Version, Partition, Revision, Token and
// Position; the rest is kept as it is.
type Row struct {
	// Name is the projection's, 1 to 255 bytes.
	Name string
	// Version is the projection's version, from 1; 0 in the row of the projection itself.
	Version int
	// Partition is the partition's number, from 0; -1 in the row of a version.
	Partition int
	// Revision is raised by one with every write, from 1.
	Revision int64
	// Token is another one for each owner that a row ever has: the fencing token.
	Token int64
	// Owner is who holds the lease, "" if nobody does.
	Owner string
	// Wanted is who would like to be handed the lease, "" if nobody does.
	Wanted string
	// TTL is for how long the owner may be silent until another one may take over.
	TTL time.Duration
	// Position is a sequence ID; all events at or below it have been handled. "" is the
	// beginning.
	Position string
	// LastEvent is the sequence ID of the last event that was handled, "" if there is none.
	LastEvent string
	// Handled is how many events were handled, those that came again included.
	Handled int64
	// Data is a JSON object, or empty.
	Data json.RawMessage
}

// Move is a step forward of one partition.
type Move struct {
	// Name, Version and Partition name the row.
	Name      string
	Version   int
	Partition int
	// Token is the lease's under which the step was made.
	Token int64
	// Position is the new position. What is not above the row's own changes nothing.
	Position string
	// LastEvent is the last event that was handled, "" to leave it as it is.
	LastEvent string
	// Handled is how many events were handled.
	Handled int64
	// Park are events to record, each in place of what there is under its sequence ID.
	Park []Parked
	// Unpark are the sequence IDs of recorded events to remove.
	Unpark []string
}

// Ack is what the owner of a row learns when it advances.
type Ack struct {
	// Wanted is the row's.
	Wanted string
}

// ParkedState says what became of an event that could not be handled.
type ParkedState string

const (
	// StateParked is that of an event that waits, with all later ones of its aggregate.
	StateParked ParkedState = "parked"
	// StateSkipped is that of an event that was left out.
	StateSkipped ParkedState = "skipped"
)

// Request is what someone wants done with a parked event.
type Request string

const (
	// RequestNone is no request.
	RequestNone Request = ""
	// RequestRetry asks to handle the event again.
	RequestRetry Request = "retry"
	// RequestDrop asks to forget it.
	RequestDrop Request = "drop"
)

// Parked is an event that was not handled.
type Parked struct {
	// Name and Version are the projection's.
	Name    string
	Version int
	// SequenceID, AggregateID, AggregateVersion and Type name the event.
	SequenceID       string
	AggregateID      string
	AggregateVersion int
	Type             string
	// State is what became of it.
	State ParkedState
	// Request is what is to be done with it.
	Request Request
	// Error is why it was not handled, "" if it was not tried because an earlier event of
	// its aggregate is parked.
	Error string
	// Tries is how often it was tried.
	Tries int
	// Time is when it was recorded, by the clock of the process that did.
	Time time.Time
}

// ParkedQuery says which events [Checkpoints.Parked] gives. All conditions must hold.
type ParkedQuery struct {
	// Name and Version are the projection's. Required.
	Name    string
	Version int
	// AggregateID is the aggregate. Defaults to all.
	AggregateID string
	// After is a sequence ID that all come after. Defaults to "", the beginning.
	After string
	// Requested asks for those only that have a Request.
	Requested bool
	// Limit is the most to give. Defaults to 0, all.
	Limit int
}
