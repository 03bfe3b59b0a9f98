#!/usr/bin/env bash
# Run by "make up": prepares what the containers need from this folder, starts them, and shows what is wrong if one does
# not come up. The chosen options are in the environment, and are written into .env, which Docker Compose reads too. So
# a plain "docker compose up" starts the same services, and does not point a worker that used the simulator at
# Atlassian.
#
# The folder deploy/secrets is closed to other users of this machine. The files in it are readable for any user, because
# the programs in the containers do not run as your user.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
	printf '%s\n' "$@" >&2
	exit 1
}

version=$(docker compose version --short) || die "Docker Compose does not answer: is Docker installed, and does its daemon run?"
[ "$(printf '%s\n' 2.24.4 "${version#v}" | sort -V | head -n 1)" = 2.24.4 ] ||
	die "Docker Compose $version is too old for docker-compose.yml: it takes 2.24.4 or later"

export CASTELLAN_ORGANIZATIONS=${CASTELLAN_ORGANIZATIONS:-atlassian} COMPOSE_PROFILES=${COMPOSE_PROFILES:-} WORKERS=${WORKERS:-1}
if grep -qs '^CASTELLAN_ORGANIZATIONS=simulator' .env && [ "$CASTELLAN_ORGANIZATIONS" != simulator ]; then
	echo "the workers called the simulator, and now call Atlassian; SIM=1 goes back" >&2
fi
chosen='^(CASTELLAN_ORGANIZATIONS|COMPOSE_PROFILES|WORKERS)='
{
	grep -sEv "$chosen" .env || true
	env | grep -E "$chosen" | sort
} >.env.new
mv .env.new .env

secrets=deploy/secrets
mkdir -p $secrets/{keys,worker,authorities,proxy}
chmod 700 $secrets
if [ ! -s $secrets/worker/review-key ]; then
	head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >$secrets/worker/review-key
fi
chmod -R a+rX $secrets/{keys,worker,authorities,proxy}
if [ -z "$(ls $secrets/keys)" ] && [ "$CASTELLAN_ORGANIZATIONS" != simulator ]; then
	echo "no Atlassian API key yet: put each organization's into a file of its own in $secrets/keys, and run this again" >&2
fi

docker compose up --build --detach --wait --wait-timeout "${WAIT:-300}" && {
	docker compose ps --format 'table {{.Service}}\t{{.Name}}\t{{.Status}}\t{{.Ports}}'
	exit
}

echo >&2
echo "It did not come up. What is not well, and its last words:" >&2
docker compose ps --all --format '{{.Service}}|{{.Name}}|{{.State}}|{{.Health}}|{{.ExitCode}}' |
	while IFS='|' read -r service name state health code; do
		case $state/$health/$code in
		running/healthy/* | exited/*/0 | created/*) continue ;; # a service that was only created waits for another one
		esac
		printf '\n%s: %s\n' "$service" "$(docker inspect --format \
			'{{.State.Status}}{{with .State.Health}}, {{.Status}}{{end}}, exit code {{.State.ExitCode}}' "$name")"
		docker logs --tail 15 "$name" 2>&1 | uniq | sed 's/^/    /'
	done >&2
die "" "docs/install.md, \"When it does not come up\", says what to do. Nothing is lost by running it again."
