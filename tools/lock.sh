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

# What the images of runtime-image/ install, at the versions that are tested.
compile_image() {
    "$uv" pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
        --constraint requirements/dev.txt "$@"
}
compile_image pyproject.toml --output-file runtime-image/requirements/function.txt
compile_image pyproject.toml --extra autoscaler --output-file runtime-image/requirements/autoscaler.txt
echo 'hatchling>=1.27' | compile_image - --output-file runtime-image/requirements/build.txt
