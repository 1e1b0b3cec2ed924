"""Replicas and platforms that are killed, told to stop or cannot start, under real requests."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from local.platform_process import Clients, StartPlatform, processes_of
from replica_process import wait_until

WORK = """
    import time, dilu

    @dilu.function(batch=4)
    class Work:
        def predict(self, items: list[float]):
            time.sleep(max(items))
            return items
"""


def test_killed_replicas_cost_errors_but_no_request_hangs(start_platform: StartPlatform) -> None:
    platform = start_platform(WORK, "--min", "2")
    replicas = platform.wait_for_ready("work", 2)
    with Clients(platform, "/work", 0.005, count=8) as clients:
        clients.wait_for(50)
        os.kill(replicas[0]["pid"], signal.SIGKILL)
        clients.wait_for(50)
        os.kill(replicas[1]["pid"], signal.SIGKILL)
        wait_until(
            lambda: [one["restarts"] for one in platform.function("work")["replicas"]] == [1, 1],
            "both have successors",
        )
        platform.wait_for_ready("work", 2)
        clients.wait_for(50)
    # Eight clients: at each kill at most as many as were in that replica see an error, and it is said as one.
    assert set(clients.outcomes) <= {200, 502}, clients.outcomes
    assert clients.outcomes[502] <= 16
    assert "killed by signal 9" in platform.log()


def test_what_waits_for_the_only_replica_is_answered_by_its_successor(start_platform: StartPlatform) -> None:
    platform = start_platform(WORK, "--min", "1")
    (replica,) = platform.wait_for_ready("work", 1)
    with ThreadPoolExecutor(16) as pool:
        # Eight are sent to the replica (two batches of four), eight wait in the gateway.
        answers = [pool.submit(platform.post, "/work", 1.0) for _ in range(16)]
        wait_until(lambda: platform.function("work")["waiting"] == 8, "eight wait")
        os.kill(replica["pid"], signal.SIGKILL)
        statuses = sorted(answer.result().status for answer in answers)
    assert statuses == [200] * 8 + [502] * 8


def test_a_replica_told_to_stop_under_load_costs_no_request(start_platform: StartPlatform) -> None:
    platform = start_platform(WORK, "--min", "2")
    replicas = platform.wait_for_ready("work", 2)
    with Clients(platform, "/work", 0.005, count=8) as clients:
        for replica in replicas:
            clients.wait_for(50)
            os.kill(replica["pid"], signal.SIGTERM)
            wait_until(lambda pid=replica["pid"]: pid not in processes_of(platform.root), "it has ended")  # type: ignore[misc]
        clients.wait_for(50)
    assert set(clients.outcomes) == {200}, clients.outcomes
    assert platform.function("work")["errors"] == 0


def test_a_function_that_cannot_start_says_why_and_backs_off(start_platform: StartPlatform) -> None:
    platform = start_platform(
        """
        import dilu

        @dilu.function
        class Broken:
            def load(self):
                print("looking for weights", flush=True)
                raise ValueError("weights are missing")
            def predict(self, item: float):
                return item
        """
    )
    answer = platform.post("/broken", 1.0)
    assert answer.status == 503
    assert answer.json()["error"]["code"] == "cannot-start"
    assert "load: ValueError: weights are missing" in answer.json()["error"]["message"]
    assert int(answer.headers["retry-after"]) >= 1
    began_s = time.monotonic()
    assert platform.post("/broken", 1.0).status == 503
    assert time.monotonic() - began_s < 0.5  # no try runs: said at once
    wait_until(lambda: "next start in 2 s" in platform.log(), "the back-off doubles")
    log = platform.log()
    assert "next start in 1 s" in log
    assert log.count("| ValueError: weights are missing") == 1  # its log is shown once


def test_a_platform_that_is_killed_leaves_no_replica(start_platform: StartPlatform) -> None:
    platform = start_platform(WORK, "--min", "2")
    pids = [replica["pid"] for replica in platform.wait_for_ready("work", 2)]
    platform.signal(signal.SIGKILL)
    assert platform.wait() == -signal.SIGKILL
    wait_until(lambda: not set(pids) & set(processes_of(platform.root)), "no replica is left")
    # The name is free again, although no process released it.
    start_platform(WORK)


def test_a_platform_told_to_stop_answers_what_it_accepted(start_platform: StartPlatform) -> None:
    platform = start_platform(WORK)
    with ThreadPoolExecutor(6) as pool:
        # Six requests at zero replicas: they wait for a start, and four of them fill a batch.
        answers = [pool.submit(platform.post, "/work", 0.3) for _ in range(6)]
        wait_until(lambda: platform.function("work")["in_flight"] == 6, "six requests in flight")
        platform.signal(signal.SIGTERM)
        assert [answer.result().status for answer in answers] == [200] * 6
    assert platform.wait() == 0


def test_a_stop_while_the_code_is_loaded_leaves_no_process(start_platform: StartPlatform) -> None:
    platform = start_platform("import time\nprint('loading', flush=True)\ntime.sleep(60)", wait=False)
    wait_until(lambda: len(processes_of(platform.root)) == 2, "its child loads the code")
    platform.signal(signal.SIGTERM)
    assert platform.wait() == 128 + signal.SIGTERM
    assert not processes_of(platform.root)


def test_a_second_signal_stops_at_once(start_platform: StartPlatform) -> None:
    platform = start_platform(WORK, "--min", "1")
    platform.wait_for_ready("work", 1)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(platform.post, "/work", 20.0)
        wait_until(lambda: platform.function("work")["in_flight"] == 1, "one request in flight")
        platform.signal(signal.SIGINT)
        wait_until(lambda: "stopping" in platform.log(), "it drains")
        platform.signal(signal.SIGINT)
        assert platform.wait() == 1
        assert pending.exception() is not None or pending.result().status == 502
    assert not processes_of(platform.root)


def test_what_a_replica_started_ends_with_it(start_platform: StartPlatform) -> None:
    platform = start_platform(
        """
        import subprocess, dilu

        @dilu.function
        class Parent:
            def load(self):
                self.child = subprocess.Popen(["sleep", "299"])
            def predict(self, item: float):
                return self.child.pid
        """,
        "--min",
        "1",
    )
    (replica,) = platform.wait_for_ready("parent", 1)
    killed = platform.post("/parent", 0).json()
    assert killed in processes_of(platform.root)
    os.kill(replica["pid"], signal.SIGKILL)
    wait_until(lambda: killed not in processes_of(platform.root), "the child has ended")
    platform.wait_for_ready("parent", 1)
    stopped = platform.post("/parent", 0).json()
    platform.signal(signal.SIGTERM)
    assert platform.wait() == 0
    assert stopped not in processes_of(platform.root)


def test_what_was_in_flight_is_answered_though_another_process_holds_the_connection(
    start_platform: StartPlatform,
) -> None:
    platform = start_platform(
        """
        import ctypes, os, time, dilu

        @dilu.function
        class Forking:
            def predict(self, seconds: float):
                libc = ctypes.PyDLL(None)  # past what Python does at a fork
                child = libc.fork()
                if not child:
                    libc.setsid()
                    libc.pause()
                with open("part", "w") as file:
                    file.write(str(child))
                os.rename("part", "child")
                time.sleep(seconds)
        """,
        "--min",
        "1",
    )
    (replica,) = platform.wait_for_ready("forking", 1)
    child = platform.log_path.parent / "app" / "child"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(platform.post, "/forking", 60.0)
        try:
            wait_until(child.exists, "it has forked")
            os.kill(replica["pid"], signal.SIGKILL)
            assert answer.result(10.0).status == 502
        finally:
            os.kill(int(child.read_text()), signal.SIGKILL)


def test_a_replica_that_ends_in_order_again_and_again_is_started_more_and_more_rarely(
    start_platform: StartPlatform,
) -> None:
    platform = start_platform(
        """
        import os, signal, threading, dilu

        @dilu.function
        class Leaving:
            def load(self):
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
            def predict(self, item: float):
                return item
        """,
        "--min",
        "1",
    )
    wait_until(lambda: "next start in 2 s" in platform.log(), "the back-off doubles")
    assert len(platform.function("leaving")["cold_starts"]) == 3
    assert platform.log().count("was stopped by another process: replaced, next start at once") == 1


def test_the_end_of_the_terminal_is_a_stop_in_order(start_platform: StartPlatform) -> None:
    platform = start_platform(WORK, "--min", "1")
    platform.wait_for_ready("work", 1)
    platform.signal(signal.SIGHUP)
    assert platform.wait() == 0
    assert not processes_of(platform.root)


def test_a_killed_platform_leaves_no_child_that_loads_the_code(start_platform: StartPlatform) -> None:
    # It holds the interpreter's lock, so that no thread of it could notice.
    platform = start_platform("import ctypes\nctypes.PyDLL(None).sleep(60)", wait=False)
    wait_until(lambda: len(processes_of(platform.root)) == 2, "its child loads the code")
    platform.signal(signal.SIGKILL)
    assert platform.wait() == -signal.SIGKILL
    wait_until(lambda: not processes_of(platform.root), "the child has ended", 5.0)
