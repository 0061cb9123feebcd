package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// check compares what was rebuilt from the events with what git says.
func check(ctx context.Context, r *reader, s source) error {
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
	return differences(treeDifferences(r.tree, tree), authorDifferences(r.authors, authors))
}

// mismatch is returned when the events and git do not agree.
type mismatch struct{ lines []string }

func (m *mismatch) Error() string {
	const most = 20
	var text strings.Builder
	fmt.Fprintf(&text, "check failed: the events and git differ in %d places", len(m.lines))
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

// keys gives the keys of both, sorted.
func keys[V any](a, b map[Text]V) []Text {
	both := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(both)
	return slices.Compact(both)
}
