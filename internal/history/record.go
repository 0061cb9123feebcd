//go:build unix

package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/eventsource-go/eventsource"
)

// Event is one event as a writer meant it, or as the store told or showed it.
type Event struct {
	// Key is unique among all events of all processes. The writer chooses it, and
	// it travels in the event's data.
	Key string `json:"k"`
	// Aggregate is the aggregate's ID.
	Aggregate string `json:"a"`
	// Type is the name of the event's type.
	Type string `json:"t"`
	// Expected is the version that the writer asked for, 0 if none. Only the call
	// of a save has it.
	Expected int `json:"x,omitempty"`
	// Version is the version as stored. The call of a save has none.
	Version int `json:"v,omitempty"`
	// SequenceID is the sequence ID as stored. The call of a save has none.
	SequenceID string `json:"s,omitempty"`
}

// Now is CLOCK_MONOTONIC in nanoseconds: the clock of all times in a history.
func Now() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(fmt.Sprintf("history: CLOCK_MONOTONIC: %v", err)) // every unix has this clock
	}
	return now.Nano()
}

// What a line says.
const (
	opOpen   = "open"   // the first line of a file: whose it is
	opFinal  = "final"  // what follows are final reads
	opSave   = "save"   // calls
	opLoad   = "load"   //
	opPage   = "page"   //
	opReturn = "return" // of the call with the same ID
)

// outcome is how a call ended.
type outcome string

const (
	outcomeNone       outcome = ""           // no answer: the process was killed, or had not ended yet
	outcomeDone       outcome = "done"       // stored, or read
	outcomeFailed     outcome = "failed"     // not stored, or not read
	outcomeUnknown    outcome = "unknown"    // stored or not
	outcomeRolledBack outcome = "rolledback" // not stored, because the caller did not want it
)

// line is one line of a file.
type line struct {
	Op        string    `json:"op"`
	Time      int64     `json:"at"`
	ID        int64     `json:"id,omitempty"`
	Process   string    `json:"process,omitempty"`
	PID       int       `json:"pid,omitempty"`
	Reader    string    `json:"reader,omitempty"`
	Cursor    string    `json:"cursor,omitempty"`
	Limit     int       `json:"limit,omitempty"`
	EventType string    `json:"type,omitempty"`
	Aggregate string    `json:"aggregate,omitempty"`
	Outcome   outcome   `json:"outcome,omitempty"`
	Error     string    `json:"error,omitempty"`
	Conflict  *conflict `json:"conflict,omitempty"`
	Events    []Event   `json:"events,omitempty"`
}

// conflict is what is kept of an [eventsource.ConflictError].
type conflict struct {
	Aggregate string `json:"a"`
	Expected  int    `json:"x"`
	Actual    int    `json:"v"`
}

// Recorder writes one process's part of a history: one line before each call and
// one after, each with one write. It is safe for concurrent use.
type Recorder struct {
	mu     sync.Mutex
	file   *os.File
	lastID int64
	err    error // the first one
}

// Create makes the file, which must not exist yet, and returns its recorder. A
// process that is started again may have the same name, but needs another file.
func Create(path, process string) (*Recorder, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	r := &Recorder{file: file}
	r.write(line{Op: opOpen, Time: Now(), Process: process, PID: os.Getpid()})
	return r, nil
}

// Close closes the file. It returns the first error of all: a line that could
// not be written, a call that returned twice.
func (r *Recorder) Close() error {
	err := r.file.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	return err
}

// Final says that everything has stopped and been healed: the pages and loads
// that this recorder writes from now on are final reads. Each reader begins at
// the cursor "" and goes on to the end, through all events or those of one type.
// There must be one that reads all; further ones must agree with it.
func (r *Recorder) Final() { r.write(line{Op: opFinal, Time: Now()}) }

// Save writes that a save begins. The events are in the order of the save.
func (r *Recorder) Save(events []Event) *SaveCall {
	return &SaveCall{r.begin(line{Op: opSave, Events: events})}
}

// Load writes that a load of an aggregate begins.
func (r *Recorder) Load(aggregate string) *LoadCall {
	return &LoadCall{r.begin(line{Op: opLoad, Aggregate: aggregate})}
}

// Page writes that a reader asks for the events after the cursor, "" for the
// beginning, at most limit, 0 for all, and only those of eventType unless it is "".
func (r *Recorder) Page(reader, cursor string, limit int, eventType string) *PageCall {
	return &PageCall{r.begin(line{Op: opPage, Reader: reader, Cursor: cursor, Limit: limit, EventType: eventType})}
}

// SaveCall is a save that has begun. One of its methods says how it ended; if
// none is called, it may be stored or not.
type SaveCall struct{ call }

// Return writes the answer of the save. A nil error says that the events are
// stored, and stored are the same events in the same order with the versions and
// sequence IDs that the store told, or nil if it told none. With
// [eventsource.ErrOutcomeUnknown] they are stored or not. With any other error
// they are not stored; what a [eventsource.ConflictError] says is kept.
func (c *SaveCall) Return(stored []Event, err error) {
	l := line{Outcome: outcomeOf(err), Error: text(err)}
	if err == nil {
		l.Events = stored
	}
	var e *eventsource.ConflictError
	if l.Outcome == outcomeFailed && errors.As(err, &e) {
		l.Conflict = &conflict{Aggregate: e.AggregateID, Expected: e.Expected, Actual: e.Actual}
	}
	c.end(l)
}

// RolledBack writes that the caller rolled the save back: it must not be stored.
func (c *SaveCall) RolledBack() { c.end(line{Outcome: outcomeRolledBack}) }

// Unknown writes that nobody knows how the save ended, whatever the error is:
// for callers who end a transaction of their own, whose commit got no answer.
func (c *SaveCall) Unknown(err error) { c.end(line{Outcome: outcomeUnknown, Error: text(err)}) }

// LoadCall is a load that has begun.
type LoadCall struct{ call }

// Return writes the answer of the load. What came with an error is not judged.
func (c *LoadCall) Return(events []Event, err error) { c.endRead(events, err) }

// PageCall is a page that has been asked for.
type PageCall struct{ call }

// Return writes the page. What came with an error is not judged.
func (c *PageCall) Return(events []Event, err error) { c.endRead(events, err) }

// call is what all calls have in common.
type call struct {
	recorder *Recorder
	id       int64
	ended    bool // guarded by recorder.mu
}

// begin takes the time before it writes: the operation begins no earlier.
func (r *Recorder) begin(l line) call {
	l.Time = Now()
	r.mu.Lock()
	r.lastID++
	l.ID = r.lastID
	r.mu.Unlock()
	r.write(l)
	return call{recorder: r, id: l.ID}
}

// end takes the time first: the operation has ended no later.
func (c *call) end(l line) {
	l.Op, l.Time, l.ID = opReturn, Now(), c.id
	c.recorder.mu.Lock()
	if c.ended && c.recorder.err == nil {
		c.recorder.err = fmt.Errorf("history: call %d has returned twice", c.id)
	}
	again := c.ended
	c.ended = true
	c.recorder.mu.Unlock()
	if !again {
		c.recorder.write(l)
	}
}

func (c *call) endRead(events []Event, err error) {
	if err != nil {
		events = nil
	}
	c.end(line{Outcome: outcomeOf(err), Error: text(err), Events: events})
}

func (r *Recorder) write(l line) {
	data, err := json.Marshal(l)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		_, err = r.file.Write(append(data, '\n'))
	}
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("history: %s of call %d: %w", l.Op, l.ID, err)
	}
}

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return outcomeDone
	case errors.Is(err, eventsource.ErrOutcomeUnknown):
		return outcomeUnknown
	default:
		return outcomeFailed
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
