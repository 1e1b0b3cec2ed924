"""Mounted functions under real servers, and in processes that are forked after the import as gunicorn's are."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

APP = """
    import os, time
    import dilu
    from flask import Flask
    from dilu.flask import mount

    @dilu.function(batch=8, max_wait_ms=200, slo_ms=5000)
    class Where:
        def load(self):
            self.pid = os.getpid()
        def predict(self, xs: list[int]) -> list[list[int]]:
            return [[self.pid, len(xs)] for _ in xs]
        def unload(self):
            print(f"unloaded in {self.pid}", flush=True)

    app = Flask(__name__)
    mounted = mount(app, Where, "/where")
"""
FORKING = """
    import json, os, sys
    from application import app

    def ask():
        return app.test_client().post("/where", json=1).json[0]

    def in_child():
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, json.dumps([os.getpid(), ask()]).encode())
            sys.exit(0)  # as gunicorn's workers end
        os.close(write)
        with os.fdopen(read) as answer:
            pair = json.load(answer)
        assert os.wait()[1] == 0
        return pair

    pairs = [in_child(), [os.getpid(), ask()], in_child(), in_child(), [os.getpid(), ask()]]
    print(json.dumps(pairs), flush=True)
"""
SERVING = """
    import json, threading, urllib.request
    from concurrent.futures import ThreadPoolExecutor
    from werkzeug.serving import make_server
    from application import app

    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def ask(number):
        url = f"http://127.0.0.1:{server.server_port}/where"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(number).encode())) as answer:
            return json.load(answer)

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(ask, range(16)))
    server.shutdown()
    print(json.dumps(answers), flush=True)
"""


def run(folder: Path, source: str) -> list[str]:
    """The lines that a program prints which has the application above beside it."""
    (folder / "application.py").write_text(textwrap.dedent(APP))
    (folder / "program.py").write_text(textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "program.py"], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_forked_process_loads_the_function_for_itself(tmp_path: Path) -> None:
    lines = run(tmp_path, FORKING)
    (pairs,) = [json.loads(line) for line in lines if line.startswith("[")]
    assert [process for process, _ in pairs] == [loaded_in for _, loaded_in in pairs]
    assert len({process for process, _ in pairs}) == 4
    unloaded = {int(line.split()[-1]) for line in lines if line.startswith("unloaded")}
    assert unloaded == {process for process, _ in pairs}, "every process unloads as it ends"


def test_threads_of_a_server_share_batches(tmp_path: Path) -> None:
    lines = run(tmp_path, SERVING)
    (answers,) = [json.loads(line) for line in lines if line.startswith("[")]
    assert len({pid for pid, _ in answers}) == 1
    assert max(size for _, size in answers) > 1
