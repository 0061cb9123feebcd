package scenario_test

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/scenario"
	"github.com/eventsource-go/eventsource/serializer/json"
)

// fake is a test that fails for a test to see.
type fake struct {
	ctx      context.Context
	goesOn   bool // after Fatalf
	messages []string
	cleanups []func()
}

func (f *fake) Helper()                           {}
func (f *fake) Errorf(format string, args ...any) { f.say("error", format, args) }
func (f *fake) Context() context.Context          { return f.ctx }
func (f *fake) Cleanup(cleanup func())            { f.cleanups = append(f.cleanups, cleanup) }
func (f *fake) Fatalf(format string, args ...any) {
	f.say("fatal", format, args)
	if !f.goesOn {
		runtime.Goexit()
	}
}

func (f *fake) say(kind, format string, args []any) {
	f.messages = append(f.messages, kind+": "+fmt.Sprintf(format, args...))
}

// said runs a scenario, and returns what it said.
func said(t testing.TB, goesOn bool, run func(t scenario.T)) string {
	t.Helper()
	f := &fake{ctx: t.Context(), goesOn: goesOn}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(f)
	}()
	<-ended
	for _, cleanup := range f.cleanups {
		cleanup()
	}
	return strings.Join(f.messages, "\n")
}

// wantSaid fails unless a scenario says exactly this, also in a test that goes on after
// it has failed.
func wantSaid(t *testing.T, want string, run func(t scenario.T)) {
	t.Helper()
	for _, goesOn := range []bool{false, true} {
		if diff := cmp.Diff(plain(want), plain(said(t, goesOn, run))); diff != "" {
			t.Errorf("goes on after Fatalf: %v (-want +got)\n%s", goesOn, diff)
		}
	}
}

// ownName is the name that a projection has in a scenario.
var ownName = regexp.MustCompile(`scenario/[0-9A-Z]{26}`)

// plain leaves out indentation, empty lines and names that are never the same.
func plain(text string) string {
	text = ownName.ReplaceAllString(text, "NAME")
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(lines, "\n")
}

// wantLines fails unless the text has these lines, one after the other.
func wantLines(t *testing.T, text, lines string) {
	t.Helper()
	if !strings.Contains(plain(text), plain(lines)) {
		t.Errorf("it is\n%s\nwithout the lines\n%s", text, lines)
	}
}

func countedSerializer() eventsource.Serializer { return json.NewSerializer(&Counted{}) }

// badSerializer writes everything and reads nothing.
type badSerializer struct {
	panics bool
	err    error
}

func (badSerializer) Marshal(eventsource.Event) ([]byte, error) { return nil, nil }
func (b badSerializer) Unmarshal([]byte, string) (eventsource.Event, error) {
	if b.panics {
		panic("no paper")
	}
	return nil, b.err
}
