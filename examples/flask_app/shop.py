"""A Flask application as it was before: a blueprint, hooks, an error page. It knows nothing of Dilu."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, abort, g, request

orders = Blueprint("orders", __name__, url_prefix="/orders")
_ORDERS = {1: {"id": 1, "item": "lamp"}, 2: {"id": 2, "item": "chair"}}


@orders.get("/<int:number>")
def order(number: int) -> dict[str, object]:
    """One order."""
    if number not in _ORDERS:
        abort(404)
    return _ORDERS[number]


def create_app() -> Flask:
    """Return the application with its blueprint and its hooks."""
    app = Flask(__name__)
    app.register_blueprint(orders)

    @app.before_request
    def identify() -> None:
        g.customer = request.headers.get("X-Customer", "unknown")

    @app.after_request
    def name_customer(response: Response) -> Response:
        response.headers["X-Served-For"] = g.customer
        return response

    @app.errorhandler(404)
    def missing(error: Exception) -> tuple[dict[str, str], int]:
        return {"problem": "no such order"}, 404

    return app
