package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// What is asked of git. The user's configuration must not change the answers;
// neutral says what else is needed for that.
var (
	logCommand = []string{
		"log", "--first-parent", "-m", "--reverse", "--root", "--raw", "--no-abbrev",
		"--no-renames", "-z", "--format=format:%x01%H%x00%at%x00%ae",
	}
	treeCommand = []string{"ls-tree", "-r", "-z"}
	// shortlog needs a revision, or it reads a log from standard input.
	authorsCommand = []string{"shortlog", "-s", "-n", "--first-parent", "--group=format:%ae"}

	neutral = []string{
		"--no-pager",
		"-c", "log.diffMerges=separate", // what -m means
		"-c", "log.showSignature=false",
		"-c", "i18n.logOutputEncoding=UTF-8",
	}
	// neutralLog is not part of logCommand because it changes nothing in a
	// repository without special configuration.
	neutralLog = []string{"--no-color", "--no-notes", "--no-relative", "--ignore-submodules=none", "-O/dev/null"}
)

// gitRepository is a repository at one commit: that of HEAD when it was opened.
type gitRepository struct {
	dir  string
	head string
	out  outline
}

// openGit resolves HEAD, once: commits that are made from now on do not matter.
func openGit(ctx context.Context, dir string, warn io.Writer) (*gitRepository, error) {
	g := &gitRepository{dir: dir}
	shallow, err := g.output(ctx, "rev-parse", "--is-shallow-repository")
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) || ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%q is no git repository that can be read: %w", dir, err)
	}
	// HEAD names a branch that does not exist before the first commit.
	if g.head, err = g.output(ctx, "rev-parse", "--verify", "--quiet", "HEAD"); err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
			return nil, fmt.Errorf("%w: HEAD of %q has no commits yet", errEmpty, dir)
		}
		return nil, err
	}
	if shallow == "true" {
		fmt.Fprintf(warn, "githistory: %q is a shallow clone; its history is imported from where it begins\n", dir)
	}
	g.out, err = g.findOutline(ctx)
	return g, err
}

func (g *gitRepository) name() string {
	return fmt.Sprintf("%s at %s", g.dir, g.head)
}

func (g *gitRepository) outline() outline { return g.out }

func (g *gitRepository) openLog(ctx context.Context) (io.ReadCloser, error) {
	return g.start(ctx, append(append(append([]string(nil), logCommand...), neutralLog...), g.head, "--")...)
}

func (g *gitRepository) openTree(ctx context.Context) (io.ReadCloser, error) {
	// Without --full-tree it gives only what is below the folder.
	return g.start(ctx, append(append([]string(nil), treeCommand...), "--full-tree", g.head)...)
}

func (g *gitRepository) authors(ctx context.Context) (map[Text]int, error) {
	out, err := g.start(ctx, append(append([]string(nil), authorsCommand...), g.head, "--")...)
	if err != nil {
		return nil, err
	}
	authors, err := parseAuthors(out)
	if err := errors.Join(err, out.Close()); err != nil {
		return nil, fmt.Errorf("git shortlog (git 2.39 or newer is needed): %w", err)
	}
	return authors, nil
}

// parseAuthors reads lines of COUNT TAB AUTHOR. Blanks around an author are part
// of it, and it may be empty.
func parseAuthors(r io.Reader) (map[Text]int, error) {
	authors := make(map[Text]int)
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return authors, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		digits, author, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		count, err := strconv.Atoi(strings.TrimLeft(digits, " "))
		if !ok || err != nil {
			return nil, fmt.Errorf("%q is no line of a shortlog", short(line))
		}
		authors[Text(author)] += count
	}
}

func (g *gitRepository) findOutline(ctx context.Context) (outline, error) {
	var o outline
	out, err := g.start(ctx, "rev-list", "--first-parent", "--reverse", g.head, "--")
	if err != nil {
		return o, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if o.commits == 0 {
			o.first = lines.Text()
		}
		o.commits++
	}
	if err := errors.Join(lines.Err(), out.Close()); err != nil {
		return o, err
	}
	if !isHash(o.first) {
		return o, fmt.Errorf("git rev-list: %q is no commit", o.first)
	}
	return o, nil
}

// output runs git to its end and gives what it printed, without the last newline.
func (g *gitRepository) output(ctx context.Context, args ...string) (string, error) {
	out, err := g.start(ctx, args...)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(out)
	if err := errors.Join(err, out.Close()); err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(text), "\n"), nil
}

// start runs git. Whoever reads to the end learns from Close whether git failed;
// Close before the end stops it.
func (g *gitRepository) start(ctx context.Context, args ...string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "git", append(append([]string{"-C", g.dir}, neutral...), args...)...)
	cmd.Env = gitEnviron(os.Environ())
	cmd.WaitDelay = 5 * time.Second
	run := &gitRun{cmd: cmd, cancel: cancel, command: args[0]}
	cmd.Stderr = &run.stderr
	var err error
	if run.stdout, err = cmd.StdoutPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("git %s: %w", run.command, err)
	}
	return run, nil
}

// gitRun is a git that is running and being read.
type gitRun struct {
	cmd     *exec.Cmd
	cancel  context.CancelFunc
	command string
	stdout  io.Reader
	stderr  bytes.Buffer
	atEnd   bool
}

func (r *gitRun) Read(p []byte) (int, error) {
	n, err := r.stdout.Read(p)
	r.atEnd = r.atEnd || errors.Is(err, io.EOF)
	return n, err
}

func (r *gitRun) Close() error {
	if !r.atEnd {
		r.cancel()
		_ = r.cmd.Wait() // it was stopped: its exit status says nothing
		return nil
	}
	err := r.cmd.Wait()
	r.cancel()
	if err == nil {
		return nil
	}
	if text := strings.TrimSpace(r.stderr.String()); text != "" {
		return fmt.Errorf("git %s: %w: %s", r.command, err, text)
	}
	return fmt.Errorf("git %s: %w", r.command, err)
}

// gitEnviron leaves out what would point git, as it does in a hook, at another
// repository than the folder's.
func gitEnviron(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
			"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE":
		default:
			kept = append(kept, variable)
		}
	}
	return append(kept, "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0")
}
