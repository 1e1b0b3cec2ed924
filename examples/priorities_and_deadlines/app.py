"""A slow function, to see what an overload does to urgent requests, to patient ones, and to those with a deadline.

dilu serve examples/priorities_and_deadlines/app.py
python examples/priorities_and_deadlines/burst.py
"""

from __future__ import annotations

import time

import dilu

CALL_S = 0.1  # what one call of the "model" takes, whatever its batch


@dilu.function(slo_ms=2000, batch=4, queue_size=20, example="warm-up")
def render(scenes: list[str], ctx: list[dilu.Context]) -> list[str | dilu.ItemError]:
    """Render scenes; scenes whose client no longer waits are not rendered."""
    time.sleep(CALL_S)
    return [
        dilu.ItemError("the client no longer waits", status=504, code="late")
        if one.cancelled
        else f"{scene}, urgency {one.urgency}"
        for scene, one in zip(scenes, ctx, strict=True)
    ]
