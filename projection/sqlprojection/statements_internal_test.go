package sqlprojection

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestStatementsHaveQuotedNamesAndAreOneEach(t *testing.T) {
	files, err := sqlFiles.ReadDir("sql")
	if err != nil || len(files) < 9 {
		t.Fatalf("there are %d files, %v", len(files), err)
	}
	for _, c := range []config{
		{table: "events", idleTimeout: time.Second},
		{schema: "a.b--", table: "UPDATE", idleTimeout: time.Second},
		{schema: "%s", table: "Ünï,(*/", idleTimeout: time.Second},
	} {
		prefix := `"` + c.table
		if c.schema != "" {
			prefix = `"` + c.schema + `"."` + c.table
		}
		for _, file := range files {
			raw, err := sqlFiles.ReadFile("sql/" + file.Name())
			if err != nil {
				t.Fatal(err)
			}
			sql := c.statement("sql/" + file.Name())
			for placeholder, name := range map[string]string{"{projections}": prefix + `_projections"`, "{parked}": prefix + `_parked"`} {
				if strings.Count(string(raw), placeholder) != strings.Count(sql, name) {
					t.Errorf("%s: %s is not everywhere %s: %s", file.Name(), placeholder, name, sql)
				}
			}
			filledInLater := strings.NewReplacer("{where}", "", "{events}", "")
			if left := regexp.MustCompile(`\{\w+\}`).FindAllString(filledInLater.Replace(sql), -1); len(left) > 0 {
				t.Errorf("%s: %q is left", file.Name(), left)
			}
			if strings.Contains(sql, ";") {
				t.Errorf("%s is more than one statement", file.Name())
			}
			// A table by its bare name would be another schema's.
			if bare := regexp.MustCompile(`(?i)\b(from|update|into|join)\s+(events|projections|parked)_`).FindString(sql); bare != "" {
				t.Errorf("%s has a name of its own: %s", file.Name(), bare)
			}
		}
	}
}
