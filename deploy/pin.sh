#!/usr/bin/env bash
# Pins the third-party images in docker-compose.yml and the Dockerfiles: adds to each tag the digest that it has in its
# registry now. Run it again to get patches; git diff shows what changed.
set -euo pipefail
cd "$(dirname "$0")/.."

files=(docker-compose.yml Dockerfile deploy/*/Dockerfile)
images=$(sed -nE 's/^ *image: +([^ #]+).*/\1/p; s/^FROM +(--platform=[^ ]+ +)?([^ ]+:[^ ]+).*/\2/p' "${files[@]}" |
	sed 's/@.*//' | grep -v '^castellan/' | sort -u)
for image in $images; do
	digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image")
	[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "the registry names no digest for $image: $digest" >&2 && exit 1; }
	for file in "${files[@]}"; do
		pinned=$(sed -E "s#( )${image//./\\.}(@[^ ]+)?( |\$)#\1$image@$digest\3#g" "$file" && echo .)
		printf %s "${pinned%.}" >"$file"
	done
	echo "$image@$digest"
done
