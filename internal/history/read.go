//go:build unix

package history

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
)

// History is what all processes recorded.
type History struct {
	seen  seenEvents
	saves []*save
	loads []*read // those that were answered without an error
	pages []*read // likewise
}

// never is when a call returned that did not.
const never = math.MaxInt64

// save is a save and its answer.
type save struct {
	process   string
	id        int64
	call, ret int64
	outcome   outcome
	errorText string
	conflict  *conflict
	tried     []Event
	told      []Event
}

// read is a load or a page, and its answer.
type read struct {
	process   string
	id        int64
	call, ret int64
	final     bool
	aggregate string  // of a load; "" says that it is a page
	reader    string  // of a page, as all below
	cursor    string  //
	eventType string  //
	limit     int     //
	events    []int32 // places in seenEvents.events
}

// seenEvents keeps each event that was read only once: it is read by every reader.
type seenEvents struct {
	events []Event
	places map[Event]int32
}

func (s *seenEvents) place(e Event) int32 {
	e.Expected = 0 // says nothing about what is stored
	place, ok := s.places[e]
	if !ok {
		place = int32(len(s.events))
		s.events = append(s.events, e)
		s.places[e] = place
	}
	return place
}

// Stats says how much there is in a history, so that a check of next to nothing
// is not taken for a proof.
type Stats struct {
	// Stored, Conflicts, Failed, RolledBack, Unknown and Unanswered count saves by
	// how they ended. Conflicts are not among Failed; Unanswered are the calls
	// without a return.
	Stored, Conflicts, Failed, RolledBack, Unknown, Unanswered int
	// Loads and Pages count those that were answered without an error, and
	// EventsRead the events that they gave.
	Loads, Pages, EventsRead int
	// Final is how many events the final list has.
	Final int
}

// Stats counts.
func (h *History) Stats() Stats {
	s := Stats{Loads: len(h.loads), Pages: len(h.pages)}
	for _, save := range h.saves {
		switch {
		case save.outcome == outcomeDone:
			s.Stored++
		case save.conflict != nil:
			s.Conflicts++
		case save.outcome == outcomeFailed:
			s.Failed++
		case save.outcome == outcomeRolledBack:
			s.RolledBack++
		case save.outcome == outcomeUnknown:
			s.Unknown++
		default:
			s.Unanswered++
		}
	}
	for _, read := range slices.Concat(h.loads, h.pages) {
		s.EventsRead += len(read.events)
	}
	for _, pass := range h.finalPasses() {
		if pass.eventType == "" {
			s.Final = len(pass.events)
			break
		}
	}
	return s
}

// Read reads files that recorders wrote. The last line of a file may be cut,
// because its process was killed; anything else that cannot be read is an error.
func Read(paths ...string) (*History, error) {
	h := newHistory()
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		slots = make(chan struct{}, runtime.GOMAXPROCS(0))
		errs  = make([]error, len(paths))
	)
	for i, path := range paths {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			f := &file{history: h, mu: &mu, open: make(map[int64]any)}
			if err := f.read(path); err != nil {
				errs[i] = fmt.Errorf("history: %s: %w", path, err)
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	h.sort()
	return h, nil
}

func newHistory() *History { return &History{seen: seenEvents{places: make(map[Event]int32)}} }

// sort puts everything into the order in which it began.
func (h *History) sort() {
	slices.SortFunc(h.saves, func(a, b *save) int { return cmp.Or(cmp.Compare(a.call, b.call), cmp.Compare(a.process, b.process)) })
	for _, reads := range [][]*read{h.loads, h.pages} {
		slices.SortFunc(reads, func(a, b *read) int { return cmp.Or(cmp.Compare(a.call, b.call), cmp.Compare(a.process, b.process)) })
	}
}

// file is one file while it is read.
type file struct {
	history *History
	mu      *sync.Mutex // guards history
	process string
	final   bool
	open    map[int64]any // calls without a return so far: *save or *read
}

func (f *file) read(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	buffered := bufio.NewReaderSize(in, 1<<20)
	for number := 1; ; number++ {
		data, err := buffered.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // what is left is cut, if anything is
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.readLine(data, number == 1); err != nil {
			return fmt.Errorf("line %d: %w: %s", number, err, shorten(bytes.TrimSpace(data)))
		}
	}
}

func shorten(data []byte) []byte { return data[:min(len(data), 200)] }

func (f *file) readLine(data []byte, first bool) error {
	var l line
	if err := json.Unmarshal(data, &l); err != nil {
		return err
	}
	return f.add(&l, first)
}

func (f *file) add(l *line, first bool) error {
	if first != (l.Op == opOpen) {
		return fmt.Errorf("%q is not where it should be", l.Op)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch l.Op {
	case opOpen:
		f.process = l.Process
	case opFinal:
		f.final = true
	case opReturn:
		return f.end(l)
	case opSave, opLoad, opPage:
		return f.begin(l)
	default:
		return fmt.Errorf("%q is no operation", l.Op)
	}
	return nil
}

func (f *file) begin(l *line) error {
	if _, ok := f.open[l.ID]; ok {
		return fmt.Errorf("call %d begins twice", l.ID)
	}
	if l.Op == opSave {
		s := &save{process: f.process, id: l.ID, call: l.Time, ret: never, tried: l.Events}
		f.history.saves = append(f.history.saves, s)
		f.open[l.ID] = s
		return nil
	}
	if (l.Op == opLoad) != (l.Aggregate != "") {
		return fmt.Errorf("%s of aggregate %q", l.Op, l.Aggregate)
	}
	f.open[l.ID] = &read{process: f.process, id: l.ID, call: l.Time, final: f.final, aggregate: l.Aggregate,
		reader: l.Reader, cursor: l.Cursor, eventType: l.EventType, limit: l.Limit}
	return nil
}

func (f *file) end(l *line) error {
	c, ok := f.open[l.ID]
	if !ok {
		return fmt.Errorf("return of call %d, which has not begun or has returned", l.ID)
	}
	delete(f.open, l.ID)
	switch c := c.(type) {
	case *save:
		c.ret, c.outcome, c.errorText, c.conflict, c.told = l.Time, l.Outcome, l.Error, l.Conflict, l.Events
	case *read:
		if l.Outcome != outcomeDone {
			return nil
		}
		c.ret, c.events = l.Time, make([]int32, len(l.Events))
		for i, e := range l.Events {
			c.events[i] = f.history.seen.place(e)
		}
		if c.aggregate != "" {
			f.history.loads = append(f.history.loads, c)
		} else {
			f.history.pages = append(f.history.pages, c)
		}
	}
	return nil
}
