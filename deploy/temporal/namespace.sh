#!/bin/sh
# Creates the namespace, if it does not exist, as soon as the server answers. Closed workflows are kept for 30 days; the
# ledger keeps the record of what happened for good.
set -eu
namespace=${TEMPORAL_NAMESPACE:-default}

# ask ARGUMENT...: runs the Temporal CLI against the server of this Compose file, even if the worker is told to use
# another one, with a timeout. "passthrough" only looks up the address: with gRPC's own lookups, a name server that does
# not answer costs a minute.
ask() {
	env -i PATH="$PATH" HOME=/tmp TEMPORAL_ADDRESS=passthrough:///temporal:7233 timeout 10 temporal operator "$@" 2>&1
}

tries=0
until answer=$(ask cluster health); do
	tries=$((tries + 1))
	if [ "$tries" = 60 ]; then
		printf 'the Temporal server does not answer: %s\nlook at: docker compose logs temporal\n' "$answer"
		exit 1
	fi
	[ $((tries % 5)) != 1 ] || echo "waiting for the Temporal server"
	sleep 2
done
if ! ask namespace describe --namespace "$namespace" >/dev/null; then
	ask namespace create --namespace "$namespace" --retention 720h
fi
echo "the namespace $namespace is there"
