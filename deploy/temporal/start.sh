#!/bin/sh
# Starts the server, which reads its database password only from the environment.
set -eu
POSTGRES_PWD=$(cat /run/passwords/password)
export POSTGRES_PWD
exec /etc/temporal/entrypoint.sh
