"""Which function a request is for, and the path for its replica: pure, on raw bytes."""

from __future__ import annotations

from collections.abc import Iterable

from dilu.spec.applications import Route

# Paths of the gateway itself. A function's name cannot begin with an underscore, so this hides none; but a single
# function's own paths below this prefix are not reachable.
OWN_PREFIX = b"/_dilu/"


class Router:
    """Finds the function by the first part of the path (`/NAME/...`) or of the host (`NAME.localhost`).

    A single function also gets every request that names none.
    """

    def __init__(self, mode: Route, functions: Iterable[str]) -> None:
        self._by_host = mode is Route.HOST
        self._names = {name.encode(): name for name in functions}
        self._only = next(iter(self._names.values())) if len(self._names) == 1 else None

    def route(self, path: bytes, host: bytes) -> tuple[str, bytes] | None:
        """Return the function and the path for its replica, or None if no function is meant.

        >>> Router(Route.PATH, ["embed", "rank"]).route(b"/embed/v2/models", b"localhost:8080")
        ('embed', b'/v2/models')
        >>> Router(Route.HOST, ["embed", "rank"]).route(b"/v2/models", b"rank.localhost:8080")
        ('rank', b'/v2/models')
        """
        if self._by_host:
            name = self._names.get(host.partition(b".")[0].partition(b":")[0].lower())
            rest = path
        else:
            end = path.find(b"/", 1)
            name = self._names.get(path[1:] if end < 0 else path[1:end])
            rest = b"/" if end < 0 else path[end:]
        if name is not None:
            return name, rest
        return None if self._only is None else (self._only, path)

    def url(self, base: str, function: str) -> str:
        """Return the URL of `function` when the gateway listens at `base` (`http://127.0.0.1:8080`)."""
        if not self._by_host:
            return f"{base}/{function}"
        scheme, _, address = base.partition("://")
        return f"{scheme}://{function}.localhost:{address.rpartition(':')[2]}"
