package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/eventsource-go/eventsource/projection"
)

// options is what the command line says.
type options struct {
	repo      string
	log, tree string
	store     string
	rebuild   bool
	lease     time.Duration
}

const usage = `Usage: githistory [-repo DIR | -log FILE -tree FILE] [-store memory|URL] [-rebuild]

Imports the history of a git repository into an event store, one atomic save a
commit, or a few where that is more than the store takes at once; follows the
events while it does; rebuilds the tree and the authors' counts from them; and
checks both against git. Meanwhile a projection keeps a read model: the files, the
authors, and the commits of each week, which are drawn at the end. It is checked too.
A second run on the same store imports only what is new, also after a kill -9.

Exit status: 0 if all agrees or there is nothing to import, 1 if not or if
something failed, 2 if the command line is wrong.

`

// parseOptions reads the command line. After an error everything has been said.
func parseOptions(args []string, stdout, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("githistory", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors and help are printed below
	flags.StringVar(&o.repo, "repo", ".", "the git repository: its `DIR` or one below; git 2.39 or newer is needed")
	flags.StringVar(&o.log, "log", "", "a `FILE`, plain or gzip, to read instead of asking git for the log; what this prints:\n"+
		"git "+strings.Join(logCommand, " ")+"\nNeeds -tree.")
	flags.StringVar(&o.tree, "tree", "", "a `FILE`, plain or gzip, to check against instead of asking git for the tree; what this prints:\n"+
		"git "+strings.Join(treeCommand, " ")+" HEAD\nNeeds -log.")
	flags.StringVar(&o.store, "store", memoryStore, "where the events go: memory, or a `URL`.\n"+
		"postgres://user:password@host/database: its tables are created or brought up to date.\n"+
		"dynamodb://table?region=us-east-1: the table is created if it is not there, with &shards=N if given.\n"+
		"Credentials, and the region if not given, are those of the AWS configuration, or of &profile=NAME.\n"+
		"&endpoint=http://127.0.0.1:8000 is for DynamoDB Local: on this machine no region and no credentials are needed.")
	flags.BoolVar(&o.rebuild, "rebuild", false, "from the middle of the import on, build version 2 of the read model beside version 1; it takes over\n"+
		"when it is level. It knows who was active in a week. Needs a postgres:// store.")
	flags.DurationVar(&o.lease, "lease", projection.DefaultLease, "after how long without a sign of life the projection of another process is taken over,\n"+
		"from 100ms")

	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return o, err
	}
	if err == nil {
		err = o.check(flags)
	}
	if err != nil {
		fmt.Fprintf(stderr, "githistory: %v\nTry githistory -h.\n", err)
	}
	return o, err
}

// check refuses what does not go together.
func (o *options) check(flags *flag.FlagSet) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	case given["log"] != given["tree"]:
		return errors.New("-log and -tree need each other")
	case given["log"] && given["repo"]:
		return errors.New("-repo does not go with -log and -tree")
	case given["log"] && (o.log == "" || o.tree == ""):
		return errors.New("-log and -tree need the name of a file")
	case o.repo == "":
		return errors.New("-repo needs the name of a folder")
	case o.lease < 100*time.Millisecond:
		return fmt.Errorf("-lease is %v, and has to be 100ms or more", o.lease)
	case o.rebuild && !isPostgresURL(o.store):
		return errors.New("-rebuild needs a -store that begins with postgres://")
	case isDynamoDBURL(o.store):
		if _, err := parseDynamoDBURL(o.store); err != nil {
			return fmt.Errorf("-store: %w", err)
		}
	case o.store != memoryStore && !isPostgresURL(o.store):
		return errors.New("-store needs memory or a URL that begins with postgres:// or dynamodb://")
	}
	return nil
}
