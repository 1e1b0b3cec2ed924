"""The images with Python in them: the autoscaler, the base of functions, and a function built on it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .buildah import Buildah
from .cache import cached, digest_of
from .errors import ClusterError
from .machine import install_packages, require_machine, require_root
from .places import PACKAGE, ROOT, cache_directory

AUTOSCALER_IMAGE: Final = "dev.local/dilu-autoscaler:v1"
FUNCTION_IMAGE: Final = "dev.local/dilu-function:v1"
EXAMPLE_IMAGE: Final = "dev.local/dilu-example:v1"

_SUITE: Final = "bookworm"
_PACKAGES: Final = "python3,python3-venv,ca-certificates"
_BASE_COMMAND: Final = (
    "mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}",
    "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*", _SUITE,
)  # fmt: skip
_APT_SOURCES: Final = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_DOCKERFILES: Final = (ROOT / "runtime-image/autoscaler.Dockerfile", ROOT / "runtime-image/Dockerfile")
_EXAMPLE: Final = PACKAGE / "example_function"
_KEPT: Final = 3  # builds of each image: every change of our code makes one


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonImages:
    """Docker archives, for `Cluster.load_image`."""

    autoscaler: Path
    function: Path
    example: Path


def build_python_images() -> PythonImages:
    """Return the three images of the current sources, from the cache where it has them."""
    require_root()
    require_machine()
    install_packages()
    buildah = Buildah(cache_directory() / "buildah")
    with buildah.alone():
        return _build(buildah, cache_directory())


def _build(buildah: Buildah, cache: Path) -> PythonImages:
    base_archive = _debian_base(cache)
    base = f"dev.local/dilu-base:{base_archive.parent.name}"
    with _context() as context:  # a copy: the build matches its key even while the sources are edited

        def build(dockerfile: Path, reference: str) -> Path:
            own = digest_of([base.encode(), dockerfile.read_bytes(), *_contents(context)])
            name = _name(reference)

            def fill(into: Path) -> None:
                _ensure_base(buildah, base, base_archive)
                buildah.build(context, dockerfile, f"dev.local/{name}:{own}", {"BASE": base})
                buildah.save(f"dev.local/{name}:{own}", into / f"{name}.tar", reference)

            return _kept(cached(cache, f"{name}-image", own, fill)) / f"{name}.tar"

        autoscaler, function = map(build, _DOCKERFILES, (AUTOSCALER_IMAGE, FUNCTION_IMAGE))
    example = build_function_image(_EXAMPLE, EXAMPLE_IMAGE, function)
    return PythonImages(autoscaler=autoscaler, function=function, example=example)


def build_function_image(folder: Path, reference: str, function: Path) -> Path:
    """Return the archive of a function: a folder with a Dockerfile that begins with `ARG BASE`, `FROM ${BASE}`."""
    cache, key = cache_directory(), function.parent.name
    buildah, base = Buildah(cache / "buildah"), f"dev.local/dilu-function:{key}"
    name = _name(reference)
    own = digest_of([key.encode(), reference.encode(), *_contents(folder)])

    def fill(into: Path) -> None:
        if not buildah.has(base):
            buildah.load(function, base)
        buildah.build(folder, folder / "Dockerfile", f"dev.local/{name}:{own}", {"BASE": base})
        buildah.save(f"dev.local/{name}:{own}", into / f"{name}.tar", reference)

    return _kept(cached(cache, f"{name}-image", own, fill)) / f"{name}.tar"


def _debian_base(cache: Path) -> Path:
    """Return the archive of a minimal Debian with Python."""

    def fill(into: Path) -> None:
        sources = [str(path) for path in _APT_SOURCES if path.is_file() and _SUITE in path.read_text()]
        command = ["nice", "-n", "10", *_BASE_COMMAND, str(into / "base.tar"), *sources[:1]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(f"mmdebstrap {_SUITE} failed:\n{done.stderr.strip()[-1000:]}\nCheck the network.")

    key = f"{_SUITE}-{digest_of([' '.join(_BASE_COMMAND).encode()])}"
    return cached(cache, "debian-base", key, fill) / "base.tar"


def _ensure_base(buildah: Buildah, reference: str, archive: Path) -> None:
    if buildah.has(reference):
        return
    with tempfile.TemporaryDirectory(prefix="dilu-base-") as folder:
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text("FROM scratch\nADD base.tar /\n")
        buildah.build(archive.parent, dockerfile, reference, {})


@contextmanager
def _context() -> Iterator[Path]:
    """Return a directory with what the Dockerfiles copy from the project's root and nothing else."""
    with tempfile.TemporaryDirectory(prefix="dilu-context-") as folder:
        context = Path(folder)
        for name in sorted({name for dockerfile in _DOCKERFILES for name in copied_paths(dockerfile.read_text())}):
            source, target = ROOT / name, context / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        yield context


def copied_paths(dockerfile: str) -> list[str]:
    """Return the paths that a Dockerfile copies from its build context."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    return [path for line in lines for path in line.split()]


def _name(reference: str) -> str:
    return reference.rpartition("/")[2].partition(":")[0]


def _contents(folder: Path) -> list[bytes]:
    """Names and contents of all files, in an order of their own."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [part for path in files for part in (str(path.relative_to(folder)).encode(), path.read_bytes())]


def _kept(entry: Path) -> Path:
    """Return the build; remove older ones of the same image, except those that another run may be about to load."""
    entry.touch()
    builds: Mapping[Path, float] = {one: one.stat().st_mtime for one in entry.parent.iterdir() if one.is_dir()}
    for old in sorted(builds, key=lambda one: builds[one], reverse=True)[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return entry
