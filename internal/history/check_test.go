//go:build unix

package history

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAGoodHistoryIsAccepted(t *testing.T) {
	h := history(t, good().files())
	if err := h.Check(Options{RealTime: true, ReadersFinished: []string{"r1"}}); err != nil {
		t.Error(err)
	}
	want := Stats{Stored: 5, Conflicts: 1, Failed: 1, RolledBack: 1, Unknown: 3, Unanswered: 7}
	got := h.Stats()
	want.Loads, want.Pages, want.EventsRead, want.Final = got.Loads, got.Pages, got.EventsRead, 18
	if got != want || got.Loads != 4+12 || got.Pages != 7+4 || got.EventsRead != 115 {
		t.Errorf("stats are %+v", got)
	}
}

// drop, swap and double are edits of what is read.
func drop(i int) func([]Event) []Event {
	return func(events []Event) []Event { return slices.Delete(events, i, i+1) }
}

func swap(i, j int) func([]Event) []Event {
	return func(events []Event) []Event {
		events[i], events[j] = events[j], events[i]
		return events
	}
}

func double(i int) func([]Event) []Event {
	return func(events []Event) []Event { return slices.Insert(events, i, events[i]) }
}

func change(i int, f func(*Event)) func([]Event) []Event {
	return func(events []Event) []Event {
		f(&events[i])
		return events
	}
}

func add(added Event) func([]Event) []Event {
	return func(events []Event) []Event { return append(events, added) }
}

// finalOf edits what one final reader is shown.
func finalOf(reader string, edit func([]Event) []Event) func(string, []Event) []Event {
	return func(name string, events []Event) []Event {
		if name == reader {
			return edit(events)
		}
		return events
	}
}

// notStored is an event that nobody stored, although its save was tried.
var notStored = Event{Key: "k10", Aggregate: "c", Type: "Added", Version: 2, SequenceID: seq(99)}

// broken are ways to break the good history, with what must be found and nothing else.
var broken = []struct {
	name string
	kind Kind
	edit func(*scene)
}{
	{"whole list is torn", FinalDisagrees, func(s *scene) { s.final = finalOf("whole 2", drop(0)) }},
	{"second final read lacks the last", FinalDisagrees, func(s *scene) { s.final = finalOf("whole 2", drop(17)) }},
	{"final read by type lacks one", FinalDisagrees, func(s *scene) { s.final = finalOf("type Added", drop(2)) }},
	{"final read by type has one more", FinalDisagrees, func(s *scene) {
		e := notStored
		e.Type = "Removed"
		s.final = finalOf("type Removed", add(e))
	}},
	{"final read by aggregate lacks the last", FinalDisagrees, func(s *scene) { s.final = finalOf("aggregate h", drop(2)) }},
	{"final read by aggregate has another version", FinalDisagrees, func(s *scene) {
		s.final = finalOf("aggregate h", change(2, func(e *Event) { e.Version = 4 }))
	}},
	{"final read by aggregate in another order", OutOfOrder, func(s *scene) { s.final = finalOf("aggregate h", swap(0, 1)) }},
	{"final read by aggregate has one twice", OutOfOrder, func(s *scene) { s.final = finalOf("aggregate h", double(1)) }},
	{"final list out of order", OutOfOrder, func(s *scene) { s.final = finalOf("whole 1", swap(3, 4)) }},
	{"final list has one twice", HandedTwice, func(s *scene) { s.final = finalOf("whole 1", double(3)) }},

	{"event stored twice", Duplicate, func(s *scene) {
		e := *s.event("k9")
		e.Version, e.SequenceID = 2, seq(50)
		s.stored = append(s.stored, e)
	}},
	{"event that nobody saved", OutOfNowhere, func(s *scene) {
		s.stored = append(s.stored, Event{Key: "zz", Aggregate: "z", Type: "Added", Version: 1, SequenceID: seq(50)})
	}},
	{"event of another type than saved", Changed, func(s *scene) { s.event("k9").Type = "Added" }},
	{"event of another aggregate than saved", Changed, func(s *scene) { s.event("k9").Aggregate = "c2" }},
	{"first version missing", VersionGap, func(s *scene) { s.event("k9").Version = 2 }},
	{"version unknown", VersionGap, func(s *scene) { s.event("k9").Version = 0 }},
	{"version twice", VersionGap, func(s *scene) { s.event("k19").Version = 1 }},
	{"version left out", VersionGap, func(s *scene) { s.event("k19").Version = 3 }},
	{"versions against sequence IDs", VersionOrder, func(s *scene) { s.event("k18").Version, s.event("k19").Version = 2, 1 }},

	{"key used twice", KeyUsedTwice, func(s *scene) {
		s.of("k5").tried = append(s.of("k5").tried, Event{Key: "k1", Aggregate: "a", Type: "Added"})
	}},
	{"acknowledged save lost", LostSave, func(s *scene) { s.remove("k11") }},
	{"half of an acknowledged save", HalfSave, func(s *scene) { s.remove("k13") }},
	{"other half of an acknowledged save", HalfSave, func(s *scene) { s.remove("k12") }},
	{"half of an unknown save", HalfSave, func(s *scene) { s.remove("k15") }},
	{"half of a save without an answer", HalfSave, func(s *scene) { s.remove("k16") }},
	{"failed save stored", FailedStored, func(s *scene) { s.of("k11").outcome, s.of("k11").told = outcomeFailed, nil }},
	{"half of a failed save stored", FailedStored, func(s *scene) {
		s.of("k12").outcome, s.of("k12").told = outcomeFailed, nil
		s.remove("k13")
	}},
	{"rolled back save stored", RolledBackStored, func(s *scene) { s.of("k11").outcome, s.of("k11").told = outcomeRolledBack, nil }},
	{"told another version", ToldWrong, func(s *scene) { s.of("k11").told[0].Version++ }},
	{"told no sequence ID", ToldWrong, func(s *scene) { s.of("k11").told[0].SequenceID = "" }},
	{"told another sequence ID", ToldWrong, func(s *scene) { s.of("k13").told[1].SequenceID = seq(77) }},
	{"told in another order", ToldWrong, func(s *scene) { slices.Reverse(s.of("k13").told) }},
	{"told of fewer events", ToldWrong, func(s *scene) { s.of("k13").told = s.of("k13").told[:1] }},
	{"save in the opposite order", NotConsecutive, func(s *scene) {
		s.event("k20").Key, s.event("k21").Key = "k21", "x"
		s.event("x").Key = "k20"
	}},
	{"another save in between", NotConsecutive, func(s *scene) {
		s.event("k21").Key, s.event("k22").Key = "k22", "x"
		s.event("x").Key = "k21"
	}},
	{"not the version asked for", NotAsAsked, func(s *scene) { s.of("k9").tried[0].Expected = 2 }},
	{"conflict that is none", WrongConflict, func(s *scene) { s.of("k6").conflict.Actual = 2 }},
	{"conflict of a version that nobody asked for", WrongConflict, func(s *scene) { s.of("k6").conflict.Expected = 9 }},
	{"conflict of another aggregate", WrongConflict, func(s *scene) { s.of("k6").conflict.Aggregate = "c" }},
	{"conflict of a negative version", WrongConflict, func(s *scene) { s.of("k6").conflict.Actual = 0 }},
	{"conflict after an earlier one", WrongConflict, func(s *scene) { s.of("k6a").tried[1].Expected = 8 }},
	{"later save is lower", RealTimeOrder, func(s *scene) {
		d, e := s.event("k11"), s.event("k13")
		d.SequenceID, e.SequenceID = e.SequenceID, d.SequenceID
		s.of("k11").told[0], s.of("k13").told[1] = *d, *e
		s.sort()
	}},

	{"page lacks its first event", Skipped, func(s *scene) { s.page("lazy").edit = drop(0) }},
	{"page lacks one in the middle", Skipped, func(s *scene) { s.page("lazy").edit = drop(1) }},
	{"page by type lacks one", Skipped, func(s *scene) { s.page("typed").edit = drop(2) }},
	{"page has one twice", HandedTwice, func(s *scene) { s.page("lazy").limit, s.page("lazy").edit = 0, double(1) }},
	{"page out of order", OutOfOrder, func(s *scene) { s.page("lazy").edit = swap(1, 2) }},
	{"page with what is before the cursor", NotAfterCursor, func(s *scene) { s.page("lazy").limit, s.page("lazy").edit = 0, add(s.stored[0]) }},
	{"page with what is at the cursor", NotAfterCursor, func(s *scene) {
		s.page("lazy").limit = 0
		s.page("lazy").edit = func(events []Event) []Event { return slices.Insert(events, 0, s.stored[0]) }
		s.page("lazy").cursor = seq(1)
	}},
	{"page of a type with another type", OtherType, func(s *scene) {
		s.page("typed").limit = 0
		s.page("typed").edit = add(*s.event("k23"))
	}},
	{"page of a type with another type in the middle", OtherType, func(s *scene) {
		s.page("typed").limit = 0
		s.page("typed").edit = func(events []Event) []Event { return slices.Insert(events, 4, *s.event("k9")) }
	}},
	{"page too long", OverLimit, func(s *scene) { s.page("lazy").edit = add(s.stored[5]) }},
	{"page with an event in another version", Unstable, func(s *scene) { s.page("lazy").edit = change(1, func(e *Event) { e.Version++ }) }},
	{"page with an event of another type", Unstable, func(s *scene) { s.page("lazy").edit = change(1, func(e *Event) { e.Type = "X" }) }},
	{"page with an event that moved", Unstable, func(s *scene) { s.page("lazy").edit = change(3, func(e *Event) { e.SequenceID += "1" }) }},
	{"page with another event in its place", Unstable, func(s *scene) { s.page("lazy").edit = change(1, func(e *Event) { e.Key = "k10" }) }},
	{"page with an event that is gone", NotInFinal, func(s *scene) { s.reads[3].edit = add(notStored) }},
	{"page with an event of a rolled back save", NotInFinal, func(s *scene) {
		s.reads[3].edit = add(Event{Key: "k4", Aggregate: "b", Type: "Added", Version: 3, SequenceID: seq(99)})
	}},
	{"page before the save", TooEarly, func(s *scene) { s.page("lazy").call, s.page("lazy").ret = 1, 2 }},
	{"reader stopped early", NotFinished, func(s *scene) { s.reads[3].edit, s.reads[4].cursor = drop(12), seq(18) }},
	{"reader jumped", NotFinished, func(s *scene) { s.reads[3].cursor = seq(9) }},

	{"load lacks one", Skipped, func(s *scene) { s.load("h").edit = drop(1) }},
	{"load lacks the first", Skipped, func(s *scene) { s.load("g").edit = drop(0) }},
	{"load has one twice", HandedTwice, func(s *scene) { s.load("h").edit = double(1) }},
	{"load has one twice instead of others", HandedTwice, func(s *scene) {
		s.load("h").edit = func(e []Event) []Event { return []Event{e[0], e[0]} }
	}},
	{"load that misses the one of two that was acknowledged first", StaleLoad, func(s *scene) {
		for i, key := range []string{"k18", "k19"} {
			sv := s.of(key)
			sv.outcome, sv.ret, sv.told = outcomeDone, 1650-int64(i)*50, []Event{*s.event(key)}
		}
		s.load("g").edit = drop(1)
	}},
	{"load out of order", OutOfOrder, func(s *scene) { s.load("h").edit = swap(0, 1) }},
	{"load with another aggregate's event", OtherAggregate, func(s *scene) { s.load("h").edit = add(s.stored[0]) }},
	{"load with an event in another version", Unstable, func(s *scene) { s.load("h").edit = change(2, func(e *Event) { e.Version++ }) }},
	{"load with an event that is gone", NotInFinal, func(s *scene) {
		s.load("nothing").aggregate = "c"
		s.load("c").edit = add(notStored)
	}},
	{"load before the save", TooEarly, func(s *scene) { s.load("h").call, s.load("h").ret = 1, 2 }},
	{"load that misses what was acknowledged", StaleLoad, func(s *scene) { s.load("a").edit = drop(2) }},

	{"load of half a save", NotLinearizable, func(s *scene) { s.load("h").edit = func(e []Event) []Event { return e[:1] } }},
	{"load that goes back", NotLinearizable, func(s *scene) {
		again := *s.load("h")
		again.call, again.ret, again.edit = again.ret+1, again.ret+2, drop(2)
		s.reads = append(s.reads, &again)
	}},
	{"conflict with a version that was passed long ago", NotLinearizable, func(s *scene) {
		s.of("k6").tried[2].Expected, s.of("k6").conflict = 9, &conflict{Aggregate: "a", Expected: 9, Actual: 2}
	}},
	{"conflict with a version that is yet to come", NotLinearizable, func(s *scene) {
		s.of("k6").tried[2].Expected, s.of("k6").conflict = 9, &conflict{Aggregate: "a", Expected: 9, Actual: 4}
	}},
}

func TestEachViolationIsFoundAndNothingElse(t *testing.T) {
	for _, test := range broken {
		t.Run(test.name, func(t *testing.T) {
			s := good()
			test.edit(s)
			err := history(t, s.files()).Check(Options{RealTime: true, ReadersFinished: []string{"r1"}})
			if got := kinds(t, err); !slices.Equal(got, []Kind{test.kind}) {
				t.Errorf("want %q, got %q: %v", test.kind, got, err)
			}
		})
	}
}

func TestEachKindOfViolationIsTested(t *testing.T) {
	elsewhere := []Kind{NoFinalList, NotDecided}
	for _, kind := range []Kind{NoFinalList, FinalDisagrees, Duplicate, OutOfNowhere, Changed, VersionGap, VersionOrder, KeyUsedTwice, LostSave, HalfSave,
		FailedStored, RolledBackStored, ToldWrong, NotConsecutive, NotAsAsked, WrongConflict, RealTimeOrder, Skipped, HandedTwice, OutOfOrder,
		NotAfterCursor, OtherType, OtherAggregate, OverLimit, Unstable, NotInFinal, TooEarly, StaleLoad, NotFinished, NotLinearizable, NotDecided} {
		found := slices.Contains(elsewhere, kind)
		for _, test := range broken {
			found = found || test.kind == kind
		}
		if !found {
			t.Errorf("no test breaks a history by %q", kind)
		}
	}
}

// check expects violations of these kinds.
func check(t *testing.T, s *scene, options Options, want ...Kind) {
	t.Helper()
	err := history(t, s.files()).Check(options)
	if got := kinds(t, err); !slices.Equal(got, want) {
		t.Errorf("want %q, got %q: %v", want, got, err)
	}
}

func TestAnUnknownSaveIsAcceptedEitherWay(t *testing.T) {
	s := good()
	s.remove("k14")
	s.remove("k15")
	check(t, s, Options{RealTime: true})
}

func TestASaveWithoutAnAnswerIsAcceptedEitherWay(t *testing.T) {
	s := good()
	s.remove("k16")
	s.remove("k17")
	check(t, s, Options{RealTime: true})
}

func TestAnUnknownSaveMayBeStoredAfterItsAnswer(t *testing.T) {
	s := good()
	early := *s.load("g")
	save := s.of("k19")
	save.outcome, save.ret = outcomeUnknown, save.call+1
	early.call, early.ret, early.edit = save.ret+1, save.ret+2, drop(1)
	s.reads = append(s.reads, &early)
	check(t, s, Options{RealTime: true})
}

func TestALoadMayMissWhatWasAcknowledgedAfterItBegan(t *testing.T) {
	s := good()
	s.load("a").call, s.load("a").edit = s.of("k23").ret, drop(2)
	check(t, s, Options{RealTime: true})
}

func TestOnlyAnAcknowledgedSaveBoundsLaterOnes(t *testing.T) {
	s := good()
	d, e := s.event("k14"), s.event("k19") // k14 is unknown
	d.SequenceID, e.SequenceID = e.SequenceID, d.SequenceID
	d, e = s.event("k18"), s.event("k19")
	d.Version, e.Version = 2, 1
	s.sort()
	check(t, s, Options{RealTime: true})
}

func TestWhatWasExpectedSaysNothingAboutWhatIsStored(t *testing.T) {
	s := good()
	s.of("k11").told[0].Expected = 1
	s.load("h").edit = change(0, func(e *Event) { e.Expected = 7 })
	check(t, s, Options{RealTime: true})
}

func TestAFinalReadingHasToGoOnWhereItWas(t *testing.T) {
	s := good()
	files := s.files()
	page := func(id int64, cursor string, events []Event) {
		files["final"] = append(files["final"], line{Op: opPage, ID: id, Time: 2*afterAll + id, Reader: "odd", Cursor: cursor},
			line{Op: opReturn, ID: id, Time: 2*afterAll + id, Outcome: outcomeDone, Events: events})
	}
	page(1001, "", s.stored[:4])
	page(1002, seq(4)+"5", s.stored[4:])
	if got := kinds(t, history(t, files).Check(Options{})); !slices.Equal(got, []Kind{FinalDisagrees}) {
		t.Errorf("got %q", got)
	}
}

func TestWithoutAFinalListNothingIsRight(t *testing.T) {
	s := good()
	files := s.files()
	delete(files, "final")
	if got := kinds(t, history(t, files).Check(Options{})); !slices.Equal(got, []Kind{NoFinalList}) {
		t.Errorf("got %q", got)
	}
}

func TestAnEmptyHistoryNeedsAFinalListToo(t *testing.T) {
	s := &scene{}
	check(t, s, Options{})
	if got := kinds(t, mustRead(t).Check(Options{})); !slices.Equal(got, []Kind{NoFinalList}) {
		t.Errorf("got %q", got)
	}
}

func TestAReaderThatWasNeverThereHasNotFinished(t *testing.T) {
	check(t, good(), Options{ReadersFinished: []string{"r1", "nobody"}}, NotFinished)
}

func TestALazyReaderNeedsNotFinishUnlessItIsNamed(t *testing.T) {
	check(t, good(), Options{ReadersFinished: []string{"lazy"}}, NotFinished)
	check(t, good(), Options{})
}

func TestRealTimeOrderIsOnlyAskedForWhereItIsPromised(t *testing.T) {
	s := good()
	for _, b := range broken {
		if b.kind == RealTimeOrder {
			b.edit(s)
		}
	}
	check(t, s, Options{})
}

func TestAVersionThatIsAcknowledgedBeforeTheOneBelowItIsNotLinearizable(t *testing.T) {
	s := good()
	for i, key := range []string{"k18", "k19"} { // the second one has ended before the first began
		sv := s.of(key)
		sv.outcome, sv.call, sv.ret, sv.told = outcomeDone, 5000-int64(i)*1000, 5100-int64(i)*1000, []Event{*s.event(key)}
	}
	s.reads = nil
	check(t, s, Options{}, NotLinearizable)
}

func TestWhatWasLostByAFailoverIsForgivenInThatTimeOnly(t *testing.T) {
	lossy := func() (*scene, Options) {
		s := good()
		lost := *s.event("k11")
		s.remove("k11")
		sv := s.of("k11")
		s.page("lazy").edit = func([]Event) []Event { return []Event{s.stored[1], s.stored[2], s.stored[3], s.stored[4], lost} }
		s.page("lazy").limit = 0
		s.page("lazy").call, s.page("lazy").ret = sv.ret+1, sv.ret+2
		s.load("nothing").aggregate = "d"
		s.load("d").edit = add(lost)
		s.load("d").call, s.load("d").ret = sv.ret+3, sv.ret+4
		return s, Options{RealTime: true, LostBetween: Interval{sv.call, sv.ret + 10}}
	}
	s, options := lossy()
	check(t, s, options)
	options.LostBetween = Interval{}
	check(t, s, options, LostSave, NotInFinal)

	s, options = lossy()
	s.page("lazy").ret = options.LostBetween.To + 1
	check(t, s, options, NotInFinal)
	s, options = lossy()
	s.load("d").ret = options.LostBetween.To + 1
	check(t, s, options, NotInFinal)
	s, options = lossy()
	options.LostBetween.From = s.of("k11").ret + 1
	check(t, s, options, LostSave)

	// What came instead of the lost events may have lower sequence IDs.
	s, options = lossy()
	first := s.page("lazy").edit
	s.page("lazy").edit = func(e []Event) []Event {
		e = first(e)
		e[len(e)-1].SequenceID = seq(17) + "1"
		return e
	}
	check(t, s, options)

	// Before the first lost event nothing may be skipped, and what nobody saved is not lost.
	s, options = lossy()
	edit := s.page("lazy").edit
	s.page("lazy").edit = func(e []Event) []Event { return slices.Delete(edit(e), 1, 2) }
	check(t, s, options, Skipped)
	s, options = lossy()
	s.of("k11").outcome, s.of("k11").told = outcomeRolledBack, nil
	check(t, s, options, NotInFinal)
	s, options = lossy()
	s.remove("k12")
	s.of("k12").ret = s.of("k11").ret
	check(t, s, options, HalfSave)
}

func TestWhatCannotBeDecidedInTimeIsNotAPass(t *testing.T) {
	err := history(t, good().files()).Check(Options{Timeout: time.Nanosecond})
	if got := kinds(t, err); !slices.Equal(got, []Kind{NotDecided}) || !strings.Contains(err.Error(), `aggregate "a" from version 0`) {
		t.Errorf("%v", err)
	}
}

func TestTheErrorListsTheFirstOfEachKindAndCountsAll(t *testing.T) {
	s := good()
	s.page("lazy").call, s.page("lazy").ret = 1, 2
	s.remove("k11")
	err := history(t, s.files()).Check(Options{PerKind: 2})
	var found *CheckError
	if !errors.As(err, &found) || len(found.Violations) != 3 || found.Counts[TooEarly] != 4 {
		t.Fatal(err)
	}
	for _, want := range []string{"4 times " + string(TooEarly), "1 times " + string(LostSave), "lazy", "w1", `["k11"]`, seq(2),
		"from 1 to 2", fmt.Sprintf("from %d, done at %d", s.of("k11").call, s.of("k11").ret)} {
		if !strings.Contains(found.Error(), want) {
			t.Errorf("%q is not in %v", want, found)
		}
	}
}

func TestManyOperationsAreCutWithoutLosingSightOfTheirOrder(t *testing.T) {
	many := func() *scene {
		s := &scene{}
		for i := range int64(5 * chunk) {
			e := Event{Key: fmt.Sprint(i), Aggregate: "a", Type: "Added"}
			stored := e
			stored.Version, stored.SequenceID = int(i)+1, seq(int(i)+1)
			s.stored = append(s.stored, stored)
			s.saves = append(s.saves, &saveScene{process: "w", call: i * 10, ret: i*10 + 5, outcome: outcomeNone, tried: []Event{e}})
		}
		return s
	}
	check(t, many(), Options{})
	seen := func(s *scene, n int, at int64) {
		s.reads = append(s.reads, &readScene{aggregate: "a", call: at, ret: at + 1, edit: func(e []Event) []Event { return e[:n] }})
	}
	// One load sees much, and a later one little: they are in different pieces.
	s := many()
	seen(s, 4*chunk, 100_000)
	seen(s, chunk/2, 100_010)
	check(t, s, Options{}, NotLinearizable)
	s = many()
	seen(s, chunk/2, 100_000)
	seen(s, 4*chunk, 100_010)
	check(t, s, Options{})
}
