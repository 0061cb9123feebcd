#!/bin/bash
#
# Creates the cluster on the first start, then becomes the server. It knows the
# official image's POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and PGDATA, and
# hands arguments such as "-c name=value" on to postgres.

set -euo pipefail

if [ "${1:0:1}" = - ]; then
	set -- postgres "$@"
fi
if [ "${1:-}" != postgres ]; then
	exec "$@"
fi

if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA" /var/run/postgresql
	chown -R postgres:postgres "$PGDATA" /var/run/postgresql
	chmod 700 "$PGDATA"
	exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$BASH" "$0" "$@"
fi
export HOME=/var/lib/postgresql

user=${POSTGRES_USER:-postgres}
password=${POSTGRES_PASSWORD:?needs to be set}
db=${POSTGRES_DB:-$user}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	# Inside the container everyone is trusted, from outside a password is asked for.
	initdb --username="$user" --pwfile=<(printf '%s\n' "$password") --auth=trust -D "$PGDATA"
	{
		echo "host all         all all scram-sha-256"
		echo "host replication all all scram-sha-256"
	} >>"$PGDATA/pg_hba.conf"
	echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"

	if [ "$db" != postgres ]; then
		# Single-user mode: no server that has to be stopped again.
		printf 'CREATE DATABASE "%s"\n' "${db//\"/\"\"}" |
			postgres --single -D "$PGDATA" postgres
	fi
fi

exec "$@"
