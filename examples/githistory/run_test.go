package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/memstore"
)

const pgxLog, pgxTree = "testdata/pgx.log.gz", "testdata/pgx.tree.gz"

func runMain(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

func importFiles(t testing.TB, store eventsource.Store, log, tree string) (stdout string, err error) {
	t.Helper()
	history, err := openFiles(log, tree)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = importAndCheck(t.Context(), store, newMemoryModel(), history, &out, io.Discard)
	return out.String(), err
}

func TestImportsTheHistoryOfARealRepository(t *testing.T) {
	store := memstore.New()
	for _, want := range []string{
		"imported   2130 commits, 6190 changes of files: 8320 events in ",
		"skipped    2130 commits that were in the store\nimported   0 commits, 0 changes of files: 0 events\n",
	} {
		got, err := importFiles(t, store, pgxLog, pgxTree)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{want, "read       8320 events in ", "check passed: 374 paths and 147 authors agree with git\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in the summary:\n%s", want, got)
			}
		}
	}
}

func TestPlainFilesDoAsWellAsGzip(t *testing.T) {
	log, tree := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "tree")
	write(t, log, unzip(t, pgxLog))
	write(t, tree, unzip(t, pgxTree))
	code, stdout, stderr := runMain(t, "-log", log, "-tree", tree)
	if code != 0 || !strings.Contains(stdout, "check passed: 374 paths") || stderr != "" {
		t.Errorf("status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestCheckNamesWhatDiffers(t *testing.T) {
	// One path more, one less, and one with another blob.
	tree := unzip(t, pgxTree)
	entries := strings.Split(tree, "\x00")
	lost := strings.SplitN(entries[0], "\t", 2)[1]
	changed := strings.SplitN(entries[1], "\t", 2)[1]
	entries[0] = "100644 blob " + hash1 + "\tnew\nfile"
	entries[1] = "100755 blob " + hash2 + "\t" + changed
	file := filepath.Join(t.TempDir(), "tree")
	write(t, file, strings.Join(entries, "\x00"))

	code, stdout, stderr := runMain(t, "-log", pgxLog, "-tree", file)
	if code != 1 || strings.Contains(stdout, "check passed") {
		t.Errorf("status %d, stdout %q", code, stdout)
	}
	for _, want := range []string{
		"differ in 3 places", `path "new\nfile" is in git, but not in the events`,
		`path "` + lost + `" is in the events, but not in git`,
		`path "` + changed + `" has mode 100755 and blob ` + hash2 + " in git, mode 100644 and blob ",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in %q", want, stderr)
		}
	}
}

func TestCheckListsTheFirstTwentyDifferences(t *testing.T) {
	git := make(map[Text]int)
	for i := range 30 {
		git[Text(rune('a'+i))] = 1
	}
	text := differences(authorDifferences(map[Text]int{"a": 2}, git)).Error()
	if lines := strings.Count(text, "\n"); lines != 21 || !strings.HasSuffix(text, "\n  and 10 more") {
		t.Errorf("%d lines: %s", lines, text)
	}
	if !strings.Contains(text, `author "a" has 1 commits in git, 2 in the events`) {
		t.Error(text)
	}
}

func TestBrokenFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		write(t, filepath.Join(dir, name), content)
		return filepath.Join(dir, name)
	}
	log := unzip(t, pgxLog)
	zipped, err := os.ReadFile(pgxLog)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ log, tree, want string }{
		"missing log":        {filepath.Join(dir, "no"), pgxTree, "no such file"},
		"missing tree":       {pgxLog, filepath.Join(dir, "no"), "no such file"},
		"folder":             {dir, pgxTree, "no regular file"},
		"text":               {file("text", "hello"), pgxTree, "does not begin with a commit"},
		"cut log":            {file("cut", log[:len(log)/2]), pgxTree, "log, commit "},
		"cut gzip":           {file("cut.gz", string(zipped[:len(zipped)/2])), pgxTree, "unexpected EOF"},
		"no gzip":            {file("no.gz", "\x1f\x8bhello, this is no gzip"), pgxTree, "gzip: "},
		"log for the tree":   {pgxLog, pgxLog, "is no entry of a tree"},
		"tree for the log":   {pgxTree, pgxTree, "does not begin with a commit"},
		"empty log, no tree": {file("empty", ""), pgxTree, "has no commits, but"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := runMain(t, "-log", test.log, "-tree", test.tree)
			if code != 1 || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d, stderr %q, want %q in it", code, stderr, test.want)
			}
		})
	}
	code, stdout, _ := runMain(t, "-log", file("empty", ""), "-tree", file("empty tree", ""))
	if code != 0 || !strings.Contains(stdout, "the repository is empty") {
		t.Errorf("status %d, stdout %q", code, stdout)
	}
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"-h", 0, "Usage: githistory"},
		{"x", 2, `unknown argument "x"`},
		{"-no", 2, "flag provided but not defined: -no"},
		{"-log x", 2, "-log and -tree need each other"},
		{"-tree x", 2, "-log and -tree need each other"},
		{"-log x -tree y -repo z", 2, "-repo does not go with"},
		{"-log= -tree=", 2, "need the name of a file"},
		{"-repo=", 2, "needs the name of a folder"},
		{"-rebuild", 2, "-rebuild needs a -store that begins with postgres://"},
		{"-rebuild -store dynamodb://table", 2, "-rebuild needs a -store that begins with postgres://"},
		{"-lease 99ms", 2, "-lease is 99ms, and has to be 100ms or more"},
		{"-store mysql://x", 2, "-store needs memory or a URL"},
		{"-store postgres://u:secret@127.0.0.1:1/x?bad -log " + pgxLog + " -tree " + pgxTree, 1, "-store: "},
	} {
		code, stdout, stderr := runMain(t, strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%s: status %d, output %q", test.args, code, stdout+stderr)
		}
		if strings.Contains(stdout+stderr, "secret") {
			t.Errorf("%s: the password is shown: %q", test.args, stdout+stderr)
		}
	}
}

func TestInterruptedRunSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, err bytes.Buffer
	if code := run(ctx, []string{"-log", pgxLog, "-tree", pgxTree}, &out, &err); code != 1 || !strings.Contains(err.String(), "interrupted") {
		t.Errorf("status %d, stderr %q", code, err.String())
	}
}

func TestOfTwoImportersAtOnceOneIsRefusedAndNothingIsImportedTwice(t *testing.T) {
	events := memstore.New()
	mustRefuseOne(t, pgxLog, pgxTree, memstore.New(memstore.WithEventsOf(events)), memstore.New(memstore.WithEventsOf(events)))
	if got, err := importFiles(t, events, pgxLog, pgxTree); err != nil || !strings.Contains(got, "read       8320 events") {
		t.Errorf("afterwards: %s, error %v", got, err)
	}
}

// mustRefuseOne runs importers on two stores that have the same events, and holds both
// until they have seen how far the repository is.
func mustRefuseOne(t *testing.T, log, tree string, a, b eventsource.Store) {
	t.Helper()
	bothLoaded := &barrier{waiting: 2, open: make(chan struct{})}
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, store := range []eventsource.Store{a, b} {
		history, err := openFiles(log, tree)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			errs[i] = importAndCheck(t.Context(), &storeWithBarrier{Store: store, loaded: bothLoaded}, newMemoryModel(), history, io.Discard, io.Discard)
		})
	}
	wg.Wait()

	winner, loser := errs[0], errs[1]
	if winner != nil {
		winner, loser = loser, winner
	}
	if winner != nil || !errors.Is(loser, eventsource.ErrConflict) || !strings.Contains(loser.Error(), "imported by somebody else") {
		t.Fatalf("got errors %v and %v", winner, loser)
	}
}

// storeWithBarrier holds every importer until all have seen how far the
// repository is.
type storeWithBarrier struct {
	eventsource.Store
	loaded *barrier
}

func (s *storeWithBarrier) LoadByAggregate(ctx context.Context, id string) ([]eventsource.Record, error) {
	records, err := s.Store.LoadByAggregate(ctx, id)
	s.loaded.wait()
	return records, err
}

type barrier struct {
	mu      sync.Mutex
	waiting int
	open    chan struct{}
}

func (b *barrier) wait() {
	b.mu.Lock()
	if b.waiting--; b.waiting == 0 {
		close(b.open)
	}
	b.mu.Unlock()
	<-b.open
}

func TestReaderRefusesEventsThatAreLostDoubledOrSwapped(t *testing.T) {
	store := memstore.New()
	if _, err := importFiles(t, store, pgxLog, pgxTree); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func([]eventsource.Record) []eventsource.Record{
		"doubled": func(r []eventsource.Record) []eventsource.Record { r[5] = r[4]; return r },
		"swapped": func(r []eventsource.Record) []eventsource.Record { r[4], r[5] = r[5], r[4]; return r },
		"lost":    func(r []eventsource.Record) []eventsource.Record { return append(r[:1], r[2:]...) },
		"foreign": func(r []eventsource.Record) []eventsource.Record {
			r[2].Type, r[2].Data = "FileModified", r[0].Data
			return r
		},
	} {
		_, err := importFiles(t, &spoilingStore{Store: store, spoil: spoil}, pgxLog, pgxTree)
		if err == nil || !strings.Contains(err.Error(), "reader, at 0") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

// spoilingStore breaks the promise of a store: its first page is not right.
type spoilingStore struct {
	eventsource.Store
	spoil func([]eventsource.Record) []eventsource.Record
}

func (s *spoilingStore) LoadBySequenceID(ctx context.Context, after string, limit int) ([]eventsource.Record, error) {
	records, err := s.Store.LoadBySequenceID(ctx, after, limit)
	if err != nil || after != "" {
		return records, err
	}
	return s.spoil(records), nil
}

func TestReaderGoesNoFurtherThanItsRun(t *testing.T) {
	store := memstore.New()
	if _, err := importFiles(t, store, pgxLog, pgxTree); err != nil {
		t.Fatal(err)
	}
	r := newReader(store, newRepository(store), "git:9a68d024c5c6")
	if err := r.follow(t.Context(), 3); err != nil || r.commits != 3 || r.events != 9 {
		t.Errorf("%d commits, %d events, error %v", r.commits, r.events, err)
	}
}

func TestFilesOfAllNamesHaveAggregatesOfTheirOwn(t *testing.T) {
	seen := make(map[string]string)
	for _, name := range append(nastyNames, "sha256:", "sha256:"+hash1, "base64:YmFzZTY0Og==") {
		id := fileID("git:123456789012", Text(name))
		record := eventsource.Record{AggregateID: id, Type: "x"}
		if err := record.Validate(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q both have %q", name, other, id)
		}
		seen[id] = name
		if !belongsTo("git:123456789012", id) || belongsTo("git:12345678901", id) {
			t.Errorf("%q belongs to the wrong repository", id)
		}
	}
}

func TestRateHasGroupsOfDigits(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := rate(n, 1e9); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func unzip(t testing.TB, name string) string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
