"""Takes the reports of activators and of other autoscalers, on the port that Knative's autoscaler has. Contract, §3.4.

| request, whatever its path                                    | answer                                    |
|---------------------------------------------------------------|-------------------------------------------|
| a kubelet's probe                                             | 200                                       |
| to the name of a bucket that is not ours                      | 200: no handshake, so its sender goes on  |
| a handshake of a web page of somewhere else                   | 403                                       |
| another handshake                                             | websocket                                 |
| all else                                                      | 400                                       |

Anybody in the cluster can connect, so nobody can take more than his part: a message has at most `MOST_FRAME_BYTES`, an
address at most `MOST_OF_AN_ADDRESS` of all connections, who floods is read in turn with all others, who sends half a
request or nothing, or never reads, is cut.
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

MOST_FRAME_BYTES: Final = 4 * 1024 * 1024
"""An activator's report on some 45,000 revisions."""
MOST_CONNECTIONS: Final = 4096
MOST_OF_AN_ADDRESS: Final = 512
"""Activators and peers need one each; behind one address there may be all of a node's, and its kubelet."""
FIRST_REQUEST_WITHIN_S: Final = 60.0
SILENT_FOR_S: Final = 60.0
"""Activators ping every 3.3 s; who says nothing for so long, or has not taken his pongs, is gone."""
FRAMES_IN_A_ROW: Final = 64
_KEEPALIVE_S: Final = 180
_BUCKET_HOST: Final = "autoscaler-bucket"
_log = logging.getLogger(__name__)


OnStats: TypeAlias = Callable[[Sequence[Stat]], None]


@dataclass(slots=True, kw_only=True)
class StatCounts:
    """What came so far."""

    frames: int = 0
    stats: int = 0
    empty: int = 0  # reports without contents, or about nothing that can exist
    undecodable: int = 0
    texts: int = 0
    cut: int = 0  # connections that were ended for what they did, or did not


class StatServer:
    """Hands each frame's reports to `on_stats`; `owns` says whether a bucket is ours now.

    Activators call us by the Service's name. Another autoscaler, which passes on what is not its own, calls by the
    pod's address or the bucket's name: what it sends goes to `on_forwarded`, if that is given.
    """

    def __init__(
        self,
        on_stats: OnStats,
        owns: Callable[[str], bool],
        now_s: Callable[[], float],
        *,
        on_forwarded: OnStats | None = None,
        first_request_within_s: float = FIRST_REQUEST_WITHIN_S,
        silent_for_s: float = SILENT_FOR_S,
        most_connections: int = MOST_CONNECTIONS,
        most_of_an_address: int = MOST_OF_AN_ADDRESS,
    ) -> None:
        self.counts = StatCounts()
        self._on_stats = on_stats
        self._on_forwarded = on_forwarded or on_stats
        self._owns = owns
        self._now_s = now_s
        self._first_request_within_s = first_request_within_s
        self._silent_for_s = silent_for_s
        self._most_connections = most_connections
        self._places = ConnectionSlots(most_of_an_address)
        self._server: web.Server | None = None
        self._listening: asyncio.Server | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._is_closing = False

    @property
    def clients(self) -> int:
        """How many websockets are open."""
        return len(self._sockets)

    @property
    def connections(self) -> int:
        """How many connections are open, websockets among them."""
        return 0 if self._server is None else len(self._server.connections)

    async def start(self, host: str | None = None, port: int = 8080) -> int:
        """Listen; the port, of which 0 means any that is free. Raises `OSError` where that is not possible."""
        self._server = web.Server(self._answer)
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._accepted, host, port, backlog=1024)
        for one in self._listening.sockets:
            for option, value in ((socket.TCP_KEEPIDLE, _KEEPALIVE_S), (socket.TCP_KEEPINTVL, _KEEPALIVE_S)):
                one.setsockopt(socket.IPPROTO_TCP, option, value)  # connections inherit them
        port_taken: int = self._listening.sockets[0].getsockname()[1]
        return port_taken

    async def stop(self, *, within_s: float = 2.0) -> None:
        """Tell every client to connect elsewhere at once (Close 1012), and end all connections."""
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
        if self._is_closing or len(server.connections) >= self._most_connections:
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
            return _ending(web.Response(status=403, text="websockets are not for pages of other sites"))
        ws = web.WebSocketResponse(compress=False, max_msg_size=MOST_FRAME_BYTES, decode_text=False, timeout=1.0)
        if self._is_closing or not ws.can_prepare(request).ok:
            return _ending(web.Response(status=503 if self._is_closing else 400, text="websockets only"))
        await ws.prepare(request)
        self._sockets.add(ws)
        try:
            await self._read(ws, self._on_forwarded if _is_of_a_peer(host) else self._on_stats)
        except TimeoutError:
            self.counts.cut += 1
            _log.warning("stat server: %s was silent, or did not read, for %g s", request.remote, self._silent_for_s)
            cut(request.protocol)
        finally:
            self._sockets.discard(ws)
        return ws

    async def _read(self, ws: web.WebSocketResponse, on_stats: OnStats) -> None:
        """Take in all messages until the client goes. Pings are answered in `receive`."""
        in_a_row = 0
        while True:
            async with asyncio.timeout(self._silent_for_s):
                message = await ws.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            self._take(message, on_stats)
            in_a_row += 1
            if in_a_row >= FRAMES_IN_A_ROW:
                in_a_row = 0
                await asyncio.sleep(0)  # messages that are there already are read without waiting

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
    """Whether a Host is one that only other autoscalers use."""
    name = host.rpartition(":")[0] or host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.startswith(_BUCKET_HOST)
    return True


def _ending(response: web.Response) -> web.Response:
    """The response, after which the connection ends."""
    response.force_close()
    return response


async def _restarting(ws: web.WebSocketResponse) -> None:
    await ws.close(code=WSCloseCode.SERVICE_RESTART, message=b"Restarting")
