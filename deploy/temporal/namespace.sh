#!/bin/sh
# Creates the namespace, if need be, as soon as the server answers. Closed workflows are kept for 30 days: the ledger keeps
# what happened for good.
set -eu
until temporal operator cluster health >/dev/null 2>&1; do
	tries=$((${tries:-0} + 1))
	[ "$tries" -lt 60 ] || { echo "the Temporal server does not answer at $TEMPORAL_ADDRESS"; exit 1; }
	sleep 2
done
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
	temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 720h
