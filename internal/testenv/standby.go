package testenv

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	tcexec "github.com/testcontainers/testcontainers-go/exec"
)

const standbyPort = "5433/tcp"

// standbyScript makes a hot standby of the server in the container, next to it.
// Its arguments are the server's, whose limits a standby must not fall below. They
// are on its command line and therefore not in the copy of its files.
//
// The standby has the name "standby", for synchronous_standby_names, and a slot,
// so that it can lag behind without losing the connection for good.
const standbyScript = `
set -eu
dir=/var/lib/postgresql/standby
pg_basebackup --pgdata="$dir" --checkpoint=fast --write-recovery-conf \
	--create-slot --slot=standby \
	--dbname="host=127.0.0.1 user=$POSTGRES_USER password=$POSTGRES_PASSWORD application_name=standby"
pg_ctl --pgdata="$dir" --log="$dir.log" --options="-p 5433 $*" --wait start >/dev/null ||
	{ cat "$dir.log"; exit 1; }
`

// Standby starts a server and a hot standby that replays what the server commits.
// Both are the test's own and end with it, so the test may set them up as it likes.
// The URLs are those of a superuser.
//
// They run in a container even where EVENTSOURCE_TEST_POSTGRES is set, so they
// take a Docker engine.
func Standby(t testing.TB) (primaryURL, standbyURL string) {
	t.Helper()
	s, standbyURL, err := startStandby(context.Background())
	if err != nil {
		sharedPostgres.unavailable(t, fmt.Errorf("a standby takes a Docker engine: %w", err))
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("testenv: %v", err)
		}
	})
	return s.url, standbyURL
}

// startStandby starts a server with a standby, or leaves nothing behind.
func startStandby(ctx context.Context) (_ *server, standbyURL string, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit+time.Minute)
	defer cancel()

	s, err := postgres.start(ctx, standbyPort)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			_ = s.stop()
		}
	}()

	command := append([]string{"sh", "-c", standbyScript, "sh"}, settings...)
	code, output, err := s.container.Exec(ctx, command, tcexec.WithUser("postgres"), tcexec.Multiplexed())
	if err != nil {
		return nil, "", fmt.Errorf("run the standby's script: %w", err)
	}
	if code != 0 {
		text, _ := io.ReadAll(output)
		return nil, "", fmt.Errorf("the standby does not start: %s", strings.TrimSpace(string(text)))
	}
	standbyURL, err = s.ready(ctx, standbyPort)
	if err != nil {
		return nil, "", err
	}
	return s, standbyURL, nil
}
