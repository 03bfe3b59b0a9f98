#!/bin/sh
# Gives Temporal and the ledger a role and databases of their own. It runs at every start and creates what is missing,
# so it completes an interrupted first start, and replaces a role's password that was lost.
set -eu
passwords=${1:-/run/passwords}

# sql VARIABLE=VALUE...: runs the SQL on its standard input as superuser, through the socket.
sql() {
	for pair in "$@"; do set -- "$@" --set "$pair" && shift; done
	psql --username postgres --dbname postgres --no-psqlrc --quiet --set ON_ERROR_STOP=1 "$@"
}

# own ROLE DATABASE...: creates the role, its password and the databases that it owns.
own() {
	role=$1
	shift
	PASSWORD_FILE=$passwords/$role/password
	export PASSWORD_FILE
	if [ ! -s "$PASSWORD_FILE" ]; then
		echo "there is no password of $role yet, or it was lost: making one"
		head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$PASSWORD_FILE.new"
		chmod 444 "$PASSWORD_FILE.new" # for the service that mounts this volume and runs as another user
		mv "$PASSWORD_FILE.new" "$PASSWORD_FILE"
	fi
	sql role="$role" <<-'SQL'
		\set password `cat "$PASSWORD_FILE"`
		SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
		ALTER ROLE :"role" LOGIN PASSWORD :'password';
	SQL
	for database in "$@"; do
		sql role="$role" database="$database" <<-'SQL'
			SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'role')
			WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
			REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
		SQL
	done
}

own temporal temporal temporal_visibility
own castellan castellan
echo "the databases of Temporal and of the ledger are there, with their roles"
