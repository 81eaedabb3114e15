#!/bin/sh
# Makes .venv with the first suitable Python and installs this checkout into it, editable.
# `make` calls it when pyproject.toml is newer than the stamp that it leaves.
set -eu
cd "$(dirname "$0")/.."

venv=.venv
log=$venv/install.log

suits() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

choose() {
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" && echo "$PYTHON"
        return
    fi
    for name in python3.13 python3.12 python3.11 python3; do
        if suits "$name"; then
            echo "$name"
            return
        fi
    done
    return 1
}

python=$(choose) || {
    echo "error: no suitable Python${PYTHON:+ (PYTHON=$PYTHON)}; 3.11 or later with venv and ensurepip is needed" >&2
    echo "hint: install one (on Debian and Ubuntu also the package python3-venv), or say make PYTHON=/path/to/python" >&2
    exit 2
}

# An environment whose Python has gone since is made anew; a sound one is brought up to date.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

echo "installing into $venv with $("$venv/bin/python" -V) (once)" >&2
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_RETRIES="${PIP_RETRIES:-10}"
"$venv/bin/python" -m pip install --progress-bar off -e '.[dev]' >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    echo "error: the installation failed; the whole log is $log" >&2
    exit 1
}
touch "$venv/.installed"
