package pgident_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/pgident"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

var (
	good = []string{
		"events", "Events", "order", "user-events", "user--events", "a.b", "50%", "/*", "(", "#", "42", "é", "イベント", "e\u0301",
	}
	bad = []string{
		"", " ", "my events", "events\n", "events\u00a0", "events\u2028", "events\x00", "\x7f", `"`, `"events"`, "'", "`", ";", `\`, "$",
		"{", "}", "\xff", "ev\xc3", "\u0085",
	}
)

func TestGoodNamesMeanThemselvesToTheServer(t *testing.T) {
	pool := testenv.Pool(t, testenv.Postgres(t))
	names := append(good, strings.Repeat("m", pgident.MaxTableLength), strings.Repeat("é", 31))
	for _, name := range names {
		if err := pgident.CheckSchema(name); err != nil {
			t.Errorf("CheckSchema(%q) = %v", name, err)
		}
		var parsed []string
		err := pool.QueryRow(t.Context(), `SELECT parse_ident($1)`, pgident.Quote(name, name)).Scan(&parsed)
		if err != nil || len(parsed) != 2 || parsed[0] != name || parsed[1] != name {
			t.Errorf("the server reads %s as %q, %v", pgident.Quote(name, name), parsed, err)
		}
		var column string
		rows, err := pool.Query(t.Context(), `SELECT 1 AS `+pgident.Quote("", name))
		if err != nil {
			t.Fatal(err)
		}
		column = rows.FieldDescriptions()[0].Name
		rows.Close()
		if column != name {
			t.Errorf("the server keeps %q as %q", name, column)
		}
	}
}

func TestBadNamesAreRefusedByName(t *testing.T) {
	for what, check := range map[string]func(string) error{"table": pgident.CheckTable, "schema": pgident.CheckSchema} {
		for _, name := range append(bad, strings.Repeat("m", 64)) {
			err := check(name)
			if !errors.Is(err, eventsource.ErrMisconfigured) || !strings.Contains(err.Error(), fmt.Sprintf("%s name %q", what, name)) {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
	}
}

func TestTheLimitsAreInBytes(t *testing.T) {
	for _, test := range []struct {
		check func(string) error
		limit int
	}{{pgident.CheckTable, 41}, {pgident.CheckSchema, 63}} {
		if err := test.check(strings.Repeat("m", test.limit)); err != nil {
			t.Error(err)
		}
		if err := test.check("é" + strings.Repeat("m", test.limit-1)); err == nil {
			t.Errorf("%d bytes were accepted", test.limit+1)
		}
	}
	// The longest name that is made from a table's is not cut off.
	if longest := pgident.MaxTableLength + len("_aggregate_version_key"); longest != 63 {
		t.Errorf("the longest name has %d bytes", longest)
	}
}

func FuzzQuote(f *testing.F) {
	for _, name := range append(good, bad...) {
		f.Add(name, "public")
		f.Add("events", name)
	}
	f.Fuzz(func(t *testing.T, name, schema string) {
		if pgident.CheckTable(name) != nil || pgident.CheckSchema(schema) != nil {
			return
		}
		if !utf8.ValidString(name) || len(name) > pgident.MaxTableLength || strings.ContainsAny(name, "\x00\"'`;\\$ \n\r\t{}") {
			t.Errorf("%q was accepted", name)
		}
		for quoted, want := range map[string][]string{
			pgident.Quote("", name):     {name},
			pgident.Quote(schema, name): {schema, name},
		} {
			if got, err := unquote(quoted); err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
				t.Errorf("%s means %q, %v, want %q", quoted, got, err, want)
			}
		}
	})
}

// unquote reads quoted identifiers with dots between them as the manual of
// PostgreSQL has it, section 4.1.1.
func unquote(quoted string) (parts []string, err error) {
	for rest := quoted; ; {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, `"`); !ok {
			return nil, fmt.Errorf("no quote before %q", rest)
		}
		part := ""
		for {
			inside, after, ok := strings.Cut(rest, `"`)
			if !ok {
				return nil, fmt.Errorf("no quote after %q", rest)
			}
			part += inside
			if rest, ok = strings.CutPrefix(after, `"`); !ok {
				rest = after
				break
			}
			part += `"`
		}
		parts = append(parts, part)
		if rest == "" {
			return parts, nil
		}
		if rest, ok = strings.CutPrefix(rest, "."); !ok {
			return nil, fmt.Errorf("no dot before %q", rest)
		}
	}
}
