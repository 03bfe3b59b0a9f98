#!/bin/sh
# Starts the server, which takes its database password from the environment only.
set -eu
POSTGRES_PWD=$(cat /run/passwords/password)
export POSTGRES_PWD
exec /etc/temporal/entrypoint.sh
