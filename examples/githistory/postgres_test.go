package main

import (
	"os"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

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
	store, closeStore, err := openPostgres(t.Context(), testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore()
	mustImport(t, store, r.dir, "imported   10 commits, ")
	mustImport(t, store, r.dir, "skipped    10 commits")
}

func TestOfTwoProcessesOnPostgreSQLOneIsRefused(t *testing.T) {
	url := testenv.Postgres(t)
	stores := make([]eventsource.Store, 2)
	for i := range stores {
		store, closeStore, err := openPostgres(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer closeStore()
		stores[i] = store
	}
	mustRefuseOne(t, pgxLog, pgxTree, stores[0], stores[1])
}
