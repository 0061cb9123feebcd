#!/usr/bin/env bash
#
# What a Cluster does inside its container. It runs as the user postgres, except for
# "machine" and "install", with the usual variables of PostgreSQL (PGDATA, PGPORT,
# PGHOST, PGUSER, PGDATABASE) for the server that it is about. LOG is that server's.

set -euo pipefail
umask 077

# How long anything may take that waits, in seconds.
limit=90

die() {
	echo "$*" >&2
	if [ -e "$LOG" ]; then tail -n 20 "$LOG" >&2; fi
	exit 1
}

# within MESSAGE: ends the script once the limit is over.
within() {
	[ "$SECONDS" -lt "$limit" ] || die "$1 within $limit s"
	sleep 0.05
}

running() { pg_ctl status >/dev/null 2>&1; }

# ours PID: whether a process belongs to the server. Each of a server's processes
# works in its data directory.
ours() { [ "$(readlink "/proc/$1/cwd" 2>/dev/null)" = "$PGDATA" ]; }

# survivors: prints the processes of the server.
survivors() {
	local process
	for process in /proc/[0-9]*; do
		if ours "${process#/proc/}"; then echo "${process#/proc/}"; fi
	done
}

case $1 in
machine) # FOLDER...: what takes root before anything else
	install -d -o postgres -g postgres /var/run/postgresql "${@:2}"
	;;
install) # the official image comes without PgBouncer, and with PostgreSQL's own packages
	if ! command -v pgbouncer >/dev/null; then
		{ apt-get update -q && apt-get install -q -y --no-install-recommends pgbouncer; } >"$LOG.apt" 2>&1 ||
			{ tail -n 5 "$LOG.apt" >&2; exit 1; }
	fi
	;;
create) # CONF and HBA are appended to the files, CERT, KEY and CA become files
	# What is in the container need not outlive the machine below it.
	initdb --no-sync --auth=trust --username="$PGUSER" --pwfile=<(printf '%s\n' "$PASSWORD") >"$LOG" || die "initdb failed"
	printf '%s' "$CONF" >>"$PGDATA/postgresql.conf"
	printf '%s' "$HBA" >>"$PGDATA/pg_hba.conf"
	for name in CERT KEY CA; do
		if [ -n "${!name}" ]; then printf '%s' "${!name}" >"$FILES/$name"; fi
	done
	;;
copy) # FROM: makes a standby of the server on that port, with a slot, so that it can
	# lag behind without losing the connection for good
	PGPORT=$2 pg_basebackup --pgdata="$PGDATA" --no-sync --checkpoint=fast --write-recovery-conf \
		--create-slot --slot=standby --dbname=application_name=standby || die "pg_basebackup failed"
	echo "port = $PGPORT" >>"$PGDATA/postgresql.conf"
	;;
start)
	# One that recovers with its disk full may end while it is waited for. It is
	# started again then.
	until running && pg_isready --quiet --dbname=postgres; do
		if ! running; then
			# A new server refuses to start before the last process of the old one is gone.
			while [ -n "$(survivors)" ]; do within "processes of the old server did not end"; done
			pg_ctl start --wait --timeout="$limit" --log="$LOG" >/dev/null || die "the server does not start"
		fi
		within "the server did not answer"
	done
	;;
stop) # MODE
	# It may end by itself before it is told to.
	if running && ! pg_ctl stop --wait --timeout="$limit" --mode="$2" >/dev/null && running; then
		die "the server does not stop"
	fi
	;;
kill)
	pid=$(head -n 1 "$PGDATA/postmaster.pid" 2>/dev/null) || exit 0
	ours "$pid" || exit 0
	kill -KILL "$pid" 2>/dev/null || true
	while [ -e "/proc/$pid" ]; do within "process $pid did not end"; done
	;;
kill-backend)
	while true; do
		pid=$(psql --no-psqlrc --tuples-only --no-align --command="
			SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
			ORDER BY random() LIMIT 1")
		[ -n "$pid" ] || exit 0
		# It may have ended meanwhile: then another one.
		if kill -KILL "$pid" 2>/dev/null; then break; fi
		within "no process could be killed"
	done
	# Once it is gone for good the postmaster knows, and lets nobody in.
	while [ -e "/proc/$pid" ]; do within "process $pid did not end"; done
	;;
fill) # FOLDER
	while [ "$(df --output=avail "$2" | tail -n 1)" -gt 0 ]; do
		dd if=/dev/zero of="$2/filler" bs=1M oflag=append conv=notrunc 2>/dev/null || true
		within "$2 did not get full"
	done
	;;
free) # FOLDER
	rm -f "$2/filler"
	;;
promote)
	pg_ctl promote --wait --timeout="$limit" >/dev/null || die "the standby is not promoted"
	;;
bouncer) # INI and USERS are its files
	ini=${LOG%.log}.pgbouncer.ini
	LOG=${ini%.ini}.log
	# The one before, if any, had other settings.
	pid=$(cat "${ini%.ini}.pid" 2>/dev/null || echo none)
	if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = pgbouncer ]; then
		kill -KILL "$pid"
		while [ -e "/proc/$pid" ]; do within "the old PgBouncer did not end"; done
	fi
	rm -f "${ini%.ini}.pid"
	printf '%s' "$USERS" >"${ini%.ini}.users"
	{
		printf '%s\n' "$INI"
		echo "auth_file = ${ini%.ini}.users"
		echo "logfile = $LOG"
		echo "pidfile = ${ini%.ini}.pid"
	} >"$ini"
	pgbouncer --daemon "$ini" >>"$LOG" 2>&1 || die "PgBouncer does not start"
	;;
restore) # FILE
	if [ "$(head -c 5 "$2")" = PGDMP ]; then
		pg_restore --exit-on-error --dbname="$PGDATABASE" "$2"
	else
		psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --file="$2" >/dev/null
	fi
	;;
*) die "unknown command $1" ;;
esac
