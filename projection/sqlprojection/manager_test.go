package sqlprojection_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// Thanked is what a process manager does about a deposit.
type Thanked struct {
	eventsource.BaseEvent
}

func TestAProcessManagerSavesInTheTransactionOfItsCheckpoint(t *testing.T) {
	t.Parallel()
	pool := migrated(t, testenv.Postgres(t))
	store, serializer := sqlstore.New(pool), json.NewSerializer(&Deposited{}, &Thanked{})
	repository := eventsource.NewRepository(store, serializer)
	const deposits = 20
	var last string
	for range deposits {
		deposited := &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}}
		if err := repository.Save(t.Context(), deposited); err != nil {
			t.Fatal(err)
		}
		last = deposited.SequenceID
	}
	failed := false
	thanking := sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *Deposited) error {
		inside := eventsource.NewRepository(store.WithTx(tx), serializer)
		if err := inside.Save(ctx, &Thanked{BaseEvent: eventsource.BaseEvent{AggregateID: e.SequenceID}}); err != nil {
			return err
		}
		if e.Version == deposits/2 && !failed {
			failed = true
			return context.DeadlineExceeded // what was saved before in this transaction is undone
		}
		return nil
	})
	checkpoints := sqlprojection.NewCheckpoints(pool)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	running := make(chan error, 1)
	go func() {
		running <- projection.New("thanks", repository, thanking, projection.WithCheckpoints(checkpoints), projection.WithBatchSize(5)).Run(ctx)
	}()
	if err := projection.NewManager(repository, checkpoints).WaitFor(ctx, "thanks", last); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-running; err != nil {
		t.Error(err)
	}
	thanks, err := repository.GetEventsBySequenceIDAndType(t.Context(), "", &Thanked{}, 0)
	if err != nil || len(thanks) != deposits {
		t.Errorf("there are %d thanks (%v), want %d", len(thanks), err, deposits)
	}
	for _, e := range thanks {
		if v := e.(*Thanked).Version; v != 1 {
			t.Errorf("%s was thanked for %d times", e.GetAggregateID(), v)
		}
	}
}
