package projection

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tick is how often the rate is noted, without any query.
	tick = time.Second
	// rateWindow is how many of these count for the rate.
	rateWindow = 10
	// behindFor is for how long a projection has to be behind before anybody is asked
	// how far: one that keeps up costs no query.
	behindFor = time.Second
	// sampleEvery is how often one that is behind asks.
	sampleEvery = 5 * time.Second
	// interest is for how long someone who has asked for progress is thought to look on.
	interest = 10 * time.Second
)

// stats is what a projection knows of its own doing in this process, since Run began.
type stats struct {
	watching  atomic.Bool
	p         *Projection
	tally     tally
	telemetry telemetry
	asked     chan struct{} // someone wants to know the progress

	mu         sync.Mutex
	phase      phase
	owner      string
	ended      error // what Run returned
	last       error
	lastAt     time.Time
	counts     counts
	points     []point
	partitions map[int]*ownPartition // those worked on here
	total      int                   // partitions of the version, when last looked, 0 before
	sampled    *sample
	interested time.Time
}

// phase is whether Run runs.
type phase int

const (
	notStarted phase = iota
	running
	ended
)

// counts are numbers of events.
type counts struct{ handled, retries, parked, skipped int64 }

// point is how many events had been handled at some time.
type point struct {
	at      time.Time
	handled int64
}

// ownPartition is a partition that is worked on here.
type ownPartition struct {
	position string
	level    bool
	behind   time.Time       // since when it is not level
	waiting  int64           // parked events
	call     context.Context // of the handler that is at work, nil if none is
	overdue  time.Time       // since when that is known to have ended
}

// sample is where the version was when the database was asked last.
type sample struct {
	at    time.Time
	here  int64 // events that had been handled here
	left  int64 // events to handle, -1 if that is not known
	head  string
	end   string        // what could be read
	lag   time.Duration // -1 if that is not known
	level bool          // all that there was at the sample before is handled
}

func (s *stats) start(p *Projection) {
	s.p, s.asked = p, make(chan struct{}, 1)
}

// begin notes that Run has begun, under this owner.
func (s *stats) begin(owner string) {
	s.mu.Lock()
	s.phase, s.owner, s.ended, s.last, s.sampled = running, owner, nil, nil, nil
	s.counts, s.points = counts{}, []point{{at: time.Now()}}
	s.partitions, s.total = make(map[int]*ownPartition), 0
	s.mu.Unlock()
	s.telemetry.begin(s)
}

// end notes that Run has ended, so that nothing is left of it.
func (s *stats) end(err error) {
	s.telemetry.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase, s.ended, s.owner, s.partitions, s.points = ended, err, "", nil, nil
	if err != nil {
		s.last, s.lastAt = err, time.Now()
	}
}

// split notes how many partitions the version has.
func (s *stats) split(partitions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total = partitions
}

// owns notes that a partition is worked on here.
func (s *stats) owns(partition int, position string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partitions[partition] = &ownPartition{position: position, behind: time.Now()}
}

// lost notes that it is not any more.
func (s *stats) lost(partition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.partitions, partition)
}

// waits notes how many parked events a partition has.
func (s *stats) waits(partition int, events int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.partitions[partition]; own != nil {
		own.waiting = events
	}
}

// moved notes how far a partition is.
func (s *stats) moved(partition int, position string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.partitions[partition]; own != nil {
		own.position = max(own.position, position)
	}
}

// level notes whether a partition was at the end of what there was to handle.
func (s *stats) level(partition int, position string, level bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.partitions[partition]
	if own == nil {
		return
	}
	own.position = max(own.position, position)
	own.setLevel(level)
}

func (o *ownPartition) setLevel(level bool) {
	if o.level && !level {
		o.behind = time.Now()
	}
	o.level = level
}

// failed notes what went wrong last.
func (s *stats) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.lastAt = err, time.Now()
}

// retried notes that a handler failed and is to be called again.
func (s *stats) retried(err error) {
	s.failed(err)
	s.mu.Lock()
	s.counts.retries++
	s.mu.Unlock()
	s.telemetry.add(counts{retries: 1})
}

// done notes that events were handled, or put aside, and the checkpoint moved.
func (s *stats) done(items []item) {
	var more counts
	for i := range items {
		switch park := items[i].park; {
		case park == nil:
			more.handled++
		case park.State == StateSkipped:
			more.skipped++
		default:
			more.parked++
		}
	}
	s.mu.Lock()
	s.counts.handled += more.handled
	s.counts.parked += more.parked
	s.counts.skipped += more.skipped
	s.mu.Unlock()
	s.telemetry.add(more)
}

// handling notes that events are being handled, n of them by the handler, in a span
// that the context is given. What it returns is to be called with the outcome.
func (s *stats) handling(ctx *context.Context, w *worker, items []item, n int) func(error) {
	began := time.Now()
	spanned, span := s.telemetry.start(*ctx, w, items, n)
	*ctx = spanned
	s.calling(spanned, w.row.Partition)
	return func(err error) {
		s.called(w.row.Partition)
		s.telemetry.finish(spanned, span, began, err)
		if err == nil {
			s.done(items)
		}
	}
}

// calling notes with which context the handler is called.
func (s *stats) calling(ctx context.Context, partition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.partitions[partition]; own != nil {
		own.call, own.overdue = ctx, time.Time{}
		own.setLevel(false)
	}
}

// called notes that it has returned.
func (s *stats) called(partition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.partitions[partition]; own != nil {
		own.call = nil
	}
}

// sample asks how far the projection is, for as long as it is behind, until the
// context ends. Of one that keeps up everything is known without.
func (s *stats) sample(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.asked:
		case now := <-ticker.C:
			s.note(now)
		}
		if s.due(time.Now()) {
			s.ask(ctx)
		}
	}
}

// note keeps a point for the rate.
func (s *stats) note(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points = append(s.points, point{now, s.counts.handled})
	s.points = s.points[max(0, len(s.points)-rateWindow):]
}

// due reports whether to ask.
func (s *stats) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	watched := now.Sub(s.interested) < interest
	since := time.Duration(1<<63 - 1)
	if s.sampled != nil {
		since = now.Sub(s.sampled.at)
	}
	if watched && !s.hasAll() {
		return since >= tick
	}
	level, behind := s.isLevel()
	return len(s.partitions) > 0 && !level && since >= sampleEvery && (watched || now.Sub(behind) >= behindFor)
}

// hasAll reports whether all partitions are worked on here. The caller holds the lock.
func (s *stats) hasAll() bool { return s.total > 0 && len(s.partitions) == s.total }

// isLevel reports whether all partitions that are worked on here are level, or since
// when one is not. The caller holds the lock.
func (s *stats) isLevel() (level bool, behind time.Time) {
	level = true
	for _, own := range s.partitions {
		if !own.level && (level || own.behind.Before(behind)) {
			level, behind = false, own.behind
		}
	}
	return level, behind
}

// ask finds out how far the version is. What fails is tried again the next time: the
// workers tell of a database that cannot be reached.
func (s *stats) ask(ctx context.Context) {
	got := &sample{at: time.Now(), left: -1, lag: -1}
	s.mu.Lock()
	got.here = s.counts.handled
	earlier := s.sampled
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sampled = got
	}()
	loaded, err := loadState(ctx, s.p.config.checkpoints, s.p.name)
	if err != nil {
		return
	}
	v := loaded.versions[s.p.config.version]
	if v == nil {
		return
	}
	end, err := endOf(ctx, s.p.feed)
	if err != nil || !end.known {
		return
	}
	got.head, got.end = end.head, end.readable
	got.level = end.readable <= v.position() || earlier != nil && earlier.end != "" && earlier.end <= v.position()
	got.left = s.tally.ofVersion(ctx, s.p.feed, v, end)
	if lag, err := timeLag(ctx, s.p.feed, v.position(), end.head); err == nil {
		got.lag = lag
	}
}

// rate is how many events a second were handled here lately. The caller holds the lock.
func (s *stats) rate(now time.Time) float64 {
	if len(s.points) == 0 {
		return 0
	}
	first := s.points[0]
	seconds := now.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0
	}
	return float64(s.counts.handled-first.handled) / seconds
}

// left is how many events are to be handled, -1 if that is not known. The caller holds
// the lock.
func (s *stats) left() int64 {
	level, behind := s.isLevel()
	switch {
	case s.hasAll() && level:
		return 0
	case s.sampled == nil || s.sampled.left < 0:
		return -1
	case s.hasAll() && s.sampled.at.Before(behind):
		return -1 // it was level in between
	default:
		return max(0, s.sampled.left-(s.counts.handled-s.sampled.here))
	}
}

// Progress is how far a projection is on its way to the end of the events.
type Progress struct {
	// Done is how many events this process has handled since Run began.
	Done int64
	// Total is Done and how many there are left, also for other processes, -1 if that is
	// not known: the store is no [eventsource.Counter], or has not answered yet. It is an
	// estimate, and grows with what is saved.
	Total int64
	// Rate is how many events a second this process has handled in the last ten seconds.
	Rate float64
	// Left is for how long it will go on at that rate, 0 when level, -1 if that is not known.
	Left time.Duration
	// Level says that all events have been handled that there were a moment ago; of a
	// version that is not active, those that the active one has handled.
	Level bool
	// Running says that Run runs.
	Running bool
	// Ended says that Run has ended, or cannot run since the arguments of [New] cannot be.
	Ended bool
}

// Progress tells how far the projection is while Run runs here. It asks no database:
// what it tells of the others' work is a few seconds old. While it is called now and then, Run
// counts what is left at once when it is behind, and otherwise after a second.
func (p *Projection) Progress() Progress {
	s, now := &p.stats, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.interested) >= interest && s.phase == running {
		select {
		case s.asked <- struct{}{}:
		default: // it has been told
		}
	}
	s.interested = now
	progress := Progress{Done: s.counts.handled, Total: -1, Left: -1, Rate: s.rate(now), Running: s.phase == running, Ended: s.phase == ended || p.err != nil}
	level, _ := s.isLevel()
	progress.Level = progress.Running && level && (s.hasAll() || s.sampled != nil && s.sampled.level)
	left := s.left()
	if progress.Level {
		left = 0
	}
	if left >= 0 {
		progress.Total = progress.Done + left
	}
	switch {
	case left == 0:
		progress.Left = 0
	case left > 0 && progress.Rate > 0:
		progress.Left = time.Duration(float64(left) / progress.Rate * float64(time.Second))
	}
	return progress
}
