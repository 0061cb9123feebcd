//go:build unix

package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Options says what a history has to fulfil. The zero value asks for what every
// store promises.
type Options struct {
	// RealTime asks that a save that was acknowledged before another one began has
	// lower sequence IDs. PostgreSQL promises it, and DynamoDB with one shard;
	// with several shards it is not so.
	RealTime bool
	// ReadersFinished names the readers that must have been handed everything from
	// their first cursor to the end. Where something was lost, only those can have
	// been that began anew afterwards. Defaults to none.
	ReadersFinished []string
	// LostBetween is when acknowledged saves may have been lost, because a standby
	// that lacked them took over. A save that was acknowledged then may be missing, as a
	// whole, and what was read then may contain events that are gone. Defaults to
	// never.
	LostBetween Interval
	// PerKind is how many violations of each kind are listed. Defaults to 10.
	PerKind int
	// Timeout bounds the check of one aggregate's linearizability. Where it is not
	// enough, nothing is known, which is a violation too. Defaults to one minute.
	Timeout time.Duration
}

// Interval is a time, both ends included, as [Now] gives it. The zero value is never.
type Interval struct{ From, To int64 }

func (i Interval) has(t int64) bool { return i != Interval{} && i.From <= t && t <= i.To }

// Kind is what is wrong.
type Kind string

// Kinds of violations. Of the final list:
const (
	NoFinalList    Kind = "no final list"              // nothing can be judged
	FinalDisagrees Kind = "final reads disagree"       // whole, by type, by aggregate
	Duplicate      Kind = "stored twice"               // one key, several events
	OutOfNowhere   Kind = "out of nowhere"             // nobody tried to save it
	Changed        Kind = "stored as something else"   // another aggregate or type
	VersionGap     Kind = "gap in versions"            // or a version that is there twice
	VersionOrder   Kind = "versions against the order" // of sequence IDs
)

// Of saves:
const (
	KeyUsedTwice     Kind = "key used twice" // by writers: the recording is wrong, not the store
	LostSave         Kind = "acknowledged save lost"
	HalfSave         Kind = "half a save"
	FailedStored     Kind = "failed save stored"
	RolledBackStored Kind = "rolled back save stored"
	ToldWrong        Kind = "told something else than is stored"
	NotConsecutive   Kind = "events of a save are not consecutive" // in their aggregate
	NotAsAsked       Kind = "not the version that was asked for"
	WrongConflict    Kind = "conflict about nothing that was asked for"
	RealTimeOrder    Kind = "real-time order" // only with Options.RealTime
)

// Of pages and loads:
const (
	Skipped        Kind = "skipped"
	HandedTwice    Kind = "handed out twice"
	OutOfOrder     Kind = "out of order"
	NotAfterCursor Kind = "not after the cursor"
	OtherType      Kind = "other type"
	OtherAggregate Kind = "other aggregate"
	OverLimit      Kind = "over the limit"
	Unstable       Kind = "different on second reading"
	NotInFinal     Kind = "not in the final list"
	TooEarly       Kind = "read before it was saved"
	StaleLoad      Kind = "load misses an acknowledged save"
	NotFinished    Kind = "reader has not read everything" // only with Options.ReadersFinished
)

// Of an aggregate's saves, conflicts and loads together:
const (
	NotLinearizable Kind = "not linearizable"
	NotDecided      Kind = "not decided" // within Options.Timeout
)

// Violation is one thing that is wrong.
type Violation struct {
	Kind Kind
	// Text names the processes, calls, events and times.
	Text string
}

// CheckError lists what is wrong with a history.
type CheckError struct {
	// Violations are the first ones of each kind.
	Violations []Violation
	// Counts says how many there are of each kind, listed or not.
	Counts map[Kind]int
}

func (e *CheckError) Error() string {
	var b strings.Builder
	b.WriteString("history: ")
	for i, kind := range slices.Sorted(maps.Keys(e.Counts)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d times %s", e.Counts[kind], kind)
	}
	for _, v := range e.Violations {
		fmt.Fprintf(&b, "\n\t%s: %s", v.Kind, v.Text)
	}
	return b.String()
}

// Check returns nil, or a [CheckError] that says what is wrong. What is wrong
// with an aggregate is said once: where something else has been found, it is not
// checked for linearizability.
func (h *History) Check(options Options) error {
	options.PerKind = cmp.Or(options.PerKind, 10)
	options.Timeout = cmp.Or(options.Timeout, time.Minute)
	c := &checker{h: h, options: options, found: CheckError{Counts: make(map[Kind]int)}, broken: make(map[string]bool)}
	c.indexSaves()
	if c.checkFinal() {
		c.checkSaves()
		c.checkPages()
		c.checkReadersFinished()
		c.checkLoads()
		c.checkLinearizable()
	}
	if len(c.found.Counts) > 0 {
		return &c.found
	}
	return nil
}

// checker is one run of [History.Check].
type checker struct {
	h       *History
	options Options
	found   CheckError
	broken  map[string]bool // aggregates that something is wrong with

	savedBy   map[string]*save // by key
	seenSaves []*save          // by place in h.seen: who tried to save it, nil if nobody did

	// The final list, in sequence order. Places are those in h.seen.
	final       []int32
	byType      map[string][]int32
	byAggregate map[string][]int32
	byKey       map[string]int32
	bySequence  map[string]int32
	isFinal     []bool // by place in h.seen
}

func (c *checker) report(kind Kind, format string, args ...any) {
	c.found.Counts[kind]++
	if c.found.Counts[kind] <= c.options.PerKind {
		c.found.Violations = append(c.found.Violations, Violation{kind, fmt.Sprintf(format, args...)})
	}
}

// event is an event by its place in h.seen.
func (c *checker) event(place int32) *Event { return &c.h.seen.events[place] }

func (c *checker) indexSaves() {
	c.savedBy = make(map[string]*save, len(c.h.saves))
	for _, s := range c.h.saves {
		for i := range s.tried {
			key := s.tried[i].Key
			if other, ok := c.savedBy[key]; ok {
				c.report(KeyUsedTwice, "%q in %v and in %v", key, other, s)
				continue
			}
			c.savedBy[key] = s
		}
	}
	c.seenSaves = make([]*save, len(c.h.seen.events))
	for i := range c.h.seen.events {
		c.seenSaves[i] = c.savedBy[c.h.seen.events[i].Key]
	}
}

func (e *Event) String() string {
	return fmt.Sprintf("%q (%s, version %d of %q, %s)", e.Key, e.Type, e.Version, e.Aggregate, cmp.Or(e.SequenceID, "no sequence ID"))
}

func (s *save) String() string {
	const most = 3
	keys := make([]string, 0, most)
	for i := range s.tried[:min(len(s.tried), most)] {
		keys = append(keys, s.tried[i].Key)
	}
	if len(s.tried) > most {
		keys = append(keys, fmt.Sprintf("... %d in all", len(s.tried)))
	}
	end := fmt.Sprintf("%s at %d", s.outcome, s.ret)
	if s.outcome == outcomeNone {
		end = "no answer"
	}
	text := fmt.Sprintf("save %d of %s of %q (from %d, %s", s.id, s.process, keys, s.call, end)
	if s.errorText != "" {
		text += ": " + s.errorText
	}
	return text + ")"
}

func (r *read) String() string {
	what := fmt.Sprintf("load %d of %s of aggregate %q", r.id, r.process, r.aggregate)
	if r.aggregate == "" {
		what = fmt.Sprintf("page %d of %s for %s after %q", r.id, r.process, r.reader, r.cursor)
		if r.eventType != "" {
			what += " of type " + r.eventType
		}
	}
	return fmt.Sprintf("%s (%d events, from %d to %d)", what, len(r.events), r.call, r.ret)
}
