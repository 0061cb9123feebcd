package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const (
	hash1 = "1111111111111111111111111111111111111111"
	hash2 = "2222222222222222222222222222222222222222"
	hash3 = "3333333333333333333333333333333333333333"
	none  = "0000000000000000000000000000000000000000"

	added   = ":000000 100644 " + none + " " + hash3 + " A\x00"
	deleted = ":100644 000000 " + hash3 + " " + none + " D\x00"
)

func parseAll(r io.Reader) (commits []commit, err error) {
	for c, err := range parseLog(r) {
		if err != nil {
			return commits, err
		}
		commits = append(commits, c)
	}
	return commits, nil
}

// formatLog is the opposite of parseLog.
func formatLog(commits []commit) string {
	var out strings.Builder
	for i, c := range commits {
		if i > 0 {
			out.WriteByte(0)
		}
		fmt.Fprintf(&out, "\x01%s\x00%d\x00%s", c.hash, c.time, c.author)
		for j, ch := range c.changes {
			if j == 0 {
				out.WriteByte('\n')
			}
			fmt.Fprintf(&out, ":%s %s %s %s %c\x00%s\x00", ch.oldMode, ch.newMode, ch.oldBlob, ch.newBlob, ch.status, ch.path)
		}
	}
	return out.String()
}

var diffUnexported = cmp.AllowUnexported(commit{}, change{})

func TestParseReadsCommitsWithAndWithoutChanges(t *testing.T) {
	log := "\x01" + hash1 + "\x00100\x00a@b\n" + added + "x\ny\x00" + deleted + "\xff\x00" +
		"\x00\x01" + hash2 + "\x00\x00" + "\x00\x01" + hash3 + "\x00200\x00 c "
	want := []commit{
		{hash: hash1, time: 100, author: "a@b", changes: []change{
			{status: 'A', oldMode: "000000", newMode: "100644", oldBlob: none, newBlob: hash3, path: "x\ny"},
			{status: 'D', oldMode: "100644", newMode: "000000", oldBlob: hash3, newBlob: none, path: "\xff"},
		}},
		{hash: hash2},
		{hash: hash3, time: 200, author: " c "},
	}
	for name, r := range map[string]io.Reader{
		"at once":    strings.NewReader(log),
		"byte-wise":  iotest.OneByteReader(strings.NewReader(log)),
		"EOF beside": iotest.DataErrReader(strings.NewReader(log)),
	} {
		got, err := parseAll(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, diffUnexported); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestParseSaysAtWhichCommitAndByteItFails(t *testing.T) {
	head := "\x01" + hash1 + "\x00100\x00a@b"
	for _, test := range []struct{ name, log, want string }{
		{"no log", "hello", `log, byte 0: "hello" where a commit should begin`},
		{"bad hash", "\x01xyz\x00", `log, byte 0: "\x01xyz" where a commit`},
		{"cut after the hash", "\x01" + hash1, `log, byte 0: `},
		{"bad time", "\x01" + hash1 + "\x00soon\x00a", "log, commit " + hash1 + `, byte 42: "soon" where the time`},
		{"cut after the time", "\x01" + hash1 + "\x00100", "commit " + hash1 + ", byte 42: "},
		{"cut in a change", head + "\n:000000 1", "commit " + hash1 + ", byte 46: "},
		{"cut before the path", head + "\n" + added, "where a path should be"},
		{"cut in the path", head + "\n" + added + "x", "where a path should be"},
		{"no path", head + "\n" + added + "\x00", "where a path should be"},
		{"unknown status", head + "\n" + strings.Replace(added, " A", " R", 1) + "x\x00", "where a change should be"},
		{"status and blobs differ", head + "\n" + strings.Replace(added, " A", " M", 1) + "x\x00", "where a change should be"},
		{"combined diff", head + "\n:" + added + "x\x00", "where a change should be"},
		{"abbreviated blob", head + "\n:000000 100644 0000000 1234567 A\x00x\x00", "where a change should be"},
		{"bad mode", head + "\n" + strings.Replace(added, "100644", "1006x4", 1) + "x\x00", "where a change should be"},
		{"no change after LF", head + "\n\x00", "where a change should be"},
		{"no commit after NUL", head + "\x00", `"" where a commit should begin`},
		{"second commit", head + "\n" + added + "x\x00\x00oops", "commit " + hash1 + `, byte 152: "oops" where a commit`},
		{"endless field", head + strings.Repeat("x", maxField+1), "longer than 1048576 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseAll(strings.NewReader(test.log))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestParseReportsReadErrorsInsteadOfAShortHistory(t *testing.T) {
	broken := errors.New("broken pipe")
	log := "\x01" + hash1 + "\x00100\x00a@b\n" + added + "x\x00"
	for cut := range len(log) + 1 {
		r := io.MultiReader(strings.NewReader(log[:cut]), iotest.ErrReader(broken))
		if _, err := parseAll(r); !errors.Is(err, broken) {
			t.Fatalf("cut at byte %d: got error %v", cut, err)
		}
	}
}

func TestParseTakesTimesThatAreOutOfRange(t *testing.T) {
	got, err := parseAll(strings.NewReader("\x01" + hash1 + "\x0099999999999999999999\x00a"))
	if err != nil || baseEvent("x", got[0]).Timestamp != 0 {
		t.Errorf("got %v, error %v", got, err)
	}
}

func TestTreeRefusesWhatGitDoesNotPrint(t *testing.T) {
	entry := "100644 blob " + hash1 + "\tx\x00"
	for _, tree := range []string{"x", "x\x00", entry[:len(entry)-1], entry + entry, "100644 blob " + hash1 + "\t\x00", "\x00"} {
		if got, err := parseTree(strings.NewReader(tree)); err == nil {
			t.Errorf("%q was read as %v", tree, got)
		}
	}
}

// FuzzParse looks for input that makes the parser panic, that it reads
// differently once it is written again, or where the count that stands in for
// git's comes to another result.
func FuzzParse(f *testing.F) {
	head := "\x01" + hash1 + "\x00100\x00a@b"
	f.Add([]byte(""))
	f.Add([]byte(head))
	f.Add([]byte(head + "\n" + added + "x\x00" + deleted + "\x01" + hash2 + "\x00"))
	f.Add([]byte(head + "\x00\x01" + hash2 + "\x00\x00\n" + added + ":x\x00"))
	f.Add([]byte(head + "\n" + added + "x\x00\x00\x01" + hash2 + "\x00-1\x00"))
	f.Add([]byte(head + "\n:160000 120000 " + hash1 + " " + hash2 + " T\x00sub/\xff\x00"))
	f.Fuzz(func(t *testing.T, log []byte) {
		commits, err := parseAll(bytes.NewReader(log))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "log, ") {
				t.Fatalf("error %q does not say where", err)
			}
			return
		}
		again, err := parseAll(strings.NewReader(formatLog(commits)))
		if err != nil {
			t.Fatalf("written again it cannot be read: %v", err)
		}
		if diff := cmp.Diff(commits, again, diffUnexported); diff != "" {
			t.Fatalf("written again it reads differently: %s", diff)
		}
		counts := make(map[Text]int)
		for _, c := range commits {
			counts[c.author]++
		}
		out, authors, err := scanLog(bytes.NewReader(log))
		if err != nil || out.commits != len(commits) || len(commits) > 0 && out.first != commits[0].hash {
			t.Fatalf("%d commits, but the count gives %+v, error %v", len(commits), out, err)
		}
		if diff := cmp.Diff(counts, authors); diff != "" {
			t.Fatal(diff)
		}
	})
}
