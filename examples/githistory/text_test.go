package main

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTextSurvivesJSONWhateverItsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SampledFrom([]string{"", base64Prefix, "\x00", "\xff"}).Draw(t, "prefix")
		text := Text(prefix) + Text(rapid.OneOf(
			rapid.String(),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		).Draw(t, "text"))

		data, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var back Text
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if back != text {
			t.Fatalf("%q came back as %q", text, back)
		}
		if s := text.encode(); !utf8.ValidString(s) {
			t.Fatalf("%q is written as %q, which is not UTF-8", text, s)
		}
	})
}

func TestTextThatCanStandAsItIsDoes(t *testing.T) {
	for text, want := range map[Text]string{
		"":               "",
		"a b/ü\n\t\".go": "a b/ü\n\t\".go",
		"\xff":           "base64:/w==",
		"a\x00b":         "base64:YQBi",
		"base64:":        "base64:YmFzZTY0Og==",
	} {
		if got := text.encode(); got != want {
			t.Errorf("%q is written as %q, not as %q", text, got, want)
		}
	}
}

func TestTextRefusesBrokenBase64(t *testing.T) {
	for _, s := range []string{"base64:!", "base64:/x==", "base64:/w"} {
		var text Text
		if err := text.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q was read as %q", s, text)
		}
	}
}
