// Package redissnapshot keeps snapshots in Redis, through the caller's client of
// go-redis: one server, sentinels or a cluster, of version 5 or later, or what speaks
// its protocol.
//
//	snapshots := snapshot.New(redissnapshot.New(client), snapshot.Every(100))
//
// Redis may lose or evict what it has: then aggregates are loaded from their events. An
// aggregate is one key, with a hash: its fields are the type, / and the schema version,
// and with /at behind the sequence ID and the version.
package redissnapshot

import (
	"cmp"
	"context"
	_ "embed" // for save.lua
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/snapshot"
)

// Errors of this package, beside those of packages snapshot and eventsource.
var (
	// ErrLayout is returned when a key is not as this package makes it: another program
	// uses the same prefix.
	ErrLayout = errors.New("eventsource/redissnapshot: key is not as this package makes it")

	// ErrReadOnly is returned when the server takes no writes, as a replica does.
	ErrReadOnly = errors.New("eventsource/redissnapshot: server is read-only")
)

// Defaults of the options.
const (
	// DefaultPrefix is what all keys begin with.
	DefaultPrefix = "eventsource:snapshot:"
	// MaxStateSize is the most bytes that a state may have, Redis's own limit.
	MaxStateSize = 512 << 20
)

// Option is an option of [New].
type Option func(*Store)

// WithPrefix sets what all keys begin with, up to 255 bytes and not empty; {tags} of a
// cluster work. Defaults to [DefaultPrefix].
func WithPrefix(prefix string) Option { return func(s *Store) { s.prefix = prefix } }

// WithTTL sets for how long the snapshots of an aggregate are kept after the last one
// was saved, from 1 ms. Defaults to 0, until Redis evicts them.
func WithTTL(ttl time.Duration) Option { return func(s *Store) { s.ttl = ttl } }

// Store keeps snapshots in Redis. It is safe for concurrent use, and needs no closing.
type Store struct {
	client redis.UniversalClient
	prefix string
	ttl    time.Duration
	save   *redis.Script
	err    error
}

var _ snapshot.Store = (*Store)(nil)

//go:embed save.lua
var saveScript string

// New returns a store on the caller's client, which it never closes. No request is made.
// A nil client, and options that cannot be, make every method return
// [eventsource.ErrMisconfigured].
func New(client redis.UniversalClient, opts ...Option) *Store {
	s := &Store{client: client, prefix: DefaultPrefix, save: redis.NewScript(saveScript)}
	for _, opt := range opts {
		if opt != nil {
			opt(s)
		}
	}
	s.err = s.check()
	return s
}

func (s *Store) check() error {
	switch v := reflect.ValueOf(s.client); {
	case !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil():
		return misconfigured("client is nil")
	case s.prefix == "" || len(s.prefix) > 255:
		return misconfigured("prefix %q has %d bytes, not 1 to 255", s.prefix, len(s.prefix))
	case s.ttl != 0 && s.ttl < time.Millisecond:
		return misconfigured("time to live is %v, below 1ms", s.ttl)
	}
	return nil
}

func misconfigured(format string, args ...any) error {
	return fmt.Errorf("%w: redissnapshot: "+format, append([]any{eventsource.ErrMisconfigured}, args...)...)
}

// Err returns what was wrong with the arguments of [New], nil if nothing was.
func (s *Store) Err() error { return s.err }

func (s *Store) ready(ctx context.Context) error { return cmp.Or(s.err, ctx.Err()) }

func (s *Store) key(aggregateID string) string { return s.prefix + aggregateID }

func field(key snapshot.Key) string { return key.Type + "/" + strconv.Itoa(key.SchemaVersion) }

// Load returns a snapshot, nil if there is none.
func (s *Store) Load(ctx context.Context, key snapshot.Key) (*eventsource.Snapshot, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	name := field(key)
	values, err := s.client.HMGet(ctx, s.key(key.AggregateID), name, name+"/at").Result()
	if err != nil {
		return nil, s.translate(ctx, "load", key, err)
	}
	if values[0] == nil && values[1] == nil {
		return nil, nil
	}
	state, isState := values[0].(string)
	at, isAt := values[1].(string)
	sequenceID, number, isPair := strings.Cut(at, " ")
	version, err := strconv.Atoi(number)
	if !isState || !isAt || !isPair || err != nil {
		return nil, fmt.Errorf("%w: %q, field %q: its place is %q", ErrLayout, s.key(key.AggregateID), name, at)
	}
	return &eventsource.Snapshot{
		AggregateID: key.AggregateID, Type: key.Type, SchemaVersion: key.SchemaVersion,
		Version: version, SequenceID: sequenceID, State: []byte(state),
	}, nil
}

// Save keeps a snapshot, unless there is a newer one.
func (s *Store) Save(ctx context.Context, snap eventsource.Snapshot) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if size := len(snap.State); size > MaxStateSize {
		return &eventsource.TooLargeError{AggregateID: snap.AggregateID, Type: snap.Type, Size: size, Limit: MaxStateSize}
	}
	key := snapshot.KeyOf(&snap)
	err := s.save.Run(ctx, s.client, []string{s.key(snap.AggregateID)},
		field(key), snap.SequenceID, snap.Version, snap.State, s.ttl.Milliseconds()).Err()
	return s.translate(ctx, "save", key, err)
}

// Delete removes all snapshots of an aggregate.
func (s *Store) Delete(ctx context.Context, aggregateID string) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	err := s.client.Del(ctx, s.key(aggregateID)).Err()
	return s.translate(ctx, "delete", snapshot.Key{AggregateID: aggregateID}, err)
}

// translate says what was asked of which key, and what may be acted on.
func (s *Store) translate(ctx context.Context, doing string, key snapshot.Key, err error) error {
	if err == nil {
		return nil
	}
	where := fmt.Sprintf("%s %q", doing, s.key(key.AggregateID))
	switch {
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("eventsource/redissnapshot: %s: %w: %w", where, ctx.Err(), err)
	case errors.Is(err, redis.ErrClosed):
		return fmt.Errorf("eventsource/redissnapshot: %s: client is closed: %w", where, err)
	case strings.Contains(err.Error(), "WRONGTYPE"): // also from within the script
		return fmt.Errorf("%w: %s: %w", ErrLayout, where, err)
	case redis.IsReadOnlyError(err):
		return fmt.Errorf("%w: %s: %w", ErrReadOnly, where, err)
	}
	return fmt.Errorf("eventsource/redissnapshot: %s: %w", where, err)
}
