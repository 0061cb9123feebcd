package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// check compares what was rebuilt from the events, by the reader and by the
// projection, with what git says.
func check(ctx context.Context, r *reader, model *snapshot, s source) error {
	in, err := s.openTree(ctx)
	if err != nil {
		return err
	}
	tree, err := parseTree(in)
	if closeErr := in.Close(); closeErr != nil {
		err = closeErr // when git fails its output ends too early
	}
	if err != nil {
		return err
	}
	authors, err := s.authors(ctx)
	if err != nil {
		return err
	}
	counted, err := countLog(ctx, s)
	if err != nil {
		return err
	}
	return differences(treeDifferences(r.tree, tree), authorDifferences(r.authors, authors), modelDifferences(model, counted))
}

// countLog makes what the read model should say of the log, without any events.
func countLog(ctx context.Context, s source) (counted *snapshot, err error) {
	log, err := s.openLog(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := log.Close(); closeErr != nil {
			err = closeErr // when git fails its output ends too early
		}
	}()
	counted = newSnapshot()
	for c, err := range parseLog(log) {
		if err != nil {
			return nil, err
		}
		author := c.author.encode()
		for _, change := range c.changes {
			if path := change.path.encode(); change.status == 'D' {
				counted.deleteFile(path, author)
			} else {
				counted.putFile(path, author, change.newMode, change.newBlob)
			}
		}
		counted.countCommit(author, c.time)
	}
	return counted, nil
}

// mismatch is returned when the events and git do not agree.
type mismatch struct{ lines []string }

func (m *mismatch) Error() string {
	const most = 20
	var text strings.Builder
	fmt.Fprintf(&text, "check failed: what was rebuilt and git differ in %d places", len(m.lines))
	for i, line := range m.lines {
		if i == most {
			fmt.Fprintf(&text, "\n  and %d more", len(m.lines)-most)
			break
		}
		text.WriteString("\n  " + line)
	}
	return text.String()
}

func differences(lists ...[]string) error {
	if lines := slices.Concat(lists...); len(lines) > 0 {
		return &mismatch{lines}
	}
	return nil
}

func treeDifferences(events, git map[Text]file) (lines []string) {
	for _, path := range keys(events, git) {
		ours, inEvents := events[path]
		theirs, inGit := git[path]
		switch {
		case !inEvents:
			lines = append(lines, fmt.Sprintf("path %q is in git, but not in the events", path))
		case !inGit:
			lines = append(lines, fmt.Sprintf("path %q is in the events, but not in git", path))
		case ours != theirs:
			lines = append(lines, fmt.Sprintf("path %q has mode %s and blob %s in git, mode %s and blob %s in the events",
				path, theirs.mode, theirs.blob, ours.mode, ours.blob))
		}
	}
	return lines
}

func authorDifferences(events, git map[Text]int) (lines []string) {
	for _, author := range keys(events, git) {
		if events[author] != git[author] {
			lines = append(lines, fmt.Sprintf("author %q has %d commits in git, %d in the events",
				author, git[author], events[author]))
		}
	}
	return lines
}

// modelDifferences compares the read model with what was counted in the log.
func modelDifferences(model, log *snapshot) []string {
	lines := slices.Concat(
		stateDifferences("file", model.files, log.files),
		stateDifferences("author", model.authors, log.authors),
		stateDifferences("week", model.weeks, log.weeks))
	if model.weeksByAuthor != nil {
		lines = append(lines, stateDifferences("week and author", model.weeksByAuthor, log.weeksByAuthor)...)
	}
	slices.Sort(lines)
	return lines
}

func stateDifferences[K, V comparable](what string, model, log map[K]V) (lines []string) {
	for key, want := range log {
		if got, ok := model[key]; !ok || got != want {
			lines = append(lines, fmt.Sprintf("%s %+v is %+v in the read model, and %+v in the log", what, key, got, want))
		}
	}
	for key, got := range model {
		if _, ok := log[key]; !ok {
			lines = append(lines, fmt.Sprintf("%s %+v is %+v in the read model, and not in the log", what, key, got))
		}
	}
	return lines
}

// keys gives the keys of both, sorted.
func keys[V any](a, b map[Text]V) []Text {
	both := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(both)
	return slices.Compact(both)
}
