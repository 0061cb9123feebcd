package upcast

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/eventsource-go/eventsource"
)

// prefix begins data whose schema version is written in them.
const prefix = `{"$v":`

// maxDigits bounds a version, so that where it ends is found at once.
const maxDigits = 9

// MaxVersion is the highest schema version that there can be.
const MaxVersion = 999_999_999

// stripVersion returns the schema version and the data without it. The data are not
// changed, but may be a part of the result.
func stripVersion(data []byte) (version int, rest []byte, err error) {
	if len(data) < len(prefix) || string(data[:len(prefix)]) != prefix {
		return 1, data, nil
	}
	end := len(prefix)
	for end < len(data) && end-len(prefix) < maxDigits && '0' <= data[end] && data[end] <= '9' {
		version = 10*version + int(data[end]-'0')
		end++
	}
	switch {
	case version == 0 || data[len(prefix)] == '0' || end == len(data):
	case data[end] == '}':
		return version, append([]byte("{"), data[end:]...), nil
	case data[end] == ',' && end+1 < len(data) && data[end+1] == '"':
		rest = append(make([]byte, 0, len(data)-end), '{')
		return version, append(rest, data[end+1:]...), nil
	}
	return 0, nil, fmt.Errorf("schema version in %q cannot be read", data[:min(len(data), len(prefix)+maxDigits+1)])
}

// addVersion writes the schema version into data. They must be those of a JSON object.
func addVersion(version int, data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte(prefix)) {
		return nil, fmt.Errorf(`%w: its JSON begins with a field "$v", which is the schema version's`, eventsource.ErrInvalidEvent)
	}
	if version == 1 {
		return data, nil
	}
	fields := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("{")), " \t\r\n")
	if len(data) == 0 || data[0] != '{' || len(fields) == 0 {
		return nil, fmt.Errorf("%w: its JSON is no object, so there is no place for schema version %d", eventsource.ErrInvalidEvent, version)
	}
	with := make([]byte, 0, len(prefix)+maxDigits+1+len(fields))
	with = strconv.AppendInt(append(with, prefix...), int64(version), 10)
	if fields[0] != '}' {
		with = append(with, ',')
	}
	return append(with, fields...), nil
}

// StoredVersion returns the schema version that is written in stored data, 1 if none is.
func StoredVersion(data []byte) (int, error) {
	version, _, err := stripVersion(data)
	if err != nil {
		err = fmt.Errorf("eventsource/upcast: %w", err)
	}
	return version, err
}
