package sqlstore_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// authority is a private CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
	file string // of the certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a private CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a.file = writeFile(t, "ca.pem", a.pem)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate for 127.0.0.1, unless it is changed, with its key.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) (certPEM, keyPEM []byte) {
	t.Helper()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "issued"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(cert)
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// withQuery returns the URL with parameters set, given as name and value in turns.
func withQuery(t *testing.T, rawURL string, params ...string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	for param := range slices.Chunk(params, 2) {
		query.Set(param[0], param[1])
	}
	u.RawQuery = query.Encode()
	return u.String()
}

func TestAServerWithAPrivateCA(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	certPEM, keyPEM := ca.issue(t, nil)
	server := testenv.NewCluster(t, testenv.WithTLS(certPEM, keyPEM, ca.pem)).URL()
	verified := withQuery(t, server, "sslmode", "verify-full", "sslrootcert", ca.file)

	t.Run("everything is encrypted", func(t *testing.T) { testEverythingIsEncrypted(t, verified) })
	t.Run("a client may have a certificate", func(t *testing.T) {
		clientCert, clientKey := ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "a writer" })
		pool := testenv.Pool(t, withQuery(t, verified,
			"sslcert", writeFile(t, "cert.pem", clientCert), "sslkey", writeFile(t, "key.pem", clientKey)))
		var name string
		if err := pool.QueryRow(t.Context(), `SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()`).Scan(&name); err != nil || name != "/CN=a writer" {
			t.Errorf("the server knows the client as %q, %v", name, err)
		}
	})

	foreignCert, foreignKey := other.issue(t, nil)
	otherHost := strings.Replace(verified, "127.0.0.1", "localhost", 1)
	for name, test := range map[string]struct{ url, want string }{
		"without encryption": {withQuery(t, verified, "sslmode", "disable"), "no encryption"},
		"another CA":         {withQuery(t, verified, "sslrootcert", other.file), "certificate signed by unknown authority"},
		"no CA":              {withQuery(t, verified, "sslrootcert", ""), "certificate signed by unknown authority"},
		"another host":       {otherHost, "wanted to match localhost"},
		"a client's certificate of another CA": {withQuery(t, verified,
			"sslcert", writeFile(t, "cert.pem", foreignCert), "sslkey", writeFile(t, "key.pem", foreignKey)), "tls: "},
		"a wrong password": {withPassword(t, verified, "hushhush"), "password authentication failed"},
	} {
		t.Run(name, func(t *testing.T) {
			checkHush(t, withPassword(t, test.url, "hushhush"), time.Minute, test.want)
		})
	}

	// What the library does, the command does too.
	for dsn, want := range map[string]string{
		verified: "00001_create_events.sql",
		withPassword(t, withQuery(t, verified, "sslrootcert", other.file), "hushhush"): "certificate signed by unknown authority",
	} {
		output, err := exec.CommandContext(t.Context(), "go", "run", "../../cmd/eventsource", "migrate", "status", "--dsn", dsn).CombinedOutput()
		if !strings.Contains(string(output), want) {
			t.Errorf("the command says %v: %s", err, output)
		}
		hush(t, "the command", string(output))
	}
}

func withPassword(t *testing.T, rawURL, password string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

// testEverythingIsEncrypted has a store do everything that makes connections, and
// looks at what travels.
func testEverythingIsEncrypted(t *testing.T, verified string) {
	p := newProxy(t, verified)
	tap := newWiretap(p)
	through := withQuery(t, p.url, "sslmode", "verify-full")
	pool := testenv.Pool(t, through)
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}

	const secret = "a secret aggregate"
	record := eventsource.Record{AggregateID: secret, Type: "Hidden", Data: []byte("secret data")}
	store := sqlstore.New(pool)
	wake, err := store.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	within(t, "the wake-up", wake)
	if records, err := store.LoadByAggregate(t.Context(), secret); err != nil || len(records) != 1 {
		t.Fatalf("%d events, %v", len(records), err)
	}
	if records, err := store.LoadBySequenceID(t.Context(), "", 0); err != nil || len(records) != 1 {
		t.Fatalf("%d events, %v", len(records), err)
	}

	var plain, encrypted, listening int
	if err := pool.QueryRow(t.Context(), `
		SELECT count(*) FILTER (WHERE NOT ssl), count(*) FILTER (WHERE ssl AND version LIKE 'TLSv1._'), count(*) FILTER (WHERE query LIKE 'LISTEN%')
		FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL`,
	).Scan(&plain, &encrypted, &listening); err != nil {
		t.Fatal(err)
	}
	if plain != 0 || encrypted < 2 || listening != 1 {
		t.Errorf("of the connections %d are plain and %d encrypted, and %d listen", plain, encrypted, listening)
	}

	// The request that cancels a statement has a connection of its own.
	before := tap.connections()
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := store.NewTransaction(ctx, record)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	waitUntil(t, "the request to cancel", func() bool { return tap.connections() > before })
	if err := tx.Commit(); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit = %v", err)
	}
	waitUntil(t, "the transaction to end", func() bool {
		h, err := store.Horizon(t.Context())
		return err == nil && h.HolderPID == 0
	})

	u, err := url.Parse(through)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	tap.check(t, secret, "secret data", "eventsource_", u.User.Username(), password, "SELECT", "LISTEN")
}

// wiretap is what clients have sent through a proxy.
type wiretap struct {
	mu   sync.Mutex
	sent map[int][]byte // by the number of the connection
}

func newWiretap(p *proxy) *wiretap {
	w := &wiretap{sent: make(map[int][]byte)}
	p.set(func(p *proxy) {
		p.toServer = func(conn int, chunk []byte) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sent[conn] = append(w.sent[conn], chunk...)
			return true
		}
	})
	return w
}

func (w *wiretap) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent)
}

// check checks that every connection begins with asking for TLS and goes on with
// its handshake, and that nothing of what is secret can be read.
func (w *wiretap) check(t *testing.T, secrets ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	begin := append(sslRequest(t), 0x16) // a record of the handshake
	for conn, sent := range w.sent {
		if !bytes.HasPrefix(sent, begin) {
			t.Errorf("connection %d begins with % x", conn, sent[:min(len(sent), 16)])
		}
		for _, secret := range secrets {
			if secret == "" || bytes.Contains(sent, []byte(secret)) {
				t.Errorf("connection %d shows %q", conn, secret)
			}
		}
	}
}

func sslRequest(t *testing.T) []byte {
	t.Helper()
	request, err := (&pgproto3.SSLRequest{}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// Whoever answers in the server's place must not hear more than that somebody
// wants to speak TLS: no password, no name, no statement.
func TestAServerThatCannotProveItselfIsToldNothing(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	issue := func(by *authority, change func(*x509.Certificate)) *tls.Certificate {
		certPEM, keyPEM := by.issue(t, change)
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			t.Fatal(err)
		}
		return &pair
	}
	for name, test := range map[string]struct {
		cert *tls.Certificate // none: it refuses TLS
		want string
	}{
		"of another CA": {issue(other, nil), "certificate signed by unknown authority"},
		"expired": {issue(ca, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}), "certificate has expired"},
		"not yet valid": {issue(ca, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }), "not yet valid"},
		"of another host": {issue(ca, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"other.example.com"}
		}), "127.0.0.1"},
		"of a client": {issue(ca, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), "incompatible key usage"},
		"without TLS": {nil, "server refused TLS connection"},
	} {
		t.Run(name, func(t *testing.T) {
			address, heard := newImpostor(t, test.cert)
			dsn := "postgres://writer:hushhush@" + address + "/app?sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file)
			checkHush(t, dsn, time.Minute, test.want)
			if said := heard(); len(said) > 0 {
				t.Errorf("it was told %q", said)
			}
		})
	}
	t.Run("one that can is told", func(t *testing.T) {
		address, heard := newImpostor(t, issue(ca, nil))
		pool, err := pgxpool.New(t.Context(), "postgres://writer:hushhush@"+address+"/app?sslmode=verify-full&sslrootcert="+url.QueryEscape(ca.file))
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if err := pool.Ping(t.Context()); err == nil || !bytes.Contains(heard(), []byte("writer")) {
			t.Errorf("Ping = %v, it heard %q", err, heard())
		}
	})
}

// newImpostor returns the address of what shows the certificate, or refuses TLS if
// it has none, and what it was told beside that.
func newImpostor(t *testing.T, cert *tls.Certificate) (address string, heard func() []byte) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu      sync.Mutex
		told    []byte
		serving sync.WaitGroup
	)
	request := sslRequest(t)
	serve := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		first := make([]byte, len(request))
		n, _ := conn.Read(first)
		if !bytes.Equal(first[:n], request) {
			mu.Lock()
			told = append(told, first[:n]...)
			mu.Unlock()
			return
		}
		answer := []byte("S")
		if cert == nil {
			answer = []byte("N")
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
		if cert != nil {
			conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12})
		}
		rest := make([]byte, 1024)
		n, _ = conn.Read(rest)
		mu.Lock()
		told = append(told, rest[:n]...)
		mu.Unlock()
	}
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String(), func() []byte {
		_ = listener.Close()
		serving.Wait()
		return told
	}
}
