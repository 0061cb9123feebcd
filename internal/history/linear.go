//go:build unix

package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// operation is what a save, a conflict or a load is to one aggregate, whose
// state is its version. The final list says which version a save made, so it is
// known between which versions each operation took place.
type operation struct {
	from, to  int // the version before and after
	call, ret int64
	what      fmt.Stringer
}

// checkLinearizable checks each aggregate that nothing else is wrong with. Saves
// without an answer happened if they are in the final list. Failed saves other than conflicts
// have done nothing and say nothing.
func (c *checker) checkLinearizable() {
	operations := make(map[string][]operation)
	for _, s := range c.h.saves {
		if s.conflict != nil {
			c.addConflict(operations, s)
			continue
		}
		c.addSave(operations, s)
	}
	for _, load := range c.h.loads {
		if !c.options.LostBetween.has(load.ret) {
			n := len(load.events)
			operations[load.aggregate] = append(operations[load.aggregate], operation{n, n, load.call, load.ret, load})
		}
	}
	for _, aggregate := range sortedKeys(operations) {
		if !c.broken[aggregate] {
			c.checkAggregate(aggregate, operations[aggregate])
		}
	}
}

func (c *checker) addSave(operations map[string][]operation, s *save) {
	type span struct{ from, to int }
	spans := make(map[string]span)
	for _, place := range c.stored(s) {
		e := c.event(place)
		had, ok := spans[e.Aggregate]
		if !ok {
			had.from = e.Version - 1
		}
		spans[e.Aggregate] = span{had.from, e.Version}
	}
	for aggregate, span := range spans {
		op := operation{span.from, span.to, s.call, s.ret, s}
		if s.outcome != outcomeDone {
			op.ret = never // it may have been stored after its answer, or its process, was gone
		}
		operations[aggregate] = append(operations[aggregate], op)
	}
}

// addConflict adds a conflict at the version at which it is one.
func (c *checker) addConflict(operations map[string][]operation, s *save) {
	version, ok := s.conflictsAt()
	if !ok {
		c.reportSave(WrongConflict, s, "expected %d, actual %d of %q, in %v", s.conflict.Expected, s.conflict.Actual, s.conflict.Aggregate, s)
		return
	}
	if !c.options.LostBetween.has(s.ret) {
		aggregate := s.conflict.Aggregate
		operations[aggregate] = append(operations[aggregate], operation{version, version, s.call, s.ret, s})
	}
}

// conflictsAt gives the version of the aggregate at which the save conflicts as
// it was told. What a conflict calls actual includes the events of the save that
// come before the one that conflicts.
func (s *save) conflictsAt() (version int, ok bool) {
	var expected []int
	for i := range s.tried {
		if s.tried[i].Aggregate == s.conflict.Aggregate {
			expected = append(expected, s.tried[i].Expected)
		}
	}
	for i := range expected {
		version = s.conflict.Actual - i
		if version >= 0 && expected[i] == s.conflict.Expected && firstConflict(expected, version) == i {
			return version, true
		}
	}
	return 0, false
}

// firstConflict gives the first of the expected versions that an aggregate at
// this version refuses, -1 if it takes them all.
func firstConflict(expected []int, version int) int {
	return slices.IndexFunc(expected, func(want int) bool {
		version++
		return want != 0 && want != version
	})
}

// chunk is how many operations porcupine gets at once. Its memory grows with the
// square.
const chunk = 256

// checkAggregate cuts the operations, sorted by version, so that each piece begins
// at a version that is known. The whole is linearizable if each piece is, and if
// nothing in a later piece had ended before something in an earlier one began:
// any order that is right goes by versions, and what only reads one version may
// as well go by the time at which it began.
func (c *checker) checkAggregate(aggregate string, operations []operation) {
	slices.SortFunc(operations, func(a, b operation) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.call, b.call))
	})
	deadline := time.Now().Add(c.options.Timeout)
	version := 0
	var pieces [][]operation
	for start, i := 0, 1; i <= len(operations); i++ {
		if i < len(operations) && i-start < chunk {
			continue
		}
		piece := operations[start:i]
		if !c.checkPiece(aggregate, version, piece, time.Until(deadline)) {
			return
		}
		pieces = append(pieces, piece)
		start, version = i, operations[i-1].to
	}
	c.checkBetween(aggregate, pieces)
}

// checkPiece reports whether the check shall go on.
func (c *checker) checkPiece(aggregate string, version int, piece []operation, timeout time.Duration) bool {
	if timeout <= 0 {
		c.report(NotDecided, "aggregate %q from version %d on", aggregate, version)
		return false
	}
	ops := make([]porcupine.Operation, len(piece))
	for i := range piece {
		ops[i] = porcupine.Operation{Input: &piece[i], Call: piece[i].call, Return: piece[i].ret}
	}
	switch m := model(version); porcupine.CheckOperationsTimeout(m, ops, timeout) {
	case porcupine.Ok:
		return true
	case porcupine.Unknown:
		c.report(NotDecided, "aggregate %q from version %d on, within %v", aggregate, version, c.options.Timeout)
	case porcupine.Illegal:
		c.report(NotLinearizable, "aggregate %q from version %d to %d: %s",
			aggregate, version, piece[len(piece)-1].to, misfits(m, ops, timeout))
	}
	return false
}

// model is an aggregate that begins at a version. Its state is the version.
func model(version int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return version },
		Step: func(state, input, _ any) (bool, any) {
			op := input.(*operation)
			return state.(int) == op.from, op.to
		},
		Hash: func(state any) uint64 { return uint64(state.(int)) },
	}
}

// misfits names operations that found no place beside the others.
func misfits(m porcupine.Model, ops []porcupine.Operation, timeout time.Duration) string {
	_, info := porcupine.CheckOperationsVerbose(m, ops, timeout)
	placed := make(map[*operation]bool)
	longest := 0
	for _, partial := range info.PartialLinearizationsOperations()[0] {
		longest = max(longest, len(partial))
	}
	for _, partial := range info.PartialLinearizationsOperations()[0] {
		if len(partial) == longest {
			for _, op := range partial {
				placed[op.Input.(*operation)] = true
			}
			break
		}
	}
	var texts []string
	for i := range ops {
		if op := ops[i].Input.(*operation); !placed[op] && len(texts) < 3 {
			texts = append(texts, op.String())
		}
	}
	return fmt.Sprintf("%d of %d operations fit, but not %s", longest, len(ops), strings.Join(texts, ", nor "))
}

func (o *operation) String() string {
	if o.from == o.to {
		return fmt.Sprintf("%v at version %d", o.what, o.from)
	}
	return fmt.Sprintf("%v from version %d to %d", o.what, o.from, o.to)
}

// checkBetween looks for an operation that had ended before another one of an
// earlier piece began.
func (c *checker) checkBetween(aggregate string, pieces [][]operation) {
	var latest *operation // the one of all earlier pieces that began last
	for _, piece := range pieces {
		for i := range piece {
			if latest != nil && piece[i].ret < latest.call {
				c.report(NotLinearizable, "aggregate %q: %v had ended before %v", aggregate, &piece[i], latest)
				return
			}
		}
		for i := range piece {
			if latest == nil || piece[i].call > latest.call {
				latest = &piece[i]
			}
		}
	}
}
