#!/bin/sh
# Updates Temporal's two databases to the schema of this version of the server, if they do not have it yet.
set -eu
SQL_PASSWORD=$(cat /run/passwords/password)
export SQL_PASSWORD

# tool DATABASE ARGUMENT...: runs temporal-sql-tool for the database.
tool() {
	database=$1
	shift
	temporal-sql-tool --plugin postgres12 --endpoint postgres --port 5432 --user temporal --database "$database" "$@"
}

# schema DATABASE KIND: creates or updates the schema.
schema() {
	tool "$1" setup-schema --version 0.0
	tool "$1" update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$2/versioned"
}

schema temporal temporal
schema temporal_visibility visibility
