package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/eventsource-go/eventsource"
)

const (
	// ignoredFor is for how long a handler may go on after its context has ended.
	ignoredFor = time.Minute
	// healthTimeout is for how long a health check may ask databases.
	healthTimeout = 5 * time.Second
)

// health is the body of an answer.
type health struct {
	Projection string `json:"projection"`
	Version    int    `json:"version"`
	OK         bool   `json:"ok"`
	// Reason is why it is not, without anything that events or databases contain.
	Reason string `json:"reason,omitempty"`
	// Lag is in seconds, as Status.Lag.
	Lag *float64 `json:"lag_seconds,omitempty"`
}

func (p *Projection) answer(w http.ResponseWriter, reason string, lag *float64) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if reason != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// Whoever has hung up does not want to know.
	_ = json.NewEncoder(w).Encode(health{p.name, p.config.version, reason == "", reason, lag})
}

// LiveHandler answers the liveness probe of a process that runs the projection: 200
// while Run runs, whether or not it has work, and whether or not the databases can be
// reached, since no restart helps against that; otherwise 503 with the reason. It is also
// 503 when a handler has gone on for a minute after its context had ended: Run can
// then neither go on nor end, and another process has taken over.
//
// Before Run begins it is 503, so a probe needs an initial delay, or a startup probe.
// The body is JSON: projection, version, ok, and reason. It asks no database.
func (p *Projection) LiveHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, p.dead(time.Now()), nil)
	})
}

// dead says why Run does not run, "" if it does.
func (p *Projection) dead(now time.Time) string {
	if p.err != nil {
		return "the projection is misconfigured"
	}
	s := &p.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case notStarted:
		return "Run has not been called"
	case ended:
		return "Run has ended: " + kindOf(s.ended)
	}
	for partition, own := range s.partitions {
		if own.call == nil || own.call.Err() == nil {
			continue
		}
		if own.overdue.IsZero() {
			own.overdue = now
		}
		if since := now.Sub(own.overdue); since >= ignoredFor {
			return fmt.Sprintf("the handler of partition %d goes on after its context has ended, for %v", partition, since.Round(time.Second))
		}
	}
	return ""
}

// kindOf says what kind of error it is. The error itself may tell of events.
func kindOf(err error) string {
	if err == nil {
		return "its context has"
	}
	for _, kind := range []error{ErrEventFailed, ErrDiverged, ErrDefinitionChanged, ErrSuperseded, eventsource.ErrMisconfigured} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "an error"
}

// CaughtUpHandler answers the readiness probe of a process that uses what the
// projection writes: 200 while this version is level with the store, or no further
// behind than maxLag; otherwise 503 with the reason. What counts is the checkpoint, so it
// is the same in all processes, whether they work on the projection, wait for others to leave
// them work, or do not run it at all.
//
// The lag is that of [Status]: time between events, whatever their number. Since on a
// store where little is saved that is long for a moment, it counts for no more than the
// time since this handler has last seen the projection level. Where the store cannot
// tell its end, 200 is what [Projection.Progress] calls Level, in a process that works
// on all partitions.
//
// The body is JSON: projection, version, ok, reason and lag_seconds. Each request loads the
// checkpoint and asks the store for its end, for at most five seconds. A maxLag
// of 0 asks for level; a negative one is never reached.
func (p *Projection) CaughtUpHandler(maxLag time.Duration) http.Handler {
	var (
		mu    sync.Mutex
		level time.Time // when it was last seen so
	)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		began := time.Now()
		lag, reason := p.lagNow(ctx)
		if reason != "" {
			p.answer(w, reason, nil)
			return
		}
		mu.Lock()
		if lag == 0 && began.After(level) {
			level = began
		}
		if !level.IsZero() {
			lag = min(lag, time.Since(level))
		}
		mu.Unlock()
		if lag > maxLag {
			reason = fmt.Sprintf("%v behind, more than %v", lag.Round(time.Millisecond), maxLag)
		}
		seconds := lag.Seconds()
		p.answer(w, reason, &seconds)
	})
}

// lagNow is how far the version is behind, or why that is not known.
func (p *Projection) lagNow(ctx context.Context) (lag time.Duration, reason string) {
	if p.err != nil {
		return 0, "the projection is misconfigured"
	}
	s, err := loadState(ctx, p.config.checkpoints, p.name)
	if err != nil {
		return 0, "the checkpoints cannot be reached"
	}
	v := s.versions[p.config.version]
	if v == nil {
		return 0, "the version has never run"
	}
	end, err := endOf(ctx, p.feed)
	if err == nil && !end.known {
		if p.Progress().Level {
			return 0, ""
		}
		return 0, "not level"
	}
	if err == nil {
		lag, err = timeLag(ctx, p.feed, v.position(), end.head)
	}
	if err != nil {
		return 0, "the store cannot be reached"
	}
	return lag, ""
}
