#!/bin/sh
# Runs once, when PostgreSQL starts on an empty volume: a role and databases of its own for Temporal and for the ledger.
set -eu

# own ROLE PASSWORD-FILE DATABASE...
own() {
	role=$1
	password=$(cat "$2")
	shift 2
	psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 --set role="$role" --set password="$password" <<-'SQL'
		CREATE ROLE :"role" LOGIN PASSWORD :'password';
	SQL
	for database in "$@"; do
		psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 --set role="$role" --set database="$database" <<-'SQL'
			CREATE DATABASE :"database" OWNER :"role";
			REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
		SQL
	done
}

own temporal /run/secrets/temporal-db-password temporal temporal_visibility
own castellan /run/secrets/ledger-db-password castellan
