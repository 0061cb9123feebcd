package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/goleak"
)

// Soak is what a worker does in a soak: it saves and reads at the highest rate, for
// as long as it is let. A history of that would be too long, so it checks at once.
//
// Each writer numbers its events, without a gap: the number of an event that was
// not stored goes to the next one. So readers must see 1, 2, 3, ... of each writer.
type Soak struct {
	// Readers are the ways in which its readers read: "feed", "type", "time" or
	// "query".
	Readers []string
	// Leak is what it leaks on purpose, so that it can be seen that this is noticed:
	// "goroutines", "connections", "memory" or "locks". Nothing if empty.
	Leak string
}

// What a soaker is told on its standard input, a line each. An empty line has it
// save no more events.
const (
	askSample = "sample" // answered with a Sample
	askLedger = "ledger" // answered with the ledgers of its writers
	tellAll   = "expect" // followed by the ledgers of all writers
)

// soaker is a worker of a soak.
type soaker struct {
	*worker
	writers []*soakWriter
	readers []*soakReader
	tasks   sync.WaitGroup // all but writers

	saves, stored, read atomic.Int64
	latency             latencies
	sampled             Sample // the totals of the last one

	mu     sync.Mutex
	failed error // the first failure
}

// soak does what a soak asks for, until its commands end.
func soak(config Config, commands io.Reader, answers io.Writer) (err error) {
	quiet, beQuiet := context.WithCancel(context.Background())
	over, end := context.WithCancel(context.Background())
	defer end()
	defer beQuiet()
	w := &soaker{worker: &worker{Config: config, quiet: quiet, over: over}}
	if err := w.connect(); err != nil {
		return err
	}
	var writing sync.WaitGroup
	for i := range config.Writers {
		writer := w.newSoakWriter(i)
		w.writers = append(w.writers, writer)
		writing.Go(writer.run)
	}
	for i, kind := range config.Soak.Readers {
		reader := w.newSoakReader(i, kind)
		w.readers = append(w.readers, reader)
		w.tasks.Go(reader.run)
	}
	if config.Soak.Leak != "" {
		w.tasks.Go(func() { w.leak(over) })
	}

	ledgers, err := w.obey(commands, answers, func() { beQuiet(); writing.Wait() })
	beQuiet()
	writing.Wait()
	end()
	w.tasks.Wait()
	if ledgers != nil {
		w.compare(ledgers)
	}
	return errors.Join(err, w.failure(), w.close(), leftGoroutines())
}

// obey does what it is told, and returns what readers must have seen.
func (w *soaker) obey(commands io.Reader, answers io.Writer, beQuiet func()) (expected map[string]*ledger, err error) {
	lines := bufio.NewReader(commands)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return expected, nil
		}
		var answer any
		command, argument, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch command {
		case "":
			beQuiet()
			answer = "quiet"
		case askSample:
			answer = w.sample()
		case askLedger:
			answer = w.ledgers()
		case tellAll:
			err = errors.Join(err, json.Unmarshal([]byte(argument), &expected))
		default:
			err = fmt.Errorf("command %q is unknown", command)
		}
		if err == nil && answer != nil {
			err = json.NewEncoder(answers).Encode(answer)
		}
		if err != nil {
			return nil, err
		}
	}
}

// fail keeps the first failure.
func (w *soaker) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = fmt.Errorf(format, args...)
	}
}

func (w *soaker) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// ledgers are those of all writers, of which each may have had several names.
func (w *soaker) ledgers() map[string]*ledger {
	all := make(map[string]*ledger)
	for _, writer := range w.writers {
		for name, l := range writer.all {
			all[name] = l
		}
	}
	return all
}

// compare checks that readers of all events, or of all of a type, have seen them.
func (w *soaker) compare(expected map[string]*ledger) {
	for _, r := range w.readers {
		if err := r.complete(expected); err != nil {
			w.fail("reader %q: %w", r.kind, err)
		}
	}
}

// leftGoroutines returns an error if there are goroutines that nobody ended. Some
// take a moment to end: wake-ups, for instance, are sent after a save has returned.
func leftGoroutines(options ...goleak.Option) error {
	for deadline := time.Now().Add(15 * time.Second); ; {
		err := goleak.Find(options...)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			text := err.Error() // may be very long
			return fmt.Errorf("goroutines are left: %s", text[:min(len(text), 4000)])
		}
	}
}
