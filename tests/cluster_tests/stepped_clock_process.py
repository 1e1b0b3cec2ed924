"""`dilu autoscaler` with a wall clock that is told by how many seconds it is wrong: one number a line on stdin.

The process lives outside of pods: no clock of the machine or of another process is changed.
"""

from __future__ import annotations

import sys
import threading
import time

_real_s = time.time
_wrong_by_s = 0.0


def _listen() -> None:
    global _wrong_by_s
    for line in sys.stdin:
        _wrong_by_s = float(line)


if __name__ == "__main__":
    time.time = lambda: _real_s() + _wrong_by_s
    threading.Thread(target=_listen, daemon=True).start()
    from dilu.cli.main import main  # only now, for modules take `time.time` as they find it

    main()
