package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestPasswordsFromElsewhereAreShownNowhere(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const service = "postgres:///d?service=x&servicefile="
	key := file("key.pem", `-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF

aHVzaGh1c2hodXNoaHVzaA==
-----END RSA PRIVATE KEY-----
`)
	for name, test := range map[string]struct {
		variable, value string
		dsn             string
		code            int
		want            string
	}{
		"PGPASSWORD":                    {"PGPASSWORD", "hushhush", "postgres://u@127.0.0.1:1/d", 1, "refused"},
		"PGPASSWORD and a bad URL":      {"PGPASSWORD", "hushhush", "postgres://u@127.0.0.1:x/d", 2, "invalid port"},
		"password file":                 {"PGPASSFILE", file("pass", "*:*:*:*:hushhush\n"), "postgres://u@127.0.0.1:1/d", 1, "refused"},
		"service file":                  {"PGSERVICEFILE", file("s1", "[x]\npassword=hush\nhost=127.0.0.1\nport=1\n"), "postgres:///d?service=x", 1, "refused"},
		"service file by URL":           {"", "", service + file("s2", "[x]\npassword=hush\nhost=127.0.0.1\nport=1\n"), 1, "refused"},
		"service file without section":  {"", "", service + file("s3", "password=hush\n[x]\n"), 2, "failed to read service"},
		"service file with a bad line":  {"", "", service + file("s4", "[x]\npassword hush\n"), 2, "failed to read service"},
		"service file with a bad value": {"", "", service + file("s5", "[x]\npassword=hush\nport=hush\n"), 2, "invalid port"},
		"password of a key":             {"PGSSLPASSWORD", "hush", "postgres://u@127.0.0.1:1/d?sslmode=require&sslkey=" + key + "&sslcert=" + key, 2, "decrypt"},
		"password of a key by URL":      {"", "", "postgres://u@127.0.0.1:1/d?sslmode=require&sslpassword=hush&sslkey=" + key + "&sslcert=" + key, 2, "decrypt"},
		"after a &":                     {"", "", "postgres://u@127.0.0.1:1/d?password=a&hush", 2, "would show the password"},
		"NUL":                           {"", "", "postgres://u:hush\x00hush@127.0.0.1:1/d", 2, "NUL"},
		"line feed":                     {"", "", "postgres://u:hush\nhush@127.0.0.1:x/d", 2, "--dsn: "},
		"of several hosts":              {"", "", "postgres://u:hush@127.0.0.1:1,127.0.0.1:2/d", 1, "127.0.0.1:2"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.variable != "" {
				t.Setenv(test.variable, test.value)
			}
			for _, command := range []string{"up", "down", "status"} {
				r := runMain(t, "migrate", command, "--dsn", test.dsn)
				r.want(t, test.code, test.want)
				hush(t, command, r)
			}
		})
	}
}

func TestPasswordsAreHiddenWhereADSNIsMisplaced(t *testing.T) {
	for _, dsn := range []string{
		"host=h password = hush", "host=h password= 'hush hush' user=u", `host=h password='it\'s hush'`, `host=h password='it\\\'s hush`,
		`host=h password=it\ hush`, `host=h password=it\'\ hush`, "host=h password=a&hush", "host=h sslpassword=a&hush user=u",
		"postgres://h/d?password=a&hush",
	} {
		for _, args := range [][]string{{dsn}, {"migrate", "up", dsn}, {"migrate", "up", "--" + dsn}, {"dynamodb", "create-table", "--name", dsn}} {
			r := runMain(t, args...)
			r.want(t, 2)
			hush(t, strings.Join(args, " "), r)
		}
	}
}

func TestPasswordInAnEndpointIsShownNowhere(t *testing.T) {
	isolateAWS(t)
	name := testenv.TableName(t)
	withUser := func(endpoint string) string { return strings.Replace(endpoint, "://", "://u:hush@", 1) }
	for _, step := range []struct {
		endpoint string
		args     string
		code     int
		want     string
	}{
		{withUser(testenv.DynamoDB(t)), "create-table", 0, " at http://xxxxx@"},
		{withUser(testenv.DynamoDB(t)), "create-table", 0, " at http://xxxxx@"},
		{withUser(testenv.DynamoDB(t)), "describe-table", 0, name},
		{withUser(testenv.DynamoDB(t)), "delete-table", 0, " at http://xxxxx@"},
		{withUser(testenv.DynamoDB(t)), "describe-table", 1, "does not exist"},
		{"http://u:hush@127.0.0.1:1", "describe-table --timeout 2s", 1, "describe table"},
		{"http://u:hu sh@127.0.0.1:1", "describe-table --timeout 2s", 2, "--endpoint"},
	} {
		command, flags, _ := strings.Cut(step.args, " ")
		args := append([]string{"dynamodb", command, "--name", name}, strings.Fields(flags)...)
		byFlag := runMain(t, append(args, "--endpoint", step.endpoint)...)
		byFlag.want(t, step.code, step.want)
		hush(t, step.args, byFlag)
	}
	for _, endpoint := range []string{"http://u:hush@127.0.0.1:1", "http://u:hush hush@127.0.0.1:1"} {
		t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
		r := runMain(t, "dynamodb", "describe-table", "--name", name, "--timeout", "2s")
		r.want(t, 1)
		hush(t, endpoint, r)
	}
}

func TestCredentialsOfAWSAreShownNowhere(t *testing.T) {
	isolateAWS(t)
	// As AWS does when the secret key is wrong.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"__type":"com.amazon.coral.service#InvalidSignatureException","message":"The request signature we calculated does not match.\n\n`+
			`The Canonical String for this request should have been\n'POST\n/\n\nhost:h\nx-amz-security-token:%s\n\nhost'\n"}`, r.Header.Get("X-Amz-Security-Token"))
	}))
	t.Cleanup(server.Close)
	describe := []string{"dynamodb", "describe-table", "--name", "orders", "--endpoint", server.URL, "--timeout", "1m"}

	t.Run("in the environment", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "hushhush")
		t.Setenv("AWS_SESSION_TOKEN", "hushhush")
		r := runMain(t, describe...)
		r.want(t, 1, "the signature does not fit", "x-amz-security-token:xxxxx")
		hush(t, "a wrong signature", r)
	})
	for what, credentials := range map[string]string{
		"half of them":   "[default]\naws_secret_access_key = hush\n",
		"a bad line":     "[default]\naws_access_key_id = a\naws_secret_access_key hush\n",
		"no section":     "aws_secret_access_key = hush\n",
		"a bad section":  "[default\naws_secret_access_key = hush\n",
		"a process":      "[default]\ncredential_process = echo '{\"Version\":1,\"SecretAccessKey\":\"hush'\n",
		"a process's no": "[default]\ncredential_process = echo '{\"Version\":2,\"SecretAccessKey\":\"hush\"}'\n",
	} {
		t.Run(what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "credentials")
			if err := os.WriteFile(file, []byte(credentials), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
			r := runMain(t, describe...)
			r.want(t, 1)
			hush(t, what, r)
		})
	}
}

func TestNamesInFlagsAreQuotedOrRefused(t *testing.T) {
	dsn := testenv.Postgres(t)
	pool := testenv.Pool(t, dsn)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE kept (id integer)"); err != nil {
		t.Fatal(err)
	}
	var schema string
	if err := pool.QueryRow(t.Context(), "SELECT current_schema()").Scan(&schema); err != nil {
		t.Fatal(err)
	}
	flags := func(names ...string) [][]string {
		var all [][]string
		for _, name := range names {
			all = append(all, []string{"--table", name}, []string{"--schema", name})
		}
		return all
	}
	for _, command := range []string{"up", "status", "down"} {
		for _, flag := range flags(`kept"; DROP TABLE kept; --`, "kept;", "x'", "$1", `\`, "{events}", "a b", "a\nb", "\x00", strings.Repeat("m", 64)) {
			runMain(t, append([]string{"migrate", command, "--dsn", dsn}, flag...)...).want(t, 2, strings.TrimPrefix(flag[0], "--")+" name ")
		}
		for _, table := range []string{schema + ".kept", "kept,kept", "--", "/*", "%s", "@a", "kept)"} {
			r := runMain(t, "migrate", command, "--dsn", dsn, "--schema", schema, "--table", table)
			r.want(t, 0)
			if !strings.Contains(r.stdout, "appl") && !strings.Contains(r.stdout, "took back") {
				t.Errorf("%s of %q: %s", command, table, r.stdout)
			}
		}
	}
	if _, err := pool.Exec(t.Context(), "TABLE kept"); err != nil {
		t.Error(err)
	}
}

func TestThePasswordMayBeThatOfTheEnvironment(t *testing.T) {
	u, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	if password, given := u.User.Password(); given {
		t.Setenv("PGPASSWORD", password)
	}
	u.User = url.User(u.User.Username())
	runMain(t, "migrate", "up", "--dsn", u.String()).want(t, 0, "applied ")
}
