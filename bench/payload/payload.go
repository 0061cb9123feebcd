// Package payload has the events that the systems save: real ones, and one of 1 KB.
package payload

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Event is an event in the two forms that systems take: a value to marshal, and
// the JSON that it marshals to.
type Event struct {
	// Type is the name of Value's type.
	Type string
	// Value points to one of the types of this package. It is shared: read only.
	Value any
	// Data is the JSON of Value. It is shared: read only.
	Data []byte
}

// The events of examples/githistory, with the same fields and the same JSON.
type (
	// FileAdded is an event of examples/githistory.
	FileAdded struct {
		Path string `json:"path"`
		Mode string `json:"mode"`
		Blob string `json:"blob"`
	}
	// FileModified is an event of examples/githistory.
	FileModified struct {
		Path string `json:"path"`
		Mode string `json:"mode"`
		Blob string `json:"blob"`
	}
	// FileDeleted is an event of examples/githistory.
	FileDeleted struct {
		Path string `json:"path"`
		Mode string `json:"mode"`
		Blob string `json:"blob"`
	}
	// CommitImported is an event of examples/githistory.
	CommitImported struct {
		Hash   string `json:"hash"`
		Author string `json:"author"`
		Time   int64  `json:"time"`
	}
)

// Document is an event of 1 KB.
type Document struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

// New returns a pointer to a new value of the type.
func New(typeName string) (any, error) {
	switch typeName {
	case "FileAdded":
		return new(FileAdded), nil
	case "FileModified":
		return new(FileModified), nil
	case "FileDeleted":
		return new(FileDeleted), nil
	case "CommitImported":
		return new(CommitImported), nil
	case "Document":
		return new(Document), nil
	}
	return nil, fmt.Errorf("no payload is named %q", typeName)
}

// The first 3,000 events that examples/githistory makes of the history of
// github.com/jackc/pgx, each as its type, a tab, and its JSON. Authors are hashes.
//
//go:embed pgx.tsv.gz
var compressed []byte

// Git returns the events of a git history, about 92 bytes of JSON each, in the
// order of the history.
func Git() ([]Event, error) {
	unzip, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	var events []Event
	for lines := bufio.NewReader(unzip); ; {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		event, err := parse(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(events)+1, err)
		}
		events = append(events, event)
	}
}

func parse(line string) (Event, error) {
	typeName, data, _ := strings.Cut(line, "\t")
	value, err := New(typeName)
	if err != nil {
		return Event{}, err
	}
	if err := json.Unmarshal([]byte(data), value); err != nil {
		return Event{}, err
	}
	return newEvent(typeName, value)
}

// Kilobyte returns one event of 1,024 bytes of JSON.
func Kilobyte() ([]Event, error) {
	const title, size = "An event of a kilobyte", 1024
	document := &Document{Title: title}
	empty, err := newEvent("Document", document)
	if err != nil {
		return nil, err
	}
	const text = "All work that a team does in a day leaves facts behind, and a fact is never changed. "
	document.Body = strings.Repeat(text, size/len(text)+1)[:size-len(empty.Data)]
	event, err := newEvent("Document", document)
	return []Event{event}, err
}

func newEvent(typeName string, value any) (Event, error) {
	data, err := json.Marshal(value)
	return Event{Type: typeName, Value: value, Data: data}, err
}
