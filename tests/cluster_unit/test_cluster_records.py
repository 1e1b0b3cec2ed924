from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from testcluster.errors import ClusterError
from testcluster.places import Places, places_of
from testcluster.record import ProcessId, Record, only_one, process_id, read_record, write_record


@pytest.fixture
def places(tmp_path: Path) -> Places:
    directory = tmp_path / "clusters/one"
    directory.mkdir(parents=True)
    return Places(name="one", directory=directory)


def test_a_record_reads_as_it_was_written(places: Places) -> None:
    record = Record(name="one", knative="1.23", cgroups=("/a", "/b"), init=ProcessId(pid=7, started=9), ready=True)
    write_record(places, record)
    assert read_record(places) == record
    write_record(places, replace(record, init=None))
    assert read_record(places) == replace(record, init=None)


def test_no_record_is_none(places: Places) -> None:
    assert read_record(places) is None


@pytest.mark.parametrize("text", ['{"name"', "[]", '{"name": "one"}', '{"init": null, "colour": 1}'])
def test_a_record_that_cannot_be_read_is_named(places: Places, text: str) -> None:
    places.record.write_text(text)
    with pytest.raises(ClusterError, match=r"record\.json"):
        read_record(places)


def test_a_process_is_known_by_its_number_and_its_start() -> None:
    mine = process_id(os.getpid())
    assert mine is not None
    assert mine.runs()
    assert not replace(mine, started=mine.started + 1).runs()


def test_a_process_that_has_ended_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        seen = process_id(process.pid)
        assert seen is not None
        assert seen.runs()
        process.communicate(b"\n")
        assert not seen.runs()


def test_only_one_command_works_on_a_cluster(places: Places) -> None:
    with (
        only_one(places),
        pytest.raises(ClusterError, match="another command is starting"),
        only_one(places),
    ):
        pass
    with only_one(places):
        pass
    assert [path.name for path in places.directory.parent.iterdir()] == ["one"]


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "-a", "a" * 32, ".."])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="want a letter"):
        places_of(name)


@pytest.mark.parametrize(
    ("home", "message"),
    [("/run/state", "hides /run"), ("/var/lib/state", "hides /var/lib"), ("/" + "x" * 90, "a socket")],
)
def test_a_directory_that_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch, home: str, message: str) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", home)
    with pytest.raises(ClusterError, match=message):
        places_of("one")
