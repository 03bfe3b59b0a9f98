#!/usr/bin/env bash
# Pins the images of others that docker-compose.yml and the Dockerfiles name: each tag gets the digest of what it names now in
# its registry. Run it again to take patches over; git diff shows what came.
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
