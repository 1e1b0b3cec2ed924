"""A hundred thousand bad requests leave a replica as it was: no memory, no sockets, no threads, no wounds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from fuzz.bad_bodies import TRAPS
from fuzz.fuzzed_functions import CALL_PATHS, check_alive, connected, request
from replica_process import ReplicaProcess

REQUESTS = 100_000
WARM_UP = 30_000
CONNECTIONS = 400
PIPELINED = 50  # requests that are sent at once, on one connection
CLIENTS = 4
MAX_GROWTH_BYTES = 4 * 1024 * 1024  # 40 bytes a request: whatever is kept of one is more

_SHORT_TRAPS = [trap for trap in TRAPS if 0 < len(trap) < 1_000]
_HEADERS = (
    (b"X-Request-Timeout-Ms", b"soon"),
    (b"Priority", b"u=99"),
    (b"X-Request-Id", b"\xff" * 50),
    (b"ce-type", b"x"),
    (b"Content-Type", b"application/cloudevents+json"),
    (b"traceparent", b"00-nonsense"),
)


def _bad_requests() -> Iterator[bytes]:
    """Requests without end, of which each is refused: bad bodies, bad headers, paths and methods that there are not."""
    for number in itertools.count():
        path, trap = CALL_PATHS[number % len(CALL_PATHS)], _SHORT_TRAPS[number % len(_SHORT_TRAPS)]
        match number % 4:
            case 0 | 1:
                yield request(path, trap)
            case 2:
                yield request(path, trap, _HEADERS[number % len(_HEADERS)])
            case _:
                yield request(f"/nothing/{number}", trap, method=b"PUT" if number % 8 == 3 else b"POST")


def _answers_to(replica: ReplicaProcess, batch: list[bytes]) -> int:
    """How many answers came on one connection, on which the batch was sent piece by piece."""
    with connected(replica.port) as client:
        count = 0
        for start in range(0, len(batch), PIPELINED):
            sent = batch[start : start + PIPELINED]
            client.send(b"".join(sent))
            for _ in sent:
                answer = client.answer()
                assert answer is not None
                # `/anything` takes any JSON: those of our traps that are JSON are its fair requests.
                assert answer.status == 200 or 400 <= answer.status < 500, answer
                count += 1
        client.send(b"\x00 nonsense\r\n\r\n")
        last = client.answer()
        assert last is not None
        assert last.status == 400
        return count


def _send(replica: ReplicaProcess, count: int) -> int:
    """How many answers `count` bad requests got, sent over many connections by a few clients at once."""
    endless, share = _bad_requests(), REQUESTS // CONNECTIONS
    batches = [list(itertools.islice(endless, share)) for _ in range(count // share)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        return sum(clients.map(lambda batch: _answers_to(replica, batch), batches))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_thousand_bad_requests_leave_nothing_behind(fuzzed: ReplicaProcess) -> None:
    process = psutil.Process(fuzzed.process.pid)
    assert _send(fuzzed, WARM_UP) == WARM_UP
    before_bytes, fds, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
    assert _send(fuzzed, REQUESTS) == REQUESTS
    assert process.memory_info().rss - before_bytes < MAX_GROWTH_BYTES
    assert process.num_fds() <= fds + CLIENTS
    assert process.num_threads() == threads
    check_alive(fuzzed)
