package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/store/memstore"
)

func TestVersion2TakesOverAndStays(t *testing.T) {
	url := testenv.Postgres(t)
	log, tree, _ := shortHistory(t)
	for _, run := range []struct{ flag, want string }{
		{"-rebuild=false", "of version 1 of its projection"},
		{"-rebuild", "of version 2 of its projection"}, // although nothing is imported
		{"-rebuild", "of version 2 of its projection"}, // which has been there before
		{"-rebuild=false", "of version 2 of its projection"},
	} {
		code, stdout, stderr := runMain(t, "-store", url, "-log", log, "-tree", tree, run.flag)
		if code != 0 || !strings.Contains(stdout, run.want) || !strings.Contains(stdout, "check passed: ") || strings.Contains(stderr, "level=ERROR") {
			t.Fatalf("%s: status %d, stdout %q, stderr %q", run.flag, code, stdout, stderr)
		}
	}
	tables := strings.Join(tablesOf(t, url), " ")
	if strings.Contains(tables, "_v1") || !strings.Contains(tables, "history_weeks_v2") {
		t.Errorf("there are the tables %s", tables)
	}
}

func tablesOf(t *testing.T, url string) (tables []string) {
	t.Helper()
	err := testenv.Pool(t, url).QueryRow(t.Context(),
		`SELECT array_agg(tablename ORDER BY tablename) FROM pg_tables WHERE schemaname = current_schema()`).Scan(&tables)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func TestVersion2IsBuiltWhileTheImportGoesOn(t *testing.T) {
	url := testenv.Postgres(t)
	log, tree, _ := shortHistory(t)
	code, stdout, stderr := runMain(t, "-store", url, "-log", log, "-tree", tree, "-rebuild")
	for _, want := range []string{"imported   200 commits, ", "of version 2 of its projection", "commits by week", "check passed: "} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("status %d, no %q in stdout %q, stderr %q", code, want, stdout, stderr)
		}
	}
}

// What is wrong in the tables the check finds, in both versions.
func TestCheckSeesWhatIsWrongInTheReadModel(t *testing.T) {
	url := testenv.Postgres(t)
	log, tree, _ := shortHistory(t)
	for _, version := range []string{"1", "2"} {
		args := []string{"-store", url, "-log", log, "-tree", tree, "-rebuild=" + strconv.FormatBool(version == "2")}
		if code, stdout, stderr := runMain(t, args...); code != 0 {
			t.Fatalf("status %d, stdout %q, stderr %q", code, stdout, stderr)
		}
		mustSeeWhatIsWrong(t, url, log, tree, version)
	}
}

func mustSeeWhatIsWrong(t *testing.T, url, log, tree, version string) {
	t.Helper()
	b := mustOpenPostgres(t, url)
	pool := testenv.Pool(t, url)
	history, err := openFiles(log, tree)
	if err != nil {
		t.Fatal(err)
	}
	counted, err := countLog(t.Context(), history)
	if err != nil {
		t.Fatal(err)
	}
	see := func() string {
		says, err := b.model.upTo(t.Context(), newRepository(b.store), repositoryID(history.outline().first), "")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(modelDifferences(says, counted), "\n")
	}
	for _, wrong := range []struct{ table, do, undo, want string }{
		{"authors", "commits = commits + 1", "commits = commits - 1", "author "},
		{"authors", "changes = changes + 1", "changes = changes - 1", "author "},
		{"authors", "first_commit = first_commit - interval '1 s'", "first_commit = first_commit + interval '1 s'", "author "},
		{"weeks", "commits = commits + 1", "commits = commits - 1", "week "},
		{"files", "changes = changes + 1", "changes = changes - 1", "file "},
		{"files", "blob = blob || 'x'", "blob = left(blob, -1)", "file "},
		{"files", "path = path || 'x'", "path = left(path, -1)", "in the read model, and not in the log"},
	} {
		update := "UPDATE history_" + wrong.table + "_v" + version + " SET "
		if _, err := pool.Exec(t.Context(), update+wrong.do); err != nil {
			t.Fatal(err)
		}
		if got := see(); !strings.Contains(got, wrong.want) || (wrong.table == "weeks" && version == "2") != strings.Contains(got, "week and author ") {
			t.Errorf("%s%s: it sees %q", update, wrong.do, got)
		}
		if _, err := pool.Exec(t.Context(), update+wrong.undo); err != nil {
			t.Fatal(err)
		}
		if got := see(); got != "" {
			t.Fatalf("nothing is wrong any more, but it sees %q", got)
		}
	}
}

func TestAnEventThatComesAgainCountsOnceInMemory(t *testing.T) {
	m := newMemoryModel()
	event := &CommitImported{BaseEvent: eventsource.BaseEvent{AggregateID: "git:1", SequenceID: "01"}, Author: "a", Time: 1}
	for range 2 {
		if err := m.handle(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.repositories["git:1"].authors["a"].commits; got != 1 {
		t.Errorf("it counts %d times", got)
	}
}

// brokenModel is a read model whose projection cannot run.
type brokenModel struct {
	*memoryModel
	err error
}

func (m *brokenModel) run(context.Context, eventsource.Repository, <-chan struct{}) error {
	return m.err
}

func TestAReadModelThatFailsEndsTheImport(t *testing.T) {
	history, err := openFiles(pgxLog, pgxTree)
	if err != nil {
		t.Fatal(err)
	}
	broken := &brokenModel{newMemoryModel(), errors.New("broken")}
	err = importAndCheck(t.Context(), memstore.New(), broken, history, io.Discard, io.Discard)
	if !errors.Is(err, broken.err) || !strings.Contains(err.Error(), "read model: ") {
		t.Errorf("got error %v", err)
	}
}

func TestTheEndOfTheProgramIsNoErrorOfTheReadModel(t *testing.T) {
	b := mustOpenPostgres(t, testenv.Postgres(t))
	for _, model := range []readModel{b.model, newMemoryModel()} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := model.run(ctx, newRepository(b.store), nil); err != nil {
			t.Errorf("%T: got error %v", model, err)
		}
	}
}

func TestARunThatIsMisconfiguredSaysSo(t *testing.T) {
	b := mustOpenPostgres(t, testenv.Postgres(t))
	model := newSQLModel(nil, false, projection.WithLease(time.Second))
	if err := model.run(t.Context(), newRepository(b.store), nil); !errors.Is(err, eventsource.ErrMisconfigured) {
		t.Errorf("got error %v", err)
	}
}

func TestWeeksBeginOnMondayAndBelongToISOYears(t *testing.T) {
	for day, want := range map[string]string{
		"2024-12-29T23:59:59Z": "2024-12-23 2024-W52",
		"2024-12-30T00:00:00Z": "2024-12-30 2025-W01",
		"2025-01-05T23:59:59Z": "2024-12-30 2025-W01",
		"2021-01-03T12:00:00Z": "2020-12-28 2020-W53",
		"1970-01-01T00:00:01Z": "1969-12-29 1970-W01",
	} {
		at, err := time.Parse(time.RFC3339, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := weekOf(at).Format(time.DateOnly) + " " + isoWeek(weekOf(at)); got != want {
			t.Errorf("%s is in %s, not in %s", day, got, want)
		}
	}
}

func TestTimesThatCannotBeAreInNoWeek(t *testing.T) {
	s := newSnapshot()
	for _, unix := range []int64{-1, 0, 253402300800, 1<<63 - 1, 1700000000} {
		s.countCommit("a", unix)
	}
	want := authorState{commits: 5, first: 1700000000, last: 1700000000}
	if got := s.authors["a"]; got != want || len(s.weeks) != 1 || len(s.weeksByAuthor) != 1 {
		t.Errorf("got %+v and weeks %v", got, s.weeks)
	}
}

func TestChartHasAllWeeksHoweverMany(t *testing.T) {
	monday := time.Date(2024, 12, 30, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		weeks        int
		caption, end string
	}{
		{2, "commits by week", "2025-W01"},
		{72, "commits by week", "2026-W20"},
		{73, "commits by week, the mean of 2 in each column", "2026-W21"},
		{400_000, "commits by week, the mean of 5556 in each column", ""},
	} {
		var out strings.Builder
		drawWeeks(&out, map[time.Time]int{monday: 3, monday.AddDate(0, 0, 7*(test.weeks-1)): 7})
		lines := strings.Split(strings.Trim(out.String(), "\n"), "\n")
		caption, axis := strings.TrimSpace(lines[len(lines)-1]), strings.Fields(lines[len(lines)-2])
		if caption != test.caption || axis[0] != "2025-W01" || !strings.HasPrefix(axis[len(axis)-1], test.end) {
			t.Errorf("%d weeks:\n%s", test.weeks, out.String())
		}
		if wide := slices.MaxFunc(lines, func(a, b string) int { return len([]rune(a)) - len([]rune(b)) }); len([]rune(wide)) > 90 {
			t.Errorf("%d weeks: a line of %d columns", test.weeks, len([]rune(wide)))
		}
	}
	var out strings.Builder
	if drawWeeks(&out, nil); out.Len() > 0 {
		t.Errorf("without weeks it draws %s", out.String())
	}
	if drawWeeks(&out, map[time.Time]int{monday: 3}); strings.TrimSpace(out.String()) != "3 commits, all in week 2025-W01" {
		t.Errorf("of one week it says %s", out.String())
	}
}
