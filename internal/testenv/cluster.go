package testenv

import (
	"context"
	_ "embed" // for cluster.sh
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
)

// clusterScript does inside the container what a Cluster is told.
//
//go:embed cluster.sh
var clusterScript string

const (
	// clusterFolder is where all files of the servers in the container are.
	clusterFolder = "/cluster"
	// diskFolder is where the disk of WithDisk is mounted.
	diskFolder = clusterFolder + "/disk"
	// minDisk holds, in MB, an empty server and its first WAL files.
	minDisk = 128
)

// Cluster is a PostgreSQL server of a test's own, on a small machine of its own: a
// container that stays when the server's processes are gone. So they can be killed
// and brought back, at the same address and with the same files.
//
// The methods may be called from several goroutines at once; those that start and
// stop the server wait for each other, those that kill do not. They end with their
// context, but what they have begun in the container goes on for up to 90 seconds.
// None of them ends the test.
type Cluster struct {
	machine *server
	config  clusterConfig
	standby bool

	data, log    string // paths in the container
	port         string // in the container
	bouncerPort  string // in the container
	address, url string

	switching sync.Mutex // held to start or stop the server
}

type clusterConfig struct {
	settings      []string
	disk          int // in MB, 0 for none
	tls           bool
	cert, key, ca []byte
}

// ClusterOption is an option of [NewCluster].
type ClusterOption func(*clusterConfig)

// WithSettings adds settings of the server, each of the form "name=value". A value is
// not quoted. Defaults to those of the servers that [Postgres] starts.
func WithSettings(settings ...string) ClusterOption {
	return func(c *clusterConfig) { c.settings = append(c.settings, settings...) }
}

// WithDisk has the server keep all its data, and the WAL, on a disk of that many
// megabytes, at least 128, which can be full: see [Cluster.FillDisk]. The disk is in
// memory. WAL takes up to 48 MB of it unless settings say otherwise. Defaults to the
// container's own file system.
func WithDisk(megabytes int) ClusterOption {
	return func(c *clusterConfig) {
		c.disk = megabytes
		c.settings = append([]string{"min_wal_size=32MB", "max_wal_size=48MB"}, c.settings...)
	}
}

// WithTLS has the server refuse connections from outside the container that are not
// encrypted. It proves itself with the certificate. If caPEM is not empty, a client's
// certificate is checked against it; a client may as well have none. [Cluster.URL]
// asks for an encrypted connection and checks nothing. Defaults to no encryption.
func WithTLS(certPEM, keyPEM, caPEM []byte) ClusterOption {
	return func(c *clusterConfig) { c.tls, c.cert, c.key, c.ca = true, certPEM, keyPEM, caPEM }
}

// NewCluster starts a server that answers. It ends with the test, as does everything
// made of it. It takes a Docker engine, even where EVENTSOURCE_TEST_POSTGRES is set.
//
// If the test fails, the end of the server's log is in the test's.
func NewCluster(t testing.TB, opts ...ClusterOption) *Cluster {
	t.Helper()
	c := &Cluster{
		data:        clusterFolder + "/primary",
		log:         clusterFolder + "/primary.log",
		port:        "5432",
		bouncerPort: "6432",
	}
	for _, opt := range opts {
		opt(&c.config)
	}
	if c.config.disk != 0 {
		c.data = diskFolder + "/primary"
	}
	if err := c.config.check(); err != nil {
		t.Fatalf("testenv: %v", err)
	}

	ctx := t.Context()
	machine, err := newMachine(ctx, c.config.disk)
	if err != nil {
		sharedPostgres.unavailable(t, fmt.Errorf("a cluster takes a Docker engine: %w", err))
	}
	c.machine = machine
	t.Cleanup(func() {
		if t.Failed() {
			c.showLog(t)
		}
		if err := machine.stop(); err != nil {
			t.Errorf("testenv: %v", err)
		}
	})
	if err := c.create(ctx); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return c
}

// check returns an error if the options make no sense.
func (c *clusterConfig) check() error {
	if c.disk != 0 && c.disk < minDisk {
		return fmt.Errorf("a disk of %d MB is too small, want at least %d", c.disk, minDisk)
	}
	if c.tls && (len(c.cert) == 0 || len(c.key) == 0) {
		return fmt.Errorf("encryption takes a certificate and a key, got %d and %d bytes", len(c.cert), len(c.key))
	}
	for _, setting := range c.settings {
		if name, _, found := strings.Cut(setting, "="); !found || name == "" || strings.Contains(setting, "\n") {
			return fmt.Errorf("setting %q is not of the form name=value", setting)
		}
	}
	return nil
}

// newMachine starts a container with nothing in it that runs.
func newMachine(ctx context.Context, disk int) (*server, error) {
	changes := []testcontainers.ContainerCustomizer{
		idle,
		testcontainers.WithExposedPorts("5433/tcp", "6432/tcp", "6433/tcp"),
	}
	if disk != 0 {
		changes = append(changes, testcontainers.WithTmpfs(map[string]string{diskFolder: fmt.Sprintf("size=%dm", disk)}))
	}
	return postgres.create(ctx, changes...)
}

// create makes the server's files and starts it.
func (c *Cluster) create(ctx context.Context) error {
	folders := []string{clusterFolder}
	if c.config.disk != 0 {
		folders = append(folders, diskFolder)
	}
	if err := c.script(ctx, "root", nil, append([]string{"machine"}, folders...)...); err != nil {
		return fmt.Errorf("make the server's folders: %w", err)
	}
	err := c.script(ctx, "postgres", []string{
		"PASSWORD=" + password,
		"FILES=" + clusterFolder,
		"CONF=" + c.config.conf(),
		"HBA=" + c.config.hba(),
		"CERT=" + string(c.config.cert),
		"KEY=" + string(c.config.key),
		"CA=" + string(c.config.ca),
	}, "create")
	if err != nil {
		return fmt.Errorf("make the server's files: %w", err)
	}
	if err := c.locate(ctx); err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "createdb", database); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return c.answers(ctx, c.url)
}

// conf returns what to add to postgresql.conf.
func (c *clusterConfig) conf() string {
	var b strings.Builder
	b.WriteString("listen_addresses = '*'\n")
	if c.tls {
		fmt.Fprintf(&b, "ssl = on\nssl_cert_file = '%[1]s/CERT'\nssl_key_file = '%[1]s/KEY'\n", clusterFolder)
	}
	if len(c.ca) > 0 {
		fmt.Fprintf(&b, "ssl_ca_file = '%s/CA'\n", clusterFolder)
	}
	for _, setting := range slices.Concat(settings, c.settings) {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	return b.String()
}

// hba returns what to add to pg_hba.conf, which lets everyone in from inside.
func (c *clusterConfig) hba() string {
	kind := "host"
	if c.tls {
		kind = "hostssl"
	}
	return fmt.Sprintf("%[1]s all all all scram-sha-256\n%[1]s replication all all scram-sha-256\n", kind)
}

// locate finds out where the server can be reached.
func (c *Cluster) locate(ctx context.Context) (err error) {
	c.address, err = c.machine.address(ctx, c.port+"/tcp")
	if err != nil {
		return err
	}
	c.url = postgres.url(c.address)
	if c.config.tls {
		c.url, err = withParam(c.url, "sslmode", "require")
	}
	return err
}

// answers waits until a URL answers from outside.
func (c *Cluster) answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	return c.machine.answers(ctx, url)
}

// URL returns the URL of the server's database, as a superuser. It stays the same.
func (c *Cluster) URL() string { return c.url }

// Address returns the host and port of the server, for a proxy in front of it.
func (c *Cluster) Address() string { return c.address }

// Start starts the server and waits until it answers. After a crash that is when it
// has recovered. A server that runs stays as it is, and is waited for all the same.
func (c *Cluster) Start(ctx context.Context) error {
	c.switching.Lock()
	defer c.switching.Unlock()
	return c.start(ctx)
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.script(ctx, "postgres", nil, "start"); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	return nil
}

// Stop ends the server, unless it has ended. In mode "fast" it ends its clients'
// connections and writes down everything; in mode "immediate" it just ends, and
// recovers when it is started.
func (c *Cluster) Stop(ctx context.Context, mode string) error {
	c.switching.Lock()
	defer c.switching.Unlock()
	return c.stop(ctx, mode)
}

func (c *Cluster) stop(ctx context.Context, mode string) error {
	if mode != "fast" && mode != "immediate" {
		return fmt.Errorf("stop the server: mode %q is neither fast nor immediate", mode)
	}
	if err := c.script(ctx, "postgres", nil, "stop", mode); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}

// Restart is [Cluster.Stop] and [Cluster.Start].
func (c *Cluster) Restart(ctx context.Context, mode string) error {
	c.switching.Lock()
	defer c.switching.Unlock()
	if err := c.stop(ctx, mode); err != nil {
		return err
	}
	return c.start(ctx)
}

// Kill ends the server's first process, the postmaster, with SIGKILL. The others
// notice that sooner or later. A server that does not run stays as it is.
func (c *Cluster) Kill(ctx context.Context) error {
	if err := c.script(ctx, "postgres", nil, "kill"); err != nil {
		return fmt.Errorf("kill the server: %w", err)
	}
	return nil
}

// KillBackend ends the process behind one of the clients' connections, any of them,
// with SIGKILL. The server then cuts all the others and recovers by itself, which
// [Cluster.Start] waits for. If there is no client, nothing happens.
func (c *Cluster) KillBackend(ctx context.Context) error {
	if err := c.script(ctx, "postgres", nil, "kill-backend"); err != nil {
		return fmt.Errorf("kill a backend: %w", err)
	}
	return nil
}

// FillDisk takes all that is free on the disk of [WithDisk]. The server may end then.
func (c *Cluster) FillDisk(ctx context.Context) error {
	return c.onDisk(ctx, "fill")
}

// FreeDisk gives back what [Cluster.FillDisk] took. A server that has ended has to be
// started.
func (c *Cluster) FreeDisk(ctx context.Context) error {
	return c.onDisk(ctx, "free")
}

func (c *Cluster) onDisk(ctx context.Context, command string) error {
	if c.config.disk == 0 {
		return fmt.Errorf("%s the disk: the server has none of its own, see WithDisk", command)
	}
	if err := c.script(ctx, "postgres", nil, command, diskFolder); err != nil {
		return fmt.Errorf("%s the disk: %w", command, err)
	}
	return nil
}

// Standby starts a server in the same container that replays what this one commits
// and answers queries. Its name, for synchronous_standby_names, is "standby". There is
// one at most, and none of a standby. It is not on the disk of [WithDisk], and ends
// with the test.
func (c *Cluster) Standby(ctx context.Context) (*Cluster, error) {
	if c.standby {
		return nil, fmt.Errorf("start a standby: the server is one itself")
	}
	s := &Cluster{
		machine:     c.machine,
		config:      c.config,
		standby:     true,
		data:        clusterFolder + "/standby",
		log:         clusterFolder + "/standby.log",
		port:        "5433",
		bouncerPort: "6433",
	}
	s.config.disk = 0
	if err := s.script(ctx, "postgres", nil, "copy", c.port); err != nil {
		return nil, fmt.Errorf("start a standby: %w", err)
	}
	if err := s.locate(ctx); err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	return s, s.answers(ctx, s.url)
}

// Promote makes a standby a server of its own, and waits until it can be written to.
// The server that it was a standby of goes on as it is.
func (c *Cluster) Promote(ctx context.Context) error {
	if err := c.script(ctx, "postgres", nil, "promote"); err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	return nil
}

// PgBouncer starts a PgBouncer in front of the server and returns the URL of the same
// database through it, not encrypted. A connection to the server is a client's for one
// transaction. It goes on when the server is restarted, and replaces one that was
// started before. The settings are those of the section pgbouncer, each of the form
// "name=value".
//
// Where the image has no PgBouncer, it is installed in the container first, which takes
// a network.
func (c *Cluster) PgBouncer(ctx context.Context, settings ...string) (url string, err error) {
	if err := (&clusterConfig{settings: settings}).check(); err != nil {
		return "", fmt.Errorf("start PgBouncer: %w", err)
	}
	c.switching.Lock()
	defer c.switching.Unlock()
	if err := c.script(ctx, "root", nil, "install"); err != nil {
		return "", fmt.Errorf("install PgBouncer: %w", err)
	}
	ini := []string{
		"[databases]",
		fmt.Sprintf("%s = host=/var/run/postgresql port=%s", database, c.port),
		"[pgbouncer]",
		"pool_mode = transaction",
		"listen_addr = 0.0.0.0",
		"listen_port = " + c.bouncerPort,
		"unix_socket_dir =",
		"auth_type = scram-sha-256",
		"admin_users = " + user,
		"max_client_conn = 1000",
		// By default it waits for 15 s before it asks a server again that was down.
		"server_login_retry = 0.1",
	}
	err = c.script(ctx, "postgres", []string{
		"INI=" + strings.Join(append(ini, settings...), "\n"),
		"USERS=" + fmt.Sprintf("%q %q\n", user, password),
	}, "bouncer")
	if err != nil {
		return "", fmt.Errorf("start PgBouncer: %w", err)
	}
	address, err := c.machine.address(ctx, c.bouncerPort+"/tcp")
	if err != nil {
		return "", err
	}
	url = postgres.url(address)
	return url, c.answers(ctx, url)
}

// Dump returns the output of pg_dump, run with these arguments, for the database.
func (c *Cluster) Dump(ctx context.Context, args ...string) ([]byte, error) {
	file := clusterFolder + "/" + randomName()
	defer c.remove(file)
	if _, err := c.Exec(ctx, append([]string{"pg_dump", "--file=" + file}, args...)...); err != nil {
		return nil, fmt.Errorf("dump the database: %w", err)
	}
	r, err := c.machine.container.CopyFileFromContainer(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("read the dump: %w", err)
	}
	defer func() { _ = r.Close() }()
	dump, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read the dump: %w", err)
	}
	return dump, nil
}

// Restore runs a dump, as SQL or in pg_dump's custom format, on the database. It stops
// at the first error; what came before stays.
func (c *Cluster) Restore(ctx context.Context, dump []byte) error {
	file := clusterFolder + "/" + randomName()
	defer c.remove(file)
	if err := c.machine.container.CopyToContainer(ctx, dump, file, 0o644); err != nil {
		return fmt.Errorf("write the dump: %w", err)
	}
	if err := c.script(ctx, "postgres", nil, "restore", file); err != nil {
		return fmt.Errorf("restore the dump: %w", err)
	}
	return nil
}

// remove removes a file, if it is there. One that stays is gone with the container.
func (c *Cluster) remove(file string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, _ = c.Exec(ctx, "rm", "-f", file)
}

// Exec runs a command in the container, as the user postgres, and returns what it
// prints: first stdout, then stderr. A command that fails is an error, with what it
// printed. Programs such as psql find the server by themselves, and PGDATA is its
// data directory.
func (c *Cluster) Exec(ctx context.Context, command ...string) (output string, err error) {
	return c.run(ctx, "postgres", nil, command...)
}

// script runs a command of cluster.sh as a user of the container.
func (c *Cluster) script(ctx context.Context, user string, env []string, command ...string) error {
	_, err := c.run(ctx, user, env, append([]string{"bash", "-c", clusterScript, "cluster.sh"}, command...)...)
	return err
}

func (c *Cluster) run(ctx context.Context, as string, env []string, command ...string) (string, error) {
	return c.machine.exec(ctx, as, append([]string{
		"PGDATA=" + c.data,
		"PGHOST=/var/run/postgresql",
		"PGPORT=" + c.port,
		"PGUSER=" + user,
		"PGDATABASE=" + database,
		"LOG=" + c.log,
	}, env...), command)
}

// exec runs a command in the container and returns what it prints.
func (s *server) exec(ctx context.Context, user string, env, command []string) (string, error) {
	code, r, err := s.container.Exec(ctx, command, tcexec.WithUser(user), tcexec.WithEnv(env), tcexec.Multiplexed())
	if err != nil {
		return "", err
	}
	output, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	if code != 0 {
		return string(output), fmt.Errorf("exit code %d: %s", code, strings.TrimSpace(string(output)))
	}
	return string(output), nil
}

// showLog logs the end of the servers' logs.
func (c *Cluster) showLog(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	output, err := c.Exec(ctx, "bash", "-c", "tail -n 40 "+clusterFolder+"/*.log")
	if err != nil {
		t.Logf("testenv: no log of the server: %v", err)
		return
	}
	t.Logf("the end of the servers' logs:\n%s", output)
}
