// Command githistory imports the history of a git repository into an event
// store, follows its own events with a catch-up reader, rebuilds the tree and the
// authors' counts from them, and checks both against git. A projection keeps a read
// model meanwhile: files, authors, and commits by week, which are drawn at the end.
//
//	go run ./examples/githistory                            # the repository around the current folder, in memory
//	go run ./examples/githistory -repo ~/src/project -store postgres://localhost/events
//	go run ./examples/githistory -repo ~/src/project -store postgres://localhost/events -rebuild
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
//   - On PostgreSQL the read model (sqlmodel.go) is in tables that the program's own
//     migrations make (sql/migrations). It is written in the transaction that moves the
//     checkpoint: each event counts once, also when the program is killed at any moment and
//     started again (kill_test.go).
//   - With -rebuild, version 2 of the read model is built in tables of its own while
//     version 1 goes on. Once it is level, the views show it (sql/takeover.sql), in the
//     transaction in which it becomes the active one.
//   - On other stores the read model is in memory (model.go), and made anew by each run.
//     An event may come again there, so it remembers which one was the last.
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
