package eventsource_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// Whatever Go the READMEs show stands in a test, or in a doc comment, where it is
// compiled and run, or at least next to what it is about.
func TestREADMEs_show_only_code_that_stands_elsewhere(t *testing.T) {
	var sources strings.Builder
	module := os.DirFS(".")
	err := fs.WalkDir(module, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name != "." && strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case path.Ext(name) != ".go":
			return nil
		}
		text, err := fs.ReadFile(module, name)
		sources.WriteString("\n" + plainLines(string(text)) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "store/dynamostore/README.md"} {
		readme, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?s)\n```go\n(.*?)\n```\n").FindAllStringSubmatch(string(readme), -1)
		if len(blocks) == 0 {
			t.Fatalf("there is no Go in %s", name)
		}
		for _, block := range blocks {
			if !strings.Contains(sources.String(), "\n"+plainLines(block[1])+"\n") {
				t.Errorf("%s: this stands in no test and no doc comment:\n%s", name, block[1])
			}
		}
	}
}

// plainLines leaves out indentation and the marks of comments.
func plainLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "//"))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
