package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// healer ends a fault. A nil one means that it ends by itself.
type healer = func(context.Context) error

// fault is something bad that can happen.
type fault struct {
	name string
	// weight says how often it happens, compared with others.
	weight int
	// inject makes it happen. If it cannot at the moment the error is errNotNow.
	inject func(ctx context.Context, random *rand.Rand) (healer, error)
}

// errNotNow says that a fault did not happen, because of another one.
var errNotNow = errors.New("it cannot happen now")

// nemesis makes faults happen, one after the other, at random times.
type nemesis struct {
	faults []fault
	random *rand.Rand
	// between is how long nothing happens between two faults, and lasting how long
	// a fault lasts, both on average.
	between, lasting time.Duration
	// ready, if not nil, waits before each fault until it may happen.
	ready    func(context.Context) error
	happened map[string]int // how often each fault has happened
	report   func(format string, args ...any)
}

// run makes faults happen until ctx ends, and heals the last one.
func (n *nemesis) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := n.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// runOnce makes faults happen until one has, or ctx ends.
func (n *nemesis) runOnce(ctx context.Context) error {
	for len(n.happened) == 0 && ctx.Err() == nil {
		if err := n.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// next makes the next fault happen, when its time has come.
func (n *nemesis) next(ctx context.Context) error {
	rest(ctx, n.random, n.between)
	var err error
	if n.ready != nil {
		err = n.ready(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	f := n.choose()
	// A seed stands for the same faults, whatever each of them draws.
	random := rand.New(rand.NewPCG(n.random.Uint64(), 0))
	if err := n.once(ctx, f, random); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

func (n *nemesis) choose() fault {
	return pick(n.random, n.faults, func(f fault) int { return f.weight })
}

// pick returns one of several things, each as often as its weight says.
func pick[T any](random *rand.Rand, all []T, weight func(T) int) T {
	total := 0
	for _, one := range all {
		total += weight(one)
	}
	number := random.IntN(total)
	for _, one := range all {
		if number -= weight(one); number < 0 {
			return one
		}
	}
	panic("unreachable: the number is below the total")
}

// once has a fault happen. It ends what it began, also if ctx ends.
func (n *nemesis) once(ctx context.Context, f fault, random *rand.Rand) error {
	lasting := time.Duration(random.Int64N(int64(2 * n.lasting)))
	n.report("%s", f.name)
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), faultLimit)
	defer cancel()
	heal, err := f.inject(within, random)
	if errors.Is(err, errNotNow) {
		n.report("%s: %v", f.name, err)
		return nil
	}
	if err == nil {
		n.happened[f.name]++
	}
	if err != nil || heal == nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(lasting):
	}
	n.report("%s: over", f.name)
	return heal(within)
}

// faultLimit is the most time that a fault and its end may take.
const faultLimit = 2 * time.Minute

// nemeses run at the same time until ctx ends. The first error ends them all.
func nemeses(ctx context.Context, all ...*nemesis) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg   sync.WaitGroup
		errs = make([]error, len(all))
	)
	for i, n := range all {
		wg.Go(func() {
			if errs[i] = n.run(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
