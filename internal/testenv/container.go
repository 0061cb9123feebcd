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
	// officialImage is the image to use unless told otherwise.
	officialImage = "postgres:17"
	// builtImage is what docker.sh builds where the official one cannot be had.
	builtImage = "eventsource-postgres:17"

	user     = "eventsource"
	password = "eventsource"
	database = "eventsource"

	primaryPort = "5432/tcp"

	// startLimit includes pulling the image.
	startLimit = 5 * time.Minute
	// readyLimit is from the container's start to the first query answered.
	readyLimit = 90 * time.Second
	stopLimit  = 30 * time.Second
)

// settings are the server's arguments. Durability stays as it is by default. Memory
// and disk are only taken as they are used; benchmarks use them.
var settings = []string{"-c", "max_connections=300", "-c", "shared_buffers=1GB", "-c", "max_wal_size=4GB"}

// server is a running PostgreSQL in a container.
type server struct {
	container *testcontainers.DockerContainer
	url       string
}

// startServer starts a server that accepts connections, or leaves nothing behind.
// Besides PostgreSQL's own port the container publishes the given ones.
func startServer(ctx context.Context, ports ...string) (_ *server, err error) {
	prepare()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()

	name, err := image(ctx)
	if err != nil {
		return nil, err
	}
	s := new(server)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	s.container, err = testcontainers.Run(ctx, name,
		testcontainers.WithLogger(&notes),
		testcontainers.WithEnv(map[string]string{
			"POSTGRES_USER":     user,
			"POSTGRES_PASSWORD": password,
			"POSTGRES_DB":       database,
		}),
		testcontainers.WithCmd(append([]string{"postgres"}, settings...)...),
		testcontainers.WithExposedPorts(append([]string{primaryPort}, ports...)...),
		// docker.sh looks for containers that were left behind.
		testcontainers.WithLabels(map[string]string{"eventsource.testenv": "1"}),
		// The default, 64 MB, is little for parallel queries.
		testcontainers.CustomizeRequestOption(func(r *testcontainers.GenericContainerRequest) error {
			r.ShmSize = 256 << 20
			return nil
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("start a container of %s: %w%s", name, err, notes.String())
	}
	s.url, err = s.ready(ctx, primaryPort)
	if err != nil {
		return nil, err
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

// ready waits until the server at a port of the container answers a query from
// outside, and returns its URL.
//
// An open port is not enough: docker opens it before there is a server behind it.
// The image's messages are not either, for it starts a server for its own use
// first, which listens on no network.
func (s *server) ready(ctx context.Context, port string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()

	endpoint, err := s.container.PortEndpoint(ctx, port, "")
	if err != nil {
		return "", fmt.Errorf("port %s of the container: %w", port, err)
	}
	u := (&url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(user, password),
		Host:     endpoint,
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}).String()

	for {
		err := ping(ctx, u)
		if err == nil {
			return u, nil
		}
		state, stateErr := s.container.State(ctx)
		if ctx.Err() != nil || stateErr == nil && !state.Running {
			return "", fmt.Errorf("the server in the container does not answer: %w\n%s", err, s.logs())
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ping asks a server for an answer.
func ping(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.Ping(ctx)
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

// image returns the name of the image to start. Without an answer in the
// environment it is the official one, unless only the one that docker.sh builds
// is at hand.
func image(ctx context.Context) (string, error) {
	if name := os.Getenv(EnvImage); name != "" {
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
	if !here[officialImage] && here[builtImage] {
		return builtImage, nil
	}
	return officialImage, nil
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
