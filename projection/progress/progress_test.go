package progress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/progress"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// script reports one step after the other, and then the last one for ever.
type script struct {
	mu    sync.Mutex
	steps []projection.Progress
	asked int
	each  func(asked int)
}

func (s *script) Progress() projection.Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	step := s.steps[min(s.asked, len(s.steps)-1)]
	s.asked++
	if s.each != nil {
		s.each(s.asked)
	}
	return step
}

var toTheEnd = []projection.Progress{
	{Total: -1, Left: -1},
	{Done: 10, Total: -1, Left: -1, Running: true},
	{Done: 400, Total: 1000, Rate: 300, Left: 2 * time.Second, Running: true},
	{Done: 900, Total: 1200, Rate: 300, Left: time.Second, Running: true},
	{Done: 900, Total: -1, Rate: 300, Left: -1, Running: true},
	{Done: 1200, Total: 1200, Rate: 300, Level: true, Running: true},
}

func TestLinesAreWrittenUntilTheProjectionIsLevel(t *testing.T) {
	var out bytes.Buffer
	if err := progress.Show(t.Context(), &out, &script{steps: toTheEnd}, progress.WithInterval(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	want := `events: 0
events: 10
events: 400 of 1000, 300/s, 2s left
events: 900 of 1200, 300/s, 1s left
events: 900, 300/s
events: 1200 of 1200, 300/s, level
`
	if out.String() != want {
		t.Errorf("wrote\n%s, want\n%s", &out, want)
	}
}

func TestLinesAreFew(t *testing.T) {
	var out bytes.Buffer
	if err := progress.Show(t.Context(), &out, &script{steps: toTheEnd}, progress.WithInterval(time.Hour), progress.WithName("rebuilding")); err != nil {
		t.Fatal(err)
	}
	if want := "rebuilding: 0\nrebuilding: 1200 of 1200, 300/s, level\n"; out.String() != want {
		t.Errorf("wrote\n%s, want\n%s", &out, want)
	}
}

func TestABarIsDrawnAndClearedAndLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t)
	var out bytes.Buffer
	if err := progress.Show(t.Context(), &out, &script{steps: toTheEnd}, progress.WithBar(true), progress.WithName("rebuilding")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rebuilding, 300/s, 2s left", "400/1000", "900/1200", "\nrebuilding: 1200 of 1200, 300/s, level\n"} {
		if !strings.Contains("\n"+strings.ReplaceAll(out.String(), "\r", "\n"), want) {
			t.Errorf("%q is not in what was written: %q", want, &out)
		}
	}
}

func TestWhatIsShownEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{steps: toTheEnd[:3], each: func(asked int) {
		if asked == 4 {
			cancel()
		}
	}}
	var out bytes.Buffer
	if err := progress.Show(ctx, &out, s); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if !strings.HasSuffix(out.String(), "events: 400 of 1000, 300/s, 2s left\n") {
		t.Errorf("wrote %q", &out)
	}
}

func TestAProjectionThatEndsBeforeItIsLevelIsAnError(t *testing.T) {
	steps := append(toTheEnd[:3:3], projection.Progress{Done: 500, Total: 1000, Left: -1})
	if err := progress.Show(t.Context(), new(bytes.Buffer), &script{steps: steps}); !errors.Is(err, progress.ErrEnded) {
		t.Errorf("got %v, want %v", err, progress.ErrEnded)
	}
}

type imported struct{ eventsource.BaseEvent }

// A command that brings a read model up to date and ends.
func ExampleShow() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&imported{}))
	for range 1000 {
		if err := repository.Save(ctx, &imported{eventsource.BaseEvent{AggregateID: "a"}}); err != nil {
			fmt.Println(err)
		}
	}
	files := 0
	rebuilding := projection.New("files", repository, projection.On(func(context.Context, *imported) error {
		files++
		return nil
	}))

	ran := make(chan error, 1)
	go func() { ran <- rebuilding.Run(ctx) }()
	err := progress.Show(ctx, os.Stderr, rebuilding, progress.WithName("rebuilding"))
	stop()
	if err := errors.Join(<-ran, err); err != nil { // why Run has ended says more
		fmt.Println(err)
	}
	fmt.Println(files, "files")
	// Output: 1000 files
}
