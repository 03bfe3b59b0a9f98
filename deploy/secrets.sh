#!/usr/bin/env bash
# Makes the passwords that docker-compose.yml reads, where they are missing. Nothing that exists is touched.
#
# deploy/secrets is closed to other users of this machine; the files in it can be read by any user, because the programs in
# the containers do not run as yours. Atlassian API keys go into deploy/secrets/keys, one file each: a policy refers to
# deploy/secrets/keys/acme as file:/run/secrets/castellan/acme.
set -euo pipefail
cd "$(dirname "$0")/secrets"
chmod 700 .
mkdir -p keys
chmod 755 keys
for name in postgres-password temporal-db-password ledger-db-password; do
	if [ ! -s "$name" ]; then
		head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$name"
		echo "made deploy/secrets/$name" >&2
	fi
	chmod 644 "$name"
done
if [ -z "$(ls keys)" ]; then
	echo "no Atlassian API key yet: put each organization's into a file of its own in deploy/secrets/keys" >&2
fi
