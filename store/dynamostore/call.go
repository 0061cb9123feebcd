package dynamostore

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/eventsource-go/eventsource/internal/dynamo"
)

// attemptTimeout is how long an answer may take. Without it, a caller whose context
// has no end would keep others waiting for an answer that never comes.
const attemptTimeout = 10 * time.Second

// once is an option of the call. It makes the SDK try once.
func once(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// call makes a request that can be made any number of times.
func call[In, Out any](ctx context.Context, request func(context.Context, In, ...func(*dynamodb.Options)) (Out, error), input In) (Out, error) {
	return dynamo.Call(ctx, attemptTimeout, request, input)
}

// runQuery makes a query.
func (s *Store) runQuery(ctx context.Context, input *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	out, err := call(ctx, s.client.Query, input)
	if err == nil {
		s.server.hear(out.ResultMetadata)
	}
	return out, err
}
