package workload

import (
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource/bench/system"
)

func TestWorkloadsAreNamedAndExplained(t *testing.T) {
	names, known := map[string]bool{}, map[string]bool{}
	for _, payload := range []string{PayloadGit, PayloadKilobyte} {
		events, err := payloads(payload)
		if known[payload] = err == nil && len(events) > 0; !known[payload] {
			t.Errorf("payload %q has %d events: %v", payload, len(events), err)
		}
	}
	for _, w := range All() {
		if names[w.Name] {
			t.Errorf("two workloads are named %q", w.Name)
		}
		names[w.Name] = true
		if w.Name == "" || w.About == "" || w.Conns == 0 || w.Missing == nil || w.run == nil {
			t.Errorf("the workload has no name, explanation, connections or code: %+v", w)
		}
		if strings.ContainsAny(w.Name, " |\n") || strings.ContainsAny(w.About, "\n") || strings.HasSuffix(w.About, ".") {
			t.Errorf("%q: %q does not fit into a heading and a sentence", w.Name, w.About)
		}
		if !known[w.Payload] {
			t.Errorf("%q is of payload %q, which is not known", w.Name, w.Payload)
		}
	}
	if _, err := payloads("none"); err == nil || !strings.Contains(err.Error(), `"none"`) {
		t.Errorf("got %v, want an error that names the payload", err)
	}
}

func TestMatchKeepsTheOrder(t *testing.T) {
	for _, c := range []struct {
		pattern string
		want    string
	}{
		{"^(save/1/new/1|load/10)$", "load/10 save/1/new/1"},
		{"^load/", "load/10 load/100 load/10000"},
		{"1KB$", "catch-up/pages/1KB catch-up/stream/1KB save/1/new/16/1KB save/10/new/16/1KB save/100/new/16/1KB"},
	} {
		matching, err := Match(All(), c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, w := range matching {
			names = append(names, w.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%q matches %q, want %q", c.pattern, got, c.want)
		}
	}
	if all, err := Match(All(), ""); err != nil || len(all) != len(All()) {
		t.Errorf("an empty pattern matches %d of %d workloads: %v", len(all), len(All()), err)
	}
	for _, bad := range []string{"(", "nothing"} {
		if got, err := Match(All(), bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q matches %v, want an error that names it, got %v", bad, got, err)
		}
	}
}

func TestWorkloadsAreMissingWhereASystemCannotDoThem(t *testing.T) {
	full, bare := newFake(), struct{ system.Session }{newFake()}
	store, log := system.System{Kind: system.EventStore}, system.System{Kind: system.MessageLog}
	for _, c := range []struct {
		workload string
		system   system.System
		session  system.Session
		want     string
	}{
		{"load/10", store, bare, ""},
		{"load/10", log, full, "knows no aggregates"},
		{"save/10/hot/8", log, full, "knows no aggregates"},
		{"save/10/new/8", log, bare, ""},
		{"catch-up/pages", store, full, ""},
		{"catch-up/pages", store, bare, "its API has no pages"},
		{"catch-up/stream", store, bare, "no such call"},
		{"catch-up/writers", store, full, ""},
		{"missed/16", store, full, ""},
		{"missed/16", store, bare, "no reader that follows"},
		{"latency/1000", store, bare, "no reader that follows"},
		{"save/1/held/16", store, full, "its API has no open transactions"},
	} {
		for _, w := range All() {
			if w.Name != c.workload {
				continue
			}
			if got := w.Missing(c.system, c.session); got != c.want {
				t.Errorf("%s of kind %q, %T: missing for %q, want %q", w.Name, c.system.Kind, c.session, got, c.want)
			}
		}
	}
}
