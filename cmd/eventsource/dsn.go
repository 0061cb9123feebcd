package main

import (
	"database/sql"
	"net/url"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// openDatabase makes no connection yet. source is what an error calls the URL,
// which it does not show.
func openDatabase(source, dsn string) (*sql.DB, error) {
	scheme, rest, _ := strings.Cut(dsn, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return nil, wrong("%s: it has to be a URL that begins with postgres://", source)
	}
	// With more of these, parts of the password would be taken for the host or the
	// database, and be shown in errors.
	if at := strings.LastIndex(rest, "@"); at != strings.IndexAny(rest, "@/") && at >= 0 {
		return nil, wrong("%s: it has more than one @, or a / before the @: in passwords, as everywhere else, they have to be written as %%40 and %%2F", source)
	}
	// The application's URL may have parameters for its pool, which pgx alone would
	// not know.
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil && showsAny(err.Error(), passwords(rest)) {
		return nil, wrong("%s: it cannot be parsed, and to say why would show the password: what is special in it, such as %%, has to be written as %%25", source)
	}
	if err != nil {
		return nil, wrong("%s: %w", source, err)
	}
	return stdlib.OpenDB(*config.ConnConfig), nil
}

// passwords are those in a URL without its scheme, as they stand there and as they
// are meant.
func passwords(rest string) []string {
	var found []string
	add := func(password string) {
		decoded, err := url.PathUnescape(password)
		found = append(found, password)
		if err == nil {
			found = append(found, decoded)
		}
	}
	if user, _, ok := strings.Cut(rest, "@"); ok {
		_, password, _ := strings.Cut(user, ":")
		add(password)
		_, rest, _ = strings.Cut(rest, "@")
	}
	_, query, _ := strings.Cut(rest, "?")
	secret := false
	for parameter := range strings.SplitSeq(query, "&") {
		key, value, isParameter := strings.Cut(parameter, "=")
		if !isParameter { // perhaps what follows a & in a password
			if secret {
				add(parameter)
			}
			continue
		}
		name, err := url.PathUnescape(key)
		if secret = err != nil || strings.Contains(strings.ToLower(name), "password"); secret {
			add(value)
		}
	}
	return found
}

func showsAny(text string, secrets []string) bool {
	for _, secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			return true
		}
	}
	return false
}

var (
	userInfo = regexp.MustCompile(`://.*@`)
	// In quotes, a password may have spaces; \ keeps a space or a quote from ending it, and
	// is doubled where the text was quoted once more. After & comes the next parameter of
	// a URL only if it has a =.
	parameter = regexp.MustCompile(`(?i)(password\s*=\s*)('(?:[^'\\]|\\+.)*'?|(?:[^&\s\\]|\\+.|&[^=&\s]*(?:[&\s]|$))*)`)
	// AWS answers a wrong signature with what it should have been made of. The AWS SDK
	// shows what a credential_process has printed.
	fromAWS = regexp.MustCompile(`(?is)(x-amz-security-token:|parse failed of process output:).*`)
)

// mask hides what may be a password: somebody may have put the URL of a database
// where something else belongs. It hides too much rather than too little.
func mask(text string) string {
	text = userInfo.ReplaceAllLiteralString(text, "://xxxxx@")
	text = parameter.ReplaceAllString(text, "${1}xxxxx")
	return fromAWS.ReplaceAllString(text, "${1}xxxxx")
}
