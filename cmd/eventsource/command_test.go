package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// result is what a run of the program came to.
type result struct {
	code           int
	stdout, stderr string
}

// runMain runs the program without environment variables, but for those that the
// AWS SDK reads.
func runMain(t testing.TB, args ...string) result {
	t.Helper()
	return runWith(t.Context(), nil, args...)
}

func runWith(ctx context.Context, env map[string]string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, &stdout, &stderr, func(name string) string { return env[name] })
	return result{code, stdout.String(), stderr.String()}
}

// want checks the exit status and that the output has these parts, in any order.
// Errors are said once, and only with a status that is not 0.
func (r result) want(t testing.TB, code int, parts ...string) {
	t.Helper()
	var wrong []string
	if r.code != code {
		wrong = append(wrong, fmt.Sprintf("the status is not %d", code))
	}
	for _, part := range parts {
		if !strings.Contains(r.stdout+r.stderr, part) {
			wrong = append(wrong, fmt.Sprintf("there is no %q", part))
		}
	}
	if shown := strings.Count("\n"+r.stderr, "\neventsource: "); shown != min(r.code, 1) {
		wrong = append(wrong, fmt.Sprintf("%d errors are shown", shown))
	}
	if strings.Contains(r.stderr, "Usage:") {
		wrong = append(wrong, "the usage is shown with an error")
	}
	if len(wrong) > 0 {
		t.Errorf("%s: status %d, stdout:\n%s\nstderr:\n%s", strings.Join(wrong, ", "), r.code, r.stdout, r.stderr)
	}
}

func TestHelpIsShownWithoutArguments(t *testing.T) {
	for _, args := range []string{"", "help", "--help", "-h"} {
		r := runMain(t, strings.Fields(args)...)
		r.want(t, 0, "eventsource dynamodb create-table --name orders", "Exit status: 0", "migrate", "completion")
		if r.stderr != "" {
			t.Errorf("%q: stderr %q", args, r.stderr)
		}
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		r := runMain(t, append(path, "--help")...)
		r.want(t, 0, "Usage:\n  "+cmd.CommandPath())
		if cmd.Short == "" || cmd.Args == nil || cmd.RunE == nil {
			t.Errorf("%s: no short text, or it takes any arguments, or does nothing", cmd.CommandPath())
		}
		if ours := !cmd.HasSubCommands() && cmd.Name() != "version" && cmd.Parent().Name() != "completion"; ours && !strings.Contains(r.stdout, "\n  "+cmd.CommandPath()+" --") {
			t.Errorf("%s: no example in\n%s", cmd.CommandPath(), r.stdout)
		}
		for line := range strings.Lines(r.stdout) {
			if strings.TrimRight(line, " \n")+"\n" != line {
				t.Errorf("%s: blanks at the end of %q", cmd.CommandPath(), line)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newCommand(new(bytes.Buffer), new(bytes.Buffer), func(string) string { return "" }))
}

func TestWrongCommandLinesHaveStatus2AndSayWhatIsWrong(t *testing.T) {
	isolateAWS(t)
	const create, describe, up = "dynamodb create-table --name orders --region x ", "dynamodb describe-table --name orders ", "migrate up "
	for _, test := range []struct{ args, want string }{
		{"no", `unknown command "no" for eventsource: there are completion, dynamodb, migrate, version`},
		{"--no", "unknown flag: --no"},
		{"version x", `unexpected argument "x"`},
		{"dynamodb", "eventsource dynamodb needs one of its commands: create-table, delete-table, describe-table"},
		{"dynamodb no", `unknown command "no" for eventsource dynamodb: there are create-table,`},
		{"migrate", "eventsource migrate needs one of its commands: down, status, up"},
		{"migrate no", `unknown command "no" for eventsource migrate: there are down,`},

		{"completion", "eventsource completion needs one of its commands: bash, fish, powershell, zsh"},
		{"completion csh", `unknown command "csh" for eventsource completion: there are bash,`},

		{"dynamodb create-table", `required flag(s) "name" not set`},
		{"dynamodb delete-table", `required flag(s) "name" not set`},
		{"dynamodb describe-table", `required flag(s) "name" not set`},
		{create + "x", `unexpected argument "x"`},
		{create + "--dry-run=perhaps", `invalid argument "perhaps" for "--dry-run"`},
		{create + "--billing cheap", `--billing "cheap": it can be on-demand or provisioned`},
		{create + "--billing=", "--billing is empty"},
		{create + "--shards 0", "--shards 0: there can be 1 to 64"},
		{create + "--shards -1", "--shards -1: there can be 1 to 64"},
		{create + "--shards 65", "65 shards, there can be 1 to 64"},
		{create + "--shards many", `invalid argument "many" for "--shards"`},
		{create + "--read-capacity 5 --write-capacity 5", "--read-capacity and --write-capacity need --billing provisioned"},
		{create + "--billing on-demand --write-capacity 0", "need --billing provisioned"},
		{create + "--billing provisioned", "--billing provisioned needs --read-capacity and --write-capacity"},
		{create + "--billing provisioned --read-capacity 5", "--billing provisioned needs --read-capacity and"},
		{create + "--billing provisioned --read-capacity 0 --write-capacity 5", "provisioned capacity is 0 read and 5 write units"},
		{create + "--billing provisioned --read-capacity 5 --write-capacity -5", "provisioned capacity is 5 read and -5 write units"},
		{create + "--stream NEW", `stream view "NEW" is none of [NEW_IMAGE `},
		{create + "--stream=", "--stream is empty"},
		{create + "--tag team", `--tag "team": it has to be key=value`},
		{create + "--tag =shop", `--tag "=shop": it has to be key=value`},
		{create + "--tag a=1 --tag a=2", `--tag "a=2": there is another value for a`},
		{create + "--projections --shards 1", "--shards is for tables of events, and not for --projections"},
		{create + "--projections --stream NEW_IMAGE", "--stream is for tables of events"},
		{create + "--projections --billing provisioned --read-capacity 0 --write-capacity 5", "provisioned capacity is 0 read and 5 write units"},
		{create + "--projections --dry-run --timeout 0s", "--timeout 0s: it has to be"},
		{"dynamodb create-table --projections --name a/b --region x", `table name "a/b": it has to be 3 to 255 letters`},
		{create + "--timeout 0s", "--timeout 0s: it has to be more than nothing"},
		{create + "--timeout -1m", "--timeout -1m0s: it has to be"},
		{create + "--timeout 10", `invalid argument "10" for "--timeout"`},
		{create + "--dry-run --timeout 0s", "--timeout 0s: it has to be"},
		{create + "--endpoint localhost:8000", `--endpoint "localhost:8000": it has to be a URL`},
		{create + "--endpoint http://", `--endpoint "http://": it has to be a URL`},
		{create + "--endpoint ftp://localhost", `--endpoint "ftp://localhost": it has to be a URL`},
		{create + "--endpoint=", "--endpoint is empty"},
		{create + "--profile=", "--profile is empty"},
		{"dynamodb create-table --name orders --region=", "--region is empty"},
		{"dynamodb create-table --name= --region x", "--name is empty"},
		{"dynamodb create-table --name a/b --region x", `table name "a/b": it has to be 3 to 255 letters`},
		{"dynamodb delete-table --name a/b --region x", `table name "a/b": it has to be 3 to 255 letters`},
		{"dynamodb describe-table --name ab --region x", `table name "ab": it has to be 3 to 255 letters`},
		{describe, "there is no region: give --region, or set AWS_REGION or AWS_PROFILE"},
		{describe + "--output yaml", `--output "yaml": it can be text or json`},
		{describe + "--output=", "--output is empty"},

		{up, "there is no database: give --dsn, or set DATABASE_URL"},
		{up + "--dsn=", "--dsn is empty"},
		{up + "--dsn mysql://h/d", "--dsn: it has to be a URL that begins with postgres://"},
		{up + "--dsn host=h", "--dsn: it has to be a URL that begins with postgres://"},
		{up + "--dsn postgres://h/d?sslmode=no", "sslmode is invalid"},
		{up + "--dsn postgres://h/d --schema=", "--schema is empty"},
		{up + "--dsn postgres://h/d --table=", "--table is empty"},
		{up + "--dsn postgres://h/d --table a;b", `table name "a;b" contains ';'`},
		{up + "--dsn postgres://h/d --schema $x", `schema name "$x" contains '$'`},
		{up + "--drop-events --dsn postgres://h/d", "unknown flag: --drop-events"},
		{"migrate down x", `unexpected argument "x"`},
		{"migrate status x", `unexpected argument "x"`},
	} {
		t.Run(test.args, func(t *testing.T) {
			r := runMain(t, strings.Fields(test.args)...)
			r.want(t, 2, test.want, "\nTry eventsource", " --help.\n")
			if r.stdout != "" {
				t.Errorf("stdout %q", r.stdout)
			}
		})
	}
}

func TestVersionSaysWhatTheProgramWasBuiltFrom(t *testing.T) {
	flag, command := runMain(t, "--version"), runMain(t, "version")
	flag.want(t, 0, "eventsource ", "go1.")
	if flag != command {
		t.Errorf("got %v and %v", flag, command)
	}
	for want, info := range map[string]*debug.BuildInfo{
		"eventsource (unknown), go1.": nil,
		"eventsource (devel), go1.":   {Main: debug.Module{Version: "(devel)"}},
		"eventsource v1.2.3, commit abc, modified, go1.": {
			Main: debug.Module{Version: "v1.2.3"},
			Settings: []debug.BuildSetting{
				{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}, {Key: "GOOS", Value: "x"},
			},
		},
		"eventsource v1.2.3, commit abc, go1.": {
			Main:     debug.Module{Version: "v1.2.3"},
			Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}},
		},
	} {
		if got := version(info); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestShellsCanCompleteCommandsAndTheValuesOfFlags(t *testing.T) {
	for args, want := range map[string]string{
		"dynamodb d":                         "delete-table\tDelete a table\ndescribe-table\t",
		"dynamodb create-table --billing ":   "on-demand\nprovisioned\n",
		"dynamodb create-table --stream ":    "NEW_IMAGE\nOLD_IMAGE\nNEW_AND_OLD_IMAGES\nKEYS_ONLY\n",
		"dynamodb describe-table --output ":  "text\njson\n",
		"dynamodb describe-table --endpoint": "--endpoint\t",
	} {
		r := runMain(t, append([]string{"__complete"}, strings.Split(args, " ")...)...)
		if r.code != 0 || !strings.HasPrefix(r.stdout, want) {
			t.Errorf("%s: status %d, stdout %q", args, r.code, r.stdout)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		runMain(t, "completion", shell).want(t, 0, "eventsource")
	}
}

func TestOutputThatCannotBeWrittenIsAFailure(t *testing.T) {
	for _, args := range []string{"version", "dynamodb create-table --name orders --dry-run", "help"} {
		var stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(args), fullDisk{}, &stderr, os.Getenv)
		if code != 1 || strings.Count(stderr.String(), "no space left") != 1 {
			t.Errorf("%s: status %d, stderr %q", args, code, stderr.String())
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestInterruptedCommandSaysSo(t *testing.T) {
	isolateAWS(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range []string{
		"dynamodb create-table --name orders --endpoint http://127.0.0.1:1",
		"dynamodb create-table --projections --name orders --endpoint http://127.0.0.1:1",
		"dynamodb delete-table --name orders --endpoint http://127.0.0.1:1",
		"dynamodb describe-table --name orders --endpoint http://127.0.0.1:1",
		"migrate up --dsn postgres://127.0.0.1:1/d",
	} {
		runWith(ctx, nil, strings.Fields(args)...).want(t, 1, "eventsource: interrupted: ")
	}
}
