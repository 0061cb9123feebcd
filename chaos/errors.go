package chaos

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// sqlState returns PostgreSQL's code of an error, "" if it has none.
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
