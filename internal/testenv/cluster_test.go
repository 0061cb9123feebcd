package testenv

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// query returns the first value of a statement on a connection of its own.
func query(ctx context.Context, url, statement string) (value string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	// Not prepared: the connection may be PgBouncer's, or to its own commands.
	err = conn.QueryRow(ctx, statement, pgx.QueryExecModeSimpleProtocol).Scan(&value)
	return value, err
}

func wantValue(t *testing.T, url, statement, want string) {
	t.Helper()
	got, err := query(t.Context(), url, statement)
	if err != nil || got != want {
		t.Errorf("%s: got %q, %v, want %q", statement, got, err, want)
	}
}

// must ends the test if one of its steps fails.
func must(t *testing.T, steps ...error) {
	t.Helper()
	for i, err := range steps {
		if err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
	}
}

// held opens a connection that stays.
func held(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestACluster(t *testing.T) {
	c := NewCluster(t, WithSettings("max_prepared_transactions=10", "application_name=it's"))
	ctx, url := t.Context(), c.URL()
	const rows = "SELECT count(*)::text FROM kept"
	exec(t, url, "CREATE TABLE kept (n int)")
	kept := 0
	keep := func() string {
		exec(t, url, "INSERT INTO kept VALUES (1)")
		kept++
		return fmt.Sprint(kept)
	}

	t.Run("has the settings of the others and its own", func(t *testing.T) {
		wantValue(t, url, "SHOW max_prepared_transactions", "10")
		wantValue(t, url, "SHOW application_name", "it's")
		wantValue(t, url, "SHOW max_connections", "300")
		wantValue(t, url, "SHOW fsync", "on")
	})
	t.Run("asks for a password from outside", func(t *testing.T) {
		_, err := query(ctx, strings.Replace(url, ":"+password+"@", ":wrong@", 1), "SELECT ''")
		if pg := new(pgconn.PgError); !errors.As(err, &pg) || pg.Code != "28P01" {
			t.Errorf("got %v, want a refusal of the password", err)
		}
	})
	t.Run("stops and starts", func(t *testing.T) {
		want := keep()
		must(t, c.Stop(ctx, "fast"), c.Stop(ctx, "fast"))
		if _, err := query(ctx, url, rows); err == nil {
			t.Error("it answers after its end")
		}
		must(t, c.Start(ctx), c.Start(ctx))
		wantValue(t, url, rows, want)
	})
	t.Run("restarts", func(t *testing.T) {
		for _, mode := range []string{"fast", "immediate"} {
			want, before := keep(), held(t, url)
			must(t, c.Restart(ctx, mode))
			if err := before.Ping(ctx); err == nil {
				t.Errorf("%s: a connection has outlived the server", mode)
			}
			wantValue(t, url, rows, want)
		}
		if err := c.Restart(ctx, "smart"); err == nil || !strings.Contains(err.Error(), `"smart"`) {
			t.Errorf("got %v, want an error that names the mode", err)
		}
	})
	t.Run("comes back once the processes of a killed one have ended", func(t *testing.T) {
		want, conn := keep(), held(t, url)
		backend := fmt.Sprint(conn.PgConn().PID())
		_, err := c.Exec(ctx, "kill", "-STOP", backend)
		must(t, err, c.Kill(ctx), c.Kill(ctx))
		if _, err := query(ctx, url, rows); err == nil {
			t.Error("it answers after its end")
		}
		started := make(chan error, 1)
		go func() { started <- c.Start(ctx) }()
		select {
		case err := <-started:
			t.Fatalf("started beside a process of the old server: %v", err)
		case <-time.After(time.Second):
		}
		if _, err := c.Exec(ctx, "kill", "-CONT", backend); err != nil {
			t.Fatal(err)
		}
		must(t, <-started)
		wantValue(t, url, rows, want)
	})
	t.Run("recovers from the end of a backend", func(t *testing.T) {
		must(t, c.KillBackend(ctx)) // of none: nothing happens
		const since = "SELECT pg_postmaster_start_time()::text"
		before, err := query(ctx, url, since)
		must(t, err)
		want, killed, bystander := keep(), held(t, url), held(t, url)
		must(t, c.KillBackend(ctx), c.Start(ctx))
		if killed.Ping(ctx) == nil || bystander.Ping(ctx) == nil {
			t.Error("a connection has outlived the crash")
		}
		wantValue(t, url, rows, want)
		wantValue(t, url, since, before) // the postmaster lives on
	})
	t.Run("runs commands", func(t *testing.T) {
		output, err := c.Exec(ctx, "bash", "-c", "id -un; echo $PGDATA/*.conf; echo second >&2")
		if want := "postgres\n"; err != nil || !strings.HasPrefix(output, want) ||
			!strings.Contains(output, "postgresql.conf") || !strings.HasSuffix(output, "second\n") {
			t.Errorf("got %q, %v", output, err)
		}
		output, err = c.Exec(ctx, "psql", "-c", "broken")
		if err == nil || !strings.Contains(err.Error(), "syntax error") || !strings.Contains(output, "syntax error") {
			t.Errorf("got %q, %v, want psql's error", output, err)
		}
	})
	t.Run("dumps and restores", func(t *testing.T) {
		want := keep()
		for _, format := range []string{"plain", "custom"} {
			dump, err := c.Dump(ctx, "--table=kept", "--format="+format)
			must(t, err)
			if err := c.Restore(ctx, dump); err == nil || !strings.Contains(err.Error(), `"kept" already exists`) {
				t.Errorf("%s: restored over a table that was there: %v", format, err)
			}
			exec(t, url, "DROP TABLE kept")
			must(t, c.Restore(ctx, dump))
			wantValue(t, url, rows, want)
		}
		if _, err := c.Dump(ctx, "--table=none"); err == nil || !strings.Contains(err.Error(), "no matching tables") {
			t.Errorf("got %v, want pg_dump's error", err)
		}
		if output, err := c.Exec(ctx, "bash", "-c", "ls /cluster | grep -c test_ || true"); err != nil || output != "0\n" {
			t.Errorf("%s files of dumps are left, %v", output, err)
		}
	})
	t.Run("has a PgBouncer in front", func(t *testing.T) { testPgBouncer(t, c, rows, keep()) })
	t.Run("has no disk to fill", func(t *testing.T) {
		if err := c.FillDisk(ctx); err == nil || !strings.Contains(err.Error(), "WithDisk") {
			t.Errorf("got %v, want an error that says what is missing", err)
		}
	})
	t.Run("ends with the context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		if _, err := c.Exec(ctx, "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that of the context", err)
		}
	})
}

func testPgBouncer(t *testing.T, c *Cluster, rows, want string) {
	ctx := t.Context()
	bouncer, err := c.PgBouncer(ctx)
	must(t, err)
	admin := strings.Replace(bouncer, "/"+database+"?", "/pgbouncer?", 1)
	wantValue(t, bouncer, rows, want)
	version, err := query(ctx, admin, "SHOW VERSION")
	if err != nil || !strings.HasPrefix(version, "PgBouncer") {
		t.Errorf("got version %q, %v, want one of PgBouncer", version, err)
	}

	// Two clients, one after the other in a transaction, are on one connection.
	one, two := held(t, bouncer), held(t, bouncer)
	var first, second string
	const pid = "SELECT pg_backend_pid()::text"
	must(t, one.QueryRow(ctx, pid, pgx.QueryExecModeSimpleProtocol).Scan(&first),
		two.QueryRow(ctx, pid, pgx.QueryExecModeSimpleProtocol).Scan(&second))
	if first != second {
		t.Errorf("two clients have servers %s and %s, want the same one", first, second)
	}

	must(t, c.Restart(ctx, "fast"))
	wantValue(t, bouncer, rows, want)
	if err := one.Ping(ctx); err != nil {
		t.Errorf("a client's connection has not outlived the server: %v", err)
	}

	again, err := c.PgBouncer(ctx, "max_prepared_statements=100", "pool_mode=session")
	if err != nil || again != bouncer {
		t.Errorf("got %q, %v, want the same URL", again, err)
	}
	conn := held(t, bouncer)
	_, err = conn.Prepare(ctx, "named", rows)
	must(t, err)
	owner, err := c.Exec(ctx, "bash", "-c", `stat --format=%U /proc/$(cat /cluster/primary.pgbouncer.pid)`)
	if err != nil || owner != "postgres\n" {
		t.Errorf("PgBouncer runs as %q, %v", owner, err)
	}
	if _, err := c.PgBouncer(ctx, "no_such_setting=1"); err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v, want an error that names the setting", err)
	}
}

func TestAPromotedStandbyTakesWrites(t *testing.T) {
	c := NewCluster(t)
	ctx := t.Context()
	standby, err := c.Standby(ctx)
	must(t, err)
	if standby.URL() == c.URL() || standby.Address() == c.Address() {
		t.Errorf("both are at %s", c.Address())
	}
	if _, err := standby.Standby(ctx); err == nil {
		t.Error("a standby has got a standby")
	}
	if _, err := c.Standby(ctx); err == nil {
		t.Error("there is a second standby")
	}

	// From here on what is committed is on the standby.
	exec(t, c.URL(), "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
	exec(t, c.URL(), "SELECT pg_reload_conf()")
	for deadline := time.Now().Add(30 * time.Second); ; {
		state, err := query(ctx, c.URL(), "SELECT coalesce(max(sync_state), '') FROM pg_stat_replication")
		if err == nil && state == "sync" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standby is %q, %v", state, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(t, standby.Restart(ctx, "immediate"))
	exec(t, c.URL(), "CREATE TABLE kept AS SELECT 42 AS n")
	must(t, c.Kill(ctx))
	wantValue(t, standby.URL(), "SELECT pg_is_in_recovery()::text", "true")
	must(t, standby.Promote(ctx))
	exec(t, standby.URL(), "INSERT INTO kept VALUES (1)")
	wantValue(t, standby.URL(), "SELECT string_agg(n::text, ' ') FROM kept", "42 1")
	if err := standby.Promote(ctx); err == nil {
		t.Error("promoted twice")
	}
	must(t, c.Start(ctx)) // on its own again
	wantValue(t, c.URL(), "SELECT string_agg(n::text, ' ') FROM kept", "42")
}

func TestADiskCanBeFull(t *testing.T) {
	c := NewCluster(t, WithDisk(minDisk))
	ctx := t.Context()
	exec(t, c.URL(), "CREATE TABLE kept AS SELECT 42 AS n")
	must(t, c.FillDisk(ctx))
	_, err := query(ctx, c.URL(), "CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		t.Fatalf("got %v, want that the disk is full", err)
	}
	must(t, c.FreeDisk(ctx), c.Start(ctx))
	wantValue(t, c.URL(), "SELECT n::text FROM kept", "42")
	exec(t, c.URL(), "CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
}

func TestOnlyEncryptedConnectionsAreAccepted(t *testing.T) {
	roots, serverCert, serverKey := certificate(t, "server")
	clients, clientCert, clientKey := certificate(t, "client")
	c := NewCluster(t, WithTLS(serverCert, serverKey, clients))
	ctx := t.Context()
	wantValue(t, c.URL(), "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "true")

	plain, err := withParam(c.URL(), "sslmode", "disable")
	must(t, err)
	_, err = query(ctx, plain, "SELECT ''")
	if pg := new(pgconn.PgError); !errors.As(err, &pg) || pg.Code != "28000" {
		t.Errorf("got %v, want a refusal", err)
	}

	// connect checks the server's certificate and shows one, unless it is nil.
	connect := func(shown *tls.Certificate) (client string, err error) {
		config, err := pgx.ParseConfig(c.URL())
		must(t, err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(roots)
		config.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: "127.0.0.1"}
		config.Fallbacks = nil
		if shown != nil {
			// Whichever authorities the server names.
			config.TLSConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil }
		}
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return "", err
		}
		defer func() { _ = conn.Close(ctx) }()
		err = conn.QueryRow(ctx, "SELECT coalesce(client_dn, 'none') FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&client)
		return client, err
	}
	if client, err := connect(nil); err != nil || client != "none" {
		t.Errorf("without a certificate: got client %q, %v", client, err)
	}
	known, err := tls.X509KeyPair(clientCert, clientKey)
	must(t, err)
	if client, err := connect(&known); err != nil || client != "/CN=client" {
		t.Errorf("with a certificate: got client %q, %v", client, err)
	}
	strange, err := tls.X509KeyPair(serverCert, serverKey)
	must(t, err)
	if client, err := connect(&strange); err == nil {
		t.Errorf("with one of another authority: got client %q, want an error", client)
	}
	must(t, c.Kill(ctx), c.Start(ctx))
	wantValue(t, c.URL(), "SHOW ssl", "on")
}

// certificate returns an authority, and a certificate of it for a name and for
// 127.0.0.1, with its key, all as PEM.
func certificate(t *testing.T, name string) (authority, cert, key []byte) {
	t.Helper()
	sign := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		template.NotAfter = time.Now().Add(time.Hour)
		if signer == nil {
			signer = own
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, own.Public(), signer)
		must(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), own
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name + "'s authority"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authority, rootKey := sign(root, root, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, leafKey := sign(leaf, root, rootKey)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	must(t, err)
	return authority, cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestAClusterRefusesOptionsThatMakeNoSense(t *testing.T) {
	for want, opt := range map[string]ClusterOption{
		"127 MB":         WithDisk(127),
		"-1 MB":          WithDisk(-1),
		`"fsync"`:        WithSettings("fsync=on", "fsync"),
		`"=on"`:          WithSettings("=on"),
		`"a=1\nb=2"`:     WithSettings("a=1\nb=2"),
		"0 and 3 bytes":  WithTLS(nil, []byte("key"), nil),
		"4 and 0 bytes":  WithTLS([]byte("cert"), nil, []byte("ca")),
		"a disk of 1 MB": WithDisk(1),
	} {
		r := new(recorder)
		done := make(chan struct{})
		go func() {
			defer close(done)
			NewCluster(r, opt)
		}()
		<-done
		if !strings.Contains(r.failed, want) {
			t.Errorf("got failed %q, skipped %q, want an error with %s", r.failed, r.skipped, want)
		}
	}
}
