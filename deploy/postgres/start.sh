#!/bin/sh
# Starts PostgreSQL. Its image requires a password for the superuser. This one is random and nobody knows it, so the
# superuser can connect through the socket only: docker compose exec postgres psql --username postgres
set -eu
POSTGRES_PASSWORD=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
export POSTGRES_PASSWORD
# An interrupted first start leaves files that look like a cluster, but without settings that it needs. As long as there
# are only the three databases of a new cluster, numbered 1, 4 and 5, they can be removed without losing anything.
if [ -d "$PGDATA/base" ]; then
	databases=$(ls "$PGDATA/base") # exits if the folder cannot be read: that does not mean it is empty
	if [ -z "$databases" ] || ! printf '%s\n' "$databases" | grep -qvx '[145]'; then
		echo "the first start was broken off before there was a database: starting it anew"
		find "$PGDATA" -mindepth 1 -delete
	fi
fi
exec docker-entrypoint.sh "$@"
