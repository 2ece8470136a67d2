#!/bin/sh
# Make the virtual environment $1 with exactly the packages pinned in $2.
#
# Always from scratch: what an interrupted run left behind is not trusted. PYTHON names the
# interpreter to use; otherwise it is the first suitable one found. WITH_PIP names the pip to
# install with ('pip==23.0'; 'pip' is the newest); otherwise it is uv where it is there and can,
# or the pip that comes with Python.
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
log=$environment/setup.log

pip() { "$environment/bin/python" -m pip --disable-pip-version-check "$@"; }

# Runs "$@" with its words kept in the log.
logged() { "$@" >>"$log" 2>&1 </dev/null; }

# Ends with "$1", what was said before it, and the rest as the hint, a line each.
give_up() {
    awk '!/Retrying/ || !said++' "$log" | tail -n 12 >&2
    echo "error: $1" >&2
    shift
    printf 'Hint: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '      %s\n' "$line" >&2; done
    exit 1
}

if [ -n "${WITH_PIP:-}" ]; then
    # Unquoted on purpose: several arguments.
    logged pip install -q --upgrade $WITH_PIP || give_up "no pip as WITH_PIP asks for" \
        "WITH_PIP is what 'pip install --upgrade' is given; leave it out for the pip of $python."
fi

echo "  installing the packages pinned in $pins ..."
# The pins are complete: nothing is resolved (so no newer release matters), only what has a hash
# of the file's is taken, and nothing is built (a build would fetch tools that nobody pinned).
set -- --no-deps --require-hashes --only-binary :all: --requirement "$pins"
by=uv
if [ -z "${WITH_PIP:-}" ] && uv --version >/dev/null 2>&1 &&
    logged uv pip install --quiet --compile-bytecode --python "$environment/bin/python" "$@"; then
    :
elif : >"$log" && by="pip $(pip --version | cut -d' ' -f2)" &&
    ! logged pip install -q --no-input --no-user "$@"; then
    what="the packages in $pins could not be installed; pip's reason is above."
    if grep -q 'DO NOT MATCH THE HASHES' "$log"; then
        give_up "$what" "what came is not what $pins names, so nothing of it was installed: a" \
            "damaged download or cache ('pip cache purge', then again), or an index or mirror" \
            "that serves other files under the same version: don't use it."
    elif grep -qE 'must have their versions pinned|Hashes are required' "$log"; then
        give_up "$what" "$pins is not complete: each line needs '==' and a hash (make lock)."
    elif grep -qi 'no space left' "$log"; then
        give_up "$what" "the disk is full; about 2 GB are needed."
    elif grep -qE 'connection broken|HTTP error|Could not fetch URL|timed out|ProxyError' "$log"; then
        give_up "$what" "pip's package index was not reached: check the network, or name a mirror" \
            "in pip's configuration; then run the same command again."
    elif grep -q 'No matching distribution' "$log"; then
        give_up "$what" "the package index has no ready-made package (wheel) of that version for" \
            "Python $version on this machine. The pins have one for Python 3.11, 3.12 and 3.13:" \
            "PYTHON=python3.13 make ...; or the index is a mirror that lacks it: name another."
    fi
    give_up "$what" "put right what pip names, then run the same command again."
fi
if ! logged pip check; then
    give_up "the packages in $pins do not fit together; pip's reason is above." \
        "$pins lacks a package or has a wrong version of one: make lock writes it anew."
fi
rm -f "$log"
echo "  done, by $by."
