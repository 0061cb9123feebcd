package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

const (
	user     = "eventsource"
	password = "eventsource"
	database = "eventsource"

	// startLimit includes pulling the image.
	startLimit = 5 * time.Minute
	// readyLimit is from the container's start to the first request answered.
	readyLimit = 90 * time.Second
	stopLimit  = 30 * time.Second
)

// settings are the server's. Durability stays as it is by default. Memory and disk
// are only taken as they are used; benchmarks use them.
var settings = []string{"max_connections=300", "shared_buffers=1GB", "max_wal_size=4GB"}

// kind is one kind of server, and how to have one in a container.
type kind struct {
	name   string
	advice string // what to do where there is none
	// The names of the variables with the URL of a server and with an image.
	urlVariable, imageVariable string
	// official is the image to use unless told otherwise.
	official string
	// built is what docker.sh builds where the official one cannot be had.
	built string
	port  string
	// container is what sets its container apart from others.
	container []testcontainers.ContainerCustomizer
	// url returns the URL of the server at an address.
	url func(address string) string
	// ping asks the server at a URL for an answer.
	ping func(ctx context.Context, url string) error
}

var postgres = &kind{
	name: "PostgreSQL",
	advice: "start a Docker engine (internal/testenv/docker.sh does) or set " +
		EnvPostgres + " to the URL of a PostgreSQL server, as a superuser",
	urlVariable:   EnvPostgres,
	imageVariable: EnvPostgresImage,
	official:      "postgres:17",
	built:         "eventsource-postgres:17",
	port:          "5432/tcp",
	container: []testcontainers.ContainerCustomizer{
		testcontainers.WithEnv(map[string]string{
			"POSTGRES_USER":     user,
			"POSTGRES_PASSWORD": password,
			"POSTGRES_DB":       database,
		}),
		testcontainers.WithCmd(arguments(settings)...),
		// The default, 64 MB, is little for parallel queries.
		testcontainers.CustomizeRequestOption(func(r *testcontainers.GenericContainerRequest) error {
			r.ShmSize = 256 << 20
			return nil
		}),
	},
	url: func(address string) string {
		return (&url.URL{
			Scheme:   "postgres",
			User:     url.UserPassword(user, password),
			Host:     address,
			Path:     "/" + database,
			RawQuery: "sslmode=disable",
		}).String()
	},
	ping: func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		return conn.Ping(ctx)
	},
}

// arguments returns the command that starts the server with these settings.
func arguments(settings []string) []string {
	command := []string{"postgres"}
	for _, setting := range settings {
		command = append(command, "-c", setting)
	}
	return command
}

// server is a running server in a container.
type server struct {
	kind      *kind
	container *testcontainers.DockerContainer
	url       string
}

// run starts a server and returns its URL and what ends it.
func (k *kind) run(ctx context.Context) (url string, stop func() error, err error) {
	s, err := k.start(ctx)
	if err != nil {
		return "", nil, err
	}
	return s.url, s.stop, nil
}

// start starts a server that accepts connections, or leaves nothing behind.
func (k *kind) start(ctx context.Context) (*server, error) {
	s, err := k.create(ctx)
	if err != nil {
		return nil, err
	}
	s.url, err = s.ready(ctx, k.port)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// create starts a container, or leaves nothing behind. What is in it need not answer
// yet. The changes come after what sets this kind of server apart.
func (k *kind) create(ctx context.Context, changes ...testcontainers.ContainerCustomizer) (*server, error) {
	prepare()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()

	name, err := k.image(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{kind: k}
	s.container, err = testcontainers.Run(ctx, name, slices.Concat([]testcontainers.ContainerCustomizer{
		testcontainers.WithLogger(&notes),
		testcontainers.WithExposedPorts(k.port),
		// docker.sh looks for containers that were left behind.
		testcontainers.WithLabels(map[string]string{"eventsource.testenv": "1"}),
	}, k.container, changes)...)
	if err != nil {
		err = fmt.Errorf("start a container of %s: %w%s", name, err, notes.String())
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// stop ends the container. There is nothing in it to be saved.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	err := testcontainers.TerminateContainer(s.container,
		testcontainers.StopContext(ctx), testcontainers.StopTimeout(0))
	if err != nil {
		return fmt.Errorf("end container: %w", err)
	}
	return nil
}

// ready waits until the server at a port of the container answers a request from
// outside, and returns its URL.
//
// An open port is not enough: docker opens it before there is a server behind it.
// The image's messages are not either: that of PostgreSQL starts a server for its
// own use first, which listens on no network.
func (s *server) ready(ctx context.Context, port string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()

	address, err := s.address(ctx, port)
	if err != nil {
		return "", err
	}
	u := s.kind.url(address)
	return u, s.answers(ctx, u)
}

// address returns host:port of where a port of the container is published.
func (s *server) address(ctx context.Context, port string) (string, error) {
	address, err := s.container.PortEndpoint(ctx, port, "")
	if err != nil {
		return "", fmt.Errorf("port %s of the container: %w", port, err)
	}
	return address, nil
}

// answers waits until the server at a URL, which is in the container, does.
func (s *server) answers(ctx context.Context, url string) error {
	for {
		err := s.ping(ctx, url)
		if err == nil {
			return nil
		}
		state, stateErr := s.container.State(ctx)
		if ctx.Err() != nil || stateErr == nil && !state.Running {
			return fmt.Errorf("the server in the container does not answer: %w\n%s", err, s.logs())
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ping asks the server at a URL for an answer, which it has to give soon.
func (s *server) ping(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return s.kind.ping(ctx, url)
}

// logs returns the end of what the container has printed.
func (s *server) logs() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := s.container.Logs(ctx)
	if err != nil {
		return ""
	}
	defer func() { _ = r.Close() }()
	all, _ := io.ReadAll(r)
	return string(all[max(0, len(all)-4000):])
}

// image returns the name of the image to start, which may be in the environment.
func (k *kind) image(ctx context.Context) (string, error) {
	if name := os.Getenv(k.imageVariable); name != "" {
		return name, nil
	}
	provider, err := testcontainers.NewDockerProvider(testcontainers.WithLogger(&notes))
	if err != nil {
		return "", fmt.Errorf("no Docker engine answers: %w", err)
	}
	defer func() { _ = provider.Close() }()
	images, err := provider.ListImages(ctx)
	if err != nil {
		return "", fmt.Errorf("no Docker engine answers: %w", err)
	}
	here := make(map[string]bool)
	for _, i := range images {
		here[i.Name] = true
	}
	return k.choose(here), nil
}

// choose returns the official image, unless only the built one is at hand.
func (k *kind) choose(here map[string]bool) string {
	if !here[k.official] && here[k.built] {
		return k.built
	}
	return k.official
}

// prepare sets up testcontainers, once.
var prepare = sync.OnceFunc(func() {
	log.SetDefault(&notes)
	for name, value := range defaults(os.Getenv) {
		_ = os.Setenv(name, value)
	}
})

// defaults returns the variables to set before testcontainers reads them. What is
// set already stays.
func defaults(getenv func(string) string) map[string]string {
	vars := make(map[string]string)

	// Ryuk is a container that removes others when a test process dies. Its image
	// cannot be had everywhere, and this package ends its containers itself. To
	// have it all the same, set the variable to false.
	vars["TESTCONTAINERS_RYUK_DISABLED"] = "true"

	// Where the tests run in a container, testcontainers looks for published ports
	// at the network's gateway. But an engine behind a socket of this machine
	// publishes them here. Not "localhost": that may be IPv6 first, where another
	// container's port may have the same number.
	if host := getenv("DOCKER_HOST"); runtime.GOOS != "windows" && (host == "" || strings.HasPrefix(host, "unix://")) {
		vars["TESTCONTAINERS_HOST_OVERRIDE"] = "127.0.0.1"
	}

	maps.DeleteFunc(vars, func(name, _ string) bool { return getenv(name) != "" })
	return vars
}

// notes keeps what testcontainers logs, to be shown if something fails.
var notes notebook

type notebook struct {
	mu    sync.Mutex
	lines []string
}

// Printf implements the logger of testcontainers.
func (n *notebook) Printf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
	n.lines = slices.Delete(n.lines, 0, max(0, len(n.lines)-20))
}

// String returns the latest lines, each on a line of its own.
func (n *notebook) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	for _, line := range n.lines {
		b.WriteString("\n\t" + strings.TrimSpace(line))
	}
	return b.String()
}
