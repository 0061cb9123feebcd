package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/history"
	"github.com/eventsource-go/eventsource/internal/testenv"
	jsonserializer "github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/dynamostore"
	"github.com/eventsource-go/eventsource/store/memstore"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// Config is what a worker process does.
type Config struct {
	// Name is the worker's, and Life how often it was started before. A worker that
	// was killed goes on as another process, which reads on where the first one was.
	Name string
	Life int
	// Folder is where it keeps its history and the cursors of its readers.
	Folder string
	Seed   uint64

	// URL is that of a PostgreSQL, or, where Table is set, of a DynamoDB with it.
	// Without one the events are in the process's memory.
	URL, Table string
	// Conns is the most connections that it has to PostgreSQL. 0 means pgx's default.
	Conns int
	Clock Clock

	// Writers and Readers are how many goroutines save and read events. Each second
	// reader reads one type only.
	Writers, Readers int
	// Aggregates is the number of aggregates, which all workers share.
	Aggregates int
	// Hot is how many of them half of the saves go to. 0 means five.
	Hot int
	// Generation is for how long the aggregates are the same. After that there are
	// others, or loads would take longer and longer. 0 means for good.
	Generation time.Duration
	// Pause is for how long a writer rests between saves, on average.
	Pause time.Duration
	// Timeout is how long it waits for one answer. 0 means five seconds.
	Timeout time.Duration
	// Patient has no save end because of its context before Timeout is over.
	Patient bool

	// Soak, unless nil, has it take part in a soak instead: it keeps no history.
	Soak *Soak
	// Projecting, unless nil, has it run projections as well.
	Projecting *Projecting
}

// process is the name in the history.
func (c Config) process() string { return fmt.Sprintf("%s.%d", c.Name, c.Life) }

// worker is one in its process.
type worker struct {
	Config
	pool     *pgxpool.Pool // nil in DynamoDB
	sql      *sqlstore.Store
	store    store
	repo     eventsource.Repository
	recorder *history.Recorder
	// transport has the connections to DynamoDB.
	transport http.Transport

	// quiet ends when no more events are to be saved, and over when the readers
	// have nothing to wait for.
	quiet, over context.Context
}

// store is what both stores can do.
type store interface {
	eventsource.Store
	eventsource.Watcher
	eventsource.HorizonReporter
}

// serializer knows the events of workers.
func serializer() eventsource.Serializer {
	return jsonserializer.NewSerializer(&Happened{}, &Noted{})
}

// Work is the program of a worker process. It returns the status to exit with.
//
// The process is told what to do on its standard input: after a line, no more events
// are to be saved; after the end, which also comes if the one who started it
// is gone, readers read what there is, and then it ends. It answers the line with one.
func Work(config string) int {
	if err := work(config, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chaos: worker:", err)
		return 1
	}
	return 0
}

func work(text string, commands io.Reader, answers io.Writer) (err error) {
	var config Config
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return err
	}
	if config.Timeout == 0 {
		config.Timeout = 5 * time.Second
	}
	if config.Soak != nil {
		return soak(config, commands, answers)
	}
	quiet, beQuiet := context.WithCancel(context.Background())
	defer beQuiet()
	over, end := context.WithCancel(context.Background())
	defer end()
	w := &worker{Config: config, quiet: quiet, over: over}
	if err := w.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()

	var writing, reading sync.WaitGroup
	for i := range config.Writers {
		writing.Go(func() { w.newWriter(i).run() })
	}
	for i := range config.Readers {
		reading.Go(func() { w.newReader(i).run() })
	}
	if config.Projecting != nil {
		p, err := w.newProjector()
		if err != nil {
			return err
		}
		reading.Go(p.run)
	}

	lines := bufio.NewReader(commands)
	_, err = lines.ReadString('\n')
	beQuiet()
	writing.Wait()
	if err == nil {
		if _, err := fmt.Fprintln(answers, "quiet"); err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, lines)
	}
	end()
	reading.Wait()
	return nil
}

// open opens the store, which need not answer.
func (w *worker) open() error {
	var err error
	w.recorder, err = history.Create(filepath.Join(w.Folder, w.process()+".history"), w.process())
	if err != nil {
		return err
	}
	return w.connect()
}

// connect opens the store, one in memory if there is no URL.
func (w *worker) connect() error {
	clock := w.Clock.start(w.random(1000))
	switch {
	case w.URL == "":
		w.store = memstore.New(memstore.WithClock(clock))
	case w.Table != "":
		w.store = dynamostore.New(testenv.NewDynamoDBClient(w.URL, &w.transport, func(o *dynamodb.Options) {
			o.RetryMaxAttempts = 2
		}), w.Table, dynamostore.WithClock(clock))
	default:
		config, err := pgxpool.ParseConfig(w.URL)
		if err != nil {
			return err
		}
		if w.Conns > 0 {
			config.MaxConns = int32(w.Conns)
		}
		config.ConnConfig.ConnectTimeout = w.Timeout
		if w.pool, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
			return err
		}
		w.sql = sqlstore.New(w.pool, sqlstore.WithClock(clock))
		w.store = w.sql
	}
	w.repo = eventsource.NewRepository(w.store, serializer())
	return nil
}

func (w *worker) close() error {
	if w.pool != nil {
		w.pool.Close()
	}
	w.transport.CloseIdleConnections()
	if w.recorder == nil {
		return nil
	}
	return w.recorder.Close()
}

// random returns a source of random numbers for one of its goroutines.
func (w *worker) random(number int) *rand.Rand {
	return rand.New(rand.NewPCG(w.Seed, uint64(w.Life)<<32|uint64(number)))
}

// call returns a context for one request.
func (w *worker) call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), w.Timeout)
}

// rest waits for a random time, on average as long as given, or until ctx ends.
func rest(ctx context.Context, random *rand.Rand, average time.Duration) {
	if average <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(random.Int64N(int64(2 * average)))):
	}
}
