package upcast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

// FuzzVersion has the prefix of data read, and what is read written again.
func FuzzVersion(f *testing.F) {
	for _, seed := range []string{
		"", "{", "{}", `{"$v":2}`, `{"$v":2,"a":1}`, `{"$v":999999999,"a":"\u0000"}`, `{"$v":1}`, `{"$v":0}`, `{"$v":01}`, `{"$v":1234567890}`,
		`{"$v":2,}`, `{"$v":2]`, `{"$v":`, `{"$v":2`, ` {"$v":2}`, `{"$v" :2}`, `{"$v":2,"$v":3}`, `{ "a":1 }`, `{ }`, `[1]`, "null",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		version, rest, err := stripVersion(data)
		if !bytes.Equal(data, before) {
			t.Fatalf("%q was changed to %q", before, data)
		}
		switch {
		case !bytes.HasPrefix(data, []byte(prefix)):
			if version != 1 || err != nil || !bytes.Equal(rest, data) {
				t.Fatalf("%q without a version is version %d of %q, error %v", data, version, rest, err)
			}
		case err != nil:
			if version != 0 || rest != nil {
				t.Fatalf("%q is version %d of %q, and error %v", data, version, rest, err)
			}
			return
		default:
			checkStripped(t, data, version, rest)
		}
		if !json.Valid(rest) || version == MaxVersion {
			return
		}
		with, err := addVersion(version+1, rest)
		if err != nil {
			if object := bytes.TrimLeft(rest, " \t\r\n"); rest[0] == '{' && !bytes.HasPrefix(object, []byte(prefix)) {
				t.Fatalf("%q cannot be given a version: %v", rest, err)
			}
			return
		}
		again, fields, err := stripVersion(with)
		if err != nil || again != version+1 || !sameJSON(fields, rest) {
			t.Fatalf("%q with version %d is %q, and read as %q with version %d, error %v", rest, version+1, with, fields, again, err)
		}
	})
}

// checkStripped compares what was read with what a JSON decoder says.
func checkStripped(t *testing.T, data []byte, version int, rest []byte) {
	t.Helper()
	if version < 1 || version > MaxVersion || !bytes.HasPrefix(data, fmt.Appendf(nil, "%s%d", prefix, version)) || rest[0] != '{' {
		t.Fatalf("%q is version %d of %q", data, version, rest)
	}
	if json.Valid(data) != json.Valid(rest) {
		t.Fatalf("%q is valid, or %q is, but not both", data, rest)
	}
	if !json.Valid(data) {
		return
	}
	if comma := rest[1] != '}'; comma && len(rest)+len(fmt.Sprintf(`"$v":%d,`, version)) != len(data) {
		t.Fatalf("%q has lost something in %q", data, rest)
	}
}

func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
