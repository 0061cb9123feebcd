package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/spf13/cobra"

	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// The values of --billing.
const (
	onDemand    = "on-demand"
	provisioned = "provisioned"
)

// createTableFlags say what table to make.
type createTableFlags struct {
	tableFlags
	billing                            string
	read, write                        int64
	shards                             int
	pointInTimeRecovery, deletionGuard bool
	stream                             string
	tags                               []string
	projections                        bool
	dryRun                             bool
}

func newCreateTableCommand() *cobra.Command {
	f := &createTableFlags{}
	cmd := &cobra.Command{
		Use:   "create-table",
		Short: "Make a table for events or for projections, or see that there is one",
		Long: `Makes a table for events and waits until it can be used.

A table that is there already is kept, and that is no failure if it has the right
keys and indexes and as many shards. If another tool has made it, from the request
that --dry-run prints for instance, the heads of its shards are added. Of the
options, only point-in-time recovery is switched on where it is off.

With --projections it is a table for the checkpoints of projections instead, of
package projection/dynamoprojection. Any number of them share one.`,
		Example: examples(
			"eventsource dynamodb create-table --name orders --region us-west-2",
			"eventsource dynamodb create-table --name orders --shards 4 --point-in-time-recovery --deletion-protection --tag team=shop",
			"eventsource dynamodb create-table --name orders --billing provisioned --read-capacity 20 --write-capacity 10",
			"eventsource dynamodb create-table --name orders --endpoint http://localhost:8000",
			"eventsource dynamodb create-table --name projections --projections",
			"",
			"# with other tools",
			"eventsource dynamodb create-table --name orders --dry-run > table.json",
			"aws dynamodb create-table --cli-input-json file://table.json",
		),
		Args: noArguments,
		RunE: action(f.run),
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.billing, "billing", onDemand, "`mode` of billing, "+onDemand+" or "+provisioned)
	flags.Int64Var(&f.read, "read-capacity", 0, "provisioned read capacity, in `units` a second, of the table and of each index")
	flags.Int64Var(&f.write, "write-capacity", 0, "provisioned write capacity, in `units` a second, of the table and of each index")
	flags.IntVar(&f.shards, "shards", 1, fmt.Sprintf("`number` of chains of events, up to %d, which take saves independently. It cannot be changed later", dynamostore.MaxShards))
	flags.BoolVar(&f.pointInTimeRecovery, "point-in-time-recovery", false, "switch continuous backups on")
	flags.BoolVar(&f.deletionGuard, "deletion-protection", false, "have DynamoDB refuse to delete the table")
	flags.StringVar(&f.stream, "stream", "", "switch the table's stream on; its `view` is one of "+strings.Join(streamViews(), ", ")+".\n"+
		"Events never change, so "+string(types.StreamViewTypeNewImage)+" shows all")
	flags.StringArrayVar(&f.tags, "tag", nil, "tag of the table, as `key=value`; may be repeated")
	flags.BoolVar(&f.projections, "projections", false, "make a table for the checkpoints of projections")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the request as JSON, make none")
	complete(cmd, "billing", []string{onDemand, provisioned})
	complete(cmd, "stream", streamViews())
	return cmd
}

func streamViews() []string {
	var views []string
	for _, view := range types.StreamViewType("").Values() {
		views = append(views, string(view))
	}
	return views
}

func (f *createTableFlags) run(cmd *cobra.Command) error {
	options, err := f.options(cmd.Flags().Changed)
	if err != nil {
		return err
	}
	if f.projections {
		return f.runProjections(cmd, options)
	}
	input, err := dynamostore.NewCreateTableInput(f.name, options)
	if err != nil {
		return err
	}
	if f.dryRun {
		if err := f.check(); err != nil {
			return err
		}
		return dryRun(cmd, input, options)
	}
	return f.do(cmd, func(ctx context.Context, client *dynamodb.Client) error {
		return f.create(ctx, client, options, cmd.OutOrStdout(), cmd.ErrOrStderr())
	})
}

// runProjections makes the table of projections.
func (f *createTableFlags) runProjections(cmd *cobra.Command, flags dynamostore.TableOptions) error {
	for _, flag := range []string{"shards", "stream"} {
		if cmd.Flags().Changed(flag) {
			return wrong("--%s is for tables of events, and not for --projections", flag)
		}
	}
	options := dynamoprojection.TableOptions{
		Provisioned:         (*dynamoprojection.Capacity)(flags.Provisioned),
		PointInTimeRecovery: flags.PointInTimeRecovery,
		DeletionProtection:  flags.DeletionProtection,
		Tags:                flags.Tags,
	}
	input, err := dynamoprojection.NewCreateTableInput(f.name, options)
	if err != nil {
		return err
	}
	if f.dryRun {
		if err := f.check(); err != nil {
			return err
		}
		return dryRunProjections(cmd, input, options)
	}
	return f.do(cmd, func(ctx context.Context, client *dynamodb.Client) error {
		return f.createProjections(ctx, client, options, cmd.OutOrStdout())
	})
}

// createProjections makes the table, and says whether it was there before.
func (f *createTableFlags) createProjections(ctx context.Context, client *dynamodb.Client, options dynamoprojection.TableOptions, stdout io.Writer) error {
	before := dynamoprojection.CheckTable(ctx, client, f.name)
	if before != nil && !errors.Is(before, dynamoprojection.ErrNoTable) {
		return before
	}
	if err := dynamoprojection.CreateTable(ctx, client, f.name, options); err != nil {
		return err
	}
	if before == nil {
		fmt.Fprintf(stdout, "%s is there already and fits; its settings are left as they are\n", f.where(client))
	} else {
		fmt.Fprintf(stdout, "created %s, for projections\n", f.where(client))
	}
	return nil
}

// options are those of the table. Refused is what only this command can know to be
// wrong; the rest is left to the package. given reports whether there is a flag.
func (f *createTableFlags) options(given func(flag string) bool) (dynamostore.TableOptions, error) {
	options := dynamostore.TableOptions{
		Shards:              f.shards,
		PointInTimeRecovery: f.pointInTimeRecovery,
		DeletionProtection:  f.deletionGuard,
		Stream:              types.StreamViewType(f.stream),
		Tags:                make(map[string]string, len(f.tags)),
	}
	if f.shards < 1 { // 0 would be the default
		return options, wrong("--shards %d: there can be 1 to %d", f.shards, dynamostore.MaxShards)
	}
	switch f.billing {
	case onDemand:
		if given("read-capacity") || given("write-capacity") {
			return options, wrong("--read-capacity and --write-capacity need --billing %s", provisioned)
		}
	case provisioned:
		if !given("read-capacity") || !given("write-capacity") {
			return options, wrong("--billing %s needs --read-capacity and --write-capacity", provisioned)
		}
		options.Provisioned = &dynamostore.Capacity{Read: f.read, Write: f.write}
	default:
		return options, wrong("--billing %q: it can be %s or %s", f.billing, onDemand, provisioned)
	}
	for _, tag := range f.tags {
		key, value, ok := strings.Cut(tag, "=")
		if !ok || key == "" {
			return options, wrong("--tag %q: it has to be key=value", tag)
		}
		if _, twice := options.Tags[key]; twice {
			return options, wrong("--tag %q: there is another value for %s", tag, key)
		}
		options.Tags[key] = value
	}
	return options, nil
}

// create makes the table, and says whether it was there before.
func (f *createTableFlags) create(ctx context.Context, client *dynamodb.Client, options dynamostore.TableOptions, stdout, stderr io.Writer) error {
	before, err := dynamostore.DescribeTable(ctx, client, f.name)
	existed := err == nil
	if err != nil && !errors.Is(err, dynamostore.ErrNoTable) {
		return err
	}
	if err := dynamostore.CreateTable(ctx, client, f.name, options); err != nil {
		return err
	}
	switch {
	case !existed:
		fmt.Fprintf(stdout, "created %s, with %s\n", f.where(client), count(options.Shards, "shard"))
		return nil
	case before.Shards == 0:
		fmt.Fprintf(stdout, "%s was there already, without shards; it has %s now\n", f.where(client), count(options.Shards, "shard"))
	default:
		fmt.Fprintf(stdout, "%s is there already and fits: it has %s\n", f.where(client), count(before.Shards, "shard"))
	}
	for _, note := range differences(options, before) {
		fmt.Fprintf(stderr, "note: left as it is: %s\n", note)
	}
	return nil
}

// differences say what an existing table has that was asked to be different, and
// that stores do without.
func differences(wanted dynamostore.TableOptions, found dynamostore.TableDescription) []string {
	var notes []string
	if is, should := billing(found.Provisioned), billing(wanted.Provisioned); is != should {
		notes = append(notes, fmt.Sprintf("billing is %s, not %s", is, should))
	}
	if wanted.DeletionProtection && !found.DeletionProtection {
		notes = append(notes, "deletion protection is off")
	}
	if wanted.Stream != "" && wanted.Stream != found.Stream {
		notes = append(notes, fmt.Sprintf("the stream is %s, not %s", orOff(string(found.Stream)), wanted.Stream))
	}
	if len(wanted.Tags) > 0 {
		notes = append(notes, "its tags, whatever they are")
	}
	return notes
}

// dryRun prints the request, and says what else CreateTable would do.
func dryRun(cmd *cobra.Command, input *dynamodb.CreateTableInput, options dynamostore.TableOptions) error {
	stderr := cmd.ErrOrStderr()
	fmt.Fprintln(stderr, "dry run: no request was made. After this one:")
	fmt.Fprintln(stderr, "- wait until the table and its indexes are active")
	fmt.Fprintf(stderr, "- write the %s of %s into the table\n", plural(options.Shards, "head"), count(options.Shards, "shard"))
	if options.PointInTimeRecovery {
		fmt.Fprintln(stderr, "- switch point-in-time recovery on, with UpdateContinuousBackups")
	}
	if options.Shards > 1 {
		fmt.Fprintln(stderr, "If another tool makes the table, call this command again before the first save, without --dry-run:")
		fmt.Fprintln(stderr, "it writes the heads. Without them, the table gets one shard.")
	}
	return printJSON(cmd.OutOrStdout(), request(reflect.ValueOf(input)))
}

// dryRunProjections does the same for a table of projections.
func dryRunProjections(cmd *cobra.Command, input *dynamodb.CreateTableInput, options dynamoprojection.TableOptions) error {
	stderr := cmd.ErrOrStderr()
	fmt.Fprintln(stderr, "dry run: no request was made. After this one:")
	fmt.Fprintln(stderr, "- wait until the table is active")
	if options.PointInTimeRecovery {
		fmt.Fprintln(stderr, "- switch point-in-time recovery on, with UpdateContinuousBackups")
	}
	return printJSON(cmd.OutOrStdout(), request(reflect.ValueOf(input)))
}

// request is what of a request of the SDK is sent, under the names of the API,
// which are those of Go. What is not set has no place in it.
func request(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return request(v.Elem())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = request(v.Index(i))
		}
		return list
	case reflect.Struct:
		fields := make(map[string]any)
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && !v.Field(i).IsZero() {
				fields[field.Name] = request(v.Field(i))
			}
		}
		return fields
	default:
		return v.Interface()
	}
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
