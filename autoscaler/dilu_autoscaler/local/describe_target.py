"""Finds the functions in a target: a child process, `dilu describe`, loads the code, so that this one does not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec, from_mapping

_log = logging.getLogger(__name__)

# -P: a file of the application named like a module of Python (random.py) must not replace that.
DILU = (sys.executable, "-P", "-m", "dilu")
START_LIMIT_S = 600.0
"""A replica, or the child that loads the code, is given up if it is not ready after this time."""
_REMIND_AFTER_S = 10.0
_MAX_ERRORS_BYTES = 64 * 1024

Found = tuple[str, FunctionSpec]
"""A function's target, and the spec from its decorator."""


class _Described(msgspec.Struct):
    """One function in the answer of `dilu describe`."""

    target: str
    spec: dict[str, Any]


async def describe(target: str, folder: Path, env: Mapping[str, str], *, limit_s: float = START_LIMIT_S) -> list[Found]:
    """Return the functions that a target holds.

    Raises `ConfigError` with the child's error line if the code cannot be loaded.
    """
    # Files, not pipes: what the module starts may hold a pipe open for long after the child's end.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = await asyncio.create_subprocess_exec(
            *DILU,
            "describe",
            target,
            "--parent",
            str(os.getpid()),
            cwd=folder,
            env={**os.environ, **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,  # whatever the module starts ends with it
        )
        code = await _ended(child, target, limit_s)
        if code != 0:
            raise ConfigError(_reason(target, _last_of(errors), code))
        output.seek(0)
        try:
            described = msgspec.json.decode(output.read(), type=list[_Described])
        except msgspec.DecodeError as error:
            raise ConfigError(f"{target}: `dilu describe` wrote invalid JSON when it loaded it: {error}") from error
    return [(one.target, from_mapping(one.spec)) for one in described]


async def _ended(child: asyncio.subprocess.Process, target: str, limit_s: float) -> int:
    """Return the child's exit code. Raises `ConfigError` if it does not end in time."""
    reminder = asyncio.get_running_loop().call_later(_REMIND_AFTER_S, _log.info, "still loading %s …", target)
    try:
        async with asyncio.timeout(limit_s):
            return await child.wait()
    except TimeoutError:
        raise ConfigError(f"{target}: not loaded within {limit_s:g} s") from None
    finally:
        reminder.cancel()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def _last_of(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_ERRORS_BYTES))
    return file.read().decode(errors="replace")


def _reason(target: str, errors: str, code: int | None) -> str:
    """Return the error line of `dilu describe`, or the last line of any other output."""
    lines = errors.strip().splitlines() or ["it wrote nothing"]
    for line in reversed(lines):
        if line.startswith("dilu: "):
            return line.removeprefix("dilu: ")
    return f"{target}: could not be loaded (exit code {code}): {lines[-1]}"
