#!/bin/sh
# Makes .venv from a lock file: `tools/bootstrap.sh dev`. Needs Python >= 3.11 and nothing else.
# The second run finds the stamp of the same lock and does nothing.
set -eu
cd "$(dirname "$0")/.."
set_name=${1:-dev}
lock=requirements/$set_name.txt
venv=.venv
if [ "$set_name" = bench ]; then venv=.venv-bench; fi   # the peers stay out of the project's own environment
stamp=$venv/.installed
want=$(cat "$lock" pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$want" ]; then exit 0; fi

say() { printf 'bootstrap: %s\n' "$*" >&2; }

find_python() {
    for python in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$python"; return; fi
    done
    say "no Python >= 3.11 on PATH. Install one, or set PYTHON=/path/to/python3."
    exit 1
}

# uv does the installing; where it is missing, it gets a small environment of its own.
find_uv() {
    if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then echo uv; return; fi
    home=.cache/uv-home
    if [ ! -x "$home/bin/uv" ]; then
        say "installing uv into $home"
        if ! "$python" -m venv "$home" >/dev/null 2>&1; then
            # Debian keeps the module that makes environments in a package of its own.
            if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
                say "this Python cannot make environments; installing Debian's python3-venv"
                apt-get update -qq >&2 && apt-get install -y -qq python3-venv >&2
            else
                say "this Python cannot make environments. Run: sudo apt-get install python3-venv"
                exit 1
            fi
            rm -rf "$home" && "$python" -m venv "$home" >&2
        fi
        "$home/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1' >&2
    fi
    echo "$home/bin/uv"
}

python=$(find_python)
uv=$(find_uv)
say "installing $lock into $venv (the first time takes a minute: torch is large)"
if [ ! -x "$venv/bin/python" ]; then "$uv" venv --quiet --python "$python" "$venv"; fi
rm -f "$stamp"
# Compiled now, by all cores: a replica would otherwise compile torch in its first cold start, or, where it may not
# write beside the packages, in every one.
"$uv" pip sync --quiet --require-hashes --compile-bytecode --python "$venv/bin/python" "$lock"
"$uv" pip install --quiet --no-deps --python "$venv/bin/python" --editable .
printf '%s\n' "$want" > "$stamp"
say "ready: $venv"
