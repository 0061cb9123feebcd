package sqlprojection

import (
	"embed"
	"strconv"
	"strings"

	"github.com/eventsource-go/eventsource/internal/pgident"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// statements are the files in sql/, with the names of the tables filled in.
type statements struct {
	// begin is two statements, which travel together.
	begin                         string
	names, load, update           string
	advance, advanceAndPark       string
	parked, request, deleteParked string // parked with {where}
	table                         string // quoted
}

func newStatements(c config) *statements {
	load := func(name string) string { return c.statement("sql/" + name + ".sql") }
	return &statements{
		begin:          load("begin") + ";\n" + load("idle"),
		names:          load("names"),
		load:           load("load"),
		update:         load("update"),
		advance:        load("advance"),
		advanceAndPark: load("advance_and_park"),
		parked:         load("parked"),
		request:        load("request"),
		deleteParked:   load("delete_parked"),
		table:          pgident.Quote(c.schema, c.table+"_projections"),
	}
}

// statement reads one of the files in sql/ and fills in names and settings.
func (c *config) statement(file string) string {
	data, err := sqlFiles.ReadFile(file)
	if err != nil {
		panic(err) // the file is part of the program
	}
	names := strings.NewReplacer(
		"{projections}", pgident.Quote(c.schema, c.table+"_projections"),
		"{parked}", pgident.Quote(c.schema, c.table+"_parked"),
		"{idle_timeout}", strconv.FormatInt(c.idleTimeout.Milliseconds(), 10),
	)
	var sql strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") { // comments need not travel
			sql.WriteString(names.Replace(line))
		}
	}
	return strings.TrimSpace(sql.String())
}
