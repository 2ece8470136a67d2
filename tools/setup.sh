#!/bin/sh
# Make the virtual environment $1 with exactly the packages pinned in $2.
#
# Always from scratch: what an interrupted run left behind is not trusted. PYTHON names the
# interpreter to use; otherwise it is the first suitable one found.
set -eu

environment=$1
pins=$2

candidates=${PYTHON:-python3.13 python3.12 python3.11 python3 python}
python=
without_venv=
for candidate in $candidates; do
    # A name can be there and still not run (a version manager's shim): try, don't just look.
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        python=$candidate
        break
    fi
    without_venv=${without_venv:-$candidate}
done

if [ -z "$python" ] && [ -n "$without_venv" ]; then
    version=$("$without_venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "error: Python $version is here, but it cannot make virtual environments." >&2
    echo "Hint: install its venv module (Debian, Ubuntu: the package python$version-venv)," >&2
    echo "      or name another Python: PYTHON=/path/to/python make ..." >&2
    exit 1
fi
if [ -z "$python" ]; then
    echo "error: no Python 3.11 or newer among: $candidates" >&2
    echo "Hint: install Python 3.11, 3.12 or 3.13 with your system's packages," >&2
    echo "      or say where it is: PYTHON=/path/to/python make ..." >&2
    exit 1
fi

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
echo "Setting up $environment with Python $version (about a minute, once):"
echo "  making an empty virtual environment ..."
rm -rf "$environment"
"$python" -m venv "$environment"

case $pins in
    *.lock) checked=--require-hashes ;;
    *) checked= ;;
esac
echo "  installing the packages pinned in $pins ..."
# Unquoted on purpose: nothing at all when there are no hashes to require.
if ! "$environment/bin/python" -m pip --disable-pip-version-check install -qq \
    --no-input --no-deps $checked --requirement "$pins"; then
    echo "error: the packages in $pins could not be installed; pip's reason is above." >&2
    echo "Hint: pip needs its package index, or a mirror named in its configuration;" >&2
    echo "      run the same command again when it can be reached." >&2
    exit 1
fi
echo "  done."
