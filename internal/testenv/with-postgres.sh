#!/usr/bin/env bash
#
# Runs a command with a PostgreSQL for its tests, and ends that with it:
#
#   internal/testenv/with-postgres.sh go test ./...
#
# The server is the one at EVENTSOURCE_TEST_POSTGRES, or else one in a container,
# for which docker.sh gets everything ready. The command in run does the rest.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ -z "${EVENTSOURCE_TEST_POSTGRES:-}" ]; then
	EVENTSOURCE_POSTGRES_IMAGE=$("$here/docker.sh")
	export EVENTSOURCE_POSTGRES_IMAGE
	echo "image: $EVENTSOURCE_POSTGRES_IMAGE" >&2
fi
exec "${GO:-go}" run "$here/run" -- "$@"
