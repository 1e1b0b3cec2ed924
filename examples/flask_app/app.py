"""An existing Flask application that gets a Dilu function beside its routes: one option of the decorator.

dilu serve examples/flask_app/app.py
"""

from __future__ import annotations

from shop import create_app  # type: ignore[import-not-found]  # the file beside this one, found when it runs

import dilu

_FRIENDLY = {"good", "great", "love", "nice", "thanks"}
_UNFRIENDLY = {"awful", "bad", "broken", "late", "never"}


@dilu.function(app=create_app(), slo_ms=50, batch=16, example="thanks, a great lamp")
def mood(reviews: list[str]) -> list[int]:
    """How friendly each review is: friendly words minus unfriendly ones. A real function would run a model here."""
    words = [review.lower().replace(",", " ").replace(".", " ").split() for review in reviews]
    return [sum((word in _FRIENDLY) - (word in _UNFRIENDLY) for word in review) for review in words]
