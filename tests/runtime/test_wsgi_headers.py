"""Headers of a request as a Flask application sees them."""

from __future__ import annotations

from dilu.runtime.routes.wsgi_call import environ_of


def test_a_name_with_an_underscore_does_not_pose_as_the_one_with_a_dash() -> None:
    headers = [(b"x_forwarded_for", b"6.6.6.6"), (b"x-forwarded-for", b"10.0.0.1"), (b"content_length", b"9")]
    scope = {
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "headers": headers,
    }
    environ = environ_of(scope, b"")
    assert environ["HTTP_X_FORWARDED_FOR"] == "10.0.0.1"
    assert "CONTENT_LENGTH" not in environ
