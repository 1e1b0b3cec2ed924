"""One request to the API server and its answer: credentials, time limits, and an exception for each failure.

No request is repeated, except two cases that had no effect: a GET whose kept-alive connection broke, and a request that
the server refused for its credentials (401), after these were reloaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio.config import ConfigException

from dilu.errors import ConfigError
from dilu_kube.api_connection import ApiConnection
from dilu_kube.errors import KubeError, Unreachable, read_status, refusal

Body = Mapping[str, Any] | Sequence[Any]
NO_ANSWER: Final = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
JSON: Final = "application/json"
_UNAUTHORIZED: Final = 401


class ApiExchange:
    """Requests over one connection."""

    def __init__(self, connection: ApiConnection, *, request_s: float) -> None:
        self._connection = connection
        self._rest: Any = connection.api.rest_client  # the package's own method has no types
        self.request_s = request_s

    async def request(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = JSON,
        within_s: float | None = None,
    ) -> bytes:
        """Send a request and return the body of a 2xx answer. Raises `KubeError` for anything else."""
        limit_s = within_s or self.request_s
        limits = aiohttp.ClientTimeout(total=limit_s)
        try:
            response = await self._send(verb, method, path, query, body, content_type, limits)
            async with response:
                if not 200 <= response.status < 300:
                    raise await self._refusal(verb, path, response)
                return await response.read()
        except NO_ANSWER as error:
            raise unreachable(verb, path, error, limit_s) from error

    async def stream(self, verb: str, path: str, query: Mapping[str, str], *, quiet_s: float) -> aiohttp.ClientResponse:
        """Return the answer to a GET with an endless body, which the caller closes; reads fail after `quiet_s` s."""
        limits = aiohttp.ClientTimeout(sock_connect=self.request_s, sock_read=quiet_s)
        try:
            async with asyncio.timeout(self.request_s):
                response = await self._send(verb, "GET", path, query, None, JSON, limits)
                if response.status != 200:
                    async with response:
                        raise await self._refusal(verb, path, response)
                return response
        except NO_ANSWER as error:
            raise unreachable(verb, path, error, self.request_s) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._connection.api.close()

    async def _send(
        self,
        verb: str,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Body | None,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        url = f"{self._connection.api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        plain = None if body is None else msgspec.to_builtins(body)
        may_repeat = True
        while True:
            headers = await self._headers(verb, path, content_type)
            try:
                answer = await self._rest.request(method, url, headers=headers, body=plain, _request_timeout=limits)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                if may_repeat and method == "GET":  # the server closed the kept-alive connection
                    may_repeat = False
                    continue
                raise
            response: aiohttp.ClientResponse = answer.response
            if response.status == _UNAUTHORIZED and may_repeat and await self._renewed():
                may_repeat = False
                response.close()
                continue
            return response

    async def _headers(self, verb: str, path: str, content_type: str) -> dict[str, str]:
        api = self._connection.api
        headers = {**api.default_headers, "Accept": JSON, "Content-Type": content_type}
        try:
            await api.update_params_for_auth(headers, [], ["BearerToken"], path, "", None)
        except (ConfigException, OSError) as error:
            raise Unreachable(f"{verb} {path}: the token cannot be read: {error}") from error
        return headers

    async def _renewed(self) -> bool:
        try:
            return await self._connection.renew()
        except ConfigError:
            return False  # the caller gets the server's refusal, which says more

    async def _refusal(self, verb: str, path: str, response: aiohttp.ClientResponse) -> KubeError:
        status = read_status(await response.read())
        pause = response.headers.get("Retry-After", "")
        return refusal(verb, path, response.status, status, retry_after_s=float(pause) if pause.isdigit() else 0.0)


def unreachable(verb: str, path: str, error: BaseException, limit_s: float) -> Unreachable:
    """Return the exception for a missing answer."""
    if isinstance(error, asyncio.TimeoutError):
        return Unreachable(f"{verb} {path}: no answer within {limit_s:g} s")
    return Unreachable(f"{verb} {path}: {error or type(error).__name__}")
