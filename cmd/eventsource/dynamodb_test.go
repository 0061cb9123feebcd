package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// isolateAWS keeps the SDK from the configuration of whoever runs the tests.
func isolateAWS(t testing.TB) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	dir := t.TempDir()
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// onTable runs a command of dynamodb for the table, on the tests' server.
func onTable(t testing.TB, name, args string) result {
	t.Helper()
	command, flags, _ := strings.Cut(args, " ")
	all := append([]string{"dynamodb", command, "--name", name, "--endpoint", testenv.DynamoDB(t)}, strings.Fields(flags)...)
	return runMain(t, all...)
}

func TestTableIsCreatedDescribedAndDeleted(t *testing.T) {
	isolateAWS(t)
	name := testenv.TableName(t)
	where := "table " + name + " in region us-east-1 at " + testenv.DynamoDB(t)

	onTable(t, name, "describe-table").want(t, 1, `table "`+name+`"`, "does not exist", "create-table --name "+name)
	onTable(t, name, "delete-table").want(t, 1, "does not exist")

	onTable(t, name, "create-table --shards 3").want(t, 0, "created "+where+", with 3 shards\n")
	again := onTable(t, name, "create-table --shards 3")
	again.want(t, 0, where+" is there already and fits: it has 3 shards\n")
	if again.stderr != "" {
		t.Errorf("stderr %q", again.stderr)
	}
	onTable(t, name, "create-table").want(t, 1, "it has 3 shards, not 1")

	text := onTable(t, name, "describe-table")
	text.want(t, 0, "table                   "+name+"\n", "status                  ACTIVE\n", "billing                 on-demand\n",
		"deletion protection     off\n", "stream                  off\n",
		"shards                  3\nlast event              none\nevent types             none\nproblems                none\n")
	var got tableJSON
	onTable(t, name, "describe-table --output json").unmarshal(t, 0, &got)
	if got.Name != name || got.Region != "us-east-1" || got.Status != "ACTIVE" || got.Created.IsZero() || got.Shards != 3 || got.Capacity != nil ||
		got.LastEvent != nil || got.EventTypes == nil || got.Problems == nil {
		t.Errorf("got %+v", got)
	}

	onTable(t, name, "delete-table").want(t, 0, "deleted "+where+"\n")
	onTable(t, name, "describe-table --output json").want(t, 1, "does not exist")
}

// unmarshal checks the exit status and reads the output as JSON.
func (r result) unmarshal(t testing.TB, code int, into any) {
	t.Helper()
	r.want(t, code)
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		t.Fatalf("%v in %s", err, r.stdout)
	}
}

func TestTableHasTheSettingsThatWereAskedFor(t *testing.T) {
	isolateAWS(t)
	name := testenv.TableName(t)
	onTable(t, name, "create-table --billing provisioned --read-capacity 7 --write-capacity 8 --deletion-protection --stream NEW_IMAGE").
		want(t, 0, "created table ")
	onTable(t, name, "describe-table").want(t, 0, "billing                 provisioned, 7 read and 8 write units a second\n",
		"deletion protection     on\n", "stream                  NEW_IMAGE\n", "stream ARN              arn:")
	var got tableJSON
	onTable(t, name, "describe-table --output json").unmarshal(t, 0, &got)
	if got.Billing != "provisioned" || got.Capacity == nil || *got.Capacity != (capacityJSON{Read: 7, Write: 8}) ||
		!got.DeletionProtection || got.Stream == nil || *got.Stream != "NEW_IMAGE" || got.StreamARN == nil {
		t.Errorf("got %+v", got)
	}
	for _, args := range []string{"delete-table", "delete-table --drop-events"} {
		onTable(t, name, args).want(t, 1, "protect")
	}
}

func TestExistingTableKeepsItsSettingsAndTheDifferencesAreNoted(t *testing.T) {
	isolateAWS(t)
	name := testenv.TableName(t)
	onTable(t, name, "create-table").want(t, 0, "created table ", "with 1 shard\n")
	r := onTable(t, name, "create-table --billing provisioned --read-capacity 7 --write-capacity 8 --deletion-protection --stream KEYS_ONLY --tag a=b")
	r.want(t, 0, "is there already and fits: it has 1 shard\n")
	want := `note: left as it is: billing is on-demand, not provisioned, 7 read and 8 write units a second
note: left as it is: deletion protection is off
note: left as it is: the stream is off, not KEYS_ONLY
note: left as it is: its tags, whatever they are
`
	if diff := cmp.Diff(want, r.stderr); diff != "" {
		t.Error(diff)
	}
}

func TestFlagsBecomeOptionsOfTheTable(t *testing.T) {
	f := createTableFlags{
		billing: provisioned, read: 7, write: 8, shards: 9, pointInTimeRecovery: true, deletionGuard: true,
		stream: "NEW_IMAGE", tags: []string{"a=b", "c=d=e", "f="},
	}
	got, err := f.options(func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	want := dynamostore.TableOptions{
		Provisioned: &dynamostore.Capacity{Read: 7, Write: 8}, Shards: 9, PointInTimeRecovery: true, DeletionProtection: true,
		Stream: types.StreamViewTypeNewImage, Tags: map[string]string{"a": "b", "c": "d=e", "f": ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDifferencesAreOnlyOfWhatWasAskedFor(t *testing.T) {
	found := dynamostore.TableDescription{PointInTimeRecovery: aws.Bool(true), DeletionProtection: true, Stream: types.StreamViewTypeKeysOnly}
	for _, options := range []dynamostore.TableOptions{
		{}, {PointInTimeRecovery: true, DeletionProtection: true, Stream: types.StreamViewTypeKeysOnly},
	} {
		if got := differences(options, found); len(got) > 0 {
			t.Errorf("got %q", got)
		}
	}
	got := differences(dynamostore.TableOptions{DeletionProtection: true}, dynamostore.TableDescription{})
	if want := []string{"deletion protection is off"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTableOfAnotherToolGetsItsShards(t *testing.T) {
	isolateAWS(t)
	name := testenv.TableName(t)
	createFromDryRun(t, name)
	onTable(t, name, "describe-table").want(t, 0, "shards                  none yet: ", "problems                none\n")
	onTable(t, name, "create-table --shards 2").want(t, 0, "was there already, without shards; it has 2 shards now\n")
	onTable(t, name, "describe-table").want(t, 0, "shards                  2\n")
}

// createFromDryRun makes a table as aws dynamodb create-table --cli-input-json
// would.
func createFromDryRun(t testing.TB, name string) {
	t.Helper()
	r := runMain(t, "dynamodb", "create-table", "--name", name, "--dry-run")
	r.want(t, 0)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, testenv.DynamoDB(t), strings.NewReader(r.stdout))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810.CreateTable")
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s, error %v: %s", response.Status, err, body)
	}
}

func TestTableWithOtherKeysIsShownWithItsProblemsAndNotDeleted(t *testing.T) {
	isolateAWS(t)
	name := testenv.TableName(t)
	_, err := testenv.DynamoDBClient(t).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:            &name,
		BillingMode:          types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
	})
	if err != nil {
		t.Fatal(err)
	}
	problems := []string{
		"the table has the keys HASH id (S), not HASH aggregate_id (S), RANGE version (N)",
		"the global secondary index by_sequence is missing",
		"the global secondary index by_type is missing",
	}

	text := onTable(t, name, "describe-table")
	text.want(t, 1, "status                  ACTIVE\n", `eventsource: table "`+name+`" is not as stores need it: 3 problems`)
	last := "problems                " + strings.Join(problems, "\n                        ") + "\n"
	if !strings.HasSuffix(text.stdout, last) {
		t.Errorf("the problems are not last in\n%s", text.stdout)
	}
	var got tableJSON
	onTable(t, name, "describe-table --output json").unmarshal(t, 1, &got)
	if diff := cmp.Diff(problems, got.Problems); diff != "" {
		t.Error(diff)
	}

	onTable(t, name, "create-table").want(t, 1, problems...)
	onTable(t, name, "delete-table").want(t, 1, "not deleted", problems[0], "(--drop-events deletes it with all that it holds)")
	onTable(t, name, "delete-table --drop-events").want(t, 0, "deleted table ")
}

func TestTableWithEventsIsOnlyDeletedWithDropEvents(t *testing.T) {
	isolateAWS(t)
	name := testenv.TableName(t)
	onTable(t, name, "create-table").want(t, 0)
	store := dynamostore.New(testenv.DynamoDBClient(t), name)
	last := save(t, store, eventsource.Record{AggregateID: "order-1", Type: "Placed"}, eventsource.Record{AggregateID: "order-1", Type: "Paid"})

	onTable(t, name, "describe-table").want(t, 0, "last event              "+last+"\nevent types             Paid, Placed\n")
	var got tableJSON
	onTable(t, name, "describe-table --output json").unmarshal(t, 0, &got)
	if got.LastEvent == nil || *got.LastEvent != last || !reflect.DeepEqual(got.EventTypes, []string{"Paid", "Placed"}) {
		t.Errorf("got %+v", got)
	}
	onTable(t, name, "delete-table").want(t, 1, "table holds events", "up to "+last, "(--drop-events deletes it with all that it holds)")
	onTable(t, name, "delete-table --drop-events").want(t, 0, "deleted table ")
}

func TestDryRunMakesNoRequestAndNeedsNothing(t *testing.T) {
	isolateAWS(t)
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests++ }))
	defer server.Close()
	for _, flags := range []string{
		"", "--endpoint http://127.0.0.1:1", "--endpoint " + server.URL, "--profile none --region x", "--shards 64 --point-in-time-recovery",
		"--projections --point-in-time-recovery --endpoint " + server.URL,
	} {
		args := append([]string{"dynamodb", "create-table", "--name", "orders", "--dry-run"}, strings.Fields(flags)...)
		r := runMain(t, args...)
		r.want(t, 0, `"TableName": "orders"`, "dry run: no request was made")
		if !json.Valid([]byte(r.stdout)) {
			t.Errorf("%s: no JSON on stdout: %s", flags, r.stdout)
		}
	}
	if requests > 0 {
		t.Errorf("%d requests were made", requests)
	}
}

func TestTableOfProjectionsIsCreatedAndKept(t *testing.T) {
	isolateAWS(t)
	name := testenv.TableName(t)
	where := "table " + name + " in region us-east-1 at " + testenv.DynamoDB(t)
	const create = "create-table --projections --billing provisioned --read-capacity 7 --write-capacity 8 --deletion-protection --tag a=b"
	onTable(t, name, create).want(t, 0, "created "+where+", for projections\n")
	onTable(t, name, create).want(t, 0, where+" is there already and fits; its settings are left as they are\n")
	onTable(t, name, "describe-table").want(t, 1, "billing                 provisioned, 7 read and 8 write units a second\n", "deletion protection     on\n")
	checkpoints := dynamoprojection.NewCheckpoints(testenv.DynamoDBClient(t), name)
	if err := checkpoints.Update(t.Context(), []projection.Row{{Name: "p"}}, nil); err != nil {
		t.Error(err)
	}

	events := testenv.TableName(t)
	onTable(t, events, "create-table").want(t, 0)
	onTable(t, events, "create-table --projections").want(t, 1, "the table has the keys HASH aggregate_id (S), RANGE version (N), not HASH pk (S), RANGE sk (S)")
}

func TestDryRunSaysWhatElseWouldBeDone(t *testing.T) {
	recovery := "- switch point-in-time recovery on, with UpdateContinuousBackups\n"
	one := runMain(t, "dynamodb", "create-table", "--name", "orders", "--dry-run")
	one.want(t, 0, "- write the head of 1 shard into the table\n")
	four := runMain(t, "dynamodb", "create-table", "--name", "orders", "--dry-run", "--shards", "4", "--point-in-time-recovery")
	four.want(t, 0, "- write the heads of 4 shards into the table\n", recovery, "Without them, the table gets one shard.\n")
	projections := runMain(t, "dynamodb", "create-table", "--name", "projections", "--projections", "--dry-run", "--point-in-time-recovery")
	projections.want(t, 0, "- wait until the table is active\n", recovery)
	if strings.Contains(projections.stderr, "shard") {
		t.Errorf("stderr %q", projections.stderr)
	}
	if strings.Contains(one.stderr, recovery) || strings.Contains(one.stderr, "another tool") {
		t.Errorf("stderr %q", one.stderr)
	}
}

func TestDryRunPrintsWhatTheSDKSends(t *testing.T) {
	for _, flags := range []string{
		"",
		"--billing provisioned --read-capacity 9007199254740993 --write-capacity 2",
		"--deletion-protection --stream NEW_AND_OLD_IMAGES --tag a=<&> --tag empty= --tag b=c=d,e",
		"--projections --deletion-protection --billing provisioned --read-capacity 1 --write-capacity 2 --tag a=b",
	} {
		r := runMain(t, append([]string{"dynamodb", "create-table", "--name", "orders", "--dry-run"}, strings.Fields(flags)...)...)
		r.want(t, 0)
		if diff := cmp.Diff(decode(t, sent(t, flags)), decode(t, []byte(r.stdout))); diff != "" {
			t.Errorf("%s: (-SDK +dry run)\n%s", flags, diff)
		}
	}
}

func decode(t testing.TB, data []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return value
}

// sent is the body of the CreateTable request that the program makes.
func sent(t testing.TB, flags string) (body []byte) {
	t.Helper()
	isolateAWS(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusBadRequest)
		answer := `{"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}`
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".CreateTable") {
			body, _ = io.ReadAll(r.Body)
			answer = `{"__type": "com.amazonaws.dynamodb.v20120810#AccessDeniedException", "message": "enough"}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	r := runMain(t, append([]string{"dynamodb", "create-table", "--name", "orders", "--endpoint", server.URL}, strings.Fields(flags)...)...)
	r.want(t, 1, "enough")
	return body
}

func TestCredentialsAreMadeUpOnlyForThisMachineAndOnlyWithoutReal(t *testing.T) {
	key := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, after, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		parts := strings.Split(after, "/")
		key = parts[0] + " in " + strings.Join(parts[min(2, len(parts)):min(3, len(parts))], "")
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer server.Close()
	describe := func(t *testing.T, args ...string) string {
		key = "nobody"
		runMain(t, append([]string{"dynamodb", "describe-table", "--name", "orders"}, args...)...).want(t, 1)
		return key
	}
	config := "[profile work]\nregion = eu-west-1\naws_access_key_id = WORK\naws_secret_access_key = s\n[profile region]\nregion = eu-west-2\n"
	for _, test := range []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"nothing", nil, []string{"--endpoint", server.URL}, "local in us-east-1"},
		{"region", nil, []string{"--endpoint", server.URL, "--region", "eu-west-3"}, "local in eu-west-3"},
		{"endpoint in the environment", map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": server.URL}, nil, "local in us-east-1"},
		{"flag before environment", map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}, []string{"--endpoint", server.URL}, "local in us-east-1"},
		{"key in the environment", map[string]string{"AWS_ACCESS_KEY_ID": "MINE", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-north-1"},
			[]string{"--endpoint", server.URL}, "MINE in eu-north-1"},
		{"profile", nil, []string{"--endpoint", server.URL, "--profile", "work"}, "WORK in eu-west-1"},
		{"profile in the environment", map[string]string{"AWS_PROFILE": "work"}, []string{"--endpoint", server.URL}, "WORK in eu-west-1"},
		{"profile without a key", nil, []string{"--endpoint", server.URL, "--profile", "region"}, "local in eu-west-2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			isolateAWS(t)
			if err := os.WriteFile(os.Getenv("AWS_CONFIG_FILE"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			if got := describe(t, test.args...); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("another machine", func(t *testing.T) {
		isolateAWS(t)
		for _, args := range [][]string{{"--region", "us-west-2"}, {"--endpoint", "http://dynamodb.invalid:8000"}} {
			r := runMain(t, append([]string{"dynamodb", "describe-table", "--name", "orders"}, args...)...)
			r.want(t, 1, "there are no credentials: set AWS_PROFILE")
		}
	})
	t.Run("unknown profile", func(t *testing.T) {
		isolateAWS(t)
		runMain(t, "dynamodb", "describe-table", "--name", "orders", "--profile", "none").want(t, 1, "AWS configuration: ", "none")
	})
}

func TestEndpointsOnThisMachine(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"http://localhost:8000": true, "https://LOCALHOST": true, "http://dynamodb.localhost:8000/": true,
		"http://127.0.0.1:8000": true, "http://127.9.9.9": true, "http://[::1]:8000": true, "http://[::ffff:127.0.0.1]:8000": true,
		"https://dynamodb.us-east-1.amazonaws.com": false, "http://dynamodb:8000": false, "http://10.0.0.1": false,
		"http://localhost.example.org": false, "http://127.0.0.1.example.org": false, "http://0.0.0.0:8000": false, "http://%zz": false, "": false,
	} {
		if got := onThisMachine(endpoint); got != want {
			t.Errorf("%s: got %v", endpoint, got)
		}
	}
}

func TestCommandGivesUpAfterItsTimeout(t *testing.T) {
	isolateAWS(t)
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(done)
	for _, command := range []string{"create-table", "describe-table", "delete-table"} {
		runMain(t, "dynamodb", command, "--name", "orders", "--endpoint", server.URL, "--timeout", "50ms").
			want(t, 1, "not done within --timeout 50ms: ", "context deadline exceeded")
	}
}

func TestEndpointThatRefusesConnectionsIsNamed(t *testing.T) {
	isolateAWS(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	for _, command := range []string{"create-table", "describe-table", "delete-table"} {
		runMain(t, "dynamodb", command, "--name", "orders", "--endpoint", "http://127.0.0.1:1").
			want(t, 1, `table "orders" in region "us-east-1"`, "127.0.0.1:1", "connection refused")
	}
}

// save saves records and gives the last one's sequence ID.
func save(t testing.TB, store eventsource.Appender, records ...eventsource.Record) string {
	t.Helper()
	saved, err := store.Append(t.Context(), records...)
	if err != nil {
		t.Fatal(err)
	}
	return saved[len(saved)-1].SequenceID
}
