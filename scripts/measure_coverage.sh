#!/usr/bin/env bash
# Branch coverage of all tests on both backends, with the servers that they start. The core of delivery must keep
# CORE_PERCENT.
set -euo pipefail
cd "$(dirname "$0")/.."

CORE_PERCENT=95
CORE='realtime/hub/*,realtime/events/*,realtime/auth/*'
python=.venv/bin/python

$python -m coverage erase
for backend in sqlite postgres; do
    echo "== Tests with coverage on $backend"
    $python -m coverage run -m pytest --quiet --numprocesses 3 --dist worksteal --backend "$backend" "$@"
done
$python -m coverage combine --quiet
$python -m coverage report --skip-covered
echo "== The core of delivery"
$python -m coverage report --include "$CORE" --fail-under "$CORE_PERCENT"
