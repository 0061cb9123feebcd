package main

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// isolateAWS keeps the configuration of whoever runs the tests away from them.
func isolateAWS(t testing.TB) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// newDynamoDBURL names a table that is not there yet. The credentials and the
// region are those of testenv, which deletes it.
func newDynamoDBURL(t testing.TB) string {
	t.Helper()
	isolateAWS(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	return dynamoDBScheme + testenv.TableName(t) + "?region=us-east-1&endpoint=" + url.QueryEscape(testenv.DynamoDB(t))
}

func mustOpenDynamoDB(t testing.TB, url string) eventsource.Store {
	t.Helper()
	store, err := openDynamoDB(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// beginningOfPGX is as much of the history as DynamoDB Local takes in a few
// seconds, with a commit of 232 changes near its end.
func beginningOfPGX(t testing.TB) (log, tree string) {
	t.Helper()
	commits, err := parseAll(strings.NewReader(unzip(t, pgxLog)))
	if err != nil {
		t.Fatal(err)
	}
	return writeHistory(t, commits[:620])
}

func TestImportIntoDynamoDBTwice(t *testing.T) {
	log, tree := beginningOfPGX(t)
	args := []string{"-store", newDynamoDBURL(t), "-log", log, "-tree", tree}
	for _, want := range []string{
		"imported   620 commits, 1629 changes of files, 2 more saves for large commits: 2251 events in ",
		"skipped    620 commits that were in the store\nimported   0 commits, 0 changes of files: 0 events\n",
	} {
		code, stdout, stderr := runMain(t, args...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, want) || !strings.Contains(stdout, "read       2251 events in ") ||
			!strings.Contains(stdout, "check passed: ") {
			t.Fatalf("status %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	}
}

func TestNastyRepositoryInDynamoDB(t *testing.T) {
	r := nastyRepo(t)
	store := mustOpenDynamoDB(t, newDynamoDBURL(t))
	mustImport(t, store, r.dir, "imported   10 commits, ")
	mustImport(t, store, r.dir, "skipped    10 commits")
}

func TestLargeCommitsInDynamoDBWithAnyNumberOfShards(t *testing.T) {
	log, tree := writeHistory(t, largeCommits())
	for shards, want := range map[string]string{"1": "5 more saves", "7": "6 more saves"} {
		url := newDynamoDBURL(t)
		store := mustOpenDynamoDB(t, url+"&shards="+shards)
		if got, err := importFiles(t, store, log, tree); err != nil || !strings.Contains(got, want) {
			t.Errorf("%s shards: error %v, summary:\n%s", shards, err, got)
		}
		store = mustOpenDynamoDB(t, url) // takes the number that the table has
		if got, err := importFiles(t, store, log, tree); err != nil || !strings.Contains(got, "imported   0 commits") {
			t.Errorf("%s shards: error %v, summary:\n%s", shards, err, got)
		}
	}
}

func TestInterruptBetweenPartsInDynamoDBIsMadeUpFor(t *testing.T) {
	log, tree := writeHistory(t, largeCommits())
	store := mustOpenDynamoDB(t, newDynamoDBURL(t))
	history, err := openFiles(log, tree)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	// Six saves and two that are too large: three commits, and a part of the fourth.
	interrupted := &cancelAt{Store: store, commits: 8, cancel: cancel}
	if err := importAndCheck(ctx, interrupted, newMemoryModel(), history, t.Output(), t.Output()); !errors.Is(err, context.Canceled) {
		t.Fatalf("got error %v", err)
	}
	got, err := importFiles(t, store, log, tree)
	want := "skipped    3 commits that were in the store\nskipped    98 changes of the next one that were in the store\nimported   3 commits, "
	if err != nil || !strings.Contains(got, want) {
		t.Errorf("error %v, summary:\n%s", err, got)
	}
	if changes, parts, commits := eventsOf(t, store); changes != 648 || parts != 5 || commits != 6 {
		t.Errorf("%d changes, %d parts and %d commits in the store", changes, parts, commits)
	}
}

func TestOfTwoProcessesOnDynamoDBOneIsRefused(t *testing.T) {
	log, tree := writeHistory(t, largeCommits())
	url := newDynamoDBURL(t)
	store := mustOpenDynamoDB(t, url)
	mustRefuseOne(t, log, tree, store, mustOpenDynamoDB(t, url))
	if got, err := importFiles(t, store, log, tree); err != nil || !strings.Contains(got, "read       659 events") {
		t.Errorf("afterwards: %s, error %v", got, err)
	}
}

func TestDynamoDBTableOfAnotherShapeIsRefused(t *testing.T) {
	url := newDynamoDBURL(t)
	mustOpenDynamoDB(t, url+"&shards=2")
	mustOpenDynamoDB(t, url+"&shards=2")
	_, err := openDynamoDB(t.Context(), url+"&shards=3")
	if !errors.Is(err, dynamostore.ErrLayout) || !strings.Contains(err.Error(), "it has 2 shards, not 3") {
		t.Errorf("got error %v", err)
	}
}

func TestDynamoDBURLs(t *testing.T) {
	want := dynamoDB{table: "My_table.1-x", endpoint: "http://127.0.0.1:8000", region: "eu-central-1", profile: "p", shards: 4}
	got, err := parseDynamoDBURL("dynamodb://My_table.1-x?endpoint=http://127.0.0.1:8000&region=eu-central-1&profile=p&shards=4")
	if err != nil || got != want {
		t.Errorf("got %+v, error %v", got, err)
	}
	for url, want := range map[string]string{
		"dynamodb://":                                "table name",
		"dynamodb://ab":                              "table name",
		"dynamodb://a%zz":                            "invalid URL escape",
		"dynamodb://abc:1":                           "table name",
		"dynamodb://abc/d":                           "only parameters",
		"dynamodb://abc#d":                           "only parameters",
		"dynamodb://user:secret@abc":                 "credentials do not belong in the URL",
		"dynamodb://user:secret@abc:x":               "invalid port",
		"dynamodb://abc?a=b&regoin=us-east-1":        `unknown parameter "a": there are endpoint, region, profile and shards`,
		"dynamodb://abc?regoin=us-east-1&shards=1":   `unknown parameter "regoin"`,
		"dynamodb://abc?region=us-east-1&region=b":   "parameter region=us-east-1: it is there more than once",
		"dynamodb://abc?region=a;b":                  "semicolon",
		"dynamodb://abc?shards=":                     "parameter shards=: it has to be a number",
		"dynamodb://abc?shards=0":                    "parameter shards=0: it has to be a number",
		"dynamodb://abc?shards=65":                   "65 shards",
		"dynamodb://abc?endpoint=127.0.0.1:8000":     "parameter endpoint=127.0.0.1:8000: it has to be a URL",
		"dynamodb://abc?endpoint=localhost:8000":     "parameter endpoint=localhost:8000: it has to be a URL",
		"dynamodb://abc?endpoint=":                   "parameter endpoint=: it has to be a URL",
		"dynamodb://abc?endpoint=postgres://x/y":     "parameter endpoint=postgres://x/y: it has to be a URL",
		"dynamodb://abc?endpoint=http:///no-host-is": "parameter endpoint=http:///no-host-is: it has to be a URL",
	} {
		code, stdout, stderr := runMain(t, "-store", url, "-log", pgxLog, "-tree", pgxTree)
		if code != 2 || stdout != "" || !strings.Contains(stderr, "githistory: -store: ") || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, stdout %q, stderr %q", url, code, stdout, stderr)
		}
		if strings.Contains(stderr, "secret") {
			t.Errorf("%s: the password is shown: %q", url, stderr)
		}
	}
}

func TestDynamoDBThatCannotBeReachedIsAnErrorSoon(t *testing.T) {
	isolateAWS(t)
	config := filepath.Join(t.TempDir(), "config")
	write(t, config, "[profile keyless]\nregion = eu-west-1\n")
	t.Setenv("AWS_CONFIG_FILE", config)
	start := time.Now()
	for url, want := range map[string]string{
		"dynamodb://abc":                  "there is no region: add ?region= to the URL",
		"dynamodb://abc?region=us-east-1": "there are no credentials: set AWS_PROFILE",
		"dynamodb://abc?region=us-east-1&endpoint=http://192.0.2.1":  "there are no credentials: set AWS_PROFILE",
		"dynamodb://abc?profile=nobody":                              "failed to get shared config profile, nobody",
		"dynamodb://abc?profile=nobody&endpoint=http://localhost:1":  "failed to get shared config profile, nobody",
		"dynamodb://abc?profile=keyless&endpoint=http://localhost:1": "region \"eu-west-1\": describe table: there are no credentials",
		"dynamodb://abc?endpoint=http://127.0.0.1:1":                 "connection refused",
	} {
		code, stdout, stderr := runMain(t, "-store", url, "-log", pgxLog, "-tree", pgxTree)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "githistory: -store: ") || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, stdout %q, stderr %q", url, code, stdout, stderr)
		}
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}

func TestDynamoDBThatDoesNotAnswerIsNotWaitedForForLong(t *testing.T) {
	isolateAWS(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	d := dynamoDB{table: "abc", endpoint: "http://" + silent.Addr().String()}
	client, err := d.client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = d.create(t.Context(), client, 100*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 100ms: check endpoint, region and network") {
		t.Errorf("got error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.create(ctx, client, time.Minute); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "no answer") {
		t.Errorf("interrupted: got error %v", err)
	}
}

func TestDynamoDBOnThisMachineNeedsNoConfiguration(t *testing.T) {
	isolateAWS(t)
	given := func(t *testing.T, endpoint string) (region string, key aws.Credentials) {
		t.Helper()
		d := dynamoDB{table: "abc", endpoint: endpoint}
		client, err := d.client(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		key, err = client.Options().Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return client.Options().Region, key
	}
	for _, endpoint := range []string{"http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost:8000"} {
		if region, key := given(t, endpoint); region != "us-east-1" || key.AccessKeyID != "local" || key.SecretAccessKey == "" {
			t.Errorf("%s: got region %q, key %q", endpoint, region, key.AccessKeyID)
		}
	}
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "mine")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	for _, endpoint := range []string{"http://127.0.0.1:8000", "http://192.0.2.1", ""} {
		if region, key := given(t, endpoint); region != "eu-central-1" || key.AccessKeyID != "mine" {
			t.Errorf("%s: got region %q, key %q, want those of the environment", endpoint, region, key.AccessKeyID)
		}
	}
}
