"""Container images without a registry: a docker-archive of one layer, written by hand, for `ctr images import`."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_USERS: Final = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
_NONROOT: Final = 65532  # Knative asks for a user that is not root


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a container starts with."""

    reference: str  # dev.local/NAME:TAG
    entrypoint: tuple[str, ...]
    files: Mapping[str, Path]  # path in the image -> file of this machine
    environment: Mapping[str, str] = field(default_factory=dict)


def write_image(image: Image, archive: Path) -> None:
    """Write the image; the same files give the same bytes."""
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".layer-") as folder:
        layer = Path(folder) / "layer.tar"
        with tarfile.open(layer, "w") as tar:
            _add_directories(tar, image.files)
            _add_text(tar, "etc/passwd", _USERS)
            _add_text(tar, "etc/nsswitch.conf", "hosts: files dns\n")
            for path, source in sorted(image.files.items()):
                _add_file(tar, path.lstrip("/"), source)
        config = json.dumps(_config(image, _sha256(layer))).encode()
        manifest = [{"Config": "config.json", "RepoTags": [image.reference], "Layers": ["layer.tar"]}]
        with tarfile.open(archive, "w") as tar:
            _add_bytes(tar, "manifest.json", json.dumps(manifest).encode())
            _add_bytes(tar, "config.json", config)
            _add_file(tar, "layer.tar", layer)


def _config(image: Image, layer_sum: str) -> dict[str, object]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": list(image.entrypoint),
            "User": f"{_NONROOT}:{_NONROOT}",
            "Env": [f"{name}={value}" for name, value in {"PATH": "/usr/bin:/bin", **image.environment}.items()],
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_sum}"]},
    }


def _add_directories(tar: tarfile.TarFile, files: Mapping[str, Path]) -> None:
    wanted = {"etc", "tmp", "home", "home/nonroot"}
    for path in files:
        wanted |= {str(parent) for parent in Path(path.lstrip("/")).parents} - {"."}
    for path in sorted(wanted):
        entry = tarfile.TarInfo(path)
        entry.type = tarfile.DIRTYPE
        entry.mode = 0o1777 if path == "tmp" else 0o755
        tar.addfile(entry)


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    _add_bytes(tar, name, text.encode())


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    tar.addfile(entry, io.BytesIO(content))


def _add_file(tar: tarfile.TarFile, name: str, source: Path) -> None:
    entry = tarfile.TarInfo(name)
    status = source.stat()
    entry.size = status.st_size
    entry.mode = 0o755 if status.st_mode & 0o100 else 0o644
    with source.open("rb") as file:
        tar.addfile(entry, file)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shared_libraries(program: Path, listing: str) -> Mapping[str, Path]:
    """Return the files that a dynamic program needs, by their path in an image, from `ldd`'s output."""
    found: dict[str, Path] = {}
    for line in listing.splitlines():
        words: Sequence[str] = line.split()
        path = words[2] if "=>" in words and len(words) > 2 else words[0] if words else ""
        if path.startswith("/"):
            found[path] = Path(path).resolve()
    if not found:
        raise ValueError(f"ldd {program} names no library: {listing.strip() or 'no output'}")
    return found
