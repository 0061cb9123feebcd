package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// The environment variables that "make soak" sets.
const (
	soakDurationVariable = "EVENTSOURCE_SOAK_DURATION"
	soakLeakVariable     = "EVENTSOURCE_SOAK_LEAK"
)

// soakDuration is for how long a soak goes on, a short time unless it is asked for.
func soakDuration(t *testing.T, short time.Duration) (duration time.Duration, long bool) {
	t.Helper()
	text := os.Getenv(soakDurationVariable)
	if text == "" {
		return short, false
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 10*time.Second {
		t.Fatalf("%s is %q, not a duration of at least 10s, such as 1h", soakDurationVariable, text)
	}
	return d, true
}

// soakTest is a soak with its workers.
type soakTest struct {
	name    string
	crew    *crew
	conn    *pgx.Conn // to PostgreSQL, if it is that
	every   time.Duration
	columns []column
	rows    []row
	stored  int64
	sampled time.Time
}

func TestUnderLoadForALongTimeNothingGrowsInPostgreSQL(t *testing.T) {
	duration, long := soakDuration(t, 20*time.Second)
	s := &soakTest{name: "soak-" + fmt.Sprint(time.Now().UnixNano()), columns: soakColumns(long)}
	address := named(t, testenv.Postgres(t), s.name)
	migrate(t, testenv.Pool(t, address))
	var err error
	if s.conn, err = pgx.Connect(t.Context(), named(t, address, s.name+"-watcher")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close(context.Background()) })

	configs := soakConfigs(seed(t), 3)
	for i, readers := range [][]string{{"feed"}, {"type", "time"}, {"query"}} {
		configs[i].URL, configs[i].Soak.Readers = address, readers
	}
	s.run(t, duration, configs)
}

func TestUnderLoadForAWhileNothingGrowsWithDynamoDB(t *testing.T) {
	s := &soakTest{columns: soakColumns(false)}
	configs := soakConfigs(seed(t), 2)
	client, name := testenv.DynamoDBClient(t), testenv.TableName(t)
	if err := dynamostore.CreateTable(t.Context(), client, name, dynamostore.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, readers := range [][]string{{"feed"}, {"type"}} {
		configs[i].URL, configs[i].Table, configs[i].Soak.Readers = testenv.DynamoDB(t), name, readers
		configs[i].Writers = 8
	}
	s.run(t, 12*time.Second, configs)
}

func TestUnderLoadForAWhileNothingButEventsGrowsInMemory(t *testing.T) {
	s := &soakTest{}
	for _, c := range soakColumns(false) {
		if c.name != "heap MB" && c.name != "rss MB" { // that is where the events are
			s.columns = append(s.columns, c)
		}
	}
	s.columns = append(s.columns, column{name: "heap B/event", grow: 1.25, slack: 100})
	configs := soakConfigs(seed(t), 1)
	configs[0].Soak.Readers = []string{"feed", "type", "query"}
	s.run(t, 8*time.Second, configs)
}

// named returns the URL with the name of an application, which the server shows.
func named(t *testing.T, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("application_name", name)
	u.RawQuery = query.Encode()
	return u.String()
}

func soakConfigs(seed uint64, workers int) []Config {
	all := make([]Config, workers)
	for i := range all {
		all[i] = Config{
			Name: fmt.Sprintf("w%d", i), Seed: seed + uint64(i), Conns: 8, Writers: 32, Aggregates: 1000,
			Timeout: time.Minute, Soak: &Soak{},
		}
	}
	all[0].Soak.Leak = os.Getenv(soakLeakVariable)
	return all
}

// soakColumns are what is watched. What is little may vary more than what is much,
// and in a short time more than in a long one, in which a machine may do other things.
func soakColumns(long bool) []column {
	grow, slack, shrink := 1.25, 1.0, 0.5
	if !long {
		grow, slack, shrink = 2, 5, 0.01
	}
	return []column{
		{name: "saves/s", shrink: shrink},
		{name: "stored/s", shrink: shrink},
		{name: "read/s", shrink: shrink},
		{name: "p50 ms"},
		{name: "p99 ms", grow: 2 * grow, slack: 50 * slack},
		{name: "lag ms", grow: 2 * grow, slack: 1000 * slack},
		{name: "conns", grow: grow, slack: 3 * slack},
		{name: "advisory", grow: grow, slack: 10 * slack},
		{name: "locks", grow: grow, slack: 40 * slack},
		{name: "live k"},
		{name: "dead k"},
		{name: "dead %", most: 25},
		{name: "B/event", grow: grow, slack: 10 * slack},
		// Of all workers.
		{name: "backend MB", grow: grow, slack: 1 * slack},
		{name: "heap MB", grow: grow, slack: 4 * slack},
		{name: "rss MB", grow: grow, slack: 20 * slack},
		{name: "goroutines", grow: grow, slack: 20 * slack},
	}
}

// run lets the workers work, watches them, and has them compare in the end.
func (s *soakTest) run(t *testing.T, duration time.Duration, configs []Config) {
	t.Helper()
	var err error
	if s.crew, err = hire(configs...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.crew.dismiss)
	for i := range configs {
		for _, c := range s.columns {
			if c.name == "heap MB" || c.name == "rss MB" || c.name == "goroutines" {
				s.columns = append(s.columns, column{name: ofWorker(c.name, i), grow: c.grow, slack: c.slack})
			}
		}
	}
	s.every = min(5*time.Second, duration/20)
	err = s.watch(t, duration)
	t.Logf("%d events\n%s", s.stored, lines(s.columns, s.rows))
	if err != nil {
		t.Fatal(err)
	}
	if s.stored == 0 {
		t.Error("nothing was saved")
	}
	if err := s.end(t.Context()); err != nil {
		t.Error(err)
	}
	if err := judge(s.columns, s.rows); err != nil {
		t.Error(err)
	}
}

// ofWorker is the name of the column of one worker.
func ofWorker(column string, worker int) string { return fmt.Sprintf("w%d %s", worker, column) }

// watch takes samples until the time is over, or something is wrong. It says now and
// then how things are.
func (s *soakTest) watch(t *testing.T, duration time.Duration) error {
	t.Helper()
	began := time.Now()
	s.sampled = began
	said := began
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for time.Since(began) < duration {
		<-ticker.C
		r, err := s.sample(t.Context())
		if err != nil {
			return err
		}
		r["at"] = time.Since(began).Seconds()
		s.rows = append(s.rows, r)
		if time.Since(said) > time.Minute {
			said = time.Now()
			t.Logf("%v: %d events, %.0f saves/s, %.0f MB of memory, %.0f connections, %.0f bytes an event",
				said.Sub(began).Round(time.Second), s.stored, r["saves/s"], r["rss MB"], r["conns"], r["B/event"])
		}
	}
	return nil
}

// sample takes one of all workers and of the server.
func (s *soakTest) sample(ctx context.Context) (row, error) {
	r := make(row)
	var all Sample
	all.Latency = make([]int64, len(latencies{}))
	for i, p := range s.crew.all() {
		var one Sample
		if err := p.ask(ctx, askSample, &one); err != nil {
			return nil, err
		}
		if one.Failure != "" {
			return nil, p.failure("saves and reads", errors.New(one.Failure))
		}
		all.Saves, all.Stored, all.Read = all.Saves+one.Saves, all.Stored+one.Stored, all.Read+one.Read
		all.Heap, all.RSS, all.Goroutines = all.Heap+one.Heap, all.RSS+one.RSS, all.Goroutines+one.Goroutines
		all.Lag, all.Backend = max(all.Lag, one.Lag), max(all.Backend, one.Backend)
		for j, n := range one.Latency {
			all.Latency[j] += n
		}
		r[ofWorker("heap MB", i)], r[ofWorker("rss MB", i)] = float64(one.Heap)/1e6, float64(one.RSS)/1e6
		r[ofWorker("goroutines", i)] = float64(one.Goroutines)
	}
	now := time.Now()
	seconds := now.Sub(s.sampled).Seconds()
	s.sampled = now
	s.stored += all.Stored
	r["saves/s"], r["stored/s"], r["read/s"] = float64(all.Saves)/seconds, float64(all.Stored)/seconds, float64(all.Read)/seconds
	r["p50 ms"], r["p99 ms"] = percentile(all.Latency, 0.5), percentile(all.Latency, 0.99)
	r["lag ms"] = float64(all.Lag.Milliseconds())
	r["heap MB"], r["rss MB"], r["backend MB"] = float64(all.Heap)/1e6, float64(all.RSS)/1e6, float64(all.Backend)/1e6
	r["goroutines"] = float64(all.Goroutines)
	r["heap B/event"] = float64(all.Heap) / float64(max(s.stored, 1))
	return r, s.sampleServer(ctx, r)
}

// serverSample asks for what there is of the sessions with a name, and of the table.
const serverSample = `
SELECT
	(SELECT count(*) FROM pg_stat_activity WHERE application_name = $1),
	(SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = $1 AND l.locktype = 'advisory'),
	(SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = $1 AND l.locktype <> 'advisory'),
	(SELECT n_live_tup FROM pg_stat_user_tables WHERE relid = 'events'::regclass),
	(SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'events'::regclass),
	pg_total_relation_size('events')`

// sampleServer adds what there is to see in the server.
func (s *soakTest) sampleServer(ctx context.Context, row map[string]float64) error {
	if s.conn == nil {
		return nil
	}
	var connections, advisory, locks, live, dead, size int64
	err := s.conn.QueryRow(ctx, serverSample, s.name).Scan(&connections, &advisory, &locks, &live, &dead, &size)
	if err != nil {
		return err
	}
	row["conns"], row["advisory"], row["locks"] = float64(connections), float64(advisory), float64(locks)
	row["live k"], row["dead k"] = float64(live)/1e3, float64(dead)/1e3
	row["dead %"] = 100 * float64(dead) / float64(max(live+dead, 1))
	row["B/event"] = float64(size) / float64(max(s.stored, 1))
	return nil
}

// end has the workers come to rest and compare what was read with what was saved.
func (s *soakTest) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := s.crew.quiet(ctx); err != nil {
		return err
	}
	ledgers := make(map[string]*ledger)
	for _, p := range s.crew.all() {
		if err := p.ask(ctx, askLedger, &ledgers); err != nil { // names are of one worker each
			return err
		}
	}
	text, err := json.Marshal(ledgers)
	if err != nil {
		return err
	}
	for _, p := range s.crew.all() {
		if _, err := fmt.Fprintln(p.stdin, tellAll, string(text)); err != nil {
			return p.failure("was to compare", err)
		}
	}
	return s.crew.finish(ctx)
}

// ask has a process answer a command.
func (p *process) ask(ctx context.Context, command string, answer any) error {
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	if _, err := fmt.Fprintln(p.stdin, command); err != nil {
		return p.failure("was told "+command, err)
	}
	line, err := p.stdout.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, answer)
	}
	if err != nil {
		return p.failure("was told "+command, err)
	}
	return nil
}

func TestWhatGrowsOrCollapsesIsNotFlat(t *testing.T) {
	columns := []column{
		{name: "memory", grow: 1.25, slack: 5}, {name: "saves", shrink: 0.5}, {name: "dead", most: 10}, {name: "time"},
	}
	rows := func(change func(r row, i float64)) (rows []row) {
		for i := range 30 {
			r := row{"memory": 100 + float64(i%3), "saves": 1000, "dead": 1, "time": float64(i)}
			if i < 10 {
				r["memory"], r["saves"], r["dead"] = 0, 1e6, 50 // a warm-up
			}
			if change != nil && i >= 10 {
				change(r, float64(i-10))
			}
			rows = append(rows, r)
		}
		return rows
	}
	for want, change := range map[string]func(row, float64){
		"":               nil,
		"memory grows":   func(r row, i float64) { r["memory"] += 4 * i },
		"saves shrinks":  func(r row, i float64) { r["saves"] -= 49 * i },
		"saves is 0":     func(r row, _ float64) { r["saves"] = 0 },
		"dead is 11 in ": func(r row, _ float64) { r["dead"] = 11 },
	} {
		err := judge(columns, rows(change))
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestALedgerTellsWhatReadersMustHaveSeen(t *testing.T) {
	saved := func(keys ...string) map[string]*ledger {
		l := new(ledger)
		for _, key := range keys {
			l.take(key, strings.HasSuffix(key, "/7"))
		}
		return map[string]*ledger{"w": l}
	}
	tests := []struct {
		name     string
		saved    map[string]*ledger
		read     []string
		expected string // of an error
	}{
		{"all", saved("w/1/1", "w/2/4"), []string{"w/1/1", "w/2/4"}, ""},
		{"the last one missing", saved("w/1/1", "w/2/4"), []string{"w/1/1"}, "want"},
		{"one that was not stored, in another's place", saved("w/1/1", "w/2/4"), []string{"w/1/1", "w/2/3"}, "want"},
		{"one missing", saved("w/1/1", "w/2/2", "w/3/3"), []string{"w/1/1", "w/3/3"}, "event w/3/3 came after number 1"},
		{"one twice", saved("w/1/1"), []string{"w/1/1", "w/1/1"}, "event w/1/1 came after number 1"},
		{"a stranger's", saved("w/1/1"), []string{"w/1/1", "v/1/1"}, "v, who is unknown"},
		{"what was rolled back", saved("w/1/1"), []string{"w/-1/0"}, "came after number 0"},
		{"no event of a writer", nil, []string{"something"}, "no event of a writer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			seen := tally{writers: make(map[string]*ledger)}
			var err error
			for _, key := range test.read {
				err = errors.Join(err, seen.see(key, strings.HasSuffix(key, "/7")))
			}
			if err == nil {
				err = seen.complete(test.saved)
			}
			if test.expected == "" && err != nil || test.expected != "" && (err == nil || !strings.Contains(err.Error(), test.expected)) {
				t.Errorf("got %v, want %q", err, test.expected)
			}
		})
	}
	t.Run("of a save whose outcome is unknown there may be all or nothing", func(t *testing.T) {
		want := saved("w/1/1")
		want["w"].Perhaps = saved("w/1/1", "w/2/2")["w"]
		for _, read := range [][]string{{"w/1/1"}, {"w/1/1", "w/2/2"}} {
			seen := tally{writers: make(map[string]*ledger)}
			for _, key := range read {
				if err := seen.see(key, false); err != nil {
					t.Fatal(err)
				}
			}
			if err := seen.complete(want); err != nil {
				t.Error(err)
			}
		}
	})
}
