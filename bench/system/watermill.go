package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	watermillTopic = "events"
	// watermillPoll is how long a reader that found nothing waits. The default is a second.
	watermillPoll = 5 * time.Millisecond
	// watermillReaders is how many connections the readers of a session share.
	watermillReaders = 2
)

// Watermill is a message log on PostgreSQL.
func Watermill() System {
	return System{
		Name:     "watermill",
		Module:   "github.com/ThreeDotsLabs/watermill-sql/v4 v4.1.2",
		Kind:     MessageLog,
		Database: "watermill",
		Notes: []string{
			"Knows no aggregates: no load, no versions, no conflicts.",
			"A save is one INSERT of all its messages as a statement on its own: one round trip.",
			"A reader gets the payload as bytes; the metadata, with type, aggregate and version, is decoded from JSON.",
			"A reader polls, every 5 ms here (the default is 1 s). A poll is a transaction that locks the row of its consumer group, and so writes: 3 round trips if there is nothing, 4 if there is.",
			"A poll reads 100 messages, the default. Each is acknowledged in the process before the next one comes; their place is stored once, at the end.",
			"PostgreSQL reads and sorts all messages after the reader's place for each poll, so the time to catch up grows with the square of their number.",
			"A reader waits until all transactions of the server that began to write before are over.",
			"A projection applies each message in the transaction in which the place is stored (TxFromContext), so exactly once; of 500 messages a poll. The next message comes when one is acknowledged, so each upsert is a round trip.",
		},
		Create: createWatermill,
		Fill:   fillWatermill,
		Open:   openWatermill,
	}
}

func createWatermill(_ context.Context, pool *pgxpool.Pool) error {
	subscriber, err := newWatermillSubscriber(pool, "")
	if err != nil {
		return err
	}
	return errors.Join(subscriber.SubscribeInitialize(watermillTopic), subscriber.Close())
}

func newWatermillSubscriber(pool *pgxpool.Pool, group string) (*sql.Subscriber, error) {
	return sql.NewSubscriber(sql.BeginnerFromPgx(pool), watermillConfig(group, 0), watermill.NopLogger{})
}

// watermillConfig is that of a subscriber which reads so many messages at once, 0 for the default.
func watermillConfig(group string, batch int) sql.SubscriberConfig {
	return sql.SubscriberConfig{
		ConsumerGroup:  group,
		PollInterval:   watermillPoll,
		SchemaAdapter:  sql.DefaultPostgreSQLSchema{SubscribeBatchSize: batch},
		OffsetsAdapter: sql.DefaultPostgreSQLOffsetsAdapter{},
	}
}

// Messages are read in the order of their transactions' IDs, and only below those
// of transactions that still run. So Fill uses up as many IDs as it gives away.
const (
	watermillNextID = `SELECT pg_snapshot_xmax(pg_current_snapshot())`
	watermillUseIDs = `DO $$ BEGIN FOR i IN 1..%d LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`
	watermillChunk  = 10_000
)

// fillWatermill stores each row as if it had been saved alone.
func fillWatermill(ctx context.Context, pool *pgxpool.Pool, rows iter.Seq[Row]) error {
	next, stop := iter.Pull(rows)
	defer stop()
	for more := true; more; {
		var transaction uint64
		if err := pool.QueryRow(ctx, watermillNextID).Scan(&transaction); err != nil {
			return err
		}
		if _, err := pool.Exec(ctx, fmt.Sprintf(watermillUseIDs, watermillChunk)); err != nil {
			return err
		}
		left := watermillChunk
		_, err := pool.CopyFrom(ctx, pgx.Identifier{"watermill_" + watermillTopic},
			[]string{"uuid", "created_at", "payload", "metadata", "transaction_id"},
			pgx.CopyFromFunc(func() ([]any, error) {
				if left == 0 {
					return nil, nil
				}
				var row Row
				if row, more = next(); !more {
					return nil, nil
				}
				metadata, err := json.Marshal(watermillMetadata(row.Aggregate, row.Version, row.Event.Type))
				if err != nil {
					return nil, err
				}
				values := []any{watermill.NewUUID(), row.Time.UTC(), row.Event.Data, metadata, transaction}
				left--
				transaction++
				return values, nil
			}))
		if err != nil {
			return err
		}
	}
	return nil
}

func watermillMetadata(aggregate string, version int, eventType string) message.Metadata {
	return message.Metadata{"type": eventType, "aggregate": aggregate, "version": strconv.Itoa(version)}
}

type watermillSession struct {
	pool, readers *pgxpool.Pool
	publisher     *sql.Publisher
}

func openWatermill(ctx context.Context, url string, conns int) (_ Session, err error) {
	s := new(watermillSession)
	if s.pool, err = openPool(ctx, url, conns); err != nil {
		return nil, err
	}
	if s.readers, err = openPool(ctx, url, watermillReaders); err != nil {
		s.pool.Close()
		return nil, err
	}
	config := sql.PublisherConfig{SchemaAdapter: sql.DefaultPostgreSQLSchema{}}
	s.publisher, err = sql.NewPublisher(sql.BeginnerFromPgx(s.pool), config, watermill.NopLogger{})
	if err != nil {
		s.pool.Close()
		s.readers.Close()
		return nil, err
	}
	return s, nil
}

func (s *watermillSession) Close() error {
	err := s.publisher.Close()
	s.pool.Close()
	s.readers.Close()
	return err
}

func (s *watermillSession) Save(ctx context.Context, batch Batch) error {
	messages := make([]*message.Message, len(batch.Events))
	for i, event := range batch.Events {
		messages[i] = message.NewMessageWithContext(ctx, watermill.NewUUID(), event.Data)
		messages[i].Metadata = watermillMetadata(batch.Aggregate, batch.Version+i+1, event.Type)
	}
	return s.publisher.Publish(watermillTopic, messages...)
}

// Load is not supported.
func (s *watermillSession) Load(context.Context, string) (int, error) {
	return 0, fmt.Errorf("a message log knows no aggregates: %w", errors.ErrUnsupported)
}

// Stream cannot tell the end.
func (s *watermillSession) Stream(ctx context.Context, deliver func(ID) bool) error {
	return s.read(ctx, uuid.NewString(), func() {}, deliver)
}

func (s *watermillSession) Follow(ctx context.Context, ready func(), deliver func(ID)) error {
	group := uuid.NewString()
	err := s.startAtEnd(ctx, group)
	if err == nil {
		err = s.read(ctx, group, ready, func(id ID) bool {
			deliver(id)
			return true
		})
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// startAtEnd stores the place of a new consumer group. Writers have to wait
// meanwhile, for a place has messages that are stored later behind it only if
// nobody is writing.
func (s *watermillSession) startAtEnd(ctx context.Context, group string) error {
	return pgx.BeginFunc(ctx, s.readers, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE watermill_events IN SHARE MODE`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO watermill_offsets_events (consumer_group, offset_acked, last_processed_transaction_id)
			SELECT $1, "offset", transaction_id FROM (
				(SELECT "offset", transaction_id FROM watermill_events ORDER BY transaction_id DESC, "offset" DESC LIMIT 1)
				UNION ALL
				SELECT 0, '0'
			) AS places
			ORDER BY transaction_id DESC LIMIT 1`, group)
		return err
	})
}

func (s *watermillSession) read(ctx context.Context, group string, ready func(), deliver func(ID) bool) error {
	subscriber, err := newWatermillSubscriber(s.readers, group)
	if err != nil {
		return err
	}
	err = receive(ctx, subscriber, ready, func(_ context.Context, id ID, _ string) error {
		if !deliver(id) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// errEnough ends a reader that is to read no more.
var errEnough = errors.New("enough")

// receive gives what arrives to a function, and acknowledges it, until that fails
// or the context ends. It closes the subscriber.
func receive(ctx context.Context, subscriber *sql.Subscriber, ready func(), handle func(ctx context.Context, id ID, eventType string) error) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, err := subscriber.Subscribe(reading, watermillTopic)
	if err != nil {
		return errors.Join(err, subscriber.Close())
	}
	ready()
	for m := range messages {
		// What was on its way when it ended is not delivered.
		if reading.Err() != nil {
			continue
		}
		var id ID
		if id, err = watermillID(m); err == nil {
			err = handle(m.Context(), id, m.Metadata["type"])
		}
		if err != nil {
			cancel()
			continue
		}
		m.Ack()
	}
	return errors.Join(err, ctx.Err(), subscriber.Close())
}

func watermillID(m *message.Message) (ID, error) {
	version, err := strconv.Atoi(m.Metadata["version"])
	return ID{Aggregate: m.Metadata["aggregate"], Version: version}, err
}
