from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from testcluster.images import Image, shared_libraries, write_image


@pytest.fixture
def image(tmp_path: Path) -> Image:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    return Image(reference="dev.local/one:v1", entrypoint=("/app/one",), files={"/app/one": program})


def test_an_archive_names_its_image_and_holds_its_program(image: Image, tmp_path: Path) -> None:
    write_image(image, tmp_path / "one.tar")
    with tarfile.open(tmp_path / "one.tar") as archive:
        manifest = json.loads(_read(archive, "manifest.json"))
        config = json.loads(_read(archive, manifest[0]["Config"]))
        layer = _read(archive, "layer.tar")
        archive.extract("layer.tar", tmp_path, filter="data")
    assert manifest[0]["RepoTags"] == ["dev.local/one:v1"]
    assert config["config"]["Entrypoint"] == ["/app/one"]
    assert config["config"]["User"] == "65532:65532"
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(tmp_path / "layer.tar") as files:
        assert files.getmember("app/one").mode == 0o755
        assert files.getmember("tmp").mode == 0o1777
        assert b"nonroot:x:65532" in _read(files, "etc/passwd")


def test_the_same_files_give_the_same_bytes(image: Image, tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        write_image(image, tmp_path / name)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_libraries_are_those_that_ldd_names_with_a_path(tmp_path: Path) -> None:
    library = tmp_path / "libm.so.6"
    library.write_text("")
    listing = f"\tlinux-vdso.so.1 (0x1)\n\tlibm.so.6 => {library} (0x2)\n\t{library} (0x3)\n"
    assert shared_libraries(Path("envoy"), listing) == {str(library): library}


def test_a_program_without_libraries_is_an_error() -> None:
    with pytest.raises(ValueError, match="names no library"):
        shared_libraries(Path("envoy"), "\tnot a dynamic executable\n")


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()
