package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// file is what a tree holds under a path.
type file struct{ mode, blob string }

// parseTree reads what treeCommand prints: MODE TYPE HASH TAB PATH NUL a file.
func parseTree(r io.Reader) (map[Text]file, error) {
	tree := make(map[Text]file)
	in := bufio.NewReader(r)
	for offset := 0; ; {
		line, err := in.ReadBytes(0)
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return tree, nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("tree, byte %d: it ends in the middle of %q", offset, short(string(line)))
		case err != nil:
			return nil, fmt.Errorf("tree, byte %d: %w", offset, err)
		}
		meta, path, ok := bytes.Cut(line[:len(line)-1], []byte{'\t'})
		fields := strings.Split(string(meta), " ")
		if !ok || len(path) == 0 || len(fields) != 3 || !isMode(fields[0]) || !isHash(fields[2]) {
			return nil, fmt.Errorf("tree, byte %d: %q is no entry of a tree", offset, short(string(line)))
		}
		if _, ok := tree[Text(path)]; ok {
			return nil, fmt.Errorf("tree, byte %d: path %q is there twice", offset, path)
		}
		tree[Text(path)] = file{mode: fields[0], blob: fields[2]}
		offset += len(line)
	}
}
