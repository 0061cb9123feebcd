package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/eventsource-go/eventsource"
)

// reader follows all events, or those of one type, and keeps its cursor in a file,
// so that it can go on after it was killed.
type reader struct {
	*worker
	name   string
	random *rand.Rand
	noted  bool // reads events of type Noted only
	cursor string
}

func (w *worker) newReader(number int) *reader {
	return &reader{
		worker: w,
		name:   readerName(w.Name, number),
		random: w.random(500 + number),
		noted:  number%2 == 1,
	}
}

// readerName is the same in all lives of a worker.
func readerName(worker string, number int) string { return fmt.Sprintf("%s-reader-%d", worker, number) }

func (r *reader) run() {
	if err := r.restore(); err != nil {
		panic(err) // the test cannot go on
	}
	watching, stop := context.WithCancel(context.Background())
	defer stop()
	var wake <-chan struct{}
	for {
		over := r.over.Err() != nil
		n, err := r.page()
		switch {
		case err != nil:
			rest(context.Background(), r.random, 50*time.Millisecond)
			continue
		case n > 0:
			continue
		case over:
			return
		}
		if wake == nil {
			wake = r.watch(watching)
		}
		select {
		case <-r.over.Done():
		case _, open := <-wake:
			if !open {
				wake = nil
			}
		case <-time.After(time.Duration(r.random.Int64N(int64(500 * time.Millisecond)))):
		}
	}
}

// watch returns a channel of wake-ups, or nil if there are none at the moment.
func (r *reader) watch(ctx context.Context) <-chan struct{} {
	wake, err := r.store.Watch(ctx)
	if err != nil {
		return nil
	}
	return wake
}

// page reads one page and returns how many events were on it.
func (r *reader) page() (int, error) {
	ctx, cancel := r.call()
	defer cancel()
	limit := 1 + r.random.IntN(200)
	var (
		events []eventsource.Event
		err    error
		only   string
	)
	if r.noted {
		only = "Noted"
	}
	call := r.recorder.Page(r.name, r.cursor, limit, only)
	if r.noted {
		events, err = r.repo.GetEventsBySequenceIDAndType(ctx, r.cursor, &Noted{}, limit)
	} else {
		events, err = r.repo.GetEventsBySequenceID(ctx, r.cursor, limit)
	}
	call.Return(allSeen(events), err)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	r.cursor = events[len(events)-1].GetSequenceID()
	return len(events), r.keep()
}

func (r *reader) file() string { return filepath.Join(r.Folder, r.name+".cursor") }

// restore takes up the cursor of the process before.
func (r *reader) restore() error {
	data, err := os.ReadFile(r.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r.cursor = strings.TrimSpace(string(data))
	return err
}

// keep stores the cursor: all of it or nothing, whenever the process is killed.
func (r *reader) keep() error {
	next := r.file() + ".next"
	if err := os.WriteFile(next, []byte(r.cursor), 0o600); err != nil {
		return err
	}
	return os.Rename(next, r.file())
}
