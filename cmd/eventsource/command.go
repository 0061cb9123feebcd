package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/eventsource-go/eventsource"
)

// run is the program: it gives the exit status. The AWS SDK reads the environment
// by itself, everything else through getenv.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, getenv func(string) string) int {
	out := &output{w: stdout}
	root := newCommand(out, stderr, getenv)
	root.SetArgs(append([]string{}, args...)) // with nil, cobra would take those of the process
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil && out.err != nil {
		err = &failure{fmt.Errorf("write the output: %w", out.err)}
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "eventsource: %s\n", message(err))
	if errors.As(err, new(*failure)) {
		return 1
	}
	fmt.Fprintf(stderr, "Try %s --help.\n", cmd.CommandPath())
	return 2
}

// newCommand is all commands. They share nothing with those of another call.
func newCommand(stdout, stderr io.Writer, getenv func(string) string) *cobra.Command {
	info, _ := debug.ReadBuildInfo()
	root := &cobra.Command{
		Use:   "eventsource",
		Short: "Make, check and delete the tables of an event store",
		Long: `Makes, checks and deletes what github.com/eventsource-go/eventsource keeps
events in: tables of DynamoDB and of PostgreSQL.

Exit status: 0 if all is well, 1 if something failed or a table is not as it
should be, 2 if the command line is wrong.`,
		Example: examples(
			"eventsource dynamodb create-table --name orders --region us-west-2",
			"eventsource dynamodb describe-table --name orders",
			"eventsource migrate up --dsn postgres://user:password@host/database",
		),
		Version:       version(info),
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true, // run says what is wrong
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(newDynamoDBCommand(), newMigrateCommand(getenv), newVersionCommand())
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			refuseAlone(cmd)
		}
	}
	return root
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), cmd.Root().Version)
			return nil
		},
	}
}

// version says what this program was built from, as far as Go has written that
// into it: info is nil if it has not.
func version(info *debug.BuildInfo) string {
	number, commit := "(unknown)", ""
	if info != nil && info.Main.Version != "" {
		number = info.Main.Version
	}
	if info != nil {
		for _, setting := range info.Settings {
			switch {
			case setting.Key == "vcs.revision":
				commit = ", commit " + setting.Value + commit
			case setting.Key == "vcs.modified" && setting.Value == "true":
				commit += ", modified"
			}
		}
	}
	return fmt.Sprintf("eventsource %s%s, %s %s/%s", number, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// examples are shown in the help, indented.
func examples(lines ...string) string {
	return strings.ReplaceAll("  "+strings.Join(lines, "\n  "), "  \n", "\n")
}

// newGroup is a command that does nothing but hold others.
func newGroup(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: use, Short: short, Long: long}
	group.AddCommand(commands...)
	return refuseAlone(group)
}

// refuseAlone makes a group of commands an error without one of them: cobra would
// show the help and report success, also for one that there is not.
func refuseAlone(group *cobra.Command) *cobra.Command {
	group.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return wrong("%s needs one of its commands: %s", cmd.CommandPath(), commandNames(cmd))
		}
		return knownCommand(cmd, args)
	}
	group.RunE = func(*cobra.Command, []string) error { return nil } // cobra asks Args only with it
	group.DisableFlagsInUseLine = true
	return group
}

// knownCommand refuses what is left of the command line when cobra has followed it
// to a group of commands.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return wrong("unknown command %q for %s: there are %s", args[0], cmd.CommandPath(), commandNames(cmd))
}

func commandNames(group *cobra.Command) string {
	var names []string
	for _, cmd := range group.Commands() {
		if cmd.IsAvailableCommand() {
			names = append(names, cmd.Name())
		}
	}
	return strings.Join(names, ", ")
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return wrong("unexpected argument %q", args[0])
	}
	return nil
}

// require marks flags that cobra has to insist on.
func require(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		_ = cmd.MarkFlagRequired(name) // fails for a flag that is not defined
	}
}

// complete lets shells complete a flag's values.
func complete(cmd *cobra.Command, flag string, values []string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// action is what a command does when its flags have been read. What fails in it is
// a failure, unless it is that the command line is wrong.
func action(do func(cmd *cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		if err := checkNotEmpty(cmd.Flags()); err != nil {
			return err
		}
		err := do(cmd)
		switch {
		case err == nil || errors.Is(err, eventsource.ErrMisconfigured):
			return err
		case cmd.Context().Err() != nil:
			err = fmt.Errorf("interrupted: %w", err)
		}
		return &failure{err}
	}
}

// checkNotEmpty refuses flags that were given without a value, as with
// --endpoint "$ENDPOINT" where there is no such variable. Without the flag, the
// command would work on something else.
func checkNotEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(flag *pflag.Flag) {
		if err == nil && flag.Value.Type() == "string" && flag.Value.String() == "" {
			err = wrong("--%s is empty", flag.Name)
		}
	})
	return err
}

// wrong is an error of the command line. It is that of the packages for arguments
// that cannot be.
func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", eventsource.ErrMisconfigured, fmt.Errorf(format, args...))
}

// failure is an error that is not the command line's.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// message is what is said of an error: without the names of packages, which are
// for programmers, and without passwords.
func message(err error) string {
	text := err.Error()
	for _, prefix := range []string{eventsource.ErrMisconfigured.Error() + ": ", "eventsource/dynamostore: ", "eventsource/dynamoprojection: ", "eventsource/migrations: "} {
		text = strings.ReplaceAll(text, prefix, "")
	}
	return mask(strings.TrimSpace(text))
}

// output keeps the first error of writing, so that a full disk does not look like
// success.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}
