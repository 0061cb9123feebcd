package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"
)

// commit is one of the first-parent history, with what it changed against its
// first parent.
type commit struct {
	hash    string
	time    int64 // Unix seconds, 0 if unknown
	author  Text
	changes []change
}

// change is one line of git's raw diff format.
type change struct {
	status           byte // A, D, M or T
	oldMode, newMode string
	oldBlob, newBlob string
	path             Text
}

// maxField is the longest field that is believed, far beyond any file name.
const maxField = 1 << 20

// parseLog gives the commits of what logCommand prints, one at a time. An error
// is the last pair, and says at which commit and byte it was met.
//
// A commit is \x01 HASH NUL TIME NUL AUTHOR, and if it changes anything LF and
// :OLDMODE NEWMODE OLDBLOB NEWBLOB STATUS NUL PATH NUL for each change. Between
// commits stands a NUL.
func parseLog(r io.Reader) iter.Seq2[commit, error] {
	return func(yield func(commit, error) bool) {
		p := &logParser{r: bufio.NewReaderSize(r, 64<<10)}
		for more := !p.atEnd(); more; {
			var c commit
			var err error
			if c, more, err = p.commit(); err != nil {
				yield(commit{}, err)
				return
			}
			if !yield(c, nil) {
				return
			}
		}
		if p.err != nil {
			yield(commit{}, p.fail("%w", p.err))
		}
	}
}

type logParser struct {
	r *bufio.Reader
	// offset is where the field begins that was read last, next where the next does.
	offset, next int64
	// hash is the commit being read, "" before the first.
	hash string
	// err is a read error other than the end.
	err error
}

// commit reads one commit. more says that another must follow.
func (p *logParser) commit() (c commit, more bool, err error) {
	head, ended := p.field()
	hash, ok := strings.CutPrefix(head, "\x01")
	if !ok || !isHash(hash) || ended {
		return c, false, p.fail("%q where a commit should begin", short(head))
	}
	p.hash, c.hash = hash, hash
	when, ended := p.field()
	if c.time, ok = parseTime(when); !ok || ended {
		return c, false, p.fail("%q where the time should be", short(when))
	}
	author, ended := p.field()
	author, meta, hasChanges := strings.Cut(author, "\n")
	c.author = Text(author)
	if p.err != nil {
		return c, false, p.fail("%w", p.err)
	}
	if !hasChanges {
		return c, !ended, nil
	}
	for {
		change, ok := parseChange(meta)
		if !ok || ended {
			return c, false, p.fail("%q where a change should be", short(meta))
		}
		var path string
		if path, ended = p.field(); path == "" || ended {
			return c, false, p.fail("%q where a path should be", short(path))
		}
		change.path = Text(path)
		c.changes = append(c.changes, change)
		if p.atEnd() {
			return c, false, nil
		}
		if meta, ended = p.field(); meta == "" && !ended {
			return c, true, nil
		}
	}
}

// field reads up to the next NUL. ended says that there was none.
func (p *logParser) field() (s string, ended bool) {
	p.offset = p.next
	var field []byte
	for {
		part, err := p.r.ReadSlice(0)
		p.next += int64(len(part))
		field = append(field, part...)
		switch {
		case err == nil:
			return string(field[:len(field)-1]), false
		case len(field) > maxField:
			p.err = fmt.Errorf("a field is longer than %d bytes", maxField)
			return string(field), true
		case errors.Is(err, bufio.ErrBufferFull): // go on
		default:
			if !errors.Is(err, io.EOF) {
				p.err = err
			}
			return string(field), true
		}
	}
}

func (p *logParser) atEnd() bool {
	_, err := p.r.Peek(1)
	if err != nil && !errors.Is(err, io.EOF) {
		p.err = err
	}
	return err != nil
}

// fail gives an error with the place. A read error goes before what it led to.
func (p *logParser) fail(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if p.err != nil {
		err = p.err
	}
	if p.hash == "" {
		return fmt.Errorf("log, byte %d: %w", p.offset, err)
	}
	return fmt.Errorf("log, commit %s, byte %d: %w", p.hash, p.offset, err)
}

func parseChange(meta string) (change, bool) {
	fields := strings.Split(meta, " ")
	if len(fields) != 5 || !strings.HasPrefix(meta, ":") || len(fields[4]) != 1 {
		return change{}, false
	}
	c := change{
		oldMode: fields[0][1:], newMode: fields[1],
		oldBlob: fields[2], newBlob: fields[3],
		status: fields[4][0],
	}
	if !isMode(c.oldMode) || !isMode(c.newMode) || !isHash(c.oldBlob) || len(c.newBlob) != len(c.oldBlob) || !isHash(c.newBlob) {
		return change{}, false
	}
	wasThere, isThere := !isZero(c.oldBlob), !isZero(c.newBlob)
	if wasThere == isZero(c.oldMode) || isThere == isZero(c.newMode) {
		return change{}, false
	}
	switch c.status {
	case 'A':
		return c, !wasThere && isThere
	case 'D':
		return c, wasThere && !isThere
	case 'M', 'T':
		return c, wasThere && isThere
	default:
		return change{}, false
	}
}

// parseTime reads the author's time as git prints it: nothing for a commit whose
// author line git cannot read, and digits without a limit.
func parseTime(s string) (int64, bool) {
	if s == "" {
		return 0, true
	}
	if strings.Trim(strings.TrimPrefix(s, "-"), "0123456789") != "" {
		return 0, false
	}
	t, err := strconv.ParseInt(s, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return math.MaxInt64, true
	}
	return t, err == nil
}

// isHash says whether s is a SHA-1 or a SHA-256 in hex.
func isHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

func isMode(s string) bool { return len(s) == 6 && strings.Trim(s, "01234567") == "" }

func isZero(s string) bool { return strings.Trim(s, "0") == "" }

// short keeps error messages short.
func short(s string) string {
	const most = 120
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
