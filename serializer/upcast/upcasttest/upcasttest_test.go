package upcasttest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/serializer/upcast"
	"github.com/eventsource-go/eventsource/serializer/upcast/upcasttest"
)

// listener is a test that notes what it fails of.
type listener struct {
	testing.TB
	failures []string
}

func (*listener) Helper()                      {}
func (l *listener) Error(args ...any)          { l.failures = append(l.failures, fmt.Sprint(args...)) }
func (l *listener) Errorf(f string, a ...any)  { l.failures = append(l.failures, fmt.Sprintf(f, a...)) }
func (*listener) Fatal(args ...any)            { panic(args) }
func (*listener) Fatalf(f string, args ...any) { panic(args) }

// wantFailures fails unless the test has failed of exactly these things: each is a text
// that its failure mentions, or several with "&" in between.
func (l *listener) wantFailures(t *testing.T, want ...string) {
	t.Helper()
	if len(l.failures) != len(want) {
		t.Errorf("failed of %d things, want %d:\n%s", len(l.failures), len(want), strings.Join(l.failures, "\n"))
		return
	}
	for i, failure := range l.failures {
		for _, mention := range strings.Split(want[i], "&") {
			if !strings.Contains(failure, mention) {
				t.Errorf("failure %d is %q, and does not mention %q", i+1, failure, mention)
			}
		}
	}
	l.failures = nil
}

type placed struct {
	eventsource.BaseEvent
	Total int64  `json:"total"`
	Note  string `json:"note"`
}

func (*placed) EventType() string { return "Placed" }

type odd struct{ eventsource.BaseEvent }

const oddType = "shop.example/Ordér v1..json\\%2F"

func (*odd) EventType() string { return oddType }

type raw = map[string]any

func same(old raw) (raw, error) { return old, nil }

func newSerializer(rules ...upcast.Rule) *upcast.Serializer {
	return upcast.NewSerializer(json.NewSerializer(&placed{}), rules...)
}

// folder makes a folder with these files, each a name and a text.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		put(t, dir, files[i], files[i+1])
	}
	return dir
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

const want5 = `[
  {
    "type": "Placed",
    "data": {
      "note": "<&>",
      "total": 9223372036854775807
    }
  }
]
`

func TestGolden_passes_when_all_is_as_it_was(t *testing.T) {
	dir := folder(t,
		"Placed.1.json", `{"total":9223372036854775807,"note":"<&>"}`, "Placed.1.want", strings.ReplaceAll(want5, "\n", "\r\n"),
		"Placed.2.json", `{"$v":2,"total":9223372036854775807,"note":"<&>"}`, "Placed.2.want", want5,
		"Placed.2.with.a label.json", `{"$v":2,"note":"<&>","total":9223372036854775807}`, "Placed.2.with.a label.want", want5,
		"Debugged.1.json", "anything", "Debugged.1.want", "[]\n",
		"README.md", "What these are.")
	var l listener
	upcasttest.Golden(&l, newSerializer(upcast.Step("Placed", 1, same), upcast.Drop("Debugged")), dir, false)
	l.wantFailures(t)
}

func TestGolden_fails_without_events(t *testing.T) {
	var l listener
	upcasttest.Golden(&l, newSerializer(), t.TempDir(), false)
	l.wantFailures(t, "has no stored events", `"Placed", version 1`)
	upcasttest.Golden(&l, newSerializer(), filepath.Join(t.TempDir(), "nowhere"), false)
	l.wantFailures(t, "nowhere", "has no stored events", `"Placed", version 1`)
	upcasttest.Golden(&l, upcast.NewSerializer(json.NewSerializer()), t.TempDir(), false)
	l.wantFailures(t, "has no stored events")
	upcasttest.Golden(&l, newSerializer(), t.TempDir(), true)
	l.wantFailures(t, "has no stored events", `"Placed", version 1`)
}

func TestGolden_fails_when_a_result_is_missing_or_has_changed(t *testing.T) {
	dir := folder(t, "Placed.1.json", `{"total":5}`)
	s := newSerializer()
	var l listener
	upcasttest.Golden(&l, s, dir, false)
	l.wantFailures(t, "Placed.1.json&no Placed.1.want&update")
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("it wrote %q though it was not to", got)
	}
	upcasttest.Golden(&l, s, dir, true)
	l.wantFailures(t)
	upcasttest.Golden(&l, s, dir, false)
	l.wantFailures(t)

	before := get(t, dir, "Placed.1.want")
	put(t, dir, "Placed.1.json", `{"total":6}`)
	upcasttest.Golden(&l, s, dir, false)
	l.wantFailures(t, `Placed.1.json&something else&"total": 5&"total": 6`)
	if after := get(t, dir, "Placed.1.want"); after != before {
		t.Errorf("it wrote %q though it was not to", after)
	}
	upcasttest.Golden(&l, s, dir, true)
	upcasttest.Golden(&l, s, dir, false)
	l.wantFailures(t)
}

func TestGolden_asks_for_every_version_of_everything(t *testing.T) {
	var l listener
	s := newSerializer(
		upcast.Step("Placed", 1, same), upcast.Step("Placed", 2, same), upcast.Rename("Ordered", "Placed"), upcast.Rename("Bought", "Placed"),
		upcast.Step("Moved", 1, same), upcast.Split("Moved", 2, func(raw) ([]upcast.Part, error) { return nil, nil }, "Placed"),
		upcast.Drop("Debugged"), upcast.Rename("Logged", "Debugged"))
	dir := folder(t, "Ordered.1.json", `{}`, "Ordered.3.json", `{"$v":3}`)
	upcasttest.Golden(&l, s, dir, true)
	l.wantFailures(t, `"Bought", in any version`, `"Debugged", in any version`, `"Logged", in any version`,
		`"Moved", version 1`, `"Moved", version 2`, `"Placed", version 2`, `"Placed", version 3`)
	for name, data := range map[string]string{
		"Placed.2": `{"$v":2}`, "Placed.3": `{"$v":3}`, "Bought.2.x": `{"$v":2}`, "Debugged.4": `{"$v":4}`, "Logged.1": `{}`, "Moved.1": `{}`, "Moved.2": `{"$v":2}`,
	} {
		put(t, dir, name+".json", data)
	}
	upcasttest.Golden(&l, s, dir, true)
	l.wantFailures(t)
	upcasttest.Golden(&l, s, dir, false)
	l.wantFailures(t)
}

func TestGolden_fails_at_what_cannot_be_read(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"unknown type":     {[]string{"Other.1.json", "{}"}, `Other.1.json&unknown event type "Other"`},
		"no JSON":          {[]string{"Placed.1.x.json", "{"}, "Placed.1.x.json&unexpected end"},
		"newer version":    {[]string{"Placed.2.json", `{"$v":2}`}, "Placed.2.json&newer"},
		"other version":    {[]string{"Placed.1.x.json", `{"$v":2}`}, "Placed.1.x.json&version 1&version 2"},
		"mangled version":  {[]string{"Placed.1.x.json", `{"$v":x}`}, "Placed.1.x.json&schema version"},
		"no version":       {[]string{"Placed.json", "{}"}, "Placed.json&name is not"},
		"version 0":        {[]string{"Placed.0.json", "{}"}, `Placed.0.json&"0" is no version`},
		"version 01":       {[]string{"Placed.01.json", "{}"}, `Placed.01.json&"01" is no version`},
		"version one":      {[]string{"Placed.one.json", "{}"}, `Placed.one.json&"one" is no version`},
		"no type":          {[]string{".1.json", "{}"}, ".1.json&is no type"},
		"type not escaped": {[]string{"Pla ced.1.json", "{}"}, "Pla ced.1.json&is no type&Pla%20ced"},
		"type half":        {[]string{"Pla%2.1.json", "{}"}, "Pla%2.1.json&is no type"},
		"result alone":     {[]string{"Placed.9.want", "{}"}, "Placed.9.want&no event"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, append(c.files, "Placed.1.json", "{}")...)
			var l listener
			upcasttest.Golden(&l, newSerializer(), dir, true)
			l.wantFailures(t, c.want)
		})
	}
	t.Run("a folder in place of a file", func(t *testing.T) {
		dir := folder(t, "Placed.1.json", "{}")
		for _, name := range []string{"Placed.1.want", "Placed.1.x.json"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o750); err != nil {
				t.Fatal(err)
			}
		}
		var l listener
		upcasttest.Golden(&l, newSerializer(), dir, true)
		l.wantFailures(t, "Placed.1.json&is a directory", "Placed.1.x.json&is a directory")
	})
	t.Run("a serializer that cannot be", func(t *testing.T) {
		var l listener
		upcasttest.Golden(&l, newSerializer(upcast.Drop("Placed")), folder(t), false)
		l.wantFailures(t, "misconfigured")
	})
}

func TestRecord_writes_what_is_stored_today_once_for_each_version(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "testdata", "events")
	var l listener
	upcasttest.Record(&l, newSerializer(), dir, &placed{Total: 1}, &placed{Total: 2})
	if got := get(t, dir, "Placed.1.json"); got != `{"total":1,"note":""}` {
		t.Errorf("recorded is %s", got)
	}
	changed := newSerializer(upcast.Step("Placed", 1, same))
	put(t, dir, "Placed.2.mine.json", `{"$v":2,"total":7}`)
	upcasttest.Record(&l, changed, dir, &placed{Total: 3})
	if got := names(t, dir); !slices.Equal(got, []string{"Placed.1.json", "Placed.2.mine.json"}) {
		t.Errorf("there are %q", got)
	}
	changed = newSerializer(upcast.Step("Placed", 1, same), upcast.Step("Placed", 2, same))
	upcasttest.Record(&l, changed, dir, &placed{Total: 4})
	if got := get(t, dir, "Placed.3.json"); got != `{"$v":3,"total":4,"note":""}` {
		t.Errorf("recorded is %s", got)
	}
	l.wantFailures(t)
	// What was recorded is not yet what was looked at.
	upcasttest.Golden(&l, changed, dir, false)
	l.wantFailures(t, "no Placed.1.want", "no Placed.2.mine.want", "no Placed.3.want")
}

func TestRecord_makes_file_names_of_odd_types(t *testing.T) {
	dir := t.TempDir()
	s := upcast.NewSerializer(json.NewSerializer(&odd{}), upcast.Step(oddType, 1, same))
	var l listener
	upcasttest.Record(&l, s, dir, &odd{})
	if got := names(t, dir); !slices.Equal(got, []string{"shop%2Eexample%2FOrd%C3%A9r%20v1%2E%2Ejson%5C%252F.2.json"}) {
		t.Errorf("there are %q", got)
	}
	upcasttest.Golden(&l, s, dir, true)
	l.wantFailures(t, fmt.Sprintf("%q, version 1", oddType))
}

func TestRecord_fails_at_what_it_cannot_write(t *testing.T) {
	var l listener
	upcasttest.Record(&l, newSerializer(), t.TempDir(), &odd{}, nil)
	l.wantFailures(t, "record a *upcasttest_test.odd&unknown event type", "record a <nil>")
	upcasttest.Record(&l, newSerializer(), filepath.Join(folder(t, "file", ""), "file"), &placed{})
	l.wantFailures(t, "make the folder")
}
