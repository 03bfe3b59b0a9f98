#!/bin/sh
# Brings Temporal's two databases to the schema of this version of the server; does nothing where they have it already.
set -eu
SQL_PASSWORD=$(cat /run/passwords/password)
export SQL_PASSWORD

# tool DATABASE ARGUMENT...
tool() {
	database=$1
	shift
	temporal-sql-tool --plugin postgres12 --endpoint postgres --port 5432 --user temporal --database "$database" "$@"
}

# schema DATABASE KIND
schema() {
	tool "$1" setup-schema --version 0.0
	tool "$1" update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$2/versioned"
}

schema temporal temporal
schema temporal_visibility visibility
