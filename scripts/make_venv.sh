#!/usr/bin/env bash
# Make a virtual environment with the newest supported Python found: make_venv.sh FOLDER
set -euo pipefail

can_be_used='import ensurepip, ssl, sqlite3, sys, venv; sys.exit(sys.version_info < (3, 11))'

for python in python3.13 python3.12 python3.11 python3; do
    if "$python" -c "$can_be_used" >/dev/null 2>&1; then
        echo "Making $1 with $("$python" --version) …"
        exec "$python" -m venv --clear "$1"
    fi
done

if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    echo "This Python lacks venv: install the package python3-venv, then try again." >&2
else
    echo "The portal needs Python 3.11 or newer; found $(python3 --version 2>/dev/null || echo none)." >&2
fi
exit 1
