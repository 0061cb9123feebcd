package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource/bench/report"
	"github.com/eventsource-go/eventsource/bench/system"
	"github.com/eventsource-go/eventsource/bench/workload"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestWrongUsageIsExplained(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-rounds", "0"}, []string{"-rounds", "0"}},
		{[]string{"-rounds", "many"}, []string{"-rounds", `"many"`}},
		{[]string{"-time", "0s"}, []string{"-time", "0s"}},
		{[]string{"-time", "-5ms"}, []string{"-time", "-5ms"}},
		{[]string{"-time", "5"}, []string{"-time", `"5"`}},
		{[]string{"-warm-up", "0s"}, []string{"-warm-up", "0s"}},
		{[]string{"-systems", "raw;nobody"}, []string{"-systems", `"nobody"`}},
		{[]string{"-workloads", "nothing"}, []string{"-workloads", `"nothing"`}},
		{[]string{"-workloads", "("}, []string{"-workloads", "("}},
		{[]string{"-events", "1k,few"}, []string{"-events", `"few"`}},
		{[]string{"-check=perhaps"}, []string{"-check", `"perhaps"`}},
		{[]string{"-unknown"}, []string{"-unknown"}},
		{[]string{"-rounds", "2", "more"}, []string{`"more"`}},
	} {
		var stdout, stderr bytes.Buffer
		if err := run(t.Context(), c.args, &stdout, &stderr); !errors.Is(err, errUsage) {
			t.Errorf("%q: got %v, want %v", c.args, err, errUsage)
		}
		for _, want := range append(c.want, "bench: ", "-h lists the options") {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%q: printed %q, want it to have %q", c.args, stderr.String(), want)
			}
		}
		if stdout.Len() > 0 || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%q: printed %q to stdout and %q to stderr, want one line to stderr", c.args, stdout.String(), stderr.String())
		}
	}
}

func TestHelpListsTheOptions(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Usage: bench [options]", testenv.EnvPostgres, "-systems", "-workloads expression", "-events", "-rounds", "-time", "-warm-up",
		"-markdown file", "-json file", "-cpuprofile file", "-check", "-list",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("help has no %q:\n%s", want, stdout.String())
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("printed %q to stderr", stderr.String())
	}
}

func TestListNamesSystemsAndWorkloads(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"-list"}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	for _, s := range system.All() {
		if !strings.Contains(stdout.String(), "  "+s.Name+" ") {
			t.Errorf("the list has no system %q:\n%s", s.Name, stdout.String())
		}
	}
	for _, w := range workload.All() {
		if !strings.Contains(stdout.String(), "  "+w.Name+" ") || !strings.Contains(stdout.String(), w.About+"\n") {
			t.Errorf("the list has no workload %q: %q:\n%s", w.Name, w.About, stdout.String())
		}
	}

	stdout.Reset()
	if err := run(t.Context(), []string{"-list", "-systems", "ours, JSON;raw", "-workloads", "^load/10$"}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(stdout.String()) {
		names = append(names, strings.Fields(line + " .")[0])
	}
	if want := []string{"Systems:", "raw", "ours,", ".", "Workloads:", "load/10"}; !slices.Equal(names, want) {
		t.Errorf("the list has the lines %q, want %q:\n%s", names, want, stdout.String())
	}
}

func TestParseLevels(t *testing.T) {
	for _, c := range []struct {
		text string
		want []int
	}{
		{"1k", []int{1000}}, {"1000", []int{1000}}, {"10k,1M,5M", []int{10_000, 1_000_000, 5_000_000}},
		{" 2k , 3000 ", []int{2000, 3000}}, {"1000M", []int{1_000_000_000}},
	} {
		if got, err := parseLevels(c.text); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: got %v, %v, want %v", c.text, got, err, c.want)
		}
	}
	for _, c := range []struct{ text, names string }{
		{"", `""`}, {"1k,", `""`}, {"k", `"k"`}, {"0", `"0"`}, {"500", `"500"`}, {"1500", `"1500"`}, {"-1k", `"-1k"`}, {"1.5k", `"1.5k"`},
		{"1kk", `"1kk"`}, {"1G", `"1G"`}, {"1001M", `"1001M"`}, {"99999999999999999999", `"99999999999999999999"`},
		{"2k,2k", `"2k" does not come after 2000`}, {"1M,10k", `"10k" does not come after 1000000`},
	} {
		if got, err := parseLevels(c.text); err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%q: got %v, %v, want an error with %s", c.text, got, err, c.names)
		}
	}
}

func TestRunFromEndToEnd(t *testing.T) {
	t.Setenv(testenv.EnvPostgres, testenv.Server(t))
	dir := t.TempDir()
	markdown, jsonFile, profile := filepath.Join(dir, "bench.md"), filepath.Join(dir, "bench.json"), filepath.Join(dir, "cpu.prof")
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{
		"-events", "1k", "-rounds", "1", "-time", "20ms", "-warm-up", "5ms", "-workloads", "^(save/1/new/1|load/10|catch-up/pages)$",
		"-markdown", markdown, "-json", jsonFile, "-cpuprofile", profile,
	}, &stdout, &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}

	text := stdout.String()
	want := []string{
		"# Benchmark of ", "PostgreSQL ", "- 1 rounds of 20ms", "## What is promised", "## With 1,000 events stored",
		"### load/10\n", "### catch-up/pages\n", "### save/1/new/1\n", "## Bytes on disk an event", "## What to know when comparing",
	}
	for _, s := range system.All() {
		want = append(want, "\n| "+s.Name+" ", "- **"+s.Name)
	}
	for _, want := range want {
		if !strings.Contains(text, want) {
			t.Errorf("the report has no %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}

	if file, err := os.ReadFile(markdown); err != nil || string(file) != text {
		t.Errorf("the Markdown file has %d bytes, %v, want the %d of the standard output", len(file), err, len(text))
	}
	if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
		t.Errorf("there is no profile: %v", err)
	}
	if n := strings.Count(stderr.String(), "events/s: raw "); n != 3 {
		t.Errorf("progress was shown for %d workloads, want 3:\n%s", n, stderr.String())
	}

	file, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var result report.Report
	if err := json.Unmarshal(file, &result); err != nil {
		t.Fatal(err)
	}
	if n := len(system.All()); len(result.Rows) != 3*n || len(result.Systems) != n || len(result.Workloads) != 3 || result.Machine.Postgres == "" {
		t.Errorf("the JSON has %d rows, %d systems and %d workloads, want %d, %d and 3; the server is %q",
			len(result.Rows), len(result.Systems), len(result.Workloads), 3*n, n, result.Machine.Postgres)
	}
	for _, row := range result.Rows {
		if measured := row.Rate > 0 && len(row.Samples) == 1; measured == (row.Missing != "") || row.Failed != "" {
			t.Errorf("%s, %s: rate %v of %d samples, missing %q, failed %q", row.Workload, row.System, row.Rate, len(row.Samples), row.Missing, row.Failed)
		}
	}
}

func TestRunThatMeasuresNothingIsAnError(t *testing.T) {
	t.Setenv(testenv.EnvPostgres, testenv.Server(t))
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{"-events", "1k", "-workloads", "^catch-up/memory$", "-json", ""}, &stdout, &stderr)
	if err == nil || errors.Is(err, errUsage) || stdout.Len() > 0 {
		t.Errorf("got %v and %q, want an error and no report", err, stdout.String())
	}
}

func TestRunWithoutAServerIsAnError(t *testing.T) {
	t.Setenv(testenv.EnvPostgres, "postgres://127.0.0.1:1/nobody")
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"-json", ""}, &stdout, &stderr); err == nil || stdout.Len() > 0 {
		t.Errorf("got %v and %q, want an error and no report", err, stdout.String())
	}
}

func TestVerdict(t *testing.T) {
	sample := func(name, who string, events int) workload.Cell {
		return workload.Cell{Level: 1000, Workload: name, System: who, Samples: []workload.Sample{{Events: events, Seconds: 1}}}
	}
	for _, c := range []struct {
		about string
		cells []workload.Cell
		check bool
		want  []string
	}{
		{"nothing was measured", nil, true, nil},
		{"reached", []workload.Cell{sample("catch-up/pages", "raw", 100), sample("catch-up/pages", "ours", 100)}, true, nil},
		{"missed, nobody asked", []workload.Cell{sample("catch-up/pages", "raw", 100), sample("catch-up/pages", "ours", 50)}, false, nil},
		{"missed", []workload.Cell{sample("catch-up/pages", "raw", 100), sample("catch-up/pages", "ours", 50)}, true,
			[]string{"catch-up/pages, ours", "0.9 of raw", "0.50 of raw"}},
		{"failed", []workload.Cell{{Level: 1000, Workload: "load/10", System: "raw", Failed: "broken"}}, false,
			[]string{"raw", "load/10", "broken"}},
	} {
		err := verdict(report.New(system.All(), nil, c.cells, nil), c.check)
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want an error with %q", c.about, err, c.want)
		}
		for _, want := range c.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want an error with %q", c.about, err, want)
			}
		}
	}
}

func TestProgressIsALineForEachThing(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out, time.Now())
	p.show(workload.Progress{Level: 1_000_000, Filled: "goes"})
	p.show(workload.Progress{Level: 1000, Workload: workload.Workload{Name: "load/10"}, Done: 2, Total: 5, Cells: []workload.Cell{
		{System: "raw", Samples: []workload.Sample{{Events: 100, Seconds: 2}}}, {System: "naive", Missing: "why"}, {System: "ours", Failed: "broken"},
		{System: "goes", Samples: []workload.Sample{{TakeoverSeconds: 3}}},
	}})
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"1000000 events stored in goes", "2/5 of 1000 events  load/10              events/s: raw 50, ours FAILED: broken, goes takeover in 3.0 s, 3.0 s at most", ""} {
		if !strings.HasSuffix(lines[i], want) || len(lines) != 3 {
			t.Errorf("line %d is %q, want %q at its end", i, lines[i], want)
		}
	}
}

func TestProcessThatStreamsNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, events, want string }{{"nobody", "1", `"nobody"`}, {"raw", "many", `"many"`}} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), []string{"stream", c.name, c.events}, &stdout, &stderr)
		if err == nil || !strings.Contains(err.Error(), c.want) || stdout.Len() > 0 {
			t.Errorf("got %v and %q, want an error with %s", err, stdout.String(), c.want)
		}
	}
}

func TestProcessThatProjectsNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, events, want string }{{"nobody", "1", `"nobody"`}, {"ours, JSON", "many", `"many"`}} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), []string{"project", c.name, "projection", c.events}, &stdout, &stderr)
		if err == nil || !strings.Contains(err.Error(), c.want) || stdout.Len() > 0 {
			t.Errorf("got %v and %q, want an error with %s", err, stdout.String(), c.want)
		}
	}
}

func TestProcessThatProjectsUsesTheDatabaseThatItIsTold(t *testing.T) {
	t.Setenv(workload.EnvProjectURL, "postgres://127.0.0.1:1/nobody")
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"project", "ours, JSON", "projection", "1"}, &stdout, &stderr); err == nil || !strings.Contains(err.Error(), "connect") {
		t.Errorf("got %v, want that it cannot connect", err)
	}
}
