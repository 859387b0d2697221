#!/usr/bin/env bash
# Run a command that needs Node, or say that it was left out: with_node.sh WHAT COMMAND…
# Only in CI (CI=true) is a missing Node a failure.
set -euo pipefail

what=$1
shift
if command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; then
    exec "$@"
fi
echo "Left out $what: Node 20 or newer is not installed." >&2
[[ ${CI:-} != true ]]
