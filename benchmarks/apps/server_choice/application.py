"""What every candidate runs alike: the handlers, the shared batch, and the state that a client can ask for."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Final

import flask
import msgspec

# What a stream sends, and every how many seconds (0: as fast as its client takes it).
STREAMS: Final = {
    "/stream": (b"data: " + b"x" * 100 + b"\n\n", 1.0),
    "/flood": (b"data: " + b"x" * 16_384 + b"\n\n", 0.0),
}
_DECODE: Final = msgspec.json.Decoder(list[float]).decode
_ENCODE: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class AppState:
    """What the application knows of itself; `/facts` shows it to the client."""

    predict_s: float = 2.0
    loaded_s: float = 0.0  # monotonic, hence comparable with the client's clock on one machine
    disconnected_s: float | None = None  # when a handler learned that its client went away
    open_streams: int = 0
    in_flight: int = 0
    last_arrival_s: float = 0.0
    draining: bool = False
    stats_port: int | None = None


class SharedBatch:
    """One `predict` for everyone who asks while it runs, as dynamic batching does it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._lock = threading.Lock()
        self._running: Future[bytes] | None = None

    def join(self) -> Future[bytes]:
        """Return the result of the batch that runs now; start one if there is none."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = self._pool.submit(predict)
            return self._running


STATE: Final = AppState()
BATCH: Final = SharedBatch()


def load() -> None:
    """Wait for `DILU_BENCH_LOAD_S` seconds, in place of loading a model."""
    STATE.predict_s = float(os.environ.get("DILU_BENCH_PREDICT_S", "2"))
    time.sleep(float(os.environ.get("DILU_BENCH_LOAD_S", "0")))
    STATE.loaded_s = time.monotonic()


def echo(body: bytes) -> bytes:
    """Decode 64 floats and encode them: the cost is the server's."""
    return _ENCODE(_DECODE(body))


def predict() -> bytes:
    """Use a core without the interpreter's lock, as a model on the CPU does."""
    until_s = time.monotonic() + STATE.predict_s
    while time.monotonic() < until_s:
        hashlib.pbkdf2_hmac("sha256", b"weights", b"salt", 50_000)
    return b"[1.0]"


def facts() -> bytes:
    """Return the state as JSON."""
    return json.dumps({**asdict(STATE), "pid": os.getpid()}).encode()


def flask_app() -> flask.Flask:
    """Return the Flask application behind the fast path."""
    app = flask.Flask("server_choice")
    app.add_url_rule("/hello", view_func=lambda: "hello")
    return app
