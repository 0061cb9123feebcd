package main

import (
	"os"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

// asProgram is set in the environment of a test binary that is to be the program.
const asProgram = "GITHISTORY_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(testenv.Main(m))
}

func TestImportIntoPostgreSQLTwice(t *testing.T) {
	args := []string{"-store", testenv.Postgres(t), "-log", pgxLog, "-tree", pgxTree}
	for _, want := range []string{"imported   2130 commits", "skipped    2130 commits"} {
		code, stdout, stderr := runMain(t, args...)
		if code != 0 || !strings.Contains(stdout, want) || !strings.Contains(stdout, "check passed: 374 paths and 147 authors") {
			t.Fatalf("status %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	}
}

func TestNastyRepositoryInPostgreSQL(t *testing.T) {
	r := nastyRepo(t)
	url := testenv.Postgres(t)
	for _, want := range []string{"imported   10 commits, ", "skipped    10 commits"} {
		code, stdout, stderr := runMain(t, "-repo", r.dir, "-store", url)
		if code != 0 || !strings.Contains(stdout, want) || !strings.Contains(stdout, "check passed: ") {
			t.Fatalf("status %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	}
}

func mustOpenPostgres(t testing.TB, url string) *backend {
	t.Helper()
	b, err := openPostgres(t.Context(), url, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

func TestOfTwoProcessesOnPostgreSQLOneIsRefused(t *testing.T) {
	url := testenv.Postgres(t)
	mustRefuseOne(t, pgxLog, pgxTree, mustOpenPostgres(t, url).store, mustOpenPostgres(t, url).store)
}
