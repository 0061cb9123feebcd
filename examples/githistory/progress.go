package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// newProgress shows how far the import is, if w is a terminal. step is to be
// called after each of the commits, finish after the last.
func newProgress(w io.Writer, commits int) (step, finish func()) {
	file, ok := w.(*os.File)
	if !ok || commits == 0 || !term.IsTerminal(int(file.Fd())) {
		return func() {}, func() {}
	}
	bar := progressbar.NewOptions(commits,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription("importing"),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("commits"),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
	// The bar's errors are those of the terminal: nothing to be done.
	return func() { _ = bar.Add(1) }, func() { _ = bar.Exit(); _ = bar.Clear() }
}
