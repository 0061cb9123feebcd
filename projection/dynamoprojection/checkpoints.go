// Package dynamoprojection keeps the checkpoints of projections in a table of Amazon
// DynamoDB, through the AWS SDK for Go v2.
//
// [CreateTable] makes the table; README.md in this folder has it for Terraform and
// CloudFormation as well, with the policies, the limits, the costs and the layout.
//
// It is no [projection.Transactor]: handlers get events at least once.
package dynamoprojection

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/dynamo"
	"github.com/eventsource-go/eventsource/projection"
)

// MaxRows is the most rows that one Update writes and removes, 100: DynamoDB's limit
// of a transaction.
const MaxRows = 100

// Checkpoints keeps checkpoints in a table of DynamoDB. It is safe for concurrent use,
// and needs no closing.
type Checkpoints struct {
	config
	client *dynamodb.Client
	table  string
	err    error
	lanes  sync.Map // from the key of a row, as text, to its *lane
}

var _ projection.Checkpoints = (*Checkpoints)(nil)

var errNoClient = fmt.Errorf("%w: client is nil", eventsource.ErrMisconfigured)

// NewCheckpoints returns checkpoints in a table, through the caller's client. The name
// may be the ARN of a table of another account. No request is made. A nil client, a
// name that no table can have, and options that cannot be make every method return
// [eventsource.ErrMisconfigured].
//
// What DynamoDB is too busy for, and writes that got into each other's way, are tried
// again until the context ends, a random time later. What fails otherwise is tried a
// few times, on top of what the client's retryer does. A write whose answer is lost
// is carried out once, although it is sent again.
func NewCheckpoints(client *dynamodb.Client, tableName string, opts ...Option) *Checkpoints {
	c := &Checkpoints{client: client, table: tableName, config: config{requestTimeout: DefaultRequestTimeout}}
	for _, opt := range opts {
		if opt != nil {
			opt(&c.config)
		}
	}
	c.err = c.check()
	if c.err == nil {
		c.err = dynamo.CheckTableName(tableName)
	}
	if c.err == nil && client == nil {
		c.err = errNoClient
	}
	return c
}

// Err returns what was wrong with the arguments of [NewCheckpoints], nil if nothing was.
func (c *Checkpoints) Err() error { return c.err }

func (c *Checkpoints) ready(ctx context.Context) error { return cmp.Or(c.err, ctx.Err()) }

// send makes a request that can be made any number of times.
func send[In, Out any](ctx context.Context, c *Checkpoints, request func(context.Context, In, ...func(*dynamodb.Options)) (Out, error), input In) (Out, error) {
	return dynamo.Call(ctx, c.requestTimeout, request, input)
}

// query calls each for what a query finds, until it returns false.
func (c *Checkpoints) query(ctx context.Context, input *dynamodb.QueryInput, each func(item) (more bool, err error)) error {
	input.TableName, input.ConsistentRead = &c.table, aws.Bool(true)
	for {
		page, err := send(ctx, c, c.client.Query, input)
		if err != nil {
			return err
		}
		for _, found := range page.Items {
			if more, err := each(found); err != nil || !more {
				return err
			}
		}
		if input.ExclusiveStartKey = page.LastEvaluatedKey; len(page.LastEvaluatedKey) == 0 {
			return nil
		}
	}
}

// inPartition is a query of all items of a partition.
func inPartition(partition string) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("#pk = :pk"),
		ExpressionAttributeNames:  map[string]string{"#pk": attrPK},
		ExpressionAttributeValues: item{":pk": text(partition)},
	}
}

// Names gives the names of all projections. It is one request, and one more for each
// name that there is or was.
func (c *Checkpoints) Names(ctx context.Context) ([]string, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	var names []string
	err := c.query(ctx, inPartition(namesPartition), func(found item) (bool, error) {
		names = append(names, textOf(found[attrSK]))
		return true, nil
	})
	has := make([]bool, len(names))
	if err == nil {
		err = dynamo.InParallel(len(names), func(i int) error {
			first := inPartition(rowsPartition(names[i]))
			first.Limit = aws.Int32(1)
			return c.query(ctx, first, func(item) (bool, error) {
				has[i] = true
				return false, nil
			})
		})
	}
	if err != nil {
		return nil, c.translate(ctx, "read the names of projections", err)
	}
	existing := names[:0]
	for i, name := range names {
		if has[i] {
			existing = append(existing, name)
		}
	}
	return existing, nil
}

// Load gives all rows of a projection.
func (c *Checkpoints) Load(ctx context.Context, name string) ([]projection.Row, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	var rows []projection.Row
	err := c.query(ctx, inPartition(rowsPartition(name)), func(found item) (bool, error) {
		row, err := parseRow(name, found)
		rows = append(rows, row)
		return true, err
	})
	if err != nil {
		return nil, c.translate(ctx, fmt.Sprintf("load projection %q", name), err)
	}
	slices.SortFunc(rows, func(a, b projection.Row) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Partition, b.Partition))
	})
	return rows, nil
}

// Update writes and removes rows, [MaxRows] at most, each once, and 4 MB together: more
// is [eventsource.ErrTooLarge].
func (c *Checkpoints) Update(ctx context.Context, put, remove []projection.Row) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	if len(put)+len(remove) == 0 {
		return nil
	}
	if err := checkRows(put, remove); err != nil {
		return err
	}
	err := c.addNames(ctx, put)
	if err == nil {
		err = c.update(ctx, put, remove)
	}
	return c.translate(ctx, "update rows", err)
}

func checkRows(put, remove []projection.Row) error {
	type place struct {
		name               string
		version, partition int
	}
	rows, size := slices.Concat(put, remove), 0
	if len(rows) > MaxRows {
		return fmt.Errorf("%w: %d rows of projections in one update, there can be %d", eventsource.ErrTooLarge, len(rows), MaxRows)
	}
	seen := make(map[place]bool, len(rows))
	for i := range rows {
		r := &rows[i]
		if err := checkName(r.Name); err != nil {
			return err
		}
		at := place{r.Name, r.Version, r.Partition}
		if seen[at] {
			return fmt.Errorf("%w: %s is twice in one update", eventsource.ErrMisconfigured, rowText(r.Name, r.Version, r.Partition))
		}
		seen[at] = true
		one := rowSize(r)
		if size += one; one > maxItemSize {
			return fmt.Errorf("%w: %s takes %d bytes, it can be %d", eventsource.ErrTooLarge, rowText(r.Name, r.Version, r.Partition), one, maxItemSize)
		}
	}
	if size > maxTransactionSize {
		return fmt.Errorf("%w: %d rows of projections take %d bytes in one update, it can be %d", eventsource.ErrTooLarge, len(rows), size, maxTransactionSize)
	}
	return nil
}

// addNames records the names of projections that get rows. It comes before the rows,
// so that no rows are without, and is no part of the transaction, which has no room
// to spare. A name whose rows did not come to be is no harm: Names looks for rows.
func (c *Checkpoints) addNames(ctx context.Context, put []projection.Row) error {
	names := make(map[string]struct{})
	for i := range put {
		if put[i].Revision == 0 {
			names[put[i].Name] = struct{}{}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		_, err := send(ctx, c, c.client.PutItem, &dynamodb.PutItemInput{TableName: &c.table, Item: key(namesPartition, name)})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Checkpoints) update(ctx context.Context, put, remove []projection.Row) error {
	id := rand.Text()
	items := make([]types.TransactWriteItem, 0, len(put)+len(remove))
	for i := range put {
		items = append(items, c.putRow(&put[i], id))
	}
	for i := range remove {
		items = append(items, c.removeRow(&remove[i]))
	}
	_, err := send(ctx, c, c.client.TransactWriteItems, &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: &id})
	failed := conditionsFailed(err)
	if len(failed) == 0 {
		return err
	}
	for _, f := range failed {
		// DynamoDB knows a transaction by its token when it comes again within ten
		// minutes, also when the rows have changed since. After that, its rows tell.
		if textOf(f.item[attrUpdateID]) == id {
			return nil
		}
	}
	return stale(slices.Concat(put, remove)[failed[0].at], failed[0].item)
}

func stale(row projection.Row, now item) error {
	what := rowText(row.Name, row.Version, row.Partition)
	if len(now) == 0 {
		return fmt.Errorf("%w: %s is gone, it was at revision %d", projection.ErrStale, what, row.Revision)
	}
	d := decoder{item: now}
	return fmt.Errorf("%w: %s is at revision %d, not %d", projection.ErrStale, what, d.number(attrRevision), row.Revision)
}

// putRow writes a row, and leaves what Advance has noted in it.
func (c *Checkpoints) putRow(row *projection.Row, id string) types.TransactWriteItem {
	condition, names, values := unchanged(row)
	var sets []string
	for name, value := range rowValues(row, id) {
		sets = append(sets, fmt.Sprintf("#%s = :%s", name, name))
		names["#"+name], values[":"+name] = name, value
	}
	slices.Sort(sets) // the same transaction has to be the same text
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &c.table, Key: rowKey(row.Name, row.Version, row.Partition),
		UpdateExpression: aws.String("SET " + strings.Join(sets, ", ")), ConditionExpression: &condition,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

func (c *Checkpoints) removeRow(row *projection.Row) types.TransactWriteItem {
	condition, names, values := unchanged(row)
	if len(values) == 0 {
		values = nil // DynamoDB takes no empty ones
	}
	return types.TransactWriteItem{Delete: &types.Delete{
		TableName: &c.table, Key: rowKey(row.Name, row.Version, row.Partition),
		ConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// unchanged is the condition that a row is at the revision that it carries.
func unchanged(row *projection.Row) (condition string, names map[string]string, values item) {
	if row.Revision == 0 {
		return "attribute_not_exists(#pk)", map[string]string{"#pk": attrPK}, item{}
	}
	return "#revision = :before", map[string]string{"#revision": attrRevision}, item{":before": number(row.Revision)}
}
