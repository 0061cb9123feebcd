package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// Projecting has a worker run projections, beside what else it does.
type Projecting struct {
	// Models are the read models that are kept.
	Models []Model
	// Journal is the file to which models that are not in a database are written, by
	// all workers.
	Journal string
	// Lease and IdleTimeout are those of the projections. 0 means the default.
	Lease, IdleTimeout time.Duration
	// PollOnly is for a connection through which no wake-up comes.
	PollOnly bool
	// Mistake is one that the checkpoints make on purpose, "" for none.
	Mistake string
	// StopAt is the key of an event at which the first life of a worker stops once, as if
	// it had been frozen there, and StopIn where exactly.
	StopAt, StopIn string
}

// Where a worker stops.
const (
	stopInHandler    = "handler" // the event is written, but not committed
	stopAfterAdvance = "advance" // the checkpoint has moved as well
)

// Model is a read model: a list of all events, as they were handled.
type Model struct {
	Name string
	// Once has it kept in PostgreSQL, in the transaction in which the checkpoint moves;
	// otherwise it is in the journal.
	Once bool
	// Partitions is in how many partitions it is kept, by the life of the worker, in
	// turn. None means one.
	Partitions []int
	// Lives is after how many lives of a worker there is a new version, which drops the
	// old one. 0 means never.
	Lives int
	// Poison has one event in so many fail now and then, and be parked, while events are
	// saved. 0 means none.
	Poison int
	// Batch is the most events that are handled at once. 0 means the default.
	Batch int
}

// version is the one that a worker runs in one of its lives.
func (m *Model) version(life int) int {
	if m.Lives == 0 {
		return 1
	}
	return 1 + min(life/m.Lives, 2) // each has all events in it again
}

func (m *Model) partitions(life int) int {
	if len(m.Partitions) == 0 {
		return 1
	}
	return m.Partitions[life%len(m.Partitions)]
}

// entry is an event in a read model.
type entry struct {
	Model            string
	ModelVersion     int
	SequenceID       string
	Aggregate        string
	AggregateVersion int
	Process          string
}

// modelTables are the read models in PostgreSQL. Nothing in them keeps an event from
// being there twice. The place of an entry is given when it is written.
const modelTables = `
	CREATE TABLE handled (
		place bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
		model text NOT NULL, model_version int NOT NULL, sequence_id text NOT NULL, aggregate text NOT NULL,
		aggregate_version int NOT NULL, process text NOT NULL);
	CREATE TABLE takeovers (model text NOT NULL, model_version int NOT NULL);`

// projector runs a worker's projections.
type projector struct {
	*worker
	Projecting
	pool        *pgxpool.Pool // nil in DynamoDB
	journal     *os.File
	log         *os.File
	repo        eventsource.Repository
	checkpoints projection.Checkpoints
	transport   http.Transport

	mu      sync.Mutex
	random  *rand.Rand
	stopped sync.Once
}

// polled is a store that wakes nobody.
type polled struct {
	eventsource.Store
	eventsource.Querier
	eventsource.Follower
	eventsource.HorizonReporter
}

func (w *worker) newProjector() (*projector, error) {
	p := &projector{worker: w, Projecting: *w.Projecting, random: w.random(2000)}
	var err error
	if p.Journal != "" {
		// What is appended by one call stays together, whoever else appends.
		p.journal, err = os.OpenFile(p.Journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	}
	if err == nil {
		p.log, err = os.Create(filepath.Join(w.Folder, w.process()+".log"))
	}
	if err == nil && w.Table != "" {
		p.repo = w.repo
		client := testenv.NewDynamoDBClient(w.URL, &p.transport, func(o *dynamodb.Options) { o.RetryMaxAttempts = 2 })
		p.checkpoints = dynamoprojection.NewCheckpoints(client, checkpointTable)
	} else if err == nil {
		err = p.openPostgres()
	}
	return p, err
}

// openPostgres opens a pool of the projections' own.
func (p *projector) openPostgres() error {
	config, err := pgxpool.ParseConfig(p.URL)
	if err != nil {
		return err
	}
	config.MaxConns = 12
	config.ConnConfig.ConnectTimeout = p.Timeout
	if p.pool, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		return err
	}
	store := sqlstore.New(p.pool, sqlstore.WithClock(p.Clock.start(p.worker.random(2001))))
	p.repo = eventsource.NewRepository(store, serializer())
	if p.PollOnly {
		p.repo = eventsource.NewRepository(polled{store, store, store, store}, serializer())
	}
	var options []sqlprojection.Option
	if p.IdleTimeout > 0 {
		options = append(options, sqlprojection.WithIdleTimeout(p.IdleTimeout))
	}
	p.checkpoints, err = mistaken(p.Mistake, sqlprojection.NewCheckpoints(p.pool, options...))
	if p.StopIn == stopAfterAdvance && p.Life == 0 {
		p.checkpoints = &stopping{p.checkpoints.(checkpoints), p}
	}
	return err
}

func (p *projector) close() {
	if p.pool != nil {
		p.pool.Close()
	}
	p.transport.CloseIdleConnections()
	if p.journal != nil {
		_ = p.journal.Close()
	}
	_ = p.log.Close()
}

// run runs the projections until the end. If one fails, the process ends with it, as
// an application would: whoever looks after the process sees it.
func (p *projector) run() {
	defer p.close()
	var wg sync.WaitGroup
	for _, m := range p.Models {
		wg.Go(func() {
			if err := p.keep(m); err != nil {
				fmt.Fprintf(os.Stderr, "chaos: worker: projection %q: %v\n", m.Name, err)
				os.Exit(1)
			}
		})
	}
	wg.Wait()
}

// keep keeps a model. That a later version has dropped this one is as it should be.
func (p *projector) keep(m Model) error {
	options := []projection.Option{
		projection.WithCheckpoints(p.checkpoints),
		projection.WithVersion(m.version(p.Life)),
		projection.WithPartitions(m.partitions(p.Life)),
		projection.WithTimeout(p.Timeout),
		projection.WithLogger(slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		projection.WithTakeover(func(ctx context.Context) error { return p.takenOver(ctx, m) }),
	}
	if p.Lease > 0 {
		options = append(options, projection.WithLease(p.Lease))
	}
	if m.Batch > 0 {
		options = append(options, projection.WithBatchSize(m.Batch))
	}
	if m.Lives > 0 {
		options = append(options, projection.WithDropOld())
	}
	if m.Poison > 0 {
		options = append(options, projection.WithFailurePolicy(projection.Park),
			projection.WithRetry(2, 5*time.Millisecond, 50*time.Millisecond))
	}
	err := projection.New(m.Name, p.repo, p.handler(m), options...).Run(p.over)
	if m.Lives > 0 && errors.Is(err, projection.ErrSuperseded) {
		return nil
	}
	return err
}

// takenOver writes down that a version has taken over.
func (p *projector) takenOver(ctx context.Context, m Model) error {
	tx, ok := sqlprojection.Tx(ctx)
	if !ok {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO takeovers (model, model_version) VALUES ($1, $2)`, m.Name, m.version(p.Life))
	return err
}

func (p *projector) handler(m Model) projection.Handler {
	switch {
	case !m.Once:
		return projection.Each(func(_ context.Context, event eventsource.Event) error { return p.append(m, event) })
	case m.Poison > 0:
		return sqlprojection.Each(func(ctx context.Context, tx pgx.Tx, event eventsource.Event) error {
			if err := p.write(ctx, tx, m, event); err != nil {
				return err
			}
			return p.poisoned(m, event)
		})
	default:
		return sqlprojection.Batch(func(ctx context.Context, tx pgx.Tx, events []eventsource.Event) error {
			return p.write(ctx, tx, m, events...)
		})
	}
}

func (p *projector) entry(m Model, event eventsource.Event) entry {
	e := seen(event)
	return entry{m.Name, m.version(p.Life), e.SequenceID, e.Aggregate, e.Version, p.process()}
}

// append writes an event to the journal.
func (p *projector) append(m Model, event eventsource.Event) error {
	line, err := json.Marshal(p.entry(m, event))
	if err != nil {
		return err
	}
	_, err = p.journal.Write(append(line, '\n'))
	return err
}

// write writes events to the read model, one after the other.
func (p *projector) write(ctx context.Context, tx pgx.Tx, m Model, events ...eventsource.Event) error {
	batch := &pgx.Batch{}
	stop := false
	for _, event := range events {
		e := p.entry(m, event)
		batch.Queue(`INSERT INTO handled (model, model_version, sequence_id, aggregate, aggregate_version, process)
			VALUES ($1, $2, $3, $4, $5, $6)`, e.Model, e.ModelVersion, e.SequenceID, e.Aggregate, e.AggregateVersion, e.Process)
		stop = stop || p.StopAt != "" && seen(event).Key == p.StopAt
	}
	err := tx.SendBatch(ctx, batch).Close()
	if stop && p.StopIn == stopInHandler {
		p.stop()
	}
	return err
}

// poisoned has some events fail, two times out of three, until all is well again.
func (p *projector) poisoned(m Model, event eventsource.Event) error {
	h := fnv.New32a()
	_, _ = h.Write([]byte(event.GetSequenceID()))
	if h.Sum32()%uint32(m.Poison) != 0 || p.quiet.Err() != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.random.IntN(6) {
	case 0:
		panic("poison")
	case 1:
		return projection.Permanent(errPoison)
	case 2, 3:
		return errPoison
	}
	return nil
}

var errPoison = errors.New("poison")

// stop stops this process with SIGSTOP, once, in its first life.
func (p *projector) stop() {
	if p.Life == 0 {
		p.stopped.Do(func() {
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			time.Sleep(200 * time.Millisecond) // threads go on for a moment
		})
	}
}

// checkpoints are those that a transaction can be shared with.
type checkpoints interface {
	projection.Checkpoints
	projection.Transactor
}

// stopping are checkpoints with which the process stops when it first handles events,
// between the move of the checkpoint and the commit.
type stopping struct {
	checkpoints
	p *projector
}

func (s *stopping) Advance(ctx context.Context, move projection.Move) (projection.Ack, error) {
	ack, err := s.checkpoints.Advance(ctx, move)
	if _, inside := sqlprojection.Tx(ctx); inside && err == nil && move.Handled > 0 {
		s.p.stop()
	}
	return ack, err
}
