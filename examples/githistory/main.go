// Command githistory imports the history of a git repository into an event
// store, follows its own events with a catch-up reader, rebuilds the tree and the
// authors' counts from them, and checks both against git.
//
//	go run ./examples/githistory                            # the repository around the current folder, in memory
//	go run ./examples/githistory -repo ~/src/project -store postgres://localhost/events
//	go run ./examples/githistory -repo ~/src/project -store 'dynamodb://events?endpoint=http://127.0.0.1:8000'
//	go run ./examples/githistory -log project.log.gz -tree project.tree.gz
//
// What to look at:
//
//   - Every commit is one atomic save (importer.go): the events of the files that
//     it changes, then one of the repository. They belong to many aggregates.
//   - DynamoDB takes less at once than some commits are. These are saved in parts,
//     as the [eventsource.SaveTooLargeError] says, and each part ends with an event
//     of the repository that says how far the commit is.
//   - The repository's event is saved with an explicit version, so that of two
//     importers at work on one repository one gets [eventsource.ErrConflict], and
//     a commit is never imported twice, nor a part of one.
//   - The reader (reader.go) runs while the import does and remembers nothing but
//     its last sequence ID.
//   - A second run loads the repository's aggregate and goes on where that ends,
//     be it in the middle of a commit.
//
// The history is the first-parent one of HEAD: a merge is one commit with all
// that it brings. A shallow clone is imported from where it begins, as a
// repository of its own: it is another one once it has been deepened.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
