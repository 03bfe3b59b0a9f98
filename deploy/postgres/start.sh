#!/bin/sh
# Starts PostgreSQL. Its image wants a password for the superuser; this one nobody knows, so that the superuser comes in through
# the socket alone: docker compose exec postgres psql --username postgres
set -eu
POSTGRES_PASSWORD=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
export POSTGRES_PASSWORD
# What a first start leaves that was broken off passes for a cluster, without settings that it needs. While there is no database
# but the three of a new cluster, numbered 1, 4 and 5, nothing is lost with it.
if [ -d "$PGDATA/base" ]; then
	databases=$(ls "$PGDATA/base") # a folder that cannot be read is not an empty one: then this ends here
	if [ -z "$databases" ] || ! printf '%s\n' "$databases" | grep -qvx '[145]'; then
		echo "the first start was broken off before there was a database: starting it anew"
		find "$PGDATA" -mindepth 1 -delete
	fi
fi
exec docker-entrypoint.sh "$@"
