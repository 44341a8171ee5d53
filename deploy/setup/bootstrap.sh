#!/usr/bin/env bash
# Finds or downloads uv and Python 3.11, without root, and runs `python -m deploy.setup`.
# A step is skipped when its result exists; an interrupted run continues where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset PYTHONDONTWRITEBYTECODE PYTHONPATH VIRTUAL_ENV || true
state="$PWD/.driftline"
uv="$state/uv/bin/uv"
mkdir -p "$state"

fail() { echo "set-up stopped: $*" >&2; exit 1; }

is_311() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }

# Python 3.11: on PATH, the base of an earlier environment, or one of pyenv's; else empty.
find_python() {
    local candidate
    for candidate in "$PWD/.venv/bin/python" python3.11 python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11*/bin/python3.11 \
        "$state"/python/*/bin/python3.11; do
        if is_311 "$candidate"; then
            "$candidate" -c 'import os, sys; print(os.path.realpath(sys._base_executable))'
            return
        fi
    done
}

install_uv() {
    local any fresh="$state/.uv.fresh"
    any=$(find_python)
    any=${any:-$(command -v python3 || true)}
    rm -rf "$fresh" "$state/uv"
    if [ -n "$any" ] && "$any" -m venv "$fresh" >/dev/null 2>&1; then
        echo "  uv: downloading the pinned version (25 MB)"
        "$fresh/bin/python" -m pip install --quiet --disable-pip-version-check \
            --require-hashes -r deploy/setup/uv.lock ||
            fail "pip could not download uv. Check the network and run the same command again."
        mv "$fresh" "$state/uv"
    elif command -v uv >/dev/null; then
        echo "  uv: using $(command -v uv)"
        mkdir -p "$state/uv/bin"
        ln -sf "$(command -v uv)" "$uv"
    else
        fail "neither a Python 3 with venv nor uv is on PATH; install Python 3.11 or uv."
    fi
}

"$uv" --version >/dev/null 2>&1 || install_uv
python=$(find_python)
if [ -z "$python" ]; then
    echo "  python: downloading 3.11 (30 MB)"
    UV_PYTHON_INSTALL_DIR="$state/python" "$uv" python install --quiet 3.11 ||
        fail "uv could not download Python 3.11; install Python 3.11 and try again."
    python=$(find_python)
    [ -n "$python" ] || fail "the downloaded Python 3.11 does not run on this machine."
fi
exec "$python" -m deploy.setup --uv "$uv" "$@"
