"""Receives the reports of activators and other autoscalers, on the port of Knative's autoscaler. Contract, §3.4.

| request, to any path                                          | answer                                       |
|---------------------------------------------------------------|----------------------------------------------|
| a kubelet's probe                                             | 200                                          |
| to the name of a bucket that is not ours                      | 200: no handshake, the sender tries the next |
| a handshake from a web page of another site                   | 403                                          |
| any other handshake                                           | websocket                                    |
| anything else                                                 | 400                                          |

Any client in the cluster can connect, so each is limited: a message has at most `MAX_FRAME_BYTES`, an address at most
`MAX_PER_ADDRESS` of all connections, flooding clients are read round-robin with all others, and connections that send
an incomplete request, are idle or do not read are closed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from dilu.http.server_connections import ConnectionRefused, ConnectionSlots, ServerConnection, accepted, cut
from dilu_autoscaler.knative.reports.stats import Stat, read_frame

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
"""An activator's report on some 45,000 revisions."""
MAX_CONNECTIONS: Final = 4096
MAX_PER_ADDRESS: Final = 512
"""Activators and peers need one each; all of a node, and its kubelet, may share one address."""
FIRST_REQUEST_WITHIN_S: Final = 60.0
MAX_SILENCE_S: Final = 60.0
"""Activators ping every 3.3 s. A client that is silent this long, or does not read its pongs, is disconnected."""
FRAMES_IN_A_ROW: Final = 64
_KEEPALIVE_S: Final = 180
_BUCKET_HOST: Final = "autoscaler-bucket"
_log = logging.getLogger(__name__)


OnStats: TypeAlias = Callable[[Sequence[Stat]], None]


@dataclass(slots=True, kw_only=True)
class StatCounts:
    """What was received so far."""

    frames: int = 0
    stats: int = 0
    empty: int = 0  # reports without contents, or with a name that cannot exist
    undecodable: int = 0
    texts: int = 0
    cut: int = 0  # connections that were refused, or closed for being idle or not reading


class StatServer:
    """Calls `on_stats` with each frame's reports; `owns` returns whether a bucket is ours now.

    Activators connect to the Service's name. Other autoscalers, which forward reports, connect to the pod's address or
    the bucket's name: their reports go to `on_forwarded`, if that is given.
    """

    def __init__(
        self,
        on_stats: OnStats,
        owns: Callable[[str], bool],
        now_s: Callable[[], float],
        *,
        on_forwarded: OnStats | None = None,
        first_request_within_s: float = FIRST_REQUEST_WITHIN_S,
        max_silence_s: float = MAX_SILENCE_S,
        max_connections: int = MAX_CONNECTIONS,
        max_per_address: int = MAX_PER_ADDRESS,
    ) -> None:
        self.counts = StatCounts()
        self._on_stats = on_stats
        self._on_forwarded = on_forwarded or on_stats
        self._owns = owns
        self._now_s = now_s
        self._first_request_within_s = first_request_within_s
        self._max_silence_s = max_silence_s
        self._max_connections = max_connections
        self._places = ConnectionSlots(max_per_address)
        self._server: web.Server | None = None
        self._listening: asyncio.Server | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._is_closing = False

    @property
    def clients(self) -> int:
        """Return how many websockets are open."""
        return len(self._sockets)

    @property
    def connections(self) -> int:
        """Return how many connections are open, websockets included."""
        return 0 if self._server is None else len(self._server.connections)

    async def start(self, host: str | None = None, port: int = 8080) -> int:
        """Listen, on any free port for 0, and return the port. Raises `OSError` if the port is taken."""
        self._server = web.Server(self._answer)
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._accepted, host, port, backlog=1024)
        for one in self._listening.sockets:
            for option, value in ((socket.TCP_KEEPIDLE, _KEEPALIVE_S), (socket.TCP_KEEPINTVL, _KEEPALIVE_S)):
                one.setsockopt(socket.IPPROTO_TCP, option, value)  # connections inherit them
        port_taken: int = self._listening.sockets[0].getsockname()[1]
        return port_taken

    async def stop(self, *, within_s: float = 2.0) -> None:
        """Tell every client to reconnect elsewhere (Close 1012), and close all connections."""
        self._is_closing = True
        if self._listening is None or self._server is None:
            return
        self._listening.close()
        goodbyes = [asyncio.ensure_future(_restarting(one)) for one in self._sockets]
        if goodbyes:
            _, late = await asyncio.wait(goodbyes, timeout=within_s)
            for one in late:
                one.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in self._server.connections:
            cut(connection)
        await self._server.shutdown(within_s)
        await self._listening.wait_closed()

    def _accepted(self) -> asyncio.Protocol:
        server = self._server
        assert server is not None
        if self._is_closing or len(server.connections) >= self._max_connections:
            self.counts.cut += 1
            return ConnectionRefused()
        return accepted(server, asks_within_s=self._first_request_within_s, on_cut=self._cut, places=self._places)

    def _cut(self, connection: ServerConnection) -> None:
        self.counts.cut += 1
        cut(connection)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request.protocol, ServerConnection)
        request.protocol.stop_timer()
        headers = request.headers
        if headers.get("User-Agent", "").startswith("kube-probe/") or headers.get("K-Kubelet-Probe"):
            return web.Response()
        host = headers.get("Host", "")
        if host.startswith(_BUCKET_HOST) and not self._owns(host.partition(".")[0].partition(":")[0]):
            return _ending(web.Response())
        if headers.get("Origin") and urlsplit(headers["Origin"]).netloc.lower() != host.lower():
            return _ending(web.Response(status=403, text="no websockets for pages of other sites"))
        ws = web.WebSocketResponse(compress=False, max_msg_size=MAX_FRAME_BYTES, decode_text=False, timeout=1.0)
        if self._is_closing or not ws.can_prepare(request).ok:
            return _ending(web.Response(status=503 if self._is_closing else 400, text="websockets only"))
        await ws.prepare(request)
        self._sockets.add(ws)
        try:
            await self._read(ws, self._on_forwarded if _is_of_a_peer(host) else self._on_stats)
        except TimeoutError:
            self.counts.cut += 1
            _log.warning("stat server: closed %s, idle or not reading for %g s", request.remote, self._max_silence_s)
            cut(request.protocol)
        finally:
            self._sockets.discard(ws)
        return ws

    async def _read(self, ws: web.WebSocketResponse, on_stats: OnStats) -> None:
        """Receive messages until the client disconnects. `receive` answers pings."""
        in_a_row = 0
        while True:
            async with asyncio.timeout(self._max_silence_s):
                message = await ws.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            self._take(message, on_stats)
            in_a_row += 1
            if in_a_row >= FRAMES_IN_A_ROW:
                in_a_row = 0
                await asyncio.sleep(0)  # buffered messages are received without a switch to other clients

    def _take(self, message: WSMessage, on_stats: OnStats) -> None:
        counts = self.counts
        counts.frames += 1
        if message.type is not WSMsgType.BINARY:
            counts.texts += 1
            return
        frame = read_frame(message.data, now_s=self._now_s())
        if frame is None:
            counts.undecodable += 1
            return
        counts.stats += len(frame.stats)
        counts.empty += frame.skipped
        if frame.stats:
            on_stats(frame.stats)


def _is_of_a_peer(host: str) -> bool:
    """Return whether a Host header is one that only other autoscalers send."""
    name = host.rpartition(":")[0] or host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.startswith(_BUCKET_HOST)
    return True


def _ending(response: web.Response) -> web.Response:
    """Make the connection close after the response."""
    response.force_close()
    return response


async def _restarting(ws: web.WebSocketResponse) -> None:
    await ws.close(code=WSCloseCode.SERVICE_RESTART, message=b"Restarting")
