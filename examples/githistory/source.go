package main

import (
	"context"
	"errors"
	"io"
)

// source is where a history comes from, and what git itself says about it.
type source interface {
	// name is what the summary calls it.
	name() string
	// outline is known without reading the history in full.
	outline() outline
	// openLog gives what logCommand prints. Close reports what went wrong.
	openLog(ctx context.Context) (io.ReadCloser, error)
	// openTree gives what treeCommand prints. Close reports what went wrong.
	openTree(ctx context.Context) (io.ReadCloser, error)
	// authors gives how many commits each author has.
	authors(ctx context.Context) (map[Text]int, error)
}

// outline is the first commit of a history and how many there are.
type outline struct {
	first   string
	commits int
}

// errEmpty is returned when a repository has no commit yet.
var errEmpty = errors.New("the repository is empty")

// openSource finds the history that the options ask for.
func openSource(ctx context.Context, o options, warn io.Writer) (source, error) {
	if o.log != "" {
		return openFiles(o.log, o.tree)
	}
	return openGit(ctx, o.repo, warn)
}
