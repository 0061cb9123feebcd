package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// repo is a git repository of a test's own. It is filled through the index and
// the object database, so that names can be what no file system takes.
type repo struct {
	t      testing.TB
	dir    string
	staged string // for the next commit
}

func newRepo(t *testing.T) *repo {
	t.Helper()
	isolateGit(t)
	r := &repo{t: t, dir: t.TempDir()}
	r.git("", "init", "-q", "-b", "main")
	return r
}

// isolateGit keeps git from the configuration and the repository of whoever runs
// the tests.
func isolateGit(t *testing.T) {
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": t.TempDir(),
		"GIT_CEILING_DIRECTORIES": os.TempDir(),
		"GIT_AUTHOR_NAME":         "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "1700000000 +0100",
		"GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@example.org", "GIT_COMMITTER_DATE": "1700000000 +0100",
	} {
		t.Setenv(name, value)
	}
}

// git runs git and gives what it printed, without the last newline.
func (r *repo) git(stdin string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir}, args...)...)
	cmd.Env = gitEnviron(os.Environ())
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git %q: %v: %s", args, err, stderr.String())
	}
	return strings.TrimSuffix(string(out), "\n")
}

func (r *repo) blob(content string) string {
	return r.git(content, "hash-object", "-w", "--stdin")
}

// put stages a path; an empty mode removes it.
func (r *repo) put(mode, object, path string) {
	if mode == "" {
		mode, object = "0", none
	}
	r.staged += mode + " " + object + "\t" + path + "\x00"
}

// commit commits what is staged, as the author, with more parents than HEAD.
func (r *repo) commit(email string, parents ...string) string {
	if head, err := exec.Command("git", "-C", r.dir, "rev-parse", "--verify", "-q", "HEAD").Output(); err == nil {
		parents = append([]string{strings.TrimSpace(string(head))}, parents...)
	}
	return r.commitObject("author N <"+email+"> 1700000000 +0000", parents...)
}

func (r *repo) commitObject(authorLine string, parents ...string) string {
	r.git(r.staged, "update-index", "-z", "--index-info")
	r.staged = ""
	object := "tree " + r.git("", "write-tree") + "\n"
	for _, parent := range parents {
		object += "parent " + parent + "\n"
	}
	object += authorLine + "\ncommitter C <c@example.org> 1700000000 +0000\n\nmessage\n"
	hash := r.git(object, "hash-object", "-t", "commit", "-w", "--stdin", "--literally")
	r.git("", "update-ref", "HEAD", hash)
	return hash
}

// below makes a folder of the work tree.
func (r *repo) below() string {
	dir := filepath.Join(r.dir, "below")
	if err := os.Mkdir(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	return dir
}

// importInto runs the job on a store that the test keeps.
func importInto(t testing.TB, store eventsource.Store, dir string) (stdout string, err error) {
	t.Helper()
	var out, warnings bytes.Buffer
	history, err := openGit(t.Context(), dir, &warnings)
	if err != nil {
		return "", err
	}
	err = importAndCheck(t.Context(), store, newMemoryModel(), history, &out, &warnings)
	return out.String() + warnings.String(), err
}

func mustImport(t testing.TB, store eventsource.Store, dir string, want ...string) {
	t.Helper()
	got, err := importInto(t, store, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append(want, "check passed: ") {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in the summary:\n%s", want, got)
		}
	}
}

// nastyNames are file names that git allows.
var nastyNames = []string{
	"plain", "dir/in dir", " blanks ", "con\nline", "tab\tx", `quote"x'`, `back\slash`, "-rf", "ünïcödé/日本",
	"\xff\xfe invalid", "dir/\xc3(", "\xed\xa0\x80 surrogate", "\x01" + hash1, strings.TrimSuffix(added, "\x00"), ":100644", "base64:", "base64:/w==",
	"sha256:x", "<&>\u2028", "\u007f\x1b[31m", "*?[x]", "%s%d", strings.Repeat("deep/", 300) + "end", strings.Repeat("l", 1100),
	strings.Repeat("\xff", 900),
}

// nastyRepo has all kinds of names, changes and authors.
func nastyRepo(t *testing.T) *repo {
	r := newRepo(t)
	one, two := r.blob("one"), r.blob("two")
	for _, name := range nastyNames {
		r.put("100644", one, name)
	}
	r.put("160000", hash1, "sub/module")
	r.put("120000", two, "link")
	first := r.commit("a@example.org")

	for _, name := range nastyNames[:len(nastyNames)/2] {
		r.put("", "", name) // deleted
	}
	for _, name := range nastyNames[len(nastyNames)/2:] {
		r.put("100755", one, name) // another mode only
	}
	r.commit("\xff\xfe@example.org")
	r.commit("nothing changed")

	for i, name := range nastyNames {
		r.put("100644", []string{one, two}[i%2], name) // added again, or changed
	}
	r.put("160000", hash2, "sub/module")
	r.put("100644", two, "link") // a link becomes a file
	r.commit("base64:")
	main := r.commit("A@EXAMPLE.org")

	r.git("", "update-ref", "HEAD", first) // a branch from the first commit
	r.put("100644", two, "from the branch")
	r.put("", "", "dir/in dir")
	branch := r.commit("only.on.the.branch@example.org")
	r.git("", "update-ref", "HEAD", main)
	r.put("100644", one, "only in the merge")
	r.commit("merger@example.org", branch)

	r.put("", "", "plain") // a file becomes a folder
	r.put("100644", one, "plain/file")
	r.put("120000", one, "sub/module") // a submodule becomes a link
	r.commit("")
	r.commit(" blanks\tand\ttabs ")
	head := r.git("", "rev-parse", "HEAD")
	r.commitObject("author nobody at no time", head)
	r.put("", "", "link")
	r.commit("99999999999 <a@b")
	return r
}

func TestNastyRepositoryAgreesWithGit(t *testing.T) {
	r := nastyRepo(t)
	store := memstore.New()
	mustImport(t, store, r.dir, "imported   10 commits, ")
	mustImport(t, store, r.dir, "skipped    10 commits", "imported   0 commits, 0 changes of files: 0 events\n")
}

func TestUsersConfigurationDoesNotMatter(t *testing.T) {
	r := nastyRepo(t)
	for _, line := range []string{
		"diff.renames copies", "log.diffMerges dense-combined", "log.showRoot false", "log.showSignature true", "log.follow true",
		"log.decorate full", "log.abbrevCommit true", "log.mailmap true", "log.date relative", "mailmap.file map",
		"format.pretty oneline", "format.notes true", "color.ui always", "color.diff always", "core.quotePath true",
		"diff.ignoreSubmodules all", "submodule.recurse true", "diff.submodule log", "diff.relative true", "diff.noprefix true",
		"diff.orderFile order", "i18n.logOutputEncoding UTF-16", "i18n.commitEncoding ISO-8859-1", "core.pager false",
	} {
		name, value, _ := strings.Cut(line, " ")
		r.git("", "config", name, value)
	}
	for name, content := range map[string]string{
		"map": "X <x@example.org> <a@example.org>\n", "order": "z*\n*\n",
		".mailmap": "X <x@example.org> <a@example.org>\n", ".gitmodules": "[submodule \"m\"]\n\tpath = sub/module\n\turl = ./m\n\tignore = all\n",
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GIT_DIR", t.TempDir()) // as in a hook of another repository
	mustImport(t, memstore.New(), r.below(), "imported   10 commits, ")
}

func TestFolderBelowTheTopMeansTheWholeRepository(t *testing.T) {
	r := nastyRepo(t)
	mustImport(t, memstore.New(), r.below(), "imported   10 commits, ")
	mustImport(t, memstore.New(), filepath.Join(r.dir, ".git"), "imported   10 commits, ")
}

func TestSHA256Repository(t *testing.T) {
	isolateGit(t)
	r := &repo{t: t, dir: t.TempDir()}
	r.git("", "init", "-q", "--object-format=sha256")
	r.put("100644", r.blob("one"), "file")
	r.commit("a@example.org")
	r.put("100755", r.blob("two"), "file")
	r.commit("a@example.org")
	mustImport(t, memstore.New(), r.dir, "imported   2 commits, 2 changes of files: 4 events")
}

func TestSecondRunImportsOnlyWhatIsNew(t *testing.T) {
	r := newRepo(t)
	store := memstore.New()
	r.put("100644", r.blob("one"), "file")
	r.commit("a@example.org")
	mustImport(t, store, r.dir, "imported   1 commits, 1 changes of files: 2 events")

	r.put("100644", r.blob("two"), "file")
	r.commit("b@example.org")
	r.commit("b@example.org")
	mustImport(t, store, r.dir, "skipped    1 commits", "imported   2 commits, 1 changes of files: 3 events",
		"check passed: 1 paths and 2 authors agree")
}

func TestRewrittenHistoryIsRefused(t *testing.T) {
	r := newRepo(t)
	store := memstore.New()
	r.put("100644", r.blob("one"), "file")
	first := r.commit("a@example.org")
	r.commit("b@example.org")
	r.commit("c@example.org")
	mustImport(t, store, r.dir)

	r.git("", "update-ref", "HEAD", first)
	if _, err := importInto(t, store, r.dir); err == nil || !strings.Contains(err.Error(), "rewritten") {
		t.Errorf("a history that ends earlier: got error %v", err)
	}
	for range 3 {
		r.commit("d@example.org")
	}
	if _, err := importInto(t, store, r.dir); err == nil || !strings.Contains(err.Error(), "rewritten") {
		t.Errorf("a history that goes another way: got error %v", err)
	}
}

func TestCommitsThatLandDuringTheRunDoNotMatter(t *testing.T) {
	r := newRepo(t)
	r.put("100644", r.blob("one"), "file")
	r.commit("a@example.org")
	history, err := openGit(t.Context(), r.dir, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	r.put("", "", "file")
	r.commit("b@example.org")
	var out bytes.Buffer
	if err := importAndCheck(t.Context(), memstore.New(), newMemoryModel(), history, &out, &out); err != nil {
		t.Fatal(err)
	}
}

func TestShallowCloneIsImportedFromWhereItBegins(t *testing.T) {
	r := nastyRepo(t)
	clone := filepath.Join(t.TempDir(), "clone")
	r.git("", "clone", "-q", "--bare", "--depth", "3", "file://"+r.dir, clone)
	store := memstore.New()
	mustImport(t, store, clone, "imported   3 commits, ", "is a shallow clone")
	mustImport(t, store, r.dir, "imported   10 commits, ") // another repository
}

func TestRepositoriesShareAStore(t *testing.T) {
	a, b := nastyRepo(t), newRepo(t)
	b.put("100644", b.blob("one"), "plain")
	b.commit("b@example.org")
	store := memstore.New()
	mustImport(t, store, a.dir)
	mustImport(t, store, b.dir, ", 2 of them of this repository, ", "check passed: 1 paths and 1 authors agree")
	mustImport(t, store, a.dir, "imported   0 commits")
}

func TestEmptyRepositoryHasNothingToImport(t *testing.T) {
	r := newRepo(t)
	code, stdout, stderr := runMain(t, "-repo", r.dir)
	if code != 0 || !strings.Contains(stdout, "the repository is empty") || stderr != "" {
		t.Errorf("status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestFolderThatIsNoRepository(t *testing.T) {
	isolateGit(t)
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		code, stdout, stderr := runMain(t, "-repo", dir)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "is no git repository") {
			t.Errorf("status %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	}
}

func TestBrokenRepositoryReportsWhatGitSays(t *testing.T) {
	r := newRepo(t)
	r.put("100644", r.blob("one"), "file")
	r.commit("a@example.org")
	tree := r.git("", "rev-parse", "HEAD^{tree}")
	if err := os.Remove(filepath.Join(r.dir, ".git", "objects", tree[:2], tree[2:])); err != nil {
		t.Fatal(err)
	}
	_, err := importInto(t, memstore.New(), r.dir)
	if err == nil || !strings.Contains(err.Error(), "git log: exit status 128") || !strings.Contains(err.Error(), tree) {
		t.Errorf("got error %v", err)
	}
}

func TestInterruptStopsGitAndTheReader(t *testing.T) {
	r := nastyRepo(t)
	ctx, cancel := context.WithCancel(t.Context())
	history, err := openGit(ctx, r.dir, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	store := &cancelAt{Store: memstore.New(), commits: 3, cancel: cancel}
	var out bytes.Buffer
	if err := importAndCheck(ctx, store, newMemoryModel(), history, &out, &out); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	mustImport(t, store.Store, r.dir, "skipped    3 commits") // and goes on from there
}

// cancelAt cancels after so many saves. It hides all optional interfaces, so it
// is also the plainest store that there can be.
type cancelAt struct {
	eventsource.Store
	commits int
	cancel  func()
}

func (s *cancelAt) NewTransaction(ctx context.Context, records ...eventsource.Record) (eventsource.StoreTransaction, error) {
	if s.commits--; s.commits < 0 {
		s.cancel()
	}
	return s.Store.NewTransaction(ctx, records...)
}
