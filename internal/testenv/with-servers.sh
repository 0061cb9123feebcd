#!/usr/bin/env bash
#
# Runs a command with servers for its tests, and ends them with it:
#
#   internal/testenv/with-servers.sh postgres dynamodb redis -- go test ./...
#
# A server is the one at EVENTSOURCE_TEST_POSTGRES, EVENTSOURCE_TEST_DYNAMODB or
# EVENTSOURCE_TEST_REDIS, or else one in a container, for which docker.sh gets everything
# ready. The command in run does the rest.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# prepare SERVER URL IMAGE: has an image for the server, unless there is a URL. The
# last two are names of variables.
prepare() {
	local name
	[ -z "${!2:-}" ] || return 0
	name=$("$here/docker.sh" "$1")
	export "$3=$name"
	echo "image: $name" >&2
}

for argument in "$@"; do
	case $argument in
	postgres) prepare postgres EVENTSOURCE_TEST_POSTGRES EVENTSOURCE_POSTGRES_IMAGE ;;
	dynamodb) prepare dynamodb EVENTSOURCE_TEST_DYNAMODB EVENTSOURCE_DYNAMODB_IMAGE ;;
	redis) prepare redis EVENTSOURCE_TEST_REDIS EVENTSOURCE_REDIS_IMAGE ;;
	*) break ;; # run says so if it is wrong
	esac
done
exec "${GO:-go}" run "$here/run" "$@"
