package projection_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/progress"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// oneDeposit is a repository with one event.
func oneDeposit(t *testing.T) (eventsource.Repository, *Deposited) {
	t.Helper()
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Deposited{}))
	deposited := &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "alice"}, Amount: 1}
	if err := repository.Save(t.Context(), deposited); err != nil {
		t.Fatal(err)
	}
	return repository, deposited
}

var unlogged = projection.WithLogger(slog.New(slog.DiscardHandler))

// deadline is for what has to happen soon.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// nilError is an error whose text cannot be had of a nil pointer.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func TestErrorsThatAreNoneEndNothing(t *testing.T) {
	t.Parallel()
	if err := projection.Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) is %v", err)
	}
	for name, handle := range map[string]func() error{
		"Handled without an error": func() error { return projection.Handled(0, nil) },
		"a nil pointer":            func() error { return (*nilError)(nil) },
		"a permanent nil pointer":  func() error { return projection.Permanent((*nilError)(nil)) },
	} {
		for _, policy := range []projection.FailurePolicy{projection.Skip, projection.Park} {
			repository, deposited := oneDeposit(t)
			checkpoints := projection.NewMemory()
			stop := start(projection.New("p", repository, projection.On(func(context.Context, *Deposited) error { return handle() }),
				projection.WithCheckpoints(checkpoints), projection.WithFailurePolicy(policy), projection.WithRetry(1, 1, 1), unlogged))
			manager := projection.NewManager(repository, checkpoints)
			if err := manager.WaitFor(deadline(t), "p", deposited.SequenceID); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			parked, err := manager.Parked(t.Context(), "p", 1, "", 0)
			if err != nil || len(parked) != 1 || parked[0].Error == "" {
				t.Errorf("%s: recorded is %v (%v), want one event with what was wrong", name, parked, err)
			}
			stop()
		}
	}
}

func TestAHandlerThatEndsItsGoroutineEndsTheProjection(t *testing.T) {
	t.Parallel()
	repository, _ := oneDeposit(t)
	p := projection.New("p", repository, projection.On(func(context.Context, *Deposited) error {
		runtime.Goexit()
		return nil
	}), unlogged)
	err := p.Run(deadline(t))
	if !errors.Is(err, projection.ErrEventFailed) || !strings.Contains(err.Error(), "Goexit") {
		t.Errorf("got %v, want one that names Goexit", err)
	}
}

func TestNilCheckpointsAreRefusedAndNotTakenForMemory(t *testing.T) {
	t.Parallel()
	repository, _ := oneDeposit(t)
	for _, checkpoints := range []projection.Checkpoints{nil, (*projection.Memory)(nil)} {
		p := projection.New("p", repository, (&Balances{}).Handler(), projection.WithCheckpoints(checkpoints))
		if err := p.Run(deadline(t)); !errors.Is(err, eventsource.ErrMisconfigured) {
			t.Errorf("%#v: got %v, want ErrMisconfigured", checkpoints, err)
		}
	}
}

func TestABarEndsWithAProjectionThatCannotRun(t *testing.T) {
	t.Parallel()
	repository, _ := oneDeposit(t)
	p := projection.New("", repository, (&Balances{}).Handler())
	if err := progress.Show(deadline(t), io.Discard, p); !errors.Is(err, progress.ErrEnded) {
		t.Errorf("got %v, want ErrEnded", err)
	}
	failing := projection.New("p", repository, projection.On(func(context.Context, *Deposited) error {
		return projection.Permanent(errors.New("no"))
	}), unlogged)
	if err := failing.Run(deadline(t)); !errors.Is(err, projection.ErrEventFailed) {
		t.Fatal(err)
	}
	if err := progress.Show(deadline(t), io.Discard, failing); !errors.Is(err, progress.ErrEnded) {
		t.Errorf("got %v, want ErrEnded", err)
	}
}

func TestAResetBeyondTheLastEventIsRefused(t *testing.T) {
	t.Parallel()
	repository, deposited := oneDeposit(t)
	checkpoints := projection.NewMemory()
	stop := start(projection.New("p", repository, projection.On(func(context.Context, *Deposited) error { return nil }),
		projection.WithCheckpoints(checkpoints), unlogged))
	defer stop()
	manager := projection.NewManager(repository, checkpoints)
	if err := manager.WaitFor(deadline(t), "p", deposited.SequenceID); err != nil {
		t.Fatal(err)
	}
	const beyond = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
	err := manager.Reset(deadline(t), "p", 1, beyond)
	if !errors.Is(err, eventsource.ErrInvalidQuery) || !strings.Contains(err.Error(), beyond) {
		t.Errorf("got %v, want ErrInvalidQuery that names %s", err, beyond)
	}
}

func TestAWaitThatIsOverBeforeItBeganDoesNotSayThatNothingHasRun(t *testing.T) {
	t.Parallel()
	repository, deposited := oneDeposit(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := projection.NewManager(repository, projection.NewMemory()).WaitFor(ctx, "p", deposited.SequenceID)
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "never") {
		t.Errorf("got %v", err)
	}
}
