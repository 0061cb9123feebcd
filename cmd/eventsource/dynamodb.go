package main

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"
	"github.com/spf13/cobra"
)

// What is used with an endpoint where nothing else is said.
const (
	endpointRegion = "us-east-1"
	localKey       = "local" // letters and digits: DynamoDB Local takes no other
)

func newDynamoDBCommand() *cobra.Command {
	return newGroup("dynamodb", "Make, describe and delete tables of DynamoDB",
		`Makes, describes and deletes tables of DynamoDB, for package store/dynamostore.
Makes them for package projection/dynamoprojection as well.

Region, credentials and endpoint come from where the AWS command line has them
from, if no flag says otherwise.`,
		newCreateTableCommand(), newDescribeTableCommand(), newDeleteTableCommand())
}

// tableFlags say which table of which DynamoDB is meant.
type tableFlags struct {
	name, region, endpoint, profile string
	timeout                         time.Duration
}

func (f *tableFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "`name` of the table (required)")
	flags.StringVar(&f.region, "region", "", "AWS `region`, if not that of AWS_REGION or the profile")
	flags.StringVar(&f.endpoint, "endpoint", "", "`URL` of another DynamoDB, such as http://localhost:8000. Its region is "+endpointRegion+
		" unless there is another;\non this machine, it needs no credentials")
	flags.StringVar(&f.profile, "profile", "", "`profile` of the AWS configuration, if not that of AWS_PROFILE")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Minute, "give up after this `time`")
	require(cmd, "name")
}

func (f *tableFlags) check() error {
	if f.timeout <= 0 {
		return wrong("--timeout %v: it has to be more than nothing", f.timeout)
	}
	if f.endpoint == "" {
		return nil
	}
	if u, err := url.Parse(f.endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return wrong("--endpoint %q: it has to be a URL such as http://localhost:8000", f.endpoint)
	}
	return nil
}

// do calls what works on the table, for as long as it may.
func (f *tableFlags) do(cmd *cobra.Command, work func(ctx context.Context, client *dynamodb.Client) error) error {
	if err := f.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	client, err := f.client(ctx)
	if err == nil {
		err = work(ctx, client)
	}
	if err != nil && ctx.Err() != nil && cmd.Context().Err() == nil {
		return fmt.Errorf("not done within --timeout %v: %w", f.timeout, err)
	}
	return err
}

// client is a client as the flags and the AWS configuration say.
func (f *tableFlags) client(ctx context.Context) (*dynamodb.Client, error) {
	// The SDK's warnings would be mixed into the output: what fails is an error anyway,
	// and most are about DynamoDB Local not sending checksums.
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})}
	if f.region != "" {
		options = append(options, config.WithRegion(f.region))
	}
	if f.profile != "" {
		options = append(options, config.WithSharedConfigProfile(f.profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	client := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		if f.endpoint != "" {
			o.BaseEndpoint = &f.endpoint
		}
		if o.BaseEndpoint == nil { // the environment may have one as well
			return
		}
		if o.Region == "" {
			o.Region = endpointRegion
		}
		// The machine's role is what the SDK asks for when there is nothing else. To
		// ask takes seconds where there is none.
		if onThisMachine(*o.BaseEndpoint) && aws.IsCredentialsProvider(cfg.Credentials, (*ec2rolecreds.Provider)(nil)) {
			o.Credentials = credentials.NewStaticCredentialsProvider(localKey, localKey, "")
		}
	})
	if client.Options().Region == "" {
		return nil, wrong("there is no region: give --region, or set AWS_REGION or AWS_PROFILE")
	}
	return client, nil
}

// onThisMachine reports whether the endpoint is one of the loopback interface.
func onThisMachine(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	if host := strings.ToLower(u.Hostname()); host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(u.Hostname())
	return err == nil && address.Unmap().IsLoopback()
}

// where names the table and where it is.
func (f *tableFlags) where(client *dynamodb.Client) string {
	o := client.Options()
	text := fmt.Sprintf("table %s in region %s", f.name, o.Region)
	if o.BaseEndpoint != nil {
		text += " at " + mask(*o.BaseEndpoint)
	}
	return text
}
