#!/usr/bin/env bash
# Build the front end anew, beside the committed files, and compare.
set -euo pipefail

committed=realtime/static/realtime
rebuilt=$(mktemp -d)
trap 'rm -rf "$rebuilt"' EXIT

(cd frontend && npm run --silent build -- --outDir "$rebuilt" --emptyOutDir --logLevel warn)
if ! diff --recursive --brief "$committed" "$rebuilt"; then
    echo "$committed is not what frontend/ builds: run \`make frontend\` and commit the result." >&2
    exit 1
fi
