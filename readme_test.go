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
	for _, text := range goFiles(t) {
		sources.WriteString("\n" + plainLines(text) + "\n")
	}
	for _, name := range []string{"README.md", "store/dynamostore/README.md", "projection/dynamoprojection/README.md", "docs/projections.md", "docs/testing.md", "docs/unique.md"} {
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

// A promise is worth as much as the test that shows it.
func TestDocumentsNameOnlyTestsThatExist(t *testing.T) {
	defined := make(map[string]bool)
	for _, text := range goFiles(t) {
		for _, match := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(text, -1) {
			defined[match[1]] = true
		}
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/guarantees.md", "docs/proof/README.md", "docs/projections.md", "docs/testing.md", "docs/unique.md", "store/dynamostore/README.md", "projection/dynamoprojection/README.md"} {
		document, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllStringSubmatch(string(document), -1) {
			if !defined[match[1]] {
				t.Errorf("%s names %s, which is no test", name, match[1])
			}
		}
	}
}

// goFiles returns the text of each Go file of all modules.
func goFiles(t *testing.T) (texts []string) {
	t.Helper()
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
		texts = append(texts, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// plainLines leaves out indentation and the marks of comments.
func plainLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "//"))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
