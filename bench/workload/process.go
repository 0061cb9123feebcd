package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/eventsource-go/eventsource/bench/system"
	"github.com/eventsource-go/eventsource/projection"
)

// Applied is what a process that projects prints, in JSON, when it begins and after each commit.
type Applied struct {
	// Events is how many it has applied so far.
	Events int
	// Peak is the largest resident set of the process so far, in bytes; 0 if it is not known.
	Peak int64
}

// EnvProjectURL is the environment variable with the database for [Project].
const EnvProjectURL = "EVENTSOURCE_BENCH_PROJECT_URL"

// Project is the program that is started to measure memory and takeovers: it runs a
// projection until so many events are applied, or until ctx ends if events is 0.
func Project(ctx context.Context, s system.System, url, name string, events int, stdout io.Writer) error {
	session, err := s.Open(ctx, url, fewConns)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	projector, ok := session.(system.Projector)
	if !ok {
		return fmt.Errorf("%s: %w", s.Name, errors.ErrUnsupported)
	}
	lines := json.NewEncoder(stdout)
	if err := lines.Encode(Applied{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := 0
	err = projector.Project(ctx, name, func(ids []system.ID) {
		done += len(ids)
		peak, _ := peakMemory() // 0 says enough
		if err := lines.Encode(Applied{Events: done, Peak: peak}); err != nil {
			cancel(err)
		}
		if events > 0 && done >= events {
			cancel(errEnough)
		}
	})
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, errEnough) {
		err = cause
	}
	return err
}

// errEnough ends a projection that has applied as many events as it should.
var errEnough = errors.New("enough")

// process is one that runs [Project].
type process struct {
	cmd    *exec.Cmd
	lines  chan Applied // closed when the process has ended
	stderr bytes.Buffer
	ended  chan error
}

func startProcess(ctx context.Context, r *run, name string, events int) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{lines: make(chan Applied, 1024), ended: make(chan error, 1)}
	p.cmd = exec.CommandContext(ctx, program, "project", r.system.Name, name, strconv.Itoa(events)) //nolint:gosec // this program
	p.cmd.Env = append(os.Environ(), EnvProjectURL+"="+r.url)
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		for decoder := json.NewDecoder(stdout); ; {
			var line Applied
			if decoder.Decode(&line) != nil { // at the end, or in the middle of a line if it was killed
				break
			}
			p.lines <- line
		}
		err := p.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, p.stderr.String())
		}
		p.ended <- err
		close(p.lines)
	}()
	return p, nil
}

// next is the next line of the process.
func (p *process) next(ctx context.Context, limit time.Duration) (Applied, error) {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			return line, fmt.Errorf("the process has ended: %w", <-p.ended)
		}
		return line, nil
	case <-ctx.Done():
		return Applied{}, ctx.Err()
	case <-late.C:
		return Applied{}, fmt.Errorf("the process printed nothing for %v", limit)
	}
}

// kill kills the process, if it still runs, and returns its last line.
func (p *process) kill() (last Applied) {
	_ = p.cmd.Process.Kill()
	for line := range p.lines {
		last = line
	}
	return last
}

// projectMemory applies so many events in a process of its own, and takes the peak of
// its memory after a tenth of them and after all.
func projectMemory(events int) func(context.Context, *run) (Sample, error) {
	return func(ctx context.Context, r *run) (Sample, error) {
		if err := system.CreateModel(ctx, r.admin); err != nil {
			return Sample{}, err
		}
		p, err := startProcess(ctx, r, uuid.NewString(), events)
		if err != nil {
			return Sample{}, err
		}
		defer p.kill()
		began := time.Now()
		var last Applied
		sample := Sample{}
		for last.Events < events {
			if last, err = p.next(ctx, projectLimit); err != nil {
				return Sample{}, err
			}
			if last.Events > 0 && last.Peak == 0 {
				_, err := peakMemory()
				return Sample{}, err
			}
			if sample.EarlyMiB == 0 && last.Events >= events/10 {
				sample.EarlyMiB = float64(last.Peak) / (1 << 20)
			}
		}
		sample.Events, sample.Seconds, sample.MemoryMiB = last.Events, time.Since(began).Seconds(), float64(last.Peak)/(1<<20)
		return sample, r.wantModel(ctx, last.Events)
	}
}

// wantModel checks that the read model has so many events.
func (r *run) wantModel(ctx context.Context, want int) error {
	_, events, err := system.CheckModel(ctx, r.admin)
	if err == nil && events != want {
		err = fmt.Errorf("%d events were applied, and the read model has %d", want, events)
	}
	return err
}

// takeoverLimit is what a takeover may take until it counts as failed.
const takeoverLimit = time.Minute

// projectTakeover kills a process that works on a projection, at any moment between two signs of
// life, and saves an event then. Another process, which waited, has to apply it.
func projectTakeover(ctx context.Context, r *run) (Sample, error) {
	if err := system.CreateModel(ctx, r.admin); err != nil {
		return Sample{}, err
	}
	name := uuid.NewString()
	works, err := startProcess(ctx, r, name, 0)
	if err != nil {
		return Sample{}, err
	}
	defer works.kill()
	marker, err := mark(ctx, r)
	if err == nil {
		err = awaitInModel(ctx, r, marker)
	}
	if err != nil {
		return Sample{}, err
	}
	waits, err := startProcess(ctx, r, name, 0)
	if err != nil {
		return Sample{}, err
	}
	defer waits.kill()
	if _, err := waits.next(ctx, takeoverLimit); err != nil { // it begins
		return Sample{}, err
	}
	if err := pause(ctx, rand.N(projection.DefaultLease)); err != nil { //nolint:gosec // not a secret
		return Sample{}, err
	}
	killed := time.Now()
	before := works.kill()
	if _, err := mark(ctx, r); err != nil {
		return Sample{}, err
	}
	after, err := waits.next(ctx, takeoverLimit)
	took := time.Since(killed)
	if err != nil {
		return Sample{}, err
	}
	return Sample{TakeoverSeconds: took.Seconds(), Seconds: took.Seconds()}, r.wantModel(ctx, before.Events+after.Events)
}
