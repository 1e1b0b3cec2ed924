"""One request to the API server and its answer: credentials, time limits, and the exception for what went wrong.

No request is repeated behind the caller's back, but two that have done nothing: a read whose kept connection broke,
and one that the server refused for its credentials, once these were read again.
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

    async def ask(
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
        """The body of a success; raises a KubeError otherwise."""
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
        """The answer to a GET whose body has no end; the caller closes it. Reads fail after `quiet_s` of silence."""
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
        """Closes all connections."""
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
                if may_repeat and method == "GET":  # the server closed a kept connection at this moment
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
            return False  # the server's own words, which the caller gets, say more

    async def _refusal(self, verb: str, path: str, response: aiohttp.ClientResponse) -> KubeError:
        said = read_status(await response.read())
        pause = response.headers.get("Retry-After", "")
        return refusal(verb, path, response.status, said, retry_after_s=float(pause) if pause.isdigit() else 0.0)


def unreachable(verb: str, path: str, error: BaseException, limit_s: float) -> Unreachable:
    """The exception for no answer."""
    if isinstance(error, asyncio.TimeoutError):
        return Unreachable(f"{verb} {path}: no answer within {limit_s:g} s")
    return Unreachable(f"{verb} {path}: {error or type(error).__name__}")
