"""Which function a request is for, by path and by host."""

from __future__ import annotations

import pytest

from dilu.spec.applications import Route
from dilu_autoscaler.local.routing import Router

SEVERAL = ("embed", "rank")


@pytest.mark.parametrize(
    ("path", "want"),
    [
        (b"/embed", ("embed", b"/")),
        (b"/embed/", ("embed", b"/")),
        (b"/embed/v2/models", ("embed", b"/v2/models")),
        (b"/rank/embed", ("rank", b"/embed")),
        (b"/embed%2Fx", None),  # an escaped slash separates nothing
        (b"/embedding", None),
        (b"/Embed", None),
        (b"/", None),
        (b"//embed", None),
        (b"*", None),
    ],
)
def test_the_first_part_of_the_path_names_the_function(path: bytes, want: tuple[str, bytes] | None) -> None:
    assert Router(Route.PATH, SEVERAL).route(path, b"embed.localhost") == want


@pytest.mark.parametrize(
    ("host", "want"),
    [
        (b"embed.localhost", "embed"),
        (b"embed.localhost:8080", "embed"),
        (b"RANK.example.org", "rank"),
        (b"embed", "embed"),
        (b"embed:8080", "embed"),
        (b"localhost:8080", None),
        (b"127.0.0.1:8080", None),
        (b"[::1]:8080", None),
        (b"", None),
    ],
)
def test_the_first_part_of_the_host_names_the_function(host: bytes, want: str | None) -> None:
    expected = None if want is None else (want, b"/rank/x")
    assert Router(Route.HOST, SEVERAL).route(b"/rank/x", host) == expected


@pytest.mark.parametrize("route", list(Route))
def test_a_function_alone_gets_what_names_none(route: Route) -> None:
    router = Router(route, ["embed"])
    assert router.route(b"/v2/models", b"localhost") == ("embed", b"/v2/models")
    assert router.route(b"/", b"localhost") == ("embed", b"/")


def test_a_function_alone_is_at_its_name_too() -> None:
    assert Router(Route.PATH, ["embed"]).route(b"/embed/v2", b"localhost") == ("embed", b"/v2")


def test_people_are_told_where_a_function_is() -> None:
    assert Router(Route.PATH, SEVERAL).url("http://127.0.0.1:8080", "rank") == "http://127.0.0.1:8080/rank"
    assert Router(Route.HOST, SEVERAL).url("http://[::1]:8080", "rank") == "http://rank.localhost:8080"
