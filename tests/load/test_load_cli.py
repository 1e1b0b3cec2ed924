"""`dilu load` as people run it: a process, against a real server."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

COMMAND = (sys.executable, "-m", "dilu", "load")
Process = asyncio.subprocess.Process


@asynccontextmanager
async def served(answer: Callable[[], web.Response]) -> AsyncIterator[str]:
    async def handle(request: web.BaseRequest) -> web.Response:
        return answer()

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def started(url: str, *options: str) -> Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*COMMAND, url, *options, stdout=pipe, stderr=pipe)


async def ended(process: Process) -> tuple[int, str, str]:
    try:
        out, err = await asyncio.wait_for(process.communicate(), 20)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def load(answer: Callable[[], web.Response], *options: str) -> tuple[int, str, str]:
    async def main() -> tuple[int, str, str]:
        async with served(answer) as url:
            return await ended(await started(url, *options))

    return asyncio.run(main())


def refused(*arguments: str) -> tuple[int, str]:
    process = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert process.stdout == ""
    return process.returncode, process.stderr


def test_a_run_prints_the_table_and_writes_report_and_records(tmp_path: Path) -> None:
    report, records = tmp_path / "report.json", tmp_path / "records.jsonl"
    code, out, err = load(
        web.Response, "--rps", "50", "--duration", "0.4", "--arrivals", "even", "-d", '"a"', "--slo-ms", "5000",
        "--json", str(report), "--records", str(records),
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "20 due, 20 ok, 0 failed" in out
    assert "SLO 5000 ms 100.00 % met" in out
    assert json.loads(report.read_text())["slo"]["attainment_ratio"] == 1.0
    assert [json.loads(line)["status"] for line in records.read_text().splitlines()] == [200] * 20


def test_json_on_stdout_is_alone_there() -> None:
    code, out, err = load(web.Response, "--steps", "50:0.1,0:0.1", "--cv", "0", "--json", "-")
    assert code == 0
    assert json.loads(out)["ok"] == 5
    assert "5 due, 5 ok" in err


def test_no_traffic_is_a_run_that_was_carried_out() -> None:
    code, out, _ = load(web.Response, "--rps", "0", "--duration", "1")
    assert code == 0
    assert "0 due, 0 ok, 0 failed" in out
    assert "! no request was due in this time" in out


def test_a_run_in_which_nothing_succeeds_exits_with_1() -> None:
    code, out, _ = load(lambda: web.Response(status=503), "--rps", "50", "--duration", "0.1", "--cv", "0")
    assert code == 1
    assert "errors      http-503: 5" in out


def test_ctrl_c_prints_what_was_measured() -> None:
    async def main() -> tuple[int, str, str]:
        enough = asyncio.Event()
        count = 0

        def answer() -> web.Response:
            nonlocal count
            count += 1
            if count == 5:
                enough.set()
            return web.Response()

        async with served(answer) as url:
            process = await started(url, "--rps", "100", "--duration", "3600")
            await asyncio.wait_for(enough.wait(), 20)
            process.send_signal(signal.SIGINT)
            return await ended(process)

    code, out, err = asyncio.run(main())
    assert code == 130
    assert "ended early" in out
    assert "Traceback" not in err


def test_an_unreachable_url_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        assert refused(url) == (1, f"Error: cannot reach {url}: connection refused\n")


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    trace = tmp_path / "rates.txt"
    trace.write_text("1\n-2\n", encoding="utf-8")
    rule = "must be a finite number of requests per second, 0 or more"
    assert refused("http://h/", "--trace", str(trace)) == (2, f"dilu: {trace}:2: -2, {rule}\n")
    assert refused("http://h/", "--rps", "-3") == (2, f"dilu: rps = -3, {rule}\n")
    code, err = refused("http://h/", "-d", "text")
    assert code == 2
    assert err.startswith("dilu: --data 'text' (another format needs -H 'Content-Type: ...'): not JSON")


def test_importing_the_command_imports_neither_aiohttp_nor_asyncio() -> None:
    code = "import dilu.load.cli, sys; print([name for name in ('aiohttp', 'asyncio') if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert process.stdout == "[]\n"
