package sqlprojection_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/serializer/upcast"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// What is stored under other names is handled as what it is today: by a rebuild, under the
// lock at its end, and in the transactions that save it, as a process of the release before
// may still do.
func TestInline_handles_events_that_were_renamed_split_or_dropped(t *testing.T) {
	serializer := upcast.NewSerializer(json.NewSerializer(&bankPaid{}, &bankNoted{}),
		upcast.Rename("bankPaidIn", "bankPaid"), upcast.Drop("bankDebugged"),
		upcast.Split("bankPaidTwice", 1, func(old bankPaid) ([]upcast.Part, error) {
			part := upcast.Part{Type: "bankPaid", Data: old}
			return []upcast.Part{part, {Type: "bankNoted", Data: struct{}{}}, part}, nil
		}, "bankPaid", "bankNoted"))
	pool := testenv.Pool(t, newBankDatabase(t), func(c *pgxpool.Config) { c.MaxConns = 12 })
	two := balances(1, nil)
	two.Name = "the same, once more"
	two.Version = 2
	two.Handler = balances(2, nil).Handler
	inline := sqlprojection.NewInline(sqlprojection.NewCheckpoints(pool), serializer, balances(1, nil), two)
	store := sqlstore.New(pool, sqlstore.WithInTransaction(inline.Handle))
	repo := eventsource.NewRepository(store, serializer)

	save := func() error { // five times 1
		var records []eventsource.Record
		for _, name := range strings.Fields("bankPaidIn bankDebugged bankPaidTwice bankNoted bankPaid bankPaidIn") {
			records = append(records, eventsource.Record{AggregateID: "a", Type: name, Data: []byte(`{"amount":1}`)})
		}
		_, err := store.Append(t.Context(), records...)
		return err
	}
	saves := 0
	stop := make(chan struct{})
	var saving sync.WaitGroup
	saving.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := save(); err != nil {
				t.Error(err)
				return
			}
			saves++
		}
	})
	for name, version := range map[string]int{"balances": 1, two.Name: 2} {
		if err := inline.Rebuild(t.Context(), repo, name, version, projection.WithLogger(slog.New(slog.DiscardHandler))); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	saving.Wait()
	if err := save(); err != nil {
		t.Fatal(err)
	}
	saves++
	for version := 1; version <= 2; version++ {
		var amount int
		if err := pool.QueryRow(t.Context(), fmt.Sprintf(`SELECT amount FROM balances_%d WHERE account = 'a'`, version)).Scan(&amount); err != nil || amount != 5*saves {
			t.Errorf("version %d has %d after %d saves, error %v, want %d", version, amount, saves, err, 5*saves)
		}
	}
}
