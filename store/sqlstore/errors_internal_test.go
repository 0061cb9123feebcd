package sqlstore

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/eventsource-go/eventsource"
)

func TestOnlyAnErrorOfTheStatementAloneSaysThatNothingWasCarriedOut(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "23505"}, true},
		{&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "53100"}, true},  // no room for the table
		{&pgconn.PgError{SeverityUnlocalized: "PANIC", Code: "53100"}, false}, // no room for the log
		{&pgconn.PgError{SeverityUnlocalized: "FATAL", Code: "58000"}, false}, // from a proxy
		{&pgconn.PgError{Severity: "FATAL", Code: "58000"}, false},            // the same, of an old version
		{&pgconn.PgError{SeverityUnlocalized: "FATAL", Code: "25P03"}, true},  // idle for too long, before the commit
		{&pgconn.PgError{SeverityUnlocalized: "FATAL", Code: "57P01"}, false}, // terminated
		{&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "57014"}, false}, // cancelled
		{&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "08P01"}, false}, // from PgBouncer
		{fmt.Errorf("save: %w", eventsource.ErrInvalidEvent), true},
		{fmt.Errorf("unexpected EOF"), false},
	} {
		if got := decided(test.err); got != test.want {
			t.Errorf("%v: got %t, want %t", test.err, got, test.want)
		}
	}
}
