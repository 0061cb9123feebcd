package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/snapshot"
)

// The events and the aggregate of these tests.
type (
	Deposited struct {
		eventsource.BaseEvent
		Amount int
	}
	Tagged struct {
		eventsource.BaseEvent
		Tags []string
	}
	Closed struct{ eventsource.BaseEvent }
)

func serializer() eventsource.Serializer {
	return json.NewSerializer(&Deposited{}, &Tagged{}, &Closed{})
}

func deposit(id string, amount int) *Deposited {
	return &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: id}, Amount: amount}
}

// Audit is embedded in accounts.
type Audit struct{ LastAt time.Time }

// Account has fields of many kinds. Those that are nil or empty matter.
type Account struct {
	eventsource.AggregateBase
	Audit
	Balance  int `json:"balance"`
	History  []int
	Tags     map[string]int
	ByAmount map[int]*Entry
	Last     *Entry
	Pair     [2]float64
	Raw      []byte
	clock    func() time.Time `snapshot:"-"`
	Notes    []string         `json:"-" snapshot:"-"`
}

// Entry is part of an account.
type Entry struct {
	Amount int
	Tags   []string
}

func (a *Account) SnapshotVersion() int { return 1 }

func (a *Account) On(_ context.Context, event eventsource.Event) error {
	a.LastAt = time.Unix(0, event.GetTimestamp()).UTC()
	switch e := event.(type) {
	case *Deposited:
		a.deposited(e)
	case *Tagged:
		if a.Tags == nil || len(e.Tags) == 0 {
			a.Tags = map[string]int{}
		}
		for _, tag := range e.Tags {
			a.Tags[tag]++
		}
		if a.Last != nil {
			a.Last.Tags = e.Tags
		}
	case *Closed:
		return eventsource.ErrDeleted
	}
	return nil
}

func (a *Account) deposited(e *Deposited) {
	a.Balance += e.Amount
	a.Raw = append(a.Raw, byte(e.Amount))
	a.Last = &Entry{Amount: e.Amount}
	switch {
	case e.Amount == 0:
		a.History, a.ByAmount, a.Last = nil, nil, nil
	case e.Amount < 0:
		a.History = []int{}
	default:
		a.History = append(a.History, e.Amount)
		if a.ByAmount == nil {
			a.ByAmount = make(map[int]*Entry)
		}
		a.ByAmount[e.Amount] = &Entry{Amount: e.Amount, Tags: []string{}}
		a.Pair = [2]float64{a.Pair[1], float64(e.Amount) / 3}
	}
}

// Handle deposits, or closes an account.
func (a *Account) Handle(_ context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	switch c := command.(type) {
	case Deposit:
		if c.Amount == 0 {
			return nil, eventsource.ErrUnchanged
		}
		return []eventsource.Event{deposit("", c.Amount)}, nil
	default:
		return nil, errors.New("no such command")
	}
}

// Deposit is a command.
type Deposit struct {
	eventsource.CommandBase
	Amount int
}

// Plain is an account that does not opt in.
type Plain struct {
	eventsource.AggregateBase
	events int
}

func (p *Plain) On(context.Context, eventsource.Event) error {
	p.events++
	return nil
}

func save(t testing.TB, repo eventsource.Repository, events ...eventsource.Event) {
	t.Helper()
	if err := repo.Save(context.Background(), events...); err != nil {
		t.Fatal(err)
	}
}

// saveMany saves n deposits of 1.
func saveMany(t testing.TB, repo eventsource.Repository, id string, n int) {
	t.Helper()
	for range n {
		save(t, repo, deposit(id, 1))
	}
}

func load(t testing.TB, repo eventsource.Repository, id string) *Account {
	t.Helper()
	a := &Account{}
	if _, err := repo.Load(context.Background(), id, a); err != nil {
		t.Fatal(err)
	}
	return a
}

// counting counts the records that are read, and loads parts of aggregates, also where
// the store below does not.
type counting struct {
	eventsource.Store
	mu   sync.Mutex
	read int
	err  error // of saves
}

func (c *counting) LoadByAggregate(ctx context.Context, id string) ([]eventsource.Record, error) {
	return c.LoadByAggregateVersions(ctx, id, 0, 0)
}

func (c *counting) LoadByAggregateVersions(ctx context.Context, id string, after, last int) ([]eventsource.Record, error) {
	records, err := c.Store.LoadByAggregate(ctx, id)
	if last > 0 {
		records = records[:min(last, len(records))]
	}
	records = records[min(after, len(records)):]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += len(records)
	return records, err
}

func (c *counting) NewTransaction(ctx context.Context, records ...eventsource.Record) (eventsource.StoreTransaction, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.Store.NewTransaction(ctx, records...)
}

// wasRead returns how many records were read since it was called last.
func (c *counting) wasRead() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.read
	c.read = 0
	return n
}

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) logger() snapshot.Option {
	return snapshot.WithLogger(slog.New(slog.NewTextHandler(l, nil)))
}

// lines returns what was logged since it was called last.
func (l *logged) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.text.String())
	l.text.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// wantLog checks that there is one line, and what is in it.
func (l *logged) wantLog(t testing.TB, mentions ...string) {
	t.Helper()
	lines := l.lines()
	if len(lines) != 1 {
		t.Errorf("%d lines were logged, want 1:\n%s", len(lines), strings.Join(lines, "\n"))
		return
	}
	for _, mention := range mentions {
		if !strings.Contains(lines[0], mention) {
			t.Errorf("logged without %s:\n%s", mention, lines[0])
		}
	}
}

// fake is a store of which each method may be replaced.
type fake struct {
	snapshot.Store
	load func(context.Context, snapshot.Key) (*eventsource.Snapshot, error)
	save func(context.Context, eventsource.Snapshot) error
}

func (f *fake) Load(ctx context.Context, key snapshot.Key) (*eventsource.Snapshot, error) {
	if f.load != nil {
		return f.load(ctx, key)
	}
	return f.Store.Load(ctx, key)
}

func (f *fake) Save(ctx context.Context, s eventsource.Snapshot) error {
	if f.save != nil {
		return f.save(ctx, s)
	}
	return f.Store.Save(ctx, s)
}
