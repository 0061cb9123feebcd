package sqlstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

func record(aggregate string) eventsource.Record {
	return eventsource.Record{AggregateID: aggregate, Type: "Tested", Data: []byte(`{}`)}
}

// appendOne returns the sequence ID of a record that it stores.
func appendOne(t *testing.T, store *sqlstore.Store, aggregate string) string {
	t.Helper()
	stored, err := store.Append(t.Context(), record(aggregate))
	if err != nil {
		t.Fatal(err)
	}
	return stored[0].SequenceID
}

func clockOff(by time.Duration) sqlstore.Option {
	return sqlstore.WithClock(func() time.Time { return time.Now().Add(by) })
}

// A server says only with the answer to a statement that it is no standby any more,
// and PgBouncer does not say it at all.
func TestAStandbyThatIsPromotedTakesEventsAtOnce(t *testing.T) {
	primary := testenv.NewCluster(t)
	migrate(t, testenv.Pool(t, primary.URL()))
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	proxied, err := standby.PgBouncer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pools := map[string]*pgxpool.Pool{"direct": testenv.Pool(t, standby.URL()), "behind PgBouncer": testenv.Pool(t, proxied)}
	ask := func(ctx context.Context) map[string]error {
		answers := make(map[string]error)
		for name, pool := range pools {
			_, answers[name] = sqlstore.New(pool).LoadBySequenceID(ctx, "", 1)
		}
		return answers
	}
	for name, err := range ask(t.Context()) {
		if !errors.Is(err, sqlstore.ErrStandby) {
			t.Errorf("%s, a standby answers %v", name, err)
		}
	}
	// The pools have connections to a standby, and ask them nothing before they are
	// used: they are in use all the time.
	for _, pool := range pools {
		if err := pool.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, err := range ask(t.Context()) {
		if err != nil {
			t.Errorf("%s, the promoted server answers %v", name, err)
		}
	}
}

// With synchronous_commit off a crash may lose what was read. Who has not read it
// still must not miss anything.
func TestAReaderMissesNothingAfterACrashThatLostWhatOthersHadRead(t *testing.T) {
	cluster := testenv.NewCluster(t, testenv.WithSettings("wal_writer_delay=10s"))
	migrate(t, testenv.Pool(t, cluster.URL()))
	writer, reader := sqlstore.New(testenv.Pool(t, cluster.URL())), sqlstore.New(testenv.Pool(t, cluster.URL()))
	read := func(cursor string, limit int) []eventsource.Record {
		t.Helper()
		var (
			records []eventsource.Record
			err     error
		)
		for range 50 { // the first ones may meet connections that are gone
			if records, err = reader.LoadBySequenceID(t.Context(), cursor, limit); err == nil {
				return records
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatal(err)
		return nil
	}

	kept := appendOne(t, writer, "kept")
	var lost string
	crash := func() {
		t.Helper()
		hasty := sqlstore.New(testenv.Pool(t, cluster.URL(), func(config *pgxpool.Config) {
			config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
		}), clockOff(30*time.Second))
		lost = appendOne(t, hasty, "lost")
		if got := read(kept, 10); len(got) != 1 || got[0].SequenceID != lost {
			t.Fatalf("the reader is given %v", got)
		}
		if err := errors.Join(cluster.KillBackend(t.Context()), cluster.Start(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	crash()
	// The server may write the event down before the crash comes: then another one.
	for attempt := 1; len(read(kept, 10)) != 0; attempt++ {
		if attempt == 5 {
			t.Fatalf("%d crashes lost nothing", attempt)
		}
		kept = lost
		crash()
	}

	fresh := sqlstore.New(testenv.Pool(t, cluster.URL()))
	tx, err := fresh.NewTransaction(t.Context(), record("open"))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // its whole millisecond is held back
	later := appendOne(t, fresh, "later")
	if later >= lost {
		t.Fatalf("%s was to be below %s", later, lost)
	}
	if got := read(kept, 1); len(got) != 0 {
		t.Errorf("the reader is given %s of %s, but an earlier one is still to come", got[0].SequenceID, got[0].AggregateID)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := read(kept, 10); len(got) != 2 || got[0].AggregateID != "open" || got[1].AggregateID != "later" {
		t.Errorf("the reader is given %v", got)
	}
}
