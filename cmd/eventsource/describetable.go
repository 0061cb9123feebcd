package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// The values of --output.
const (
	asText = "text"
	asJSON = "json"
)

func newDescribeTableCommand() *cobra.Command {
	f := &tableFlags{}
	output := asText
	cmd := &cobra.Command{
		Use:   "describe-table",
		Short: "Show a table, and what is wrong with it",
		Long: `Shows a table: its settings, how far its events go, and what is not as stores
need it. Exit status 1 says that there are such problems, or no such table.`,
		Example: examples(
			"eventsource dynamodb describe-table --name orders",
			"eventsource dynamodb describe-table --name orders --output json",
		),
		Args: noArguments,
		RunE: action(func(cmd *cobra.Command) error {
			if output != asText && output != asJSON {
				return wrong("--output %q: it can be %s or %s", output, asText, asJSON)
			}
			return f.do(cmd, func(ctx context.Context, client *dynamodb.Client) error {
				d, err := dynamostore.DescribeTable(ctx, client, f.name)
				if err != nil {
					return err
				}
				return show(cmd.OutOrStdout(), output, client.Options().Region, d)
			})
		}),
	}
	f.add(cmd)
	cmd.Flags().StringVar(&output, "output", asText, "`form` of the output, "+asText+" or "+asJSON)
	complete(cmd, "output", []string{asText, asJSON})
	return cmd
}

// show prints a table. One with problems is an error, which counts them.
func show(w io.Writer, output, region string, d dynamostore.TableDescription) error {
	if output == asText {
		showText(w, region, d)
	} else if err := printJSON(w, newTableJSON(region, d)); err != nil {
		return err
	}
	if len(d.Problems) > 0 {
		return fmt.Errorf("table %q is not as stores need it: %s", d.Name, count(len(d.Problems), "problem"))
	}
	return nil
}

func showText(w io.Writer, region string, d dynamostore.TableDescription) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-24s"+format+"\n", append([]any{name}, args...)...)
	}
	line("table", "%s", d.Name)
	line("ARN", "%s", d.ARN)
	line("region", "%s", region)
	line("status", "%s", d.Status)
	line("created", "%s", d.Created.UTC().Format(time.RFC3339))
	line("billing", "%s", billing(d.Provisioned))
	line("point-in-time recovery", "%s", onOff(d.PointInTimeRecovery))
	line("deletion protection", "%s", onOff(&d.DeletionProtection))
	line("stream", "%s", orOff(string(d.Stream)))
	if d.StreamARN != "" {
		line("stream ARN", "%s", d.StreamARN)
	}
	line("size", "%s, %s, as of some hours ago", count(d.Items, "item"), count(d.Bytes, "byte"))
	if len(d.Problems) > 0 {
		line("problems", "%s", strings.Join(d.Problems, fmt.Sprintf("\n%24s", "")))
		return // nothing is known of the events
	}
	if d.Shards == 0 {
		line("shards", "none yet: the first save makes one, create-table as many as it is told")
	} else {
		line("shards", "%d", d.Shards)
	}
	line("last event", "%s", orNone(d.Head))
	line("event types", "%s", orNone(strings.Join(d.Types, ", ")))
	line("problems", "none")
}

// tableJSON is a table as JSON. Nothing is left out, so that readers find null
// where something is not known or not there.
type tableJSON struct {
	Name                string        `json:"name"`
	ARN                 string        `json:"arn"`
	Region              string        `json:"region"`
	Status              string        `json:"status"`
	Created             time.Time     `json:"created"`
	Billing             string        `json:"billing"`
	Capacity            *capacityJSON `json:"capacity"`
	PointInTimeRecovery *bool         `json:"pointInTimeRecovery"`
	DeletionProtection  bool          `json:"deletionProtection"`
	Stream              *string       `json:"stream"`
	StreamARN           *string       `json:"streamArn"`
	Items               int64         `json:"items"`
	Bytes               int64         `json:"bytes"`
	Shards              int           `json:"shards"`
	LastEvent           *string       `json:"lastEvent"`
	EventTypes          []string      `json:"eventTypes"`
	Problems            []string      `json:"problems"`
}

type capacityJSON struct {
	Read  int64 `json:"read"`
	Write int64 `json:"write"`
}

func newTableJSON(region string, d dynamostore.TableDescription) tableJSON {
	table := tableJSON{
		Name: d.Name, ARN: d.ARN, Region: region, Status: string(d.Status), Created: d.Created.UTC(), Billing: onDemand,
		PointInTimeRecovery: d.PointInTimeRecovery, DeletionProtection: d.DeletionProtection,
		Stream: orNull(string(d.Stream)), StreamARN: orNull(d.StreamARN),
		Items: d.Items, Bytes: d.Bytes,
		Shards: d.Shards, LastEvent: orNull(d.Head),
		EventTypes: append([]string{}, d.Types...), Problems: append([]string{}, d.Problems...),
	}
	if d.Provisioned != nil {
		table.Billing, table.Capacity = provisioned, &capacityJSON{Read: d.Provisioned.Read, Write: d.Provisioned.Write}
	}
	return table
}

func billing(capacity *dynamostore.Capacity) string {
	if capacity == nil {
		return onDemand
	}
	return fmt.Sprintf("%s, %d read and %d write units a second", provisioned, capacity.Read, capacity.Write)
}

// onOff is unknown for nil.
func onOff(on *bool) string {
	switch {
	case on == nil:
		return "unknown"
	case *on:
		return "on"
	}
	return "off"
}

func orOff(text string) string {
	if text == "" {
		return "off"
	}
	return text
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// count is a number of things.
func count[N int | int64](n N, thing string) string { return fmt.Sprint(n, " ", plural(n, thing)) }

func plural[N int | int64](n N, thing string) string {
	if n == 1 {
		return thing
	}
	return thing + "s"
}
