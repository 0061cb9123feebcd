package sqlstore

import (
	"embed"
	"strings"

	"github.com/eventsource-go/eventsource/internal/pgident"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// statements are the files in sql/, with the table's name filled in.
type statements struct {
	// table is the quoted name.
	table string

	begin, commit                                  string
	append, appendReserving                        string
	session                                        string
	outcomeRunning, outcomeStored, outcomeVersions string
	outcomeDurable                                 string
	readPlan, readHorizon, readHorizonByIndex      string
	readPage, readPageOfTypes                      string // with {where} and {order}
	count                                          string // with {where}
	horizon, channel, notifyAsync, notifySend      string
	holder, purgeReservations                      string
}

func newStatements(schema, table string) *statements {
	names := strings.NewReplacer(
		"{events}", pgident.Quote(schema, table),
		"{append}", pgident.Quote(schema, table+"_append"),
		"{append_reserving}", pgident.Quote(schema, table+"_append_reserving"),
		"{reservations}", pgident.Quote(schema, table+"_reservations"),
		"{horizon}", pgident.Quote(schema, table+"_horizon"),
	)
	load := func(name string) string {
		data, err := sqlFiles.ReadFile("sql/" + name + ".sql")
		if err != nil {
			panic(err) // the file is part of the program
		}
		var sql strings.Builder
		for line := range strings.Lines(names.Replace(string(data))) {
			if !strings.HasPrefix(strings.TrimSpace(line), "--") { // comments need not travel
				sql.WriteString(line)
			}
		}
		return strings.TrimSpace(sql.String())
	}
	return &statements{
		table:           pgident.Quote(schema, table),
		begin:           load("begin"),
		commit:          load("commit"),
		append:          load("append"),
		appendReserving: load("append_reserving"),
		session:         load("session"),
		outcomeRunning:  load("outcome_running"),
		outcomeStored:   load("outcome_stored"),
		outcomeVersions: load("outcome_versions"),
		outcomeDurable:  load("outcome_durable"),
		readPlan:        load("read_plan"),
		readHorizon:     load("read_horizon"),

		readHorizonByIndex: load("read_horizon_by_index"),

		readPage:        load("read_page"),
		readPageOfTypes: load("read_page_of_types"),
		count:           load("count"),
		horizon:         load("horizon"),
		channel:         load("channel"),
		notifyAsync:     load("notify_async"),
		notifySend:      load("notify"),

		holder:            load("holder"),
		purgeReservations: load("purge_reservations"),
	}
}
