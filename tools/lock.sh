#!/bin/sh
# Resolves pyproject.toml into requirements/*.txt, with a hash for every file and no address of an index.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .cache/uv-home/bin/uv)
compile() {
    "$uv" pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
        pyproject.toml --all-extras "$@"
}
compile --group lint --group test --output-file requirements/dev.txt
compile --group lint --group test --group bench --output-file requirements/bench.txt
