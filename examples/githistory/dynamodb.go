package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

const (
	dynamoDBScheme = "dynamodb://"
	// answerWithin bounds the first question to DynamoDB, and createWithin how long
	// a new table may take, which on AWS is about half a minute.
	answerWithin = 10 * time.Second
	createWithin = 5 * time.Minute
)

func isDynamoDBURL(name string) bool { return strings.HasPrefix(name, dynamoDBScheme) }

// dynamoDB is a table, and where it is: what its URL says.
type dynamoDB struct {
	table                     string
	endpoint, region, profile string // "" where the AWS configuration decides
	shards                    int    // 0 if any number will do
}

// parseDynamoDBURL reads dynamodb://TABLE?endpoint=URL&region=R&profile=P&shards=N.
func parseDynamoDBURL(raw string) (dynamoDB, error) {
	var d dynamoDB
	u, err := url.Parse(raw)
	if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
		err = urlErr.Err // without the URL: it may hold what is secret
	}
	switch {
	case err != nil:
		return d, err
	case u.User != nil:
		return d, errors.New("credentials do not belong in the URL: use a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	case u.Path != "" || u.Fragment != "":
		return d, errors.New("after the table's name only parameters can follow")
	}
	parameters, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return d, err
	}
	d.table = u.Host
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if err := d.set(name, parameters[name]); err != nil {
			return d, err
		}
	}
	// The request is not made. It shows whether there can be such a table.
	_, err = dynamostore.NewCreateTableInput(d.table, dynamostore.TableOptions{Shards: d.shards})
	return d, err
}

func (d *dynamoDB) set(name string, values []string) (err error) {
	value := values[0]
	switch name {
	case "endpoint":
		if d.endpoint = value; !isEndpoint(value) {
			err = errors.New("it has to be a URL such as http://127.0.0.1:8000")
		}
	case "region":
		d.region = value
	case "profile":
		d.profile = value
	case "shards":
		if d.shards, err = strconv.Atoi(value); err != nil || d.shards < 1 {
			err = errors.New("it has to be a number from 1")
		}
	default:
		return fmt.Errorf("unknown parameter %q: there are endpoint, region, profile and shards", name)
	}
	if len(values) > 1 {
		err = errors.New("it is there more than once")
	}
	if err != nil {
		return fmt.Errorf("parameter %s=%s: %w", name, value, err)
	}
	return nil
}

func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// isLocal reports whether the endpoint is on this machine, as DynamoDB Local is.
func (d *dynamoDB) isLocal() bool {
	u, err := url.Parse(d.endpoint)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// openDynamoDB makes the table if it is not there, and gives a store on it.
func openDynamoDB(ctx context.Context, rawURL string) (eventsource.Store, error) {
	d, err := parseDynamoDBURL(rawURL)
	if err != nil {
		return nil, err
	}
	client, err := d.client(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.create(ctx, client, answerWithin); err != nil {
		return nil, err
	}
	return dynamostore.New(client, d.table), nil
}

// client gives a client as the AWS configuration has it: environment, profile, or
// the machine's role. An endpoint on this machine needs none of these.
func (d *dynamoDB) client(ctx context.Context) (*dynamodb.Client, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRegion(d.region), config.WithSharedConfigProfile(d.profile),
		config.WithLogger(logging.Nop{}), // it warns of checksums that DynamoDB Local gets wrong; errors are returned
	}
	if d.isLocal() {
		options = append(options, config.WithEC2IMDSClientEnableState(imds.ClientDisabled)) // its role is not meant, and asking takes long
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	if d.isLocal() {
		if c.Region == "" {
			c.Region = "us-east-1"
		}
		if _, err := c.Credentials.Retrieve(ctx); err != nil && d.profile == "" {
			c.Credentials = credentials.NewStaticCredentialsProvider("local", "local", "")
		}
	}
	if c.Region == "" {
		return nil, errors.New("there is no region: add ?region= to the URL, or set AWS_REGION")
	}
	return dynamodb.NewFromConfig(c, func(o *dynamodb.Options) {
		if d.endpoint != "" {
			o.BaseEndpoint = aws.String(d.endpoint)
		}
	}), nil
}

// create makes the table, or sees to it that the one that is there fits.
func (d *dynamoDB) create(ctx context.Context, client *dynamodb.Client, answerWithin time.Duration) error {
	shards := d.shards
	there, err := d.describe(ctx, client, answerWithin)
	switch {
	case errors.Is(err, dynamostore.ErrNoTable):
	case err != nil:
		return err
	case shards == 0:
		shards = there.Shards
	}
	ctx, cancel := context.WithTimeout(ctx, createWithin)
	defer cancel()
	return dynamostore.CreateTable(ctx, client, d.table, dynamostore.TableOptions{Shards: shards})
}

// describe looks at the table. It is the first to hear when nobody answers.
func (d *dynamoDB) describe(ctx context.Context, client *dynamodb.Client, within time.Duration) (dynamostore.TableDescription, error) {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	there, err := dynamostore.DescribeTable(bounded, client, d.table)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return there, fmt.Errorf("no answer within %v: check endpoint, region and network: %w", within, err)
	}
	return there, err
}
