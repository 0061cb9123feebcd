package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/eventsource-go/eventsource/store/dynamostore"
)

func newDeleteTableCommand() *cobra.Command {
	f := &tableFlags{}
	var dropEvents bool
	cmd := &cobra.Command{
		Use:   "delete-table",
		Short: "Delete a table",
		Long: `Deletes a table and waits until it is gone. Unless --drop-events is given, a table
that holds events is refused, and so is one that is not for events, since it may
hold anything. DynamoDB refuses one with deletion protection.`,
		Example: examples(
			"eventsource dynamodb delete-table --name orders",
			"eventsource dynamodb delete-table --name orders --drop-events",
		),
		Args: noArguments,
		RunE: action(func(cmd *cobra.Command) error {
			return f.do(cmd, func(ctx context.Context, client *dynamodb.Client) error {
				if err := deleteTable(ctx, client, f.name, dropEvents); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "deleted %s\n", f.where(client))
				return nil
			})
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&dropEvents, "drop-events", false, "delete the table with all that it holds")
	return cmd
}

func deleteTable(ctx context.Context, client *dynamodb.Client, name string, dropEvents bool) error {
	var options []dynamostore.DeleteOption
	if dropEvents {
		options = append(options, dynamostore.WithDropEvents())
	}
	err := dynamostore.DeleteTable(ctx, client, name, options...)
	if !dropEvents && (errors.Is(err, dynamostore.ErrHasEvents) || errors.Is(err, dynamostore.ErrLayout)) {
		return fmt.Errorf("%w (--drop-events deletes it with all that it holds)", err)
	}
	return err
}
