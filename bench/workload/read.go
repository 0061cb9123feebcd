package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/eventsource-go/eventsource/bench/system"
)

func load(size int) func(context.Context, *run) (Sample, error) {
	return func(ctx context.Context, r *run) (Sample, error) {
		const different = 1000
		ids := r.stored.aggregates(size, different)
		if len(ids) == 0 {
			return Sample{}, fmt.Errorf("no aggregate of %d events is stored", size)
		}
		next := 0
		return r.measured(ctx, 1, func(ctx context.Context, _ int) (int, error) {
			id := ids[next%len(ids)]
			next++
			n, err := r.session.Load(ctx, id)
			if err == nil && n != size {
				err = fmt.Errorf("aggregate %s has %d events, not %d", id, n, size)
			}
			return n, err
		})
	}
}

// pages reads page by page, and begins anew at the end.
func pages(ctx context.Context, r *run) (Sample, error) {
	place := ""
	return r.measured(ctx, 1, func(ctx context.Context, _ int) (int, error) {
		pager := r.session.(system.Pager)
		n, last, err := pager.Page(ctx, place, pageSize)
		if err == nil && n == 0 && place != "" { // the page before was full, and the last one
			n, last, err = pager.Page(ctx, "", pageSize)
		}
		place = last
		if n < pageSize {
			place = ""
		}
		return n, err
	})
}

// errNothing ends a measurement in which nothing at all was delivered.
var errNothing = errors.New("no event was delivered in time")

// streamFor streams again and again until the time is over.
func (r *run) streamFor(ctx context.Context, howLong time.Duration) (Sample, error) {
	// A stream that blocks is given some time more, so that it delivers something.
	const patience = 20
	ctx, cancel := context.WithTimeout(ctx, patience*howLong)
	defer cancel()

	events, total := 0, r.stored.total
	allocations := startAllocations()
	began := time.Now()
	for time.Since(began) < howLong {
		inThis := 0
		err := r.session.(system.Streamer).Stream(ctx, func(system.ID) bool {
			events++
			inThis++
			// Some systems cannot tell when they are at the end.
			return inThis < total && (events%64 != 0 || time.Since(began) < howLong)
		})
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return Sample{}, err
		}
	}
	elapsed := time.Since(began)
	if events == 0 {
		return Sample{}, errNothing
	}
	return Sample{Events: events, Seconds: elapsed.Seconds(), Allocs: allocations.each(events)}, nil
}

func stream(ctx context.Context, r *run) (Sample, error) {
	if _, err := r.streamFor(ctx, r.warmUp); err != nil && !errors.Is(err, errNothing) {
		return Sample{}, err
	}
	return r.streamFor(ctx, r.time)
}

// catchUpBesideWriters measures a reader while others save.
func catchUpBesideWriters(ctx context.Context, r *run) (Sample, error) {
	s := newSaver(r.session, r.stored.events, 1, besides, false)
	writing, stop := context.WithCancel(ctx)
	defer stop()
	type outcome struct {
		events int
		err    error
	}
	ended := make(chan outcome, besides)
	began := time.Now()
	for client := range besides {
		go func() {
			o := outcome{}
			for writing.Err() == nil && o.err == nil {
				var n int
				n, o.err = s.save(ctx, client) // not cut short by stop
				o.events += n
			}
			ended <- o
		}()
	}

	read := stream
	if _, ok := r.session.(system.Pager); ok {
		read = pages
	}
	sample, err := read(ctx, r)
	stop()
	written := 0
	for range besides {
		o := <-ended
		written += o.events
		err = errors.Join(err, o.err)
	}
	sample.WriterRate = float64(written) / time.Since(began).Seconds()
	sample.Allocs = 0 // the writers' are among them
	return sample, err
}

const memoryEvents = 1_000_000

// Streamed is what a process that streams prints.
type Streamed struct {
	Events  int
	Seconds float64
	// Peak is the largest resident set of the process, in bytes.
	Peak int64
}

// memory streams in a process of its own and takes the peak of its memory.
func memory(ctx context.Context, r *run) (Sample, error) {
	program, err := os.Executable()
	if err != nil {
		return Sample{}, err
	}
	var stdout, stderr bytes.Buffer
	limited, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(limited, program, "stream", r.system.Name, strconv.Itoa(memoryEvents)) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), EnvStreamURL+"="+r.url)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return Sample{}, fmt.Errorf("%w\n%s", err, stderr.String())
	}
	var done Streamed
	if err := json.Unmarshal(stdout.Bytes(), &done); err != nil {
		return Sample{}, err
	}
	return Sample{Events: done.Events, Seconds: done.Seconds, MemoryMiB: float64(done.Peak) / (1 << 20)}, nil
}

// EnvStreamURL is the environment variable with the database for [Stream].
const EnvStreamURL = "EVENTSOURCE_BENCH_STREAM_URL"

// Stream is the program that memory runs: it streams so many events.
func Stream(ctx context.Context, s system.System, url string, events int) (Streamed, error) {
	session, err := s.Open(ctx, url, fewConns)
	if err != nil {
		return Streamed{}, err
	}
	defer func() { _ = session.Close() }()
	streamer, ok := session.(system.Streamer)
	if !ok {
		return Streamed{}, fmt.Errorf("%s: %w", s.Name, errors.ErrUnsupported)
	}
	done := Streamed{}
	began := time.Now()
	err = streamer.Stream(ctx, func(system.ID) bool {
		done.Events++
		return done.Events < events
	})
	done.Seconds = time.Since(began).Seconds()
	if err == nil {
		done.Peak, err = peakMemory()
	}
	if err == nil && done.Events < events {
		err = fmt.Errorf("%d events were delivered, not %d", done.Events, events)
	}
	return done, err
}
