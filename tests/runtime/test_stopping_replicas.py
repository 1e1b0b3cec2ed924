"""SIGTERM, a parent that dies, and starts that fail: nothing accepted is lost, nothing hangs, one clear line."""

from __future__ import annotations

import asyncio
import errno
import itertools
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from dilu.runtime.replica import until_quiet
from replica_process import Answer, ReplicaProcess, ServeFunction, wait_until

SLOW = """
    import time, dilu

    @dilu.function(batch=4)
    class Slow:
        def predict(self, items: list[float]):
            time.sleep(max(items))
            return items
        def unload(self):
            print("unloaded once", flush=True)
"""


def test_what_was_accepted_is_finished_and_the_replica_exits_0(serve_function: ServeFunction) -> None:
    replica = serve_function(SLOW)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(replica.post, 0.4) for _ in range(8)]
        wait_until(lambda: replica.stats()["in_flight"] == 8, "eight requests in flight")
        replica.terminate()
        assert replica.wait_for("draining")
        assert [answer.result().status for answer in answers] == [200] * 8
    assert replica.wait() == 0
    assert replica.log().count("unloaded once") == 1


def test_new_connections_are_refused_while_the_last_requests_finish(
    serve_function: ServeFunction, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    replica = serve_function(
        """
        import pathlib, time, dilu

        @dilu.function
        def hold(path: str):
            while not pathlib.Path(path).exists():
                time.sleep(0.01)
        """
    )
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(replica.post, str(release))
        wait_until(lambda: replica.stats()["in_flight"] == 1, "one request in flight")
        replica.terminate()
        replica.wait_for("draining")
        assert replica.request("GET", "/readyz", port=replica.stats_port).status == 503
        wait_until(lambda: not _accepts(replica.port), "the port is closed")
        assert not answer.done()
        release.touch()
        assert answer.result().status == 200
    assert replica.wait() == 0


def test_clients_that_hold_connections_lose_no_request(serve_function: ServeFunction) -> None:
    """Eight clients keep their connections busy; each leaves when an answer tells it to."""
    replica = serve_function("import dilu\n@dilu.function(batch=8)\ndef f(xs: list[int]): return xs\n")
    outcomes: Counter[str] = Counter()
    started = threading.Barrier(9)

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", replica.port, timeout=10)
        for number in range(1_000_000):
            try:
                connection.request("POST", "/", b"1")
                response = connection.getresponse()
                response.read()
                outcomes[str(response.status)] += 1
            except (OSError, HTTPException) as error:
                outcomes[type(error).__name__] += 1
                return
            if number == 20:
                started.wait()
            if response.getheader("Connection") == "close":
                outcomes["told to leave"] += 1
                return

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    replica.terminate()
    for thread in threads:
        thread.join()
    assert replica.wait() == 0
    assert outcomes.pop("told to leave") == 8
    assert set(outcomes) == {"200"}


def test_the_end_of_the_supervisor_ends_the_replica(serve_function: ServeFunction) -> None:
    replica = serve_function(SLOW)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(replica.post, 0.3)
        wait_until(lambda: replica.stats()["in_flight"] == 1, "one request in flight")
        replica.control.shutdown(socket.SHUT_RDWR)
        assert answer.result().status == 200
    assert replica.wait() == 0


def test_a_stop_while_loading_is_prompt(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import time, dilu

        @dilu.function
        class F:
            def load(self):
                print("loading", flush=True)
                time.sleep(600)
            def predict(self, x: int): return x
        """,
        wait=False,
    )
    wait_until(lambda: "loading" in replica.log(), "the model loads", 30)
    began_s = time.monotonic()
    replica.terminate()
    assert replica.wait() == 0
    assert time.monotonic() - began_s < 10


def test_a_handler_that_never_ends_cannot_hold_the_process(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import threading, dilu

        @dilu.function
        def hang(x: int) -> int:
            threading.Event().wait()
            return x
        """,
        arguments=["--drain-timeout", "0.5"],
    )
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_post_or_error, replica)
        wait_until(lambda: replica.stats()["in_flight"] == 1, "one request in flight")
        replica.terminate()
        assert replica.process.wait(60) == 1
        assert answer.result() is None
    assert "did not end within" in replica.log()


def test_a_failing_load_is_reported_with_its_phase(serve_function: ServeFunction) -> None:
    replica = serve_function(
        "import dilu\n@dilu.function\nclass F:\n    def load(self): raise OSError('weights.bin: no such file')\n"
        "    def predict(self, x: int): return x\n",
        wait=False,
    )
    event = replica.wait_for("failed")
    assert (event["phase"], event["error"]) == ("load", "OSError: weights.bin: no such file")
    assert replica.wait() == 1
    assert "Traceback" in replica.log()


def test_a_failing_warm_up_is_reported_with_its_phase(serve_function: ServeFunction) -> None:
    replica = serve_function(
        "import dilu\n@dilu.function(example=1)\ndef f(x: int): return x / 0\n",
        wait=False,
    )
    assert replica.wait_for("failed")["phase"] == "warmup"
    assert replica.wait() == 1


@pytest.mark.parametrize(
    ("source", "environment", "words"),
    [
        ("def f(:\n", {}, "function_0.py:1"),
        ("import nothing_of_this_name\n", {}, "function_0.py:1: ModuleNotFoundError"),
        ("import dilu\n", {}, "defines no function"),
        ("OK", {"PORT": "http"}, "PORT = 'http', must be a whole number"),
        ("OK", {"PORT": "70000"}, "PORT = 70000, must be in 0..65535"),
        ("OK", {"HOST": "not.an.address.invalid"}, "cannot listen on not.an.address.invalid"),
        ("OK", {"DILU_FUNCTION_SPEC": "{"}, "DILU_FUNCTION_SPEC"),
        ("OK", {"DILU_FUNCTION_SPEC": '{"batch": 3}'}, "takes one item"),
        ("OK", {"DILU_FUNCTION_SPEC": '{"sm_request": 2000}'}, "sm_request"),
        ("OK", {"DILU_FUNCTION_SPEC": '{"bach": 3}'}, "batch"),
        ("OK", {"DILU_LOG_FORMAT": "xml"}, "DILU_LOG_FORMAT = 'xml'"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_cannot_start_says_why_in_one_line(
    serve_function: ServeFunction, source: str, environment: dict[str, str], words: str
) -> None:
    fine = "import dilu\n@dilu.function\ndef f(x: int): return x\n"
    replica = serve_function(fine if source == "OK" else source, wait=False, **environment)
    assert replica.wait() == 2
    log = replica.log().strip()
    assert words in log
    assert log.startswith("dilu: ")
    assert "\n" not in log


def test_a_port_in_use_is_said_before_the_model_loads(serve_function: ServeFunction) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        replica = serve_function(SLOW, wait=False, PORT=str(port))
        assert replica.wait() == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in replica.log()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _post_or_error(replica: ReplicaProcess, item: float = 1) -> Answer | None:
    try:
        return replica.post(item, timeout_s=60)
    except (OSError, HTTPException):
        return None


def test_a_replica_whose_handler_thread_dies_makes_room_for_another(serve_function: ServeFunction) -> None:
    """Nothing that a handler does ends its thread; here the runtime itself is broken on purpose."""
    replica = serve_function(
        """
        import dilu
        from dilu.runtime.execution.batch_queue import BatchQueue

        @dilu.function
        def f(x: int) -> int:
            def broken(self):
                raise MemoryError("no room for a batch")
            BatchQueue.take = broken
            return x
        """
    )
    assert replica.post(1).status == 200
    assert replica.wait() == 1
    assert "MemoryError: no room for a batch" in replica.log()


def test_a_drain_waits_until_no_request_has_come_at_ten_polls_in_a_row() -> None:
    arrivals = iter([0, *range(30), *[29] * 9, *[30] * 100])
    reads: list[int] = []

    def arrival_count() -> int:
        reads.append(next(arrivals))
        return reads[-1]

    asyncio.run(until_quiet(arrival_count, deadline_s=math.inf, poll_s=0.0))
    assert reads[-11:] == [30] * 11, "one read with the last arrival, ten without another"
    assert len(reads) == 1 + 30 + 9 + 11


def test_a_drain_does_not_wait_beyond_its_deadline() -> None:
    asyncio.run(asyncio.wait_for(until_quiet(itertools.count().__next__, deadline_s=0.0), 20))


def test_no_handshake_is_half_way_when_the_port_closes(serve_function: ServeFunction) -> None:
    """Before it closes the port, a draining replica drops each SYN for 20 ms: such a connection is neither made nor
    refused. On a busy machine no attempt may fall into that time, so several replicas are tried."""
    replicas = [serve_function("import dilu\n@dilu.function\ndef f(x: int): return x\n", wait=False) for _ in range(4)]
    for replica in replicas:
        replica.wait_until_ready()
    assert any(_attempts_while_it_drains(replica)["pending"] for replica in replicas)


def _attempts_while_it_drains(replica: ReplicaProcess) -> Counter[str]:
    """Connect again and again from SIGTERM until the port is closed; on loopback an answer comes at once or never."""
    found: Counter[str] = Counter()
    replica.terminate()
    while not found["refused"]:
        with socket.socket() as sock:
            sock.setblocking(False)
            code = sock.connect_ex(("127.0.0.1", replica.port))
            if code == errno.EINPROGRESS:
                code = 0 if select.select([], [sock], [], 0.001)[1] else code
                code = code or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            found[{0: "made", errno.ECONNREFUSED: "refused", errno.EINPROGRESS: "pending"}[code]] += 1
    return found


def test_clients_that_reconnect_while_it_drains_lose_no_request(serve_function: ServeFunction) -> None:
    """Told to leave, all of them connect again at once; what the kernel accepted is served."""
    replica = serve_function("import dilu\n@dilu.function(batch=8)\ndef f(xs: list[int]): return xs\n")
    lost: list[str] = []
    started = threading.Barrier(13)

    def client(port: int, lost: list[str], started: threading.Barrier) -> None:
        for number in range(1_000_000):
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.connect()
            except OSError:
                return  # refused: it accepts no more
            try:
                for _ in range(20):
                    connection.request("POST", "/", b"1")
                    response = connection.getresponse()
                    response.read()
                    if response.getheader("Connection") == "close":
                        break
            except (OSError, HTTPException) as error:
                lost.append(f"{type(error).__name__}: {error}")
                return
            finally:
                connection.close()
            if number == 3:
                started.wait()

    threads = [threading.Thread(target=client, args=(replica.port, lost, started)) for _ in range(12)]
    for thread in threads:
        thread.start()
    started.wait()
    replica.terminate()
    for thread in threads:
        thread.join()
    assert replica.wait() == 0
    assert lost == []


FORKS = """
    import multiprocessing, time, dilu

    def child():
        time.sleep(600)

    @dilu.function
    def forks(x: int) -> int:
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.terminate()
        process.join(5)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.apply(abs, (x,)) if process.exitcode == -15 else 0
"""


def test_children_of_the_handler_come_and_go_without_ending_the_replica(serve_function: ServeFunction) -> None:
    replica = serve_function(FORKS)
    assert [replica.post(-3).json() for _ in range(2)] == [3, 3]
    assert replica.stats()["state"] == "ready"
    replica.terminate()
    assert replica.wait() == 0


def test_a_child_that_outlives_the_replica_holds_neither_port_nor_control_line(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import os, time, dilu

        @dilu.function
        def leave_behind(x: int) -> int:
            child = os.fork()
            if child == 0:
                time.sleep(20)
                os._exit(0)
            return child
        """
    )
    child = replica.post(1).json()
    try:
        replica.process.kill()
        replica.wait()
        assert replica.next_event() is None, "the supervisor sees the end of the line"
        assert not _accepts(replica.port)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    "leftover",
    ["threading.Thread(target=threading.Event().wait).start()", "ThreadPoolExecutor(1).submit(threading.Event().wait)"],
    ids=["a thread", "an executor"],
)
def test_threads_that_the_function_leaves_behind_cannot_hold_the_exit(
    serve_function: ServeFunction, leftover: str
) -> None:
    replica = serve_function(
        f"""
        import threading, dilu
        from concurrent.futures import ThreadPoolExecutor

        {leftover}

        @dilu.function
        def f(x: int): return x
        """
    )
    replica.terminate()
    assert replica.process.wait(10) == 0


def test_a_second_signal_cuts_what_still_runs(serve_function: ServeFunction) -> None:
    replica = serve_function(SLOW)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_post_or_error, replica, 20)
        wait_until(lambda: replica.stats()["in_flight"] == 1, "one request in flight")
        replica.terminate()
        replica.wait_for("draining")
        replica.terminate()
        assert replica.process.wait(10) == 1
        assert answer.result() is None


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("next(iter([]))", "StopIteration"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise __import__('asyncio').CancelledError", "CancelledError"),
    ],
)
@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_load_that_ends_oddly_is_a_failed_load(
    serve_function: ServeFunction, keyword: str, statement: str, words: str
) -> None:
    replica = serve_function(
        f"""
        import dilu

        @dilu.function
        class F:
            {keyword} load(self):
                {statement}
            {keyword} predict(self, x: int): return x
        """,
        wait=False,
    )
    event = replica.wait_for("failed")
    assert event["phase"] == "load"
    assert words in event["error"]
    assert replica.wait() == 1


def test_a_control_line_that_is_none_is_refused_in_one_line(serve_function: ServeFunction) -> None:
    replica = serve_function(SLOW, wait=False, DILU_CONTROL_FD="99")
    assert replica.wait() == 2
    assert "DILU_CONTROL_FD = 99, must be the number of an inherited, connected socket" in replica.log()


def test_a_reader_of_the_log_who_does_not_read_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "noisy.py"
    path.write_text("import dilu\n@dilu.function\ndef f(x: int):\n    raise ValueError('x' * 20_000)\n")
    reader, writer = os.pipe()
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "dilu", "serve", str(path), "--port", "0", "--stats-port", "0"],
            env={**os.environ, "DILU_CONTROL_FD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stderr=writer,
        )
    os.close(writer)
    replica = ReplicaProcess(process, ours, tmp_path / "none.log")
    try:
        replica.wait_until_ready()
        assert [replica.post(1).status for _ in range(30)] == [500] * 30
        assert replica.request("GET", "/healthz").status == 200
        replica.terminate()
        assert replica.process.wait(10) == 0
    finally:
        os.close(reader)
        replica.close()
