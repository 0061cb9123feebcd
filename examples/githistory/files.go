package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// files is a history that git once printed.
type files struct {
	log, tree string
	out       outline
	counts    map[Text]int
}

func openFiles(log, tree string) (*files, error) {
	f := &files{log: log, tree: tree}
	var err error
	if f.out, f.counts, err = scanFile(log); err != nil {
		return nil, fmt.Errorf("-log: %w", inFile(log, err))
	}
	in, err := f.openTree(context.Background()) // better now than after the import
	if err != nil {
		return nil, err
	}
	if f.out.commits > 0 {
		return f, in.Close()
	}
	switch paths, err := parseTree(in); {
	case err != nil:
		return nil, errors.Join(err, in.Close())
	case len(paths) > 0:
		return nil, errors.Join(fmt.Errorf("%s has no commits, but %s has %d paths", log, tree, len(paths)), in.Close())
	}
	return nil, errors.Join(fmt.Errorf("%w: %s has no commits", errEmpty, log), in.Close())
}

func (f *files) name() string { return f.log }

func (f *files) outline() outline { return f.out }

func (f *files) openLog(context.Context) (io.ReadCloser, error) { return openFile(f.log) }

func (f *files) openTree(context.Context) (io.ReadCloser, error) {
	in, err := openFile(f.tree)
	if err != nil {
		return nil, fmt.Errorf("-tree: %w", inFile(f.tree, err))
	}
	return in, nil
}

func (f *files) authors(context.Context) (map[Text]int, error) { return f.counts, nil }

// scanLog counts commits and authors. It stands in for git's own count, so it
// shares nothing with parseLog, and is content with less: it goes by the NULs,
// and knows a path by the line of the change that stands before it.
func scanLog(in io.Reader) (outline, map[Text]int, error) {
	var o outline
	counts := make(map[Text]int)
	fields := bufio.NewScanner(in)
	fields.Buffer(nil, 2*maxField)
	fields.Split(splitAtNUL)
	authorIn, isPath, isEmpty := 0, false, true
	for fields.Scan() {
		field := fields.Text()
		isEmpty = false
		switch {
		case isPath:
			isPath = false
			continue
		case strings.HasPrefix(field, "\x01"):
			if o.commits == 0 {
				o.first = field[1:]
			}
			o.commits++
			authorIn = 2
			continue
		}
		if authorIn > 0 {
			if authorIn--; authorIn == 0 {
				author, change, _ := strings.Cut(field, "\n")
				counts[Text(author)]++
				field = change
			}
		}
		isPath = strings.HasPrefix(field, ":")
	}
	switch {
	case fields.Err() != nil:
		return o, nil, fields.Err()
	case !isEmpty && !isHash(o.first):
		return o, nil, errors.New("it does not begin with a commit as git log prints it")
	case authorIn > 0: // an empty author at the very end leaves no field
		counts[""]++
	}
	return o, counts, nil
}

func scanFile(name string) (outline, map[Text]int, error) {
	in, err := openFile(name)
	if err != nil {
		return outline{}, nil, err
	}
	out, counts, err := scanLog(in)
	return out, counts, errors.Join(err, in.Close())
}

func splitAtNUL(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// openFile opens a regular file, and what is in it if that is gzip.
func openFile(name string) (io.ReadCloser, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(errors.New("it is no regular file"), err, file.Close())
	}
	in := bufio.NewReader(file)
	if magic, _ := in.Peek(2); string(magic) != "\x1f\x8b" {
		return &openedFile{Reader: in, file: file}, nil
	}
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &openedFile{Reader: unzipped, file: file}, nil
}

// inFile says which file an error is about, unless it says so itself.
func inFile(name string, err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

type openedFile struct {
	io.Reader
	file *os.File
}

func (f *openedFile) Close() error { return f.file.Close() }
