// Command eventsource makes, checks and deletes what this module's stores keep
// their events in: tables of DynamoDB and of PostgreSQL.
//
//	go run github.com/eventsource-go/eventsource/cmd/eventsource@latest help
//
//	eventsource dynamodb create-table --name orders --region us-west-2 --shards 4
//	eventsource dynamodb create-table --name projections --projections
//	eventsource dynamodb describe-table --name orders
//	eventsource dynamodb delete-table --name orders
//	eventsource migrate up --dsn postgres://user:password@host/database
//	eventsource migrate status
//	eventsource migrate down
//	eventsource completion bash
//
// Each of them has --help. The exit status is 0 if all is well, 1 if something
// failed or a table is not as it should be, and 2 if the command line is wrong.
//
// # DynamoDB
//
// Region, credentials and endpoint come from where the AWS command line has them
// from: flags, the environment (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL_DYNAMODB
// and so on), the files in ~/.aws, the role of the machine. Two things are easier
// than that, for DynamoDB Local and its like:
//
//   - With an endpoint and no region, the region is us-east-1.
//   - With an endpoint on this machine (localhost, 127.0.0.1, ::1) and no
//     credentials other than the machine's role may give, the access key and the
//     secret key are "local". Credentials that are there are used. Without its
//     option -sharedDb, DynamoDB Local keeps the tables of different access keys
//     and regions apart: give this command those of the application then.
//
// # PostgreSQL
//
// The database is the URL in --dsn, or in the environment variable DATABASE_URL. A
// password in it is shown nowhere; in the environment, other users of the machine
// do not see it either.
//
// # Why cobra
//
// The command line is read by cobra (https://github.com/spf13/cobra), because
// kubectl, gh, hugo and most Go tools use it: subcommands, help and completions
// come for free, and behave as people know them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv))
}
