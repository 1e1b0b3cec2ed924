from __future__ import annotations

from pathlib import Path

import pytest

from testcluster.cache import cached, digest_of, flaw_of
from testcluster.errors import ClusterError


class Builds:
    """Counts how often something was built."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, into: Path) -> None:
        self.count += 1
        (into / "program").write_text("built")
        (into / "program").chmod(0o755)


def test_a_build_is_made_once(tmp_path: Path) -> None:
    builds = Builds()
    first = cached(tmp_path, "part", "1-abc", builds)
    assert cached(tmp_path, "part", "1-abc", builds) == first
    assert (first / "program").read_text() == "built"
    assert builds.count == 1


def test_another_key_is_another_build(tmp_path: Path) -> None:
    builds = Builds()
    assert cached(tmp_path, "part", "1-abc", builds) != cached(tmp_path, "part", "2-abc", builds)
    assert builds.count == 2


@pytest.mark.parametrize("damage", ["changed", "missing", "mode", "added", "sums"])
def test_a_damaged_build_is_made_again(tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]) -> None:
    builds = Builds()
    entry = cached(tmp_path, "part", "1-abc", builds)
    match damage:
        case "changed":
            (entry / "program").write_text("bulit")
        case "missing":
            (entry / "program").unlink()
        case "mode":
            (entry / "program").chmod(0o644)
        case "added":
            (entry / "other").write_text("")
        case "sums":
            (entry / "sums.json").write_text('{"program"')
    assert flaw_of(entry) is not None
    cached(tmp_path, "part", "1-abc", builds)
    assert flaw_of(entry) is None
    assert builds.count == 2
    assert "not what was built" in capfd.readouterr().err


def test_a_build_that_was_cut_off_leaves_nothing_that_counts(tmp_path: Path) -> None:
    def cut_off(into: Path) -> None:
        (into / "program").write_text("half")
        raise ClusterError("the network went away")

    with pytest.raises(ClusterError, match="the network went away"):
        cached(tmp_path, "part", "1-abc", cut_off)
    assert [path.name for path in (tmp_path / "part").iterdir()] == [".lock"]


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path) -> None:
    leftover = tmp_path / "part/.building-killed"
    leftover.mkdir(parents=True)
    cached(tmp_path, "part", "1-abc", Builds())
    assert not leftover.exists()


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="Set XDG_CACHE_HOME"):
        cached(tmp_path / "file", "part", "1-abc", Builds())


def test_the_digest_tells_where_one_input_ends_and_the_next_begins() -> None:
    assert digest_of([b"ab", b"c"]) != digest_of([b"a", b"bc"])
