// Package snapshotsuite is the one conformance suite that every [snapshot.Store]
// passes. Its public face is package snapshottest.
package snapshotsuite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/snapshot"
)

// Run runs the suite. Each call of open makes an empty store, for one test.
func Run(t *testing.T, open func(t *testing.T) snapshot.Store) {
	if open == nil {
		t.Fatal("snapshotsuite: open is nil")
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, snapshot.Store)
	}{
		{"a snapshot is loaded as it was saved", testRoundTrip},
		{"there is none where none was saved", testNone},
		{"aggregates, types and schema versions are apart", testApart},
		{"a newer one replaces an older one, never the other way round", testNewer},
		{"one at the same event replaces another", testSame},
		{"whoever saves at once, the newest stays", testRaces},
		{"Delete removes all of an aggregate and no others", testDelete},
		{"IDs may be odd", testOddIDs},
		{"states may be large", testLarge},
		{"slices are not shared", testSlices},
		{"a context that has ended ends every call", testContexts},
		{"it does what the model does", testModel},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// id gives a sequence ID; a higher number gives a higher one.
func id(n int) string { return fmt.Sprintf("%026d", n) }

func at(aggregateID string, version int) eventsource.Snapshot {
	return eventsource.Snapshot{
		AggregateID: aggregateID, Type: "Account#01234567", SchemaVersion: 1, Version: version, SequenceID: id(version),
		State: fmt.Appendf(nil, `{"balance":%d}`, version),
	}
}

func save(t reporter, s snapshot.Store, snapshots ...eventsource.Snapshot) {
	t.Helper()
	for _, one := range snapshots {
		if err := s.Save(context.Background(), one); err != nil {
			t.Fatalf("Save %q at %d: %v", one.AggregateID, one.Version, err)
		}
	}
}

// reporter is a test, or a run of a property test.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// want checks what is loaded with the key of a snapshot.
func want(t reporter, s snapshot.Store, want eventsource.Snapshot) {
	t.Helper()
	found, err := s.Load(context.Background(), snapshot.KeyOf(&want))
	if err != nil {
		t.Fatalf("Load %+v: %v", snapshot.KeyOf(&want), err)
	}
	if diff := cmp.Diff(&want, found, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("Load %+v (-want +got):\n%s", snapshot.KeyOf(&want), diff)
	}
}

func wantNone(t reporter, s snapshot.Store, key snapshot.Key) {
	t.Helper()
	if found, err := s.Load(context.Background(), key); err != nil || found != nil {
		t.Errorf("Load %+v = %+v, %v, want nothing", key, found, err)
	}
}

func testRoundTrip(t *testing.T, s snapshot.Store) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, state := range [][]byte{[]byte(`{}`), every, {0}, {}, []byte("\xff\xfe\n\r\n"), []byte("Ünï 日本 🛒 ' \" \\ $1")} {
		snapshot := at(fmt.Sprint("aggregate-", i), 1<<40+i)
		snapshot.SequenceID, snapshot.SchemaVersion, snapshot.State = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", 1<<31-1, state
		save(t, s, snapshot)
		want(t, s, snapshot)
	}
}

func testNone(t *testing.T, s snapshot.Store) {
	wantNone(t, s, snapshot.Key{AggregateID: "a", Type: "Account", SchemaVersion: 1})
}

func testApart(t *testing.T, s snapshot.Store) {
	var all []eventsource.Snapshot
	for _, aggregateID := range []string{"a", "A", "a/1", "a#1"} {
		for _, typ := range []string{"T", "T/1", "T#1", "t"} {
			for _, schemaVersion := range []int{1, 2, 11} {
				all = append(all, eventsource.Snapshot{
					AggregateID: aggregateID, Type: typ, SchemaVersion: schemaVersion, Version: len(all) + 1, SequenceID: id(len(all) + 1), State: []byte{byte(len(all))},
				})
			}
		}
	}
	save(t, s, all...)
	for _, one := range all {
		want(t, s, one)
	}
	wantNone(t, s, snapshot.Key{AggregateID: "a", Type: "T", SchemaVersion: 12})
	wantNone(t, s, snapshot.Key{AggregateID: "a", Type: "TT", SchemaVersion: 1})
}

func testNewer(t *testing.T, s snapshot.Store) {
	save(t, s, at("a", 5), at("a", 7))
	want(t, s, at("a", 7))
	save(t, s, at("a", 6), at("a", 1))
	want(t, s, at("a", 7))
	// After the events were restored from a backup: a lower version, and a later event.
	restored := at("a", 6)
	restored.SequenceID = id(8)
	save(t, s, restored)
	want(t, s, restored)
	save(t, s, at("a", 7))
	want(t, s, restored)
}

func testSame(t *testing.T, s snapshot.Store) {
	garbage := at("a", 5)
	garbage.State = []byte("garbage")
	save(t, s, garbage, at("a", 5))
	want(t, s, at("a", 5))
}

func testRaces(t *testing.T, s snapshot.Store) {
	const savers, each = 4, 10
	var all sync.WaitGroup
	for saver := range savers {
		all.Go(func() {
			for i := range each {
				if err := s.Save(t.Context(), at("a", i*savers+saver+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	last := 0
	for range each {
		found, err := s.Load(t.Context(), snapshot.KeyOf(new(at("a", 1))))
		if err != nil {
			t.Error(err)
		}
		if found == nil {
			continue
		}
		if diff := cmp.Diff(at("a", found.Version), *found); diff != "" || found.Version < last {
			t.Errorf("version %d after %d (-want +got):\n%s", found.Version, last, diff)
		}
		last = found.Version
	}
	all.Wait()
	want(t, s, at("a", savers*each))
}

func testDelete(t *testing.T, s snapshot.Store) {
	other := at("a", 2)
	other.Type = "Other"
	later := at("a", 3)
	later.SchemaVersion = 2
	save(t, s, at("a", 1), other, later, at("ab", 4), at("b", 5))
	for range 2 { // once there are some, and once there are none
		if err := s.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		for _, gone := range []eventsource.Snapshot{at("a", 1), other, later} {
			wantNone(t, s, snapshot.KeyOf(&gone))
		}
		want(t, s, at("ab", 4))
		want(t, s, at("b", 5))
	}
	save(t, s, at("a", 1)) // and not kept away by what was there
	want(t, s, at("a", 1))
}

func testOddIDs(t *testing.T, s snapshot.Store) {
	odd := []string{
		" ", "\n", "a\tb", "ü", "日本 🛒", "'; DROP TABLE events; --", "{a}", "{", "}", "a:b", "%s%d", "*", "a*", "\\", "\u200b", "..", "$1",
		strings.Repeat("x", eventsource.MaxAggregateIDLength), strings.Repeat("日", eventsource.MaxAggregateIDLength/3),
	}
	for i, name := range odd {
		save(t, s, at(name, i+1))
	}
	for i, name := range odd {
		want(t, s, at(name, i+1))
	}
	long := at("a", 1)
	long.Type = strings.Repeat("ü", 105)
	save(t, s, long)
	want(t, s, long)
	if err := s.Delete(t.Context(), "a*"); err != nil {
		t.Fatal(err)
	}
	want(t, s, long)
	want(t, s, at("a\tb", 3))
}

func testLarge(t *testing.T, s snapshot.Store) {
	fits := at("a", 1)
	fits.State = bytes.Repeat([]byte("0123456789abcdef"), 24<<10) // 384 KB
	save(t, s, fits)
	want(t, s, fits)

	larger := at("a", 2)
	larger.State = bytes.Repeat([]byte("0123456789abcdef"), 256<<10) // 4 MB
	switch err := s.Save(t.Context(), larger); {
	case err == nil:
		want(t, s, larger)
	case errors.Is(err, eventsource.ErrTooLarge):
		var tooLarge *eventsource.TooLargeError
		if !errors.As(err, &tooLarge) || tooLarge.AggregateID != "a" || tooLarge.Type != larger.Type || tooLarge.Size < len(larger.State) || tooLarge.Limit < len(fits.State) {
			t.Errorf("error is %v, without the details", err)
		}
		want(t, s, fits)
	default:
		t.Errorf("Save of 4 MB: %v", err)
	}
}

func testSlices(t *testing.T, s snapshot.Store) {
	saved := at("a", 1)
	save(t, s, saved)
	clear(saved.State)
	found, err := s.Load(t.Context(), snapshot.KeyOf(&saved))
	if err != nil || found == nil {
		t.Fatalf("Load = %+v, %v", found, err)
	}
	clear(found.State)
	want(t, s, at("a", 1))
}

func testContexts(t *testing.T, s snapshot.Store) {
	save(t, s, at("a", 1))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for ctx, wanted := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
		_, err := s.Load(ctx, snapshot.KeyOf(new(at("a", 1))))
		for what, err := range map[string]error{"Load": err, "Save": s.Save(ctx, at("a", 2)), "Delete": s.Delete(ctx, "a")} {
			if !errors.Is(err, wanted) {
				t.Errorf("%s: %v, want %v", what, err, wanted)
			}
		}
	}
	want(t, s, at("a", 1))
}

// testModel does the same on the store and on a map.
func testModel(t *testing.T, s snapshot.Store) {
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		model := make(map[snapshot.Key]eventsource.Snapshot)
		one := rapid.Custom(func(t *rapid.T) eventsource.Snapshot {
			return eventsource.Snapshot{
				AggregateID:   fmt.Sprintf("run %d %s", run, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "aggregate")),
				Type:          rapid.SampledFrom([]string{"T", "U"}).Draw(t, "type"),
				SchemaVersion: rapid.IntRange(1, 2).Draw(t, "schema version"),
				Version:       rapid.IntRange(1, 5).Draw(t, "version"),
				SequenceID:    id(rapid.IntRange(1, 9).Draw(t, "sequence ID")),
				State:         rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "state"),
			}
		})
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			next := one.Draw(t, "snapshot")
			key := snapshot.KeyOf(&next)
			if rapid.IntRange(0, 5).Draw(t, "what") > 0 {
				save(t, s, next)
				if model[key].SequenceID <= next.SequenceID {
					model[key] = next
				}
				want(t, s, model[key])
				continue
			}
			if err := s.Delete(context.Background(), next.AggregateID); err != nil {
				t.Fatalf("Delete %q: %v", next.AggregateID, err)
			}
			maps.DeleteFunc(model, func(k snapshot.Key, _ eventsource.Snapshot) bool { return k.AggregateID == next.AggregateID })
			wantNone(t, s, key)
		}
		for _, key := range slices.SortedFunc(maps.Keys(model), func(a, b snapshot.Key) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
			want(t, s, model[key])
		}
	})
}
