// Package pgident checks and quotes the names of tables and schemas that users choose.
package pgident

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
)

// maxLength is what PostgreSQL keeps of an identifier, in bytes.
const maxLength = 63

// MaxTableLength leaves room for the suffixes of indexes, triggers and
// functions that are named after a table. The longest is "_aggregate_version_key".
const MaxTableLength = maxLength - 22

// CheckTable returns an error that names the table and what is wrong with it.
func CheckTable(name string) error { return check("table", name, MaxTableLength) }

// CheckSchema returns an error that names the schema and what is wrong with it.
func CheckSchema(name string) error { return check("schema", name, maxLength) }

// check lets any letters of any case, digits and most punctuation pass, since
// names are quoted, but nothing that suggests that SQL or a template was meant.
func check(what, name string, limit int) error {
	refuse := func(why string) error {
		return fmt.Errorf("%w: %s name %q %s", eventsource.ErrMisconfigured, what, name, why)
	}
	switch {
	case name == "":
		return refuse("is empty")
	case len(name) > limit:
		return refuse(fmt.Sprintf("has %d bytes, the limit is %d", len(name), limit))
	case !utf8.ValidString(name):
		return refuse("is not valid UTF-8")
	}
	for _, r := range name {
		if unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("\"'`;\\${}", r) {
			return refuse(fmt.Sprintf("contains %q", r))
		}
	}
	return nil
}

// Quote returns the name, in the schema unless that is "", quoted for SQL.
func Quote(schema, name string) string {
	if schema == "" {
		return pgx.Identifier{name}.Sanitize()
	}
	return pgx.Identifier{schema, name}.Sanitize()
}
