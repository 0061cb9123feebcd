package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"
)

// crew are the worker processes of a test.
type crew struct {
	mu      sync.Mutex
	workers []*process
}

// hire starts a worker process for each configuration.
func hire(configs ...Config) (*crew, error) {
	c := &crew{}
	for _, config := range configs {
		p, err := start(config)
		if err != nil {
			c.dismiss()
			return nil, err
		}
		c.workers = append(c.workers, p)
	}
	return c, nil
}

// dismiss kills them all.
func (c *crew) dismiss() {
	for _, p := range c.all() {
		p.kill()
	}
}

func (c *crew) all() []*process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*process(nil), c.workers...)
}

// replace kills a worker and starts the next life of it.
func (c *crew) replace(number int) error {
	old := c.all()[number]
	select {
	case <-old.ended: // nobody killed it
		return old.failure("was to be killed", errors.New("it has ended by itself"))
	default:
	}
	old.kill()
	config := old.config
	config.Life++
	next, err := start(config)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers[number] = next
	return nil
}

// faults are what can happen to worker processes.
func (c *crew) faults() []fault {
	return []fault{
		{"a worker killed", 4, func(_ context.Context, random *rand.Rand) (healer, error) {
			return nil, c.replace(random.IntN(len(c.all())))
		}},
		{"a worker frozen", 2, func(_ context.Context, random *rand.Rand) (healer, error) {
			all := c.all()
			p := all[random.IntN(len(all))]
			if err := p.freeze(); err != nil {
				return nil, p.failure("was to be frozen", err)
			}
			return func(context.Context) error { return p.thaw() }, nil
		}},
	}
}

// quiet has all workers save no more events.
func (c *crew) quiet(ctx context.Context) error {
	return c.each(func(p *process) error { return p.quiet(ctx) })
}

// finish has all workers read what there is and end.
func (c *crew) finish(ctx context.Context) error {
	return c.each(func(p *process) error { return p.finish(ctx) })
}

func (c *crew) each(do func(*process) error) error {
	all := c.all()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() { errs[i] = do(p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// configs returns the configurations of some workers, with clocks apart.
func configs(folder string, seed uint64, number int) []Config {
	random := rand.New(rand.NewPCG(seed, 1))
	all := make([]Config, number)
	for i := range all {
		all[i] = Config{
			Name: fmt.Sprintf("worker-%d", i), Folder: folder, Seed: seed + uint64(i),
			Conns: 6, Writers: 4, Readers: 2, Aggregates: 40,
			Pause: 10 * time.Millisecond, Generation: 20 * time.Second,
			Clock: Clock{
				Offset: time.Duration(random.Int64N(int64(4*time.Second))) - 2*time.Second,
				Jump:   time.Second,
				Every:  500 * time.Millisecond,
			},
		}
	}
	return all
}

// histories returns the files of all processes in a folder.
func histories(folder string) ([]string, error) {
	return filepath.Glob(filepath.Join(folder, "*.history"))
}
