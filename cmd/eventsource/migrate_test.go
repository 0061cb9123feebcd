package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

func TestMigrationsAreAppliedShownAndTakenBack(t *testing.T) {
	dsn := testenv.Postgres(t)
	names := []string{"00001_create_events.sql", "00002_create_projections.sql", "00003_create_reservations.sql"}
	on := func(command string) result { return runMain(t, "migrate", command, "--dsn", dsn) }
	status := func(state string) {
		t.Helper()
		var lines []string
		for i, name := range names {
			lines = append(lines, fmt.Sprintf("%d  %-*s  %s", i+1, len(names[2]), name, state)) // up to the longest
		}
		on("status").want(t, 0, lines...)
	}

	status("not applied\n")
	on("down").want(t, 0, "table events: there is nothing to take back\n")
	on("up").want(t, 0, "table events: applied "+names[0]+"\n", "table events: applied "+names[1]+"\n", "table events: applied "+names[2]+"\n")
	on("up").want(t, 0, "table events: is up to date\n")
	status("applied 2")
	for _, name := range slices.Backward(names) {
		on("down").want(t, 0, "table events: took back "+name+"\n")
	}
	status("not applied\n")
}

func TestTableWithEventsIsOnlyDroppedWithDropEvents(t *testing.T) {
	dsn := testenv.Postgres(t)
	runMain(t, "migrate", "up", "--dsn", dsn, "--table", "orders").want(t, 0, "table orders: applied ")
	save(t, sqlstore.New(testenv.Pool(t, dsn), sqlstore.WithTable("orders")), eventsource.Record{AggregateID: "order-1", Type: "Placed"})

	for _, name := range []string{"00003_create_reservations.sql", "00002_create_projections.sql"} {
		runMain(t, "migrate", "down", "--dsn", dsn, "--table", "orders").want(t, 0, "took back "+name)
	}
	runMain(t, "migrate", "down", "--dsn", dsn, "--table", "orders").
		want(t, 1, `table "orders"`, "refused to drop a table that holds events", "(--drop-events drops it with all events)")
	runMain(t, "migrate", "down", "--dsn", dsn, "--table", "orders", "--drop-events").want(t, 0, "table orders: took back ")
	runMain(t, "migrate", "status", "--dsn", dsn, "--table", "orders").want(t, 0, "not applied")
}

func TestSchemaAndTableAreThoseOfTheFlags(t *testing.T) {
	dsn := testenv.Postgres(t)
	pool := testenv.Pool(t, dsn)
	var schema string
	if err := pool.QueryRow(t.Context(), "SELECT current_schema() || '_2'").Scan(&schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), "DROP SCHEMA IF EXISTS "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	flags := []string{"--dsn", dsn, "--schema", schema, "--table", "Orders"}
	on := func(command string) result { return runMain(t, append([]string{"migrate", command}, flags...)...) }

	on("status").want(t, 0, "not applied")
	on("up").want(t, 0, "table "+schema+".Orders: applied ")
	on("status").want(t, 0, "applied 2")
	runMain(t, "migrate", "status", "--dsn", dsn).want(t, 0, "not applied")
	if _, err := pool.Exec(t.Context(), "SELECT FROM "+schema+`."Orders"`); err != nil {
		t.Error(err)
	}
	on("down").want(t, 0, "took back ")
}

func TestDatabaseIsThatOfTheEnvironmentUnlessThereIsAFlag(t *testing.T) {
	one, two := testenv.Postgres(t), testenv.Postgres(t)
	env := map[string]string{"DATABASE_URL": one}
	runWith(t.Context(), env, "migrate", "up").want(t, 0, "applied ")
	runWith(t.Context(), env, "migrate", "status", "--dsn", two).want(t, 0, "not applied")
	runWith(t.Context(), env, "migrate", "status").want(t, 0, "applied 2")
	runWith(t.Context(), env, "migrate", "status", "--dsn=").want(t, 2, "--dsn is empty")
	runWith(t.Context(), map[string]string{"DATABASE_URL": "mysql://h/d"}, "migrate", "status").
		want(t, 2, "DATABASE_URL: it has to be a URL that begins with postgres://")
}

func TestURLMayBeTheApplicationsWithParametersOfItsPool(t *testing.T) {
	dsn := withQuery(t, testenv.Postgres(t), "pool_max_conns", "7")
	runMain(t, "migrate", "up", "--dsn", dsn).want(t, 0, "applied ")
}

func withQuery(t testing.TB, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

func TestPasswordsAreShownNowhere(t *testing.T) {
	// Each has parts of the password that must not be shown, and what is said instead.
	for _, test := range []struct {
		dsn  string
		code int
		want string
	}{
		{"postgres://u:hushhush@127.0.0.1:1/d", 1, "user=u database=d"},
		{"postgresql://u:hush%40hush@127.0.0.1:1/d", 1, "user=u database=d"},
		{"postgres://u:hush:hush@127.0.0.1:1/d", 1, "user=u database=d"},
		{"postgres://u:hush?hush@127.0.0.1:1/d", 1, "user=u database=d"},
		{"postgres://u:hush#hush@127.0.0.1:1/d", 1, "user=u database=d"},
		{"postgres://u@127.0.0.1:1/d?password=hushhush", 1, "user=u database=d"},

		{"postgres://u:hush hush@127.0.0.1:1/d", 2, "unexpected spaces found in password"},
		{"postgres://u:hush@hush@127.0.0.1:1/d", 2, "more than one @"},
		{"postgres://u:hush/hush@127.0.0.1:1/d", 2, "a / before the @"},
		{"postgres://u:1/hush@127.0.0.1:1/d", 2, "a / before the @"},
		{"postgres://u:1@hush/hush@127.0.0.1:1/d", 2, "more than one @"},
		{"postgres://u:1@h/hush?hush@127.0.0.1:1/d", 2, "more than one @"},
		{"postgres://u:hush%zzhush@127.0.0.1:1/d", 2, "--dsn: "},
		{"postgres://u:hushhush@127.0.0.1:x/d", 2, "invalid port"},
		{"postgres://u:hushhush@127.0.0.1:1/d?sslmode=no", 2, "sslmode is invalid"},
		{"postgres://u@127.0.0.1:1/d?password=hush%zzhush", 2, "--dsn: "},
		{"postgres://u@127.0.0.1:1/d?pass%77ord=hushhush&sslmode=no", 2, "sslmode is invalid"},
		{"postgres://u@127.0.0.1:1/d?password=hushhush&sslpassword=hushhush&sslmode=no", 2, "sslmode is invalid"},
		{"postgres://u@127.0.0.1:1/d?password=hush=hush", 2, "--dsn: "},
		{"postgres://u:hushhush@127.0.0.1:1/d?nothing", 2, `"=" in URI query parameter: "nothing"`},
		{"postgres://u:hushhush@127.0.0.1:1/hushhush?sslmode=no", 2, "would show the password"},
		{"host=127.0.0.1 password=hush", 2, "begins with postgres://"},
		{"mysql://u:hush@h/d", 2, "begins with postgres://"},
		{"u:hush@h/d", 2, "begins with postgres://"},
	} {
		for _, command := range []string{"up", "down", "status"} {
			r := runMain(t, "migrate", command, "--dsn", test.dsn)
			r.want(t, test.code, test.want)
			fromEnv := runWith(t.Context(), map[string]string{"DATABASE_URL": test.dsn}, "migrate", command)
			fromEnv.want(t, test.code, strings.ReplaceAll(test.want, "--dsn", "DATABASE_URL"))
			hush(t, test.dsn, r, fromEnv)
		}
	}
}

func hush(t testing.TB, what string, results ...result) {
	t.Helper()
	for _, r := range results {
		if strings.Contains(strings.ToLower(r.stdout+r.stderr), "hush") || strings.Contains(r.stderr, "%zz") {
			t.Errorf("%s: the password is shown:\n%s%s", what, r.stdout, r.stderr)
		}
	}
}

func TestPasswordsAreHiddenWhereAURLIsMisplaced(t *testing.T) {
	isolateAWS(t)
	const dsn = "postgres://u:hush hush@h/d?password=hush"
	for _, args := range [][]string{
		{dsn}, {"migrate", dsn}, {"migrate", "up", dsn}, {"migrate", "up", "-dsn=" + dsn}, {"migrate", "up", "--dns=" + dsn},
		{"migrate", "up", "host=h password=hush"}, {"migrate", "up", "host=h password='hush hush'"}, {"migrate", "up", "host=h PASSWORD=hush"},
		{"migrate", "up", "--dsn", "postgres://h/d", "--table", dsn}, {"migrate", "up", "--dsn", "postgres://h/d", "--schema", dsn},
		{"dynamodb", "create-table", "--name", dsn}, {"dynamodb", "create-table", "--name", "orders", "--billing", dsn},
		{"dynamodb", "create-table", "--name", "orders", "--endpoint", dsn}, {"dynamodb", "create-table", "--name", "orders", "--shards", dsn},
		{"dynamodb", "describe-table", "--name", "orders", "--endpoint", "https://u:hush@"},
	} {
		r := runMain(t, args...)
		r.want(t, 2)
		hush(t, strings.Join(args, " "), r)
	}
}

func TestPasswordIsNotInTheOutputOfWhatWorks(t *testing.T) {
	u, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, given := u.User.Password(); !given { // then the server does not ask for one
		u.User = url.UserPassword(u.User.Username(), "hushhush")
	}
	password, _ := u.User.Password()
	for _, command := range []string{"status", "up", "status", "up", "down", "down"} {
		r := runMain(t, "migrate", command, "--dsn", u.String())
		r.want(t, 0)
		if strings.Contains(r.stdout+r.stderr, password) {
			t.Errorf("%s: the password is shown: %s%s", command, r.stdout, r.stderr)
		}
	}
}

func TestMaskHidesPasswordsAndLeavesTheRest(t *testing.T) {
	for text, want := range map[string]string{
		"nothing to hide":                          "nothing to hide",
		"cannot reach http://localhost:8000/x: no": "cannot reach http://localhost:8000/x: no",
		"a@b":                                       "a@b",
		"postgres://u:p@h/d":                        "postgres://xxxxx@h/d",
		"postgres://u:p@q@h/d and more":             "postgres://xxxxx@h/d and more",
		"x?password=p&sslmode=no: why":              "x?password=xxxxx&sslmode=no: why",
		"host=h sslPassword='p q' user=u":           "host=h sslPassword=xxxxx user=u",
		"line\npostgres://u:p@h/d\nhttp://h/d\na@b": "line\npostgres://xxxxx@h/d\nhttp://h/d\na@b",
	} {
		if got := mask(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestServerThatIsNotThereIsNamed(t *testing.T) {
	for _, command := range []string{"up", "down", "status"} {
		runMain(t, "migrate", command, "--dsn", "postgres://u@127.0.0.1:1/d").want(t, 1, "127.0.0.1:1", "connection refused")
	}
}

func TestDatabaseThatIsNotThereIsNamed(t *testing.T) {
	u, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/no_such_database"
	runMain(t, "migrate", "up", "--dsn", u.String()).want(t, 1, `database "no_such_database" does not exist`)
}
