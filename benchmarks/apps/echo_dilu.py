"""An echo as two functions, one sync and one async.

python -m dilu serve benchmarks/apps/echo_dilu.py:echo
"""

from __future__ import annotations

from typing import Any

import dilu


@dilu.function
def echo(x: Any) -> Any:
    """Answer with what came."""
    return x


@dilu.function
async def echo_async(x: Any) -> Any:
    """Answer with what came."""
    return x
