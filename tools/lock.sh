#!/bin/sh
# Write the lock $1: every dependency of the project, its tests, its linters and its build, for
# every Python and platform that it runs on, pinned with hashes and without any address. What is
# pinned already stays as it is where it fits; UPGRADE=1 takes the newest of everything.
set -eu

lock=$1
resolver=build/resolver

echo "Resolving the dependencies for $lock ..."
rm -rf "$resolver"
.venv/bin/python -m venv "$resolver"
"$resolver/bin/python" -m pip --disable-pip-version-check install -qq uv
mkdir -p "$(dirname "$lock")"
"$resolver/bin/uv" pip compile pyproject.toml --all-extras --group build \
    --universal --python-version 3.11 ${UPGRADE:+--upgrade} --generate-hashes --no-strip-extras \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet \
    --output-file "$lock"
rm -rf "$resolver"
echo "Wrote $lock with $(grep -c '==' "$lock") pins."
