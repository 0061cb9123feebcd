// Package dynamosnapshot keeps snapshots in a table of Amazon DynamoDB, through the AWS
// SDK for Go v2. The events may be anywhere.
//
//	snapshots := snapshot.New(dynamosnapshot.New(client, "snapshots"), snapshot.Every(100))
//
// [CreateTable] makes the table; README.md in this folder has it for Terraform and
// CloudFormation as well, with the policies, the limits, the costs and the layout.
package dynamosnapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
	"github.com/eventsource-go/eventsource/snapshot"
)

const (
	// DefaultRequestTimeout is how long an answer of DynamoDB may take.
	DefaultRequestTimeout = 10 * time.Second
	// MaxItemSize is the most bytes that a snapshot may have, with its aggregate's ID,
	// its type and 200 bytes for the rest: DynamoDB's limit of an item, 400 KB.
	MaxItemSize = 400 << 10
)

// Attributes of an item. README.md explains the layout.
const (
	attrPK         = "pk" // the aggregate's ID
	attrSK         = "sk" // the type and the schema version
	attrVersion    = "version"
	attrSequenceID = "sequence_id"
	attrState      = "state"
	itemReserve    = 200 // more than the names, numbers and the sequence ID take
)

// Option is an option of [New].
type Option func(*Store)

// WithRequestTimeout sets how long an answer of DynamoDB may take, together with what
// the client's retryer does, until the request is made again; that of package snapshot
// bounds them all. Defaults to [DefaultRequestTimeout].
func WithRequestTimeout(timeout time.Duration) Option {
	return func(s *Store) { s.requestTimeout = timeout }
}

// Store keeps snapshots in a table of DynamoDB. It is safe for concurrent use, and needs
// no closing.
type Store struct {
	client         *dynamodb.Client
	table          string
	requestTimeout time.Duration
	err            error
}

var _ snapshot.Store = (*Store)(nil)

var errNoClient = fmt.Errorf("%w: dynamosnapshot: client is nil", eventsource.ErrMisconfigured)

// New returns a store in a table, through the caller's client. The name may be the ARN
// of a table of another account. No request is made. A nil client, a name that no table
// can have, and options that cannot be make every method return
// [eventsource.ErrMisconfigured].
//
// What DynamoDB is too busy for is tried again until the context ends.
func New(client *dynamodb.Client, tableName string, opts ...Option) *Store {
	s := &Store{client: client, table: tableName, requestTimeout: DefaultRequestTimeout}
	for _, opt := range opts {
		if opt != nil {
			opt(s)
		}
	}
	s.err = dynamo.CheckTableName(tableName)
	if client == nil {
		s.err = cmp.Or(s.err, errNoClient)
	}
	if s.requestTimeout <= 0 {
		s.err = cmp.Or(s.err, fmt.Errorf("%w: dynamosnapshot: request timeout is %v, which is not positive", eventsource.ErrMisconfigured, s.requestTimeout))
	}
	return s
}

// Err returns what was wrong with the arguments of [New], nil if nothing was.
func (s *Store) Err() error { return s.err }

func (s *Store) ready(ctx context.Context) error { return cmp.Or(s.err, ctx.Err()) }

// send makes a request that can be made any number of times.
func send[In, Out any](ctx context.Context, s *Store, request func(context.Context, In, ...func(*dynamodb.Options)) (Out, error), input In) (Out, error) {
	return dynamo.Call(ctx, s.requestTimeout, request, input)
}

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func itemKey(key snapshot.Key) item {
	return item{attrPK: text(key.AggregateID), attrSK: text(key.Type + "/" + strconv.Itoa(key.SchemaVersion))}
}

// Load returns a snapshot, nil if there is none. It is one request, a consistent read.
func (s *Store) Load(ctx context.Context, key snapshot.Key) (*eventsource.Snapshot, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	doing := fmt.Sprintf("load the snapshot of %q", key.AggregateID)
	out, err := send(ctx, s, s.client.GetItem, &dynamodb.GetItemInput{TableName: &s.table, Key: itemKey(key), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, s.translate(ctx, doing, err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	found, err := parse(key, out.Item)
	return found, s.translate(ctx, doing, err)
}

func parse(key snapshot.Key, found item) (*eventsource.Snapshot, error) {
	number, isNumber := found[attrVersion].(*types.AttributeValueMemberN)
	sequenceID, isText := found[attrSequenceID].(*types.AttributeValueMemberS)
	state, isBinary := found[attrState].(*types.AttributeValueMemberB)
	if !isNumber || !isText || !isBinary {
		return nil, fmt.Errorf("%w: item %q has %s %T, %s %T, %s %T", ErrLayout, key.AggregateID,
			attrVersion, found[attrVersion], attrSequenceID, found[attrSequenceID], attrState, found[attrState])
	}
	version, err := strconv.Atoi(number.Value)
	if err != nil {
		return nil, fmt.Errorf("%w: item %q has the version %q", ErrLayout, key.AggregateID, number.Value)
	}
	return &eventsource.Snapshot{
		AggregateID: key.AggregateID, Type: key.Type, SchemaVersion: key.SchemaVersion,
		Version: version, SequenceID: sequenceID.Value, State: state.Value,
	}, nil
}

// Save keeps a snapshot, unless there is a newer one. It is one request.
func (s *Store) Save(ctx context.Context, snap eventsource.Snapshot) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if size := itemReserve + len(snap.AggregateID) + len(snap.Type) + len(snap.State); size > MaxItemSize {
		return &eventsource.TooLargeError{AggregateID: snap.AggregateID, Type: snap.Type, Size: size, Limit: MaxItemSize}
	}
	values := itemKey(snapshot.KeyOf(&snap))
	values[attrVersion] = &types.AttributeValueMemberN{Value: strconv.Itoa(snap.Version)}
	values[attrSequenceID] = text(snap.SequenceID)
	values[attrState] = &types.AttributeValueMemberB{Value: append([]byte{}, snap.State...)}
	_, err := send(ctx, s, s.client.PutItem, &dynamodb.PutItemInput{
		TableName: &s.table, Item: values,
		ConditionExpression:       aws.String("attribute_not_exists(#pk) OR #at <= :at"),
		ExpressionAttributeNames:  map[string]string{"#pk": attrPK, "#at": attrSequenceID},
		ExpressionAttributeValues: item{":at": text(snap.SequenceID)},
	})
	if newer := new(types.ConditionalCheckFailedException); errors.As(err, &newer) {
		return nil
	}
	return s.translate(ctx, fmt.Sprintf("save a snapshot of %q", snap.AggregateID), err)
}

// Delete removes all snapshots of an aggregate. It is a request for each, and one to find
// them.
func (s *Store) Delete(ctx context.Context, aggregateID string) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.translate(ctx, fmt.Sprintf("delete the snapshots of %q", aggregateID), s.delete(ctx, aggregateID))
}

func (s *Store) delete(ctx context.Context, aggregateID string) error {
	query := &dynamodb.QueryInput{
		TableName: &s.table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("#pk = :pk"),
		ProjectionExpression:      aws.String("#pk, #sk"),
		ExpressionAttributeNames:  map[string]string{"#pk": attrPK, "#sk": attrSK},
		ExpressionAttributeValues: item{":pk": text(aggregateID)},
	}
	for {
		page, err := send(ctx, s, s.client.Query, query)
		if err != nil {
			return err
		}
		err = dynamo.InParallel(len(page.Items), func(i int) error {
			_, err := send(ctx, s, s.client.DeleteItem, &dynamodb.DeleteItemInput{TableName: &s.table, Key: page.Items[i]})
			return err
		})
		if err != nil {
			return err
		}
		if query.ExclusiveStartKey = page.LastEvaluatedKey; len(page.LastEvaluatedKey) == 0 {
			return nil
		}
	}
}
