// Package dynamostore keeps events in a table of Amazon DynamoDB, through the AWS
// SDK for Go v2.
//
// [CreateTable] makes the table; README.md in this folder has it for Terraform and
// CloudFormation as well, with the policies, the costs and the layout.
//
// Readers never miss an event, although the indexes that they read are eventually
// consistent. The events of a shard are a chain: each names the one before it, and
// the head of the shard, which every save moves on condition that nobody else has,
// names the last. A reader hands out an event when it has handed out the one
// before it; where an index does not show the next one yet, the reader waits a
// little. With several shards it hands out what all heads are beyond, and moves
// those that lag.
//
// Concurrent saves of one process share a transaction: while one is on its way,
// the next one gathers. No save waits for a timer, and one that fails fails alone.
package dynamostore

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
)

// Store keeps events in a table of DynamoDB. It is safe for concurrent use. It
// needs no closing: it runs goroutines only while calls do, and while there are
// watchers.
type Store struct {
	config
	client *dynamodb.Client
	table  string
	err    error

	known    knownHeads
	versions versions
	server   serverClock
	group    group
	watchers watchers
}

var (
	_ eventsource.Store           = (*Store)(nil)
	_ eventsource.Appender        = (*Store)(nil)
	_ eventsource.VersionLoader   = (*Store)(nil)
	_ eventsource.Querier         = (*Store)(nil)
	_ eventsource.Follower        = (*Store)(nil)
	_ eventsource.Watcher         = (*Store)(nil)
	_ eventsource.HorizonReporter = (*Store)(nil)
	_ eventsource.Reserver        = (*Store)(nil)
)

var errNoClient = fmt.Errorf("%w: client is nil", eventsource.ErrMisconfigured)

// New returns a store on a table, through the caller's client. The name may be the
// ARN of a table of another account. No request is made. A nil client, a name that
// no table can have, and options that cannot be make every method return
// [eventsource.ErrMisconfigured].
//
// What DynamoDB is too busy for, and saves that got into each other's way, are tried
// again until the context ends, a random time later. What fails otherwise is tried a
// few times: reads on top of what the client's retryer does, saves without it, since
// the store has to know what became of each attempt.
func New(client *dynamodb.Client, tableName string, opts ...Option) *Store {
	s := &Store{
		client: client,
		table:  tableName,
		config: config{
			clock:          time.Now,
			maxClockAhead:  DefaultMaxClockAhead,
			outcomeTimeout: DefaultOutcomeTimeout,
			indexTimeout:   DefaultIndexTimeout,
			watchInterval:  DefaultWatchInterval,
		},
	}
	for _, opt := range opts {
		if opt != nil {
			opt(&s.config)
		}
	}
	s.err = s.check()
	if s.err == nil {
		s.err = dynamo.CheckTableName(tableName)
	}
	if s.err == nil && client == nil {
		s.err = errNoClient
	}
	return s
}

// Err returns what was wrong with the arguments of [New], nil if nothing was.
func (s *Store) Err() error { return s.err }

// validate is everything that can be said of records without the table.
func (s *Store) validate(ctx context.Context, records []eventsource.Record) error {
	if s.err != nil {
		return s.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return eventsource.CheckRecords(records, maxItemSize)
}

// detached returns a context for what has to be done after ctx has ended.
func detached(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), timeout)
}
