"""Records what the policies saw of each function, so that `dilu policy replay` can replay it later.

    DIRECTORY/run-001/NAME/spec.yaml           the keys at the start
    DIRECTORY/run-001/NAME/observations.jsonl  the values of each second: to try other settings or policies
    DIRECTORY/run-001/NAME/averages.jsonl      what KPA decided from: to get the same evaluations

NAME is the function's, on Knative NAMESPACE/REVISION. Each start has a run of its own, as its clock may start at zero.
A full or missing disk stops the recording of what cannot be written, and nothing else.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from dilu.errors import ConfigError
from dilu_autoscaler.loop import Tick

FLUSHED_LINES: Final = 64
"""Lines of a file that are written together, a minute of values: opening each file every second would cost too much."""
_MAX_RUNS: Final = 100_000
_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Recorded:
    """One function."""

    folder: Path
    keys: Mapping[str, object]
    values: list[str] = field(default_factory=list)
    averages: list[str] = field(default_factory=list)
    changed: tuple[dict[str, object], dict[str, object]] = field(default_factory=lambda: ({}, {}))
    """What the next line of values, and the next line of averages, has to say of the spec."""


class Recorder:
    """Records functions into a directory. Not thread-safe: one owner makes all calls, and `close` is the last."""

    def __init__(self, directory: Path | str) -> None:
        """Create the folder of this run. Raises `ConfigError` if that is not possible."""
        self.folder = _new_run(Path(directory))
        self._functions: dict[str, _Recorded] = {}
        self._failed = False

    def spec(self, function: str, keys: Mapping[str, object]) -> None:
        """Say which spec the function has from now on; the first call begins its recording."""
        recorded = self._functions.get(function)
        if recorded is None:
            folder = self.folder.joinpath(*(quote(part, safe="") or "_" for part in function.split("/")))
            self._functions[function] = _Recorded(folder=folder, keys=dict(keys))
            self._write(folder / "spec.yaml", "".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items()))
        elif keys != recorded.keys:
            changes = {
                key: keys.get(key) for key in {**recorded.keys, **keys} if keys.get(key) != recorded.keys.get(key)
            }
            for pending in recorded.changed:
                pending.update(changes)
            recorded.keys = dict(keys)

    def values(
        self,
        function: str,
        *,
        t_s: float,
        concurrency: float,
        rps: float,
        missed: float | None = None,
        **replicas: int | float | None,
    ) -> None:
        """Record one second, or what one reporter saw in it; for `replicas` see `recorded_lines`."""
        recorded = self._functions[function]
        line: dict[str, object] = {"t_s": t_s, **replicas, "concurrency": concurrency, "rps": rps}
        if missed is not None:
            line["missed"] = missed
        self._add(recorded, recorded.values, line, changed=0, name="observations.jsonl")

    def averages(
        self, function: str, *, t_s: float, ready: int | None, stable: float | None, panic: float | None
    ) -> None:
        """Record what a decision of KPA was made from; None: there was no data."""
        recorded = self._functions[function]
        line: dict[str, object] = {"t_s": t_s, "ready": ready, "stable": stable, "panic": panic}
        self._add(recorded, recorded.averages, line, changed=1, name="averages.jsonl")

    def tick(self, tick: Tick, keys: Mapping[str, object]) -> None:
        """Record a tick of the loop: the seconds that it saw, and its averages where its policy has some."""
        self.spec(tick.function, keys)
        seen = tick.seen
        if seen is None:
            return
        replicas = {"ready": seen.ready, "starting": seen.starting, "desired": seen.desired, "waiting": seen.waiting}
        for sample in seen.samples:
            self.values(
                tick.function,
                t_s=sample.t_s,
                concurrency=sample.concurrency,
                rps=sample.rps,
                missed=sample.missed,
                **replicas,
                learned_rps=seen.learned_rps,
                grantable_rps=seen.grantable_rps,
            )
        if tick.decision.stable is not None:
            stable, panic = tick.decision.stable, tick.decision.panic
            self.averages(tick.function, t_s=tick.now_s, ready=seen.ready, stable=stable, panic=panic)

    def forget(self, function: str) -> None:
        """End the recording of a removed function. Unknown names are ignored."""
        recorded = self._functions.pop(function, None)
        if recorded is not None:
            self._flush(recorded)

    def close(self) -> None:
        """Write what was not written yet."""
        for function in list(self._functions):
            self.forget(function)

    def _add(self, recorded: _Recorded, lines: list[str], line: dict[str, object], *, changed: int, name: str) -> None:
        pending = recorded.changed[changed]
        if pending:
            line["spec"] = dict(pending)
            pending.clear()
        lines.append(json.dumps(line) + "\n")
        if len(lines) >= FLUSHED_LINES:
            self._write(recorded.folder / name, "".join(lines))
            lines.clear()

    def _flush(self, recorded: _Recorded) -> None:
        for lines, name in _files(recorded):
            if lines:
                self._write(recorded.folder / name, "".join(lines))
                lines.clear()

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:  # not kept open: there may be thousands
                file.write(text)
        except OSError as error:
            if not self._failed:
                _log.warning("recording: %s: %s; such lines are lost; this is logged once", path, error.strerror)
            self._failed = True


def _files(recorded: _Recorded) -> Iterator[tuple[list[str], str]]:
    yield recorded.values, "observations.jsonl"
    yield recorded.averages, "averages.jsonl"


def _new_run(directory: Path) -> Path:
    for number in range(1, _MAX_RUNS):
        folder = directory / f"run-{number:03d}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if directory.is_dir():
                continue
            raise ConfigError(f"{directory}: cannot record there: it is no folder") from None
        except OSError as error:
            raise ConfigError(f"{directory}: cannot record there: {error.strerror}") from None
        return folder
    raise ConfigError(f"{directory}: cannot record there: it has {_MAX_RUNS} runs; remove some")
