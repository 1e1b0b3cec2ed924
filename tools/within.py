"""Run a command with a limit on its whole time: `python tools/within.py 900 COMMAND ...`.

At the limit, SIGABRT goes to the command and to all its descendants: pytest and its workers then print where each of
their threads is, which names the test that hangs. The exit code is 124. A process that outlives the command is named
and killed, and fails the run too.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from typing import Final

import psutil

TIMED_OUT: Final = 124  # as coreutils' `timeout` has it
LEFT_BEHIND: Final = 125
_GRACE_S: Final = 5.0  # to print stacks, or to notice that the parent has ended
_PR_SET_CHILD_SUBREAPER: Final = 36
_FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP)
# A terminal sends SIGINT to the command as well; here it is only kept from ending the wait.
_SIGNALS: Final = (signal.SIGCHLD, signal.SIGINT, *_FORWARDED)


def main() -> int:
    """Return the command's exit code, or one of those above."""
    if len(sys.argv) < 3:
        print("usage: python tools/within.py SECONDS COMMAND ...", file=sys.stderr)
        return 2
    limit_s, command = float(sys.argv[1]), sys.argv[2:]
    _adopt_orphans()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = os.posix_spawnp(command[0], command, os.environ, setsigmask=())
    code = _wait_for(pid, limit_s)
    if code is None:
        _report(f"not finished within {limit_s:g} s; where it is now:")
        _end_all()
        return TIMED_OUT
    return _end_leftovers() or code


def _adopt_orphans() -> None:
    """Adopt descendants whose parent has ended, so that none can be lost."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _wait_for(pid: int | None, limit_s: float) -> int | None:
    """Return the exit code of `pid`, or 0 once no child is left if it is None; None when the time is over."""
    end_s = time.monotonic() + limit_s
    while True:
        code = _reap(pid)
        if code is not None:
            return code
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            return None
        received = signal.sigtimedwait(_SIGNALS, left_s)
        if pid is not None and received is not None and received.si_signo in _FORWARDED:
            os.kill(pid, received.si_signo)


def _reap(pid: int | None) -> int | None:
    """Reap every child that has ended; return the exit code as `_wait_for` does, or None."""
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0 if pid is None else None
        if ended == 0:
            return None
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _end_leftovers() -> int:
    """Return 0 if nothing outlives the command by more than a moment; otherwise name it, kill it, return the error."""
    if _wait_for(None, _GRACE_S) is not None:
        return 0
    for process in psutil.Process().children(recursive=True):
        try:
            _report(f"left behind: {process.pid} {' '.join(process.cmdline()) or process.name()}")
        except psutil.Error:
            continue
    _end_all(at_once=True)
    return LEFT_BEHIND


def _end_all(*, at_once: bool = False) -> None:
    if not at_once:
        _send(signal.SIGABRT)
        _wait_for(None, _GRACE_S)
    while psutil.Process().children():
        _send(signal.SIGKILL)
        _wait_for(None, 1.0)


def _send(number: signal.Signals) -> None:
    for process in psutil.Process().children(recursive=True):
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _report(text: str) -> None:
    print(f"within: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
