// Package upcasttest checks that all events that were ever stored can still be read, and
// as what. A folder has an event for each version of each type, exactly as it was
// stored, and beside it what today's code makes of it. Both are committed.
//
//	func TestStoredEvents(t *testing.T) {
//		upcasttest.Record(t, serializer, "testdata/events", &Placed{Total: 5}, &Cancelled{})
//		upcasttest.Golden(t, serializer, "testdata/events", *update)
//	}
//
// An event is in a file TYPE.VERSION.json, or TYPE.VERSION.LABEL.json if there are
// several: Placed.1.json, Placed.1.large.json. In the name of the type all but letters
// and digits of ASCII, "_" and "-" is written as % and two hexadecimal digits for each
// byte. What it is today is in a file of the same name that ends in .want instead.
package upcasttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/upcast"
)

const (
	eventSuffix = ".json"
	wantSuffix  = ".want"
)

// Golden fails the test if an event of the folder cannot be read, or as something else
// than what stands beside it, or if nothing does; and if a version that may be stored has
// no event there. That is each version of each type that is registered or was split, under its own
// name or, before the newest one, an earlier name; each earlier name, in some version;
// and each type that is dropped.
//
// With update it writes what the events are today instead of comparing: look at what
// has changed before it is committed.
func Golden(t testing.TB, serializer *upcast.Serializer, folder string, update bool) {
	t.Helper()
	if err := serializer.Err(); err != nil {
		t.Errorf("serializer: %v", err)
		return
	}
	files := list(t, folder)
	if len(files) == 0 {
		t.Errorf("%s has no stored events", folder)
	}
	for _, f := range files {
		if err := f.check(serializer, update); err != nil {
			t.Errorf("%s: %v", f.path, err)
		}
	}
	for _, missing := range missing(serializer.History(), files) {
		t.Errorf("%s has no event of %s", folder, missing)
	}
}

// Record writes the events into the folder, which it makes if need be, as they would be
// stored today. It leaves out those of a type and version of which there is one already,
// so files that are there never change. Golden then asks for the results, once.
func Record(t testing.TB, serializer *upcast.Serializer, folder string, events ...eventsource.Event) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Errorf("make the folder of stored events: %v", err)
		return
	}
	files := list(t, folder)
	for _, event := range events {
		data, err := serializer.Marshal(event)
		if err != nil {
			t.Errorf("record a %T: %v", event, err)
			continue
		}
		f := file{eventType: eventsource.EventType(event)}
		f.version = serializer.Version(f.eventType)
		if slices.ContainsFunc(files, func(other file) bool { return other.eventType == f.eventType && other.version == f.version }) {
			continue
		}
		f.path = filepath.Join(folder, escape(f.eventType)+"."+strconv.Itoa(f.version)+eventSuffix)
		if err := writeNew(f.path, data); err != nil {
			t.Errorf("record a %T: %v", event, err)
			continue
		}
		files = append(files, f)
	}
}

// file is a stored event.
type file struct {
	path      string
	eventType string
	version   int
}

// list gives the events of a folder. What looks like one and is none fails the test.
func list(t testing.TB, folder string) (files []file) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Errorf("look for stored events: %v", err)
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		switch filepath.Ext(path) {
		case eventSuffix:
			f, err := parse(path)
			if err != nil {
				t.Error(err)
				continue
			}
			files = append(files, f)
		case wantSuffix:
			event := strings.TrimSuffix(path, wantSuffix) + eventSuffix
			if _, err := os.Stat(event); err != nil {
				t.Errorf("%s stands beside no event: %v", path, err)
			}
		}
	}
	return files
}

func parse(path string) (file, error) {
	f := file{path: path}
	parts := strings.SplitN(strings.TrimSuffix(filepath.Base(path), eventSuffix), ".", 3)
	if len(parts) < 2 {
		return f, fmt.Errorf("%s: name is not TYPE.VERSION%s or TYPE.VERSION.LABEL%s", path, eventSuffix, eventSuffix)
	}
	var err error
	if f.eventType, err = url.PathUnescape(parts[0]); err != nil || f.eventType == "" || escape(f.eventType) != parts[0] {
		return f, fmt.Errorf("%s: %q is no type, or is not written as it would be here (%q)", path, parts[0], escape(f.eventType))
	}
	if f.version, err = strconv.Atoi(parts[1]); err != nil || f.version < 1 || strconv.Itoa(f.version) != parts[1] {
		return f, fmt.Errorf("%s: %q is no version", path, parts[1])
	}
	return f, nil
}

// escape makes a type's name a part of a file's name.
func escape(eventType string) string {
	var b strings.Builder
	for _, c := range []byte(eventType) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// check reads the event and compares it with what stands beside it.
func (f file) check(serializer *upcast.Serializer, update bool) error {
	data, err := os.ReadFile(f.path) //nolint:gosec // a file of the test's folder
	if err != nil {
		return err
	}
	version, err := upcast.StoredVersion(data)
	if err != nil {
		return err
	}
	if version != f.version {
		return fmt.Errorf("it is named as version %d, and the data are of version %d", f.version, version)
	}
	events, err := serializer.UnmarshalAll(data, f.eventType)
	if err != nil {
		return err
	}
	got, err := describe(serializer, events)
	if err != nil {
		return err
	}
	path := strings.TrimSuffix(f.path, eventSuffix) + wantSuffix
	want, err := os.ReadFile(path) //nolint:gosec // a file of the test's folder
	want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
	switch {
	case err == nil && string(want) == string(got):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case update:
		return os.WriteFile(path, got, 0o600)
	case err != nil:
		return fmt.Errorf("there is no %s to say what it is today; run the test with update, and look at the file", filepath.Base(path))
	}
	return fmt.Errorf("it is read as something else than before (-%s +today):\n%s", filepath.Base(path), cmp.Diff(string(want), string(got)))
}

// describe writes events as JSON that people can read, and that does not depend on the
// order of fields.
func describe(serializer *upcast.Serializer, events []eventsource.Event) ([]byte, error) {
	type described struct {
		Type string `json:"type"`
		Data any    `json:"data"`
	}
	all := make([]described, 0, len(events))
	for _, event := range events {
		data, err := serializer.Marshal(event)
		if err != nil {
			return nil, err
		}
		d := described{Type: eventsource.EventType(event)}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&d.Data); err != nil {
			return nil, fmt.Errorf("a %T is written as JSON that cannot be read: %w", event, err)
		}
		if fields, ok := d.Data.(map[string]any); ok {
			delete(fields, "$v")
		}
		all = append(all, d)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(all)
	return b.Bytes(), err
}

// missing says of which versions there should be an event, and is none.
func missing(history []upcast.StoredType, files []file) (missing []string) {
	types := make(map[string]string)
	for _, stored := range history {
		types[stored.Name] = stored.Type
	}
	names, versions := make(map[string]bool), make(map[string]bool)
	key := func(name string, version int) string { return strconv.Itoa(version) + " of " + name }
	for _, f := range files {
		names[f.eventType] = true
		versions[key(types[f.eventType], f.version)] = true
		versions["newest "+key(f.eventType, f.version)] = true
	}
	for _, stored := range history {
		isAlias := stored.Name != stored.Type
		if (isAlias || stored.Version == 0) && !names[stored.Name] {
			missing = append(missing, fmt.Sprintf("%q, in any version", stored.Name))
		}
		for version := 1; version <= stored.Version && !isAlias; version++ {
			newest := stored.Registered && version == stored.Version && !versions["newest "+key(stored.Name, version)]
			if newest || !versions[key(stored.Name, version)] {
				missing = append(missing, fmt.Sprintf("%q, version %d", stored.Name, version))
			}
		}
	}
	return missing
}

// writeNew writes a file that must not be there.
func writeNew(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // a file of the test's folder
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
