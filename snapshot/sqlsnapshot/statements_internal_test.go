package sqlsnapshot

import (
	"regexp"
	"strings"
	"testing"
)

func TestStatementsHaveQuotedNamesAndAreOneEach(t *testing.T) {
	files, err := sqlFiles.ReadDir("sql")
	if err != nil || len(files) != 3 {
		t.Fatalf("there are %d files, %v", len(files), err)
	}
	for _, c := range []config{{table: "events"}, {schema: "a.b--", table: "UPDATE"}, {schema: "%s", table: "Ünï,(*/"}} {
		name := `"` + c.table + `_snapshots"`
		if c.schema != "" {
			name = `"` + c.schema + `".` + name
		}
		for _, file := range files {
			sql := c.statement(strings.TrimSuffix(file.Name(), ".sql"))
			if strings.Count(sql, name) != 1 || strings.Contains(sql, ";") || strings.Contains(sql, "{") {
				t.Errorf("%s: %s", file.Name(), sql)
			}
			// A table by its bare name would be another schema's.
			if bare := regexp.MustCompile(`(?i)\b(from|into|join)\s+\w`).FindString(sql); bare != "" {
				t.Errorf("%s has a name of its own: %s", file.Name(), bare)
			}
		}
	}
}
