// Package progress shows how far a projection is, for commands that rebuild a read
// model and wait for it.
package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/eventsource-go/eventsource/projection"
)

// DefaultInterval is how often a line is written where there is no terminal.
const DefaultInterval = 10 * time.Second

// poll is how often the bar looks. That asks no database.
const poll = 100 * time.Millisecond

// ErrEnded is returned when the projection ends before it is level.
var ErrEnded = errors.New("eventsource/projection/progress: projection has ended before it was level")

// Reporter is a [projection.Projection], or something like it.
type Reporter interface {
	Progress() projection.Progress
}

type config struct {
	name     string
	interval time.Duration
	bar      *bool
}

// Option is an option of [Show].
type Option func(*config)

// WithName sets what stands before the bar. Defaults to "events".
func WithName(name string) Option { return func(c *config) { c.name = name } }

// WithInterval sets how often a line is written where there is no terminal. What is not
// above 0 is left alone. Defaults to [DefaultInterval].
func WithInterval(interval time.Duration) Option {
	return func(c *config) {
		if interval > 0 {
			c.interval = interval
		}
	}
}

// WithBar sets whether there is a bar, or lines. Defaults to a bar where the writer is
// a terminal.
func WithBar(bar bool) Option { return func(c *config) { c.bar = &bar } }

// Show writes how far the projection is, until it is level, and then returns nil: a bar
// on a terminal, and elsewhere a line now and then; and a line at the end. Run has to be
// called beside it; until it is, Show waits.
//
// Errors: that of the context when it ends first, and [ErrEnded] when Run has ended.
// Where w cannot be written to that is no error.
func Show(ctx context.Context, w io.Writer, reporter Reporter, opts ...Option) error {
	c := config{name: "events", interval: DefaultInterval}
	for _, opt := range opts {
		if opt != nil {
			opt(&c)
		}
	}
	var to display = &lines{config: c, w: w}
	if c.bar != nil && *c.bar || c.bar == nil && isTerminal(w) {
		to = newBar(w, c)
	}
	return follow(ctx, reporter, to)
}

// display is a bar, or lines.
type display interface {
	show(p projection.Progress)
	// end is called once, with how far it came.
	end(p projection.Progress)
}

func follow(ctx context.Context, reporter Reporter, to display) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	ran := false
	for {
		p := reporter.Progress()
		switch {
		case p.Level:
			to.end(p)
			return nil
		case p.Ended || ran && !p.Running:
			to.end(p)
			return ErrEnded
		}
		ran = ran || p.Running
		to.show(p)
		select {
		case <-ctx.Done():
			to.end(reporter.Progress())
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// bar is a bar on a terminal, and a line in the end. Its errors are those of the
// terminal: nothing to be done.
type bar struct {
	lines
	*progressbar.ProgressBar
	known bool // how many events there are
}

func newBar(w io.Writer, c config) *bar {
	b := &bar{lines: lines{w: w, config: c}}
	b.begin(-1)
	return b
}

// begin begins a bar, without a length for -1.
func (b *bar) begin(total int64) {
	b.ProgressBar, b.known = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(b.w),
		progressbar.OptionSetDescription(b.name),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(false),       // the projection knows better
		progressbar.OptionSetSpinnerChangeInterval(0), // or a goroutine would be left
	), total > 0
}

func (b *bar) show(p projection.Progress) {
	total := max(p.Total, p.Done+1) // a bar that is full is finished for good
	if b.known && p.Total < 0 {
		total = max(b.GetMax64(), p.Done+1)
	}
	switch {
	case p.Total < 0 && !b.known:
	case !b.known:
		_ = b.Clear()
		b.begin(total)
	case b.GetMax64() != total:
		b.ChangeMax64(total)
	}
	b.Describe(b.name + speed(p))
	_ = b.Set64(p.Done)
}

func (b *bar) end(p projection.Progress) {
	_ = b.Exit()
	_ = b.Clear()
	b.lines.end(p)
}

// lines are lines of a log.
type lines struct {
	config
	w    io.Writer
	last time.Time
}

func (l *lines) show(p projection.Progress) {
	if now := time.Now(); now.Sub(l.last) >= l.interval {
		l.last = now
		l.write(p)
	}
}

func (l *lines) end(p projection.Progress) { l.write(p) }

func (l *lines) write(p projection.Progress) {
	line := fmt.Sprintf("%s: %d", l.name, p.Done)
	if p.Total >= 0 {
		line += fmt.Sprintf(" of %d", p.Total)
	}
	fmt.Fprintln(l.w, line+speed(p))
}

// speed is how fast it is, and how long it takes.
func speed(p projection.Progress) (text string) {
	if p.Rate > 0 {
		text = fmt.Sprintf(", %.0f/s", p.Rate)
	}
	switch {
	case p.Level:
		text += ", level"
	case p.Left > 0:
		text += fmt.Sprintf(", %v left", p.Left.Round(time.Second))
	}
	return text
}
