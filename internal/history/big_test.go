//go:build unix

package history

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// size is how big a made-up history is.
type size struct{ saves, aggregates, readers, writers, hot int }

// recordBig writes a history of many saves, of which hot ones, each after a conflict,
// go to one aggregate that is never left alone: its operations always overlap.
func recordBig(t testing.TB, n size) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	now := int64(1000)
	file := func(name string, f func(r *Recorder)) {
		path := filepath.Join(dir, name)
		r, err := Create(path, name)
		if err != nil {
			t.Fatal(err)
		}
		f(r)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	end := func(r *Recorder, id int64, at int64, l line) {
		l.Op, l.ID, l.Time = opReturn, id, at
		r.write(l)
	}
	stored := make([]Event, n.saves)
	versions := make(map[string]int)
	for i := range stored {
		aggregate := fmt.Sprint("aggregate-", i%n.aggregates)
		if i*n.hot/n.saves != (i+1)*n.hot/n.saves { // evenly among the others
			aggregate = "hot"
		}
		versions[aggregate]++
		stored[i] = Event{Key: fmt.Sprint("key-", i), Aggregate: aggregate, Type: "Added", Version: versions[aggregate], SequenceID: seq(i + 1)}
	}
	for w := range n.writers {
		file(fmt.Sprint("writer-", w), func(r *Recorder) {
			id := int64(0)
			for i := w; i < len(stored); i += n.writers {
				tried := stored[i]
				tried.Version, tried.SequenceID = 0, ""
				at := now + int64(i)*10
				if tried.Aggregate == "hot" { // first a conflict, then a save that takes long
					id++
					actual := stored[i].Version - 1
					conflicting := Event{Key: fmt.Sprint("conflict-", i), Aggregate: "hot", Type: "Added", Expected: actual + 7}
					r.write(line{Op: opSave, ID: id, Time: at - 45, Events: []Event{conflicting}})
					end(r, id, at-1, line{Outcome: outcomeFailed, Conflict: &conflict{"hot", actual + 7, actual}})
				}
				id++
				r.write(line{Op: opSave, ID: id, Time: at - 25, Events: []Event{tried}})
				if i%100 != 99 { // or killed
					end(r, id, at+25, line{Outcome: outcomeDone, Events: stored[i : i+1]})
				}
			}
		})
	}
	pages := func(r *Recorder, reader string, limit int, at int64) {
		id, cursor := int64(0), ""
		for i := 0; i < len(stored); i += limit {
			events := stored[i:min(i+limit, len(stored))]
			id++
			r.write(line{Op: opPage, ID: id, Time: at + int64(i)*10, Reader: reader, Cursor: cursor, Limit: limit})
			end(r, id, at+int64(i)*10+5, line{Outcome: outcomeDone, Events: events})
			cursor = events[len(events)-1].SequenceID
		}
	}
	for i := range n.readers {
		file(fmt.Sprint("reader-", i), func(r *Recorder) { pages(r, fmt.Sprint("reader-", i), 100+i, now+2000) })
	}
	file("final", func(r *Recorder) {
		r.Final()
		pages(r, "final", 1000, now+int64(n.saves)*100)
	})
	return paths
}

func checkBig(t testing.TB, n size) {
	paths := recordBig(t, n)
	start := time.Now()
	h := mustRead(t, paths...)
	took := time.Since(start)
	start = time.Now()
	options := Options{RealTime: true}
	for i := range n.readers {
		options.ReadersFinished = append(options.ReadersFinished, fmt.Sprint("reader-", i))
	}
	if err := h.Check(options); err != nil {
		t.Error(err)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%+v: read in %v, checked in %v, %d MB from the system", h.Stats(), took, time.Since(start), memory.Sys>>20)
	if s := h.Stats(); s.Stored+s.Unanswered != n.saves || s.Conflicts != n.hot || s.EventsRead != (n.readers+1)*n.saves {
		t.Errorf("stats are %+v", s)
	}
}

func TestABigHistoryIsChecked(t *testing.T) {
	checkBig(t, size{saves: 20_000, aggregates: 1000, readers: 2, writers: 10, hot: 10_000})
}

// BenchmarkHistory is of the size that the proof needs: run it with -benchtime 1x.
func BenchmarkHistory(b *testing.B) {
	for b.Loop() {
		checkBig(b, size{saves: 300_000, aggregates: 10_000, readers: 20, writers: 20, hot: 50_000})
	}
}
