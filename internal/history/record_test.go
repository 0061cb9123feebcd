//go:build unix

package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
)

// childVariable makes this binary a process that records until it is killed,
// into the file that it names.
const childVariable = "EVENTSOURCE_TEST_HISTORY_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		recordForever(path)
	}
	os.Exit(m.Run())
}

// recordForever prints each key once its call is recorded.
func recordForever(path string) {
	r, err := Create(path, "child")
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		event := Event{Key: fmt.Sprint(i), Aggregate: "a", Type: strings.Repeat("x", i%5000)}
		call := r.Save([]Event{event})
		fmt.Println(event.Key)
		event.Version, event.SequenceID = i+1, seq(i)
		call.Return([]Event{event}, nil)
	}
}

func TestAKilledProcessLosesNothingThatItHadBegun(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "child.jsonl")
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childVariable+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		printed := 0
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if printed++; printed == 300 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // killed
		if printed < 300 {
			t.Fatalf("the child printed %d lines", printed)
		}
		h := mustRead(t, path)
		if n := len(h.saves); n != printed && n != printed+1 {
			t.Errorf("%d calls, the child printed %d", n, printed)
		}
		for i, s := range h.saves {
			if s.tried[0].Key != fmt.Sprint(i) || (s.outcome != outcomeDone && i < len(h.saves)-1) {
				t.Errorf("call %d is %v", i, s)
			}
		}
	}
}

func TestWhatIsRecordedIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	r, err := Create(path, "p")
	if err != nil {
		t.Fatal(err)
	}
	before := Now()
	meant := []Event{{Key: "k1", Aggregate: "a", Type: "T", Expected: 3}, {Key: "k\n2", Aggregate: "b", Type: "T"}}
	stored := []Event{{Key: "k1", Aggregate: "a", Type: "T", Version: 3, SequenceID: seq(1)}, {Key: "k\n2", Aggregate: "b", Type: "T", Version: 1, SequenceID: seq(2)}}
	r.Save(meant).Return(stored, nil)
	r.Save(meant).Return(stored, fmt.Errorf("worse: %w", &eventsource.ConflictError{AggregateID: "a", Expected: 3, Actual: 1}))
	r.Save(meant).Return(nil, &eventsource.OutcomeUnknownError{Err: &eventsource.ConflictError{}})
	r.Save(meant).Unknown(errors.New("no answer"))
	r.Save(meant).RolledBack()
	r.Save(meant)
	r.Load("a").Return(stored[:1], nil)
	r.Load("a").Return(stored[:1], errors.New("no"))
	r.Page("r", seq(0), 7, "T").Return(stored, nil)
	r.Final()
	r.Page("f", "", 0, "").Return(nil, nil)
	r.Page("f", "", 0, "") // never returns
	after := Now()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}

	h := mustRead(t, path)
	var got []string
	last := before
	for _, s := range h.saves {
		if s.process != "p" || s.call < last || s.call > after || (s.outcome != outcomeNone && (s.ret < s.call || s.ret > after)) {
			t.Errorf("times of %v are not from %d to %d", s, last, after)
		}
		last = s.call
		if diff := cmp.Diff(meant, s.tried); diff != "" {
			t.Error(diff)
		}
		told := s.outcome == outcomeDone
		if told != slices.Equal(s.told, stored) || told == (len(s.told) == 0) {
			t.Errorf("%v was told %v", s, s.told)
		}
		got = append(got, fmt.Sprint(s.outcome, " ", s.conflict, " ", s.errorText))
	}
	conflicted := h.saves[1].conflict
	if conflicted == nil || *conflicted != (conflict{"a", 3, 1}) {
		t.Errorf("the conflict is %v", conflicted)
	}
	h.saves[1].conflict = nil
	for i, want := range []string{"done <nil> ", "failed &{a 3 1} worse: ", "unknown <nil> eventsource: outcome", "unknown <nil> no answer", "rolledback <nil> ", " <nil> "} {
		if !strings.HasPrefix(got[i], want) {
			t.Errorf("save %d: want %q, got %q", i, want, got[i])
		}
	}
	if len(h.loads) != 1 || h.loads[0].aggregate != "a" || len(h.loads[0].events) != 1 || h.loads[0].final {
		t.Errorf("loads are %v", h.loads)
	}
	if len(h.pages) != 2 {
		t.Fatalf("pages are %v", h.pages)
	}
	page := h.pages[0]
	if page.reader != "r" || page.cursor != seq(0) || page.limit != 7 || page.eventType != "T" || page.final || len(page.events) != 2 {
		t.Errorf("page is %+v", page)
	}
	if diff := cmp.Diff(stored, []Event{h.seen.events[page.events[0]], h.seen.events[page.events[1]]}); diff != "" {
		t.Error(diff)
	}
	if !h.pages[1].final || len(h.pages[1].events) != 0 {
		t.Errorf("page is %+v", h.pages[1])
	}
}

func TestARecorderIsSafeForConcurrentUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	r, err := Create(path, "p")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 100 {
				call := r.Save([]Event{{Key: fmt.Sprint(g, "/", i), Aggregate: strings.Repeat("a", 5000)}})
				call.Return(nil, nil)
			}
		})
	}
	group.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if s := mustRead(t, path).Stats(); s.Stored != 800 {
		t.Errorf("stats are %+v", s)
	}
}

func TestTheFirstErrorOfARecorderIsReturnedByClose(t *testing.T) {
	dir := t.TempDir()
	r, err := Create(filepath.Join(dir, "a"), "p")
	if err != nil {
		t.Fatal(err)
	}
	call := r.Load("a")
	if err := r.file.Close(); err != nil {
		t.Fatal(err)
	}
	call.Return(nil, nil)
	r.Load("b")
	if err := r.Close(); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "return of call 1") {
		t.Errorf("got %v", err)
	}

	r, err = Create(filepath.Join(dir, "b"), "p")
	if err != nil {
		t.Fatal(err)
	}
	save := r.Save(nil)
	save.Return(nil, nil)
	save.RolledBack()
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "call 1 has returned twice") {
		t.Errorf("got %v", err)
	}
	if s := mustRead(t, filepath.Join(dir, "b")).Stats(); s.Stored != 1 {
		t.Errorf("stats are %+v", s)
	}
}

func TestAFileIsNeverWrittenByTwo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if _, err := Create(path, "p"); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, "p"); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyTheLastLineMayBeCut(t *testing.T) {
	lines := good().files()["w1"]
	var data []byte
	for _, l := range lines {
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		data = append(append(data, text...), '\n')
	}
	path := filepath.Join(t.TempDir(), "w1")
	for cut := range len(data) {
		if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		whole := bytes.Count(data[:cut], []byte("\n"))
		h, err := Read(path)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if want := whole / 2; len(h.saves) != want { // the first line, and then a call and a return in turns
			t.Fatalf("cut at %d: %d saves, want %d", cut, len(h.saves), want)
		}
	}
}

func TestFilesThatCannotBeReadSayWhy(t *testing.T) {
	const open, call, answer = `{"op":"open","process":"p"}` + "\n", `{"op":"save","id":1}` + "\n", `{"op":"return","id":1}` + "\n"
	for _, test := range []struct{ text, mentions string }{
		{open + "{\n" + call, "line 2: unexpected end"},
		{open + "\n", "line 2"},
		{call, `line 1: "save" is not where it should be`},
		{open + open, `line 2: "open" is not where it should be`},
		{open + answer, "return of call 1"},
		{open + call + answer + answer, "line 4: return of call 1"},
		{open + call + call, "call 1 begins twice"},
		{open + `{"op":"dance"}` + "\n", `"dance" is no operation`},
		{open + `{"op":"load","id":1}` + "\n", `load of aggregate ""`},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), test.mentions) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", test.text, err)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
