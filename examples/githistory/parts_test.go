package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// smallStore takes few events at once, as DynamoDB does. It may fail, once.
type smallStore struct {
	eventsource.Store
	// maxEvents is the most events of a save, maxSize the most bytes, 0 without a limit.
	maxEvents, maxSize int
	// failAt is the save that fails with the error, 0 if none does. lands says that
	// it is stored all the same.
	failAt int
	err    error
	lands  bool
	// saves are those that were tried, without those that were too large.
	saves int
}

func (s *smallStore) NewTransaction(ctx context.Context, records ...eventsource.Record) (eventsource.StoreTransaction, error) {
	size := 0
	for i := range records {
		size += len(records[i].Data)
	}
	tooLarge := eventsource.SaveTooLargeError{Events: len(records)}
	switch {
	case s.maxEvents > 0 && len(records) > s.maxEvents:
		tooLarge.MaxEvents = s.maxEvents
		return nil, &tooLarge
	case s.maxSize > 0 && size > s.maxSize:
		tooLarge.Size, tooLarge.MaxSize = size, s.maxSize
		return nil, &tooLarge
	}
	tx, err := s.Store.NewTransaction(ctx, records...)
	if s.saves++; err != nil || s.saves != s.failAt {
		return tx, err
	}
	if s.lands {
		err = tx.Commit()
	} else {
		err = tx.Rollback()
	}
	return nil, errors.Join(s.err, err)
}

// Watch has the reader wait no longer than it must.
func (s *smallStore) Watch(ctx context.Context) (<-chan struct{}, error) {
	return s.Store.(eventsource.Watcher).Watch(ctx)
}

// largeCommits is a history of commits of up to 250 changes.
func largeCommits() []commit {
	path := func(i int) Text { return Text(fmt.Sprintf("dir/%d", i)) }
	add := func(c *commit, i int) {
		c.changes = append(c.changes, change{status: 'A', oldMode: "000000", newMode: "100644", oldBlob: none, newBlob: hash1, path: path(i)})
	}
	commits := make([]commit, 6)
	for i := range commits {
		commits[i] = commit{hash: fmt.Sprintf("%040x", i+1), time: 1700000000, author: Text("author " + string(rune('a'+i%2)))}
	}
	for i := range 250 {
		add(&commits[0], i)
	}
	commits[1].changes = []change{{status: 'M', oldMode: "100644", newMode: "100755", oldBlob: hash1, newBlob: hash2, path: path(7)}}
	// commits[2] changes nothing.
	for i := range 200 {
		was := change{status: 'D', oldMode: "100644", newMode: "000000", oldBlob: hash1, newBlob: none, path: path(i)}
		if i == 7 {
			was.oldMode, was.oldBlob = "100755", hash2
		}
		commits[3].changes = append(commits[3].changes, was)
	}
	for i := range 98 {
		add(&commits[4], i)
	}
	for i := range 99 {
		add(&commits[5], 98+i)
	}
	return commits
}

// writeHistory writes what git would print of the commits.
func writeHistory(t testing.TB, commits []commit) (log, tree string) {
	t.Helper()
	files := make(map[Text]file)
	for _, c := range commits {
		for _, change := range c.changes {
			delete(files, change.path)
			if change.status != 'D' {
				files[change.path] = file{mode: change.newMode, blob: change.newBlob}
			}
		}
	}
	var listing strings.Builder
	for path, f := range files {
		fmt.Fprintf(&listing, "%s blob %s\t%s\x00", f.mode, f.blob, path)
	}
	log, tree = filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "tree")
	write(t, log, formatLog(commits))
	write(t, tree, listing.String())
	return log, tree
}

// eventsOf counts the events of files, of parts and of commits in a store.
func eventsOf(t testing.TB, store eventsource.Store) (changes, parts, commits int) {
	t.Helper()
	records, err := store.LoadBySequenceID(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		switch r.Type {
		case "CommitImported":
			commits++
		case "CommitPartImported":
			parts++
		default:
			changes++
		}
	}
	return changes, parts, commits
}

func TestCommitsThatAreTooLargeAreSavedInParts(t *testing.T) {
	log, tree := writeHistory(t, largeCommits())
	for _, test := range []struct {
		store smallStore
		want  string
	}{
		{smallStore{maxEvents: 251}, "imported   6 commits, 648 changes of files: 654 events in "},
		{smallStore{maxEvents: 250}, "imported   6 commits, 648 changes of files, 1 more saves for large commits: 655 events in "},
		{smallStore{maxEvents: 99}, "imported   6 commits, 648 changes of files, 5 more saves for large commits: 659 events in "},
		{smallStore{maxEvents: 2}, "imported   6 commits, 648 changes of files, 643 more saves for large commits: 1297 events in "},
		{smallStore{maxEvents: 99, maxSize: 5_000}, "imported   6 commits, 648 changes of files, 12 more saves for large commits: 666 events in "},
		{smallStore{maxSize: 300}, "imported   6 commits, 648 changes of files, 643 more saves for large commits: 1297 events in "},
	} {
		test.store.Store = memstore.New()
		for _, want := range []string{test.want, "skipped    6 commits that were in the store\nimported   0 commits, "} {
			got, err := importFiles(t, &test.store, log, tree)
			if err != nil || !strings.Contains(got, want) || !strings.Contains(got, "check passed: 247 paths and 2 authors") {
				t.Errorf("%d events, %d bytes at once: no %q in the summary, error %v:\n%s", test.store.maxEvents, test.store.maxSize, want, err, got)
			}
		}
		if changes, _, commits := eventsOf(t, test.store.Store); changes != 648 || commits != 6 {
			t.Errorf("%d changes and %d commits in the store", changes, commits)
		}
	}
}

func TestAStoreThatDoesNotTakeOneChangeIsAnError(t *testing.T) {
	log, tree := writeHistory(t, largeCommits())
	for _, store := range []*smallStore{{maxEvents: 1}, {maxSize: 100}} {
		store.Store = memstore.New()
		_, err := importFiles(t, store, log, tree)
		if !errors.Is(err, eventsource.ErrTooLarge) || !strings.Contains(err.Error(), "number 1, could not be saved") || store.saves > 0 {
			t.Errorf("got error %v after %d saves", err, store.saves)
		}
	}
}

// A run is interrupted at each of its saves, and another one, on a store that
// takes more or fewer events at once, goes on.
func TestInterruptedRunGoesOnInTheMiddleOfACommit(t *testing.T) {
	log, tree := writeHistory(t, largeCommits())
	const saves = 26 // at 30 events each
	broken := errors.New("broken")
	for _, failure := range []smallStore{{err: broken}, {err: eventsource.ErrOutcomeUnknown}, {err: eventsource.ErrOutcomeUnknown, lands: true}} {
		for failAt := 1; failAt <= saves; failAt++ {
			for _, next := range []int{13, 99} {
				first := failure
				first.Store, first.maxEvents, first.failAt = memstore.New(), 30, failAt
				if _, err := importFiles(t, &first, log, tree); !errors.Is(err, failure.err) {
					t.Fatalf("save %d: got error %v", failAt, err)
				}
				second := &smallStore{Store: first.Store, maxEvents: next}
				got, err := importFiles(t, second, log, tree)
				if err != nil || !strings.Contains(got, "check passed: 247 paths and 2 authors") {
					t.Fatalf("save %d failed, then %d events at once: error %v, %s", failAt, next, err, got)
				}
				if changes, _, commits := eventsOf(t, first.Store); changes != 648 || commits != 6 {
					t.Fatalf("save %d failed, then %d events at once: %d changes and %d commits in the store", failAt, next, changes, commits)
				}
			}
		}
	}
	all := &smallStore{Store: memstore.New(), maxEvents: 30}
	if _, err := importFiles(t, all, log, tree); err != nil || all.saves != saves {
		t.Errorf("%d saves in all, error %v", all.saves, err)
	}
}

func TestSummarySaysWhatOfACommitWasInTheStore(t *testing.T) {
	log, tree := writeHistory(t, largeCommits())
	store := &smallStore{Store: memstore.New(), maxEvents: 99, failAt: 7, err: errors.New("broken")}
	if _, err := importFiles(t, store, log, tree); !errors.Is(err, store.err) {
		t.Fatalf("got error %v", err)
	}
	got, err := importFiles(t, store, log, tree)
	want := "skipped    3 commits that were in the store\nskipped    98 changes of the next one that were in the store\n" +
		"imported   3 commits, 299 changes of files, 2 more saves for large commits: 304 events in "
	if err != nil || !strings.Contains(got, want) || !strings.Contains(got, "read       659 events in ") {
		t.Errorf("error %v, summary:\n%s", err, got)
	}
}

func TestHistoryWithoutTheCommitThatIsThereInPartIsRefused(t *testing.T) {
	commits := largeCommits()
	log, tree := writeHistory(t, commits)
	store := &smallStore{Store: memstore.New(), maxEvents: 99, failAt: 7, err: errors.New("broken")}
	if _, err := importFiles(t, store, log, tree); !errors.Is(err, store.err) {
		t.Fatalf("got error %v", err)
	}
	another := largeCommits()
	another[3].hash = hash3
	fewer := largeCommits()
	fewer[3].changes = fewer[3].changes[:97]
	for name, test := range map[string]struct {
		commits []commit
		want    string
	}{
		"it ends before":    {commits[:3], "commit " + commits[3].hash + ", the last of the 4 that the store has"},
		"it goes elsewhere": {another, "commit " + commits[3].hash + ", the last of the 4 that the store has"},
		"it has less of it": {fewer, "commit " + commits[3].hash + " has 97 changes in this history, but the store has 98 of them"},
	} {
		log, tree := writeHistory(t, test.commits)
		if _, err := importFiles(t, store, log, tree); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	if changes, parts, commits := eventsOf(t, store.Store); changes != 349 || parts != 3 || commits != 3 {
		t.Errorf("%d changes, %d parts and %d commits in the store", changes, parts, commits)
	}
}

func TestOfTwoImportersOfPartsOneIsRefusedAndNothingIsImportedTwice(t *testing.T) {
	log, tree := writeHistory(t, largeCommits())
	for failAt := 1; failAt <= 11; failAt++ { // where the store is when both begin
		events := memstore.New()
		before := &smallStore{Store: events, maxEvents: 99, failAt: failAt, err: errors.New("broken")}
		if _, err := importFiles(t, before, log, tree); !errors.Is(err, before.err) {
			t.Fatalf("got error %v", err)
		}
		// One of them makes other parts than the other.
		mustRefuseOne(t, log, tree,
			&smallStore{Store: memstore.New(memstore.WithEventsOf(events)), maxEvents: 99},
			&smallStore{Store: memstore.New(memstore.WithEventsOf(events)), maxEvents: 70})
		if _, err := importFiles(t, &smallStore{Store: events, maxEvents: 99}, log, tree); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if changes, _, commits := eventsOf(t, events); changes != 648 || commits != 6 {
			t.Errorf("%d changes and %d commits in the store", changes, commits)
		}
	}
}

func TestReaderRefusesPartsThatDoNotFollow(t *testing.T) {
	log, tree := writeHistory(t, largeCommits())
	store := &smallStore{Store: memstore.New(), maxEvents: 99}
	if _, err := importFiles(t, store, log, tree); err != nil {
		t.Fatal(err)
	}
	// The 99th event is of the first part, and the 253rd of the first commit.
	for name, test := range map[string]struct {
		spoil func([]eventsource.Record) []eventsource.Record
		want  string
	}{
		"lost change": {
			func(r []eventsource.Record) []eventsource.Record { return append(r[:97], r[98:]...) },
			"has 98 changes so far, but 97 came",
		},
		"lost part": {
			func(r []eventsource.Record) []eventsource.Record { return append(r[:98], r[99:]...) },
			"has version 2 after version 0",
		},
		"other commit": {
			func(r []eventsource.Record) []eventsource.Record {
				r[252].Data = []byte(strings.Replace(string(r[252].Data), `{"hash":"0`, `{"hash":"f`, 1))
				return r
			},
			"comes in the middle of commit 0000000000000000000000000000000000000001",
		},
	} {
		_, err := importFiles(t, &spoilingStore{Store: store, spoil: test.spoil}, log, tree)
		if err == nil || !strings.Contains(err.Error(), "reader, at 0") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}
