"""The other way round: the Flask application stays what is served, and the function is one of its routes.

flask --app examples/flask_app/mounted.py run
"""

from __future__ import annotations

from app import mood  # type: ignore[import-not-found]  # both are beside this file, found when it runs
from shop import create_app  # type: ignore[import-not-found]

from dilu.flask import mount

app = create_app()
mount(app, mood, "/mood")
