package main

import (
	"encoding"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Text is a file name or an author as git has it, which is any bytes. JSON and
// the stores' text columns hold only UTF-8, so as text it is itself if it can be,
// and base64 behind a prefix if not.
type Text string

var (
	_ encoding.TextMarshaler   = Text("")
	_ encoding.TextUnmarshaler = (*Text)(nil)
)

const base64Prefix = "base64:"

// MarshalText implements [encoding.TextMarshaler].
func (t Text) MarshalText() ([]byte, error) { return []byte(t.encode()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *Text) UnmarshalText(text []byte) error {
	encoded, isBase64 := strings.CutPrefix(string(text), base64Prefix)
	if !isBase64 {
		*t = Text(text)
		return nil
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("text %q: %w", text, err)
	}
	*t = Text(raw)
	return nil
}

// encode gives valid UTF-8 without NUL, different for different texts.
func (t Text) encode() string {
	s := string(t)
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 && !strings.HasPrefix(s, base64Prefix) {
		return s
	}
	return base64Prefix + base64.StdEncoding.EncodeToString([]byte(s))
}
