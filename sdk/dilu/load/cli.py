"""`dilu load`: drive open-loop load against a URL."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

import click

if TYPE_CHECKING:  # `dilu --help` imports this module; the others are imported when the command runs
    from dilu.load.generator import LoadProgress
    from dilu.load.plan import LoadPlan
    from dilu.load.results import LoadResult

_TERMINAL_EVERY_S = 0.25
_PLAIN_EVERY_S = 5.0


@click.command()
@click.argument("url")
@click.option("--rps", type=float, help="Constant rate in requests per second.  [default: 10]")
@click.option("--steps", metavar="RPS:S,...", help="Consecutive rates: 20:5,0:10,50:5.")
@click.option(
    "--periodic", metavar="LOW:HIGH:S", help="Oscillate between two rates with a period of S seconds: 5:50:60."
)
@click.option("--bursty", metavar="RPS:S,...", help="Repeat these steps for --duration: 0:20,80:5.")
@click.option("--trace", metavar="FILE", help="One rate per line, each for a second; or arrival times (.csv, .jsonl).")
@click.option("--scale", type=float, help="Factor for the rate of the trace.  [default: 1]")
@click.option("--duration", "duration_s", type=float, help="Seconds.  [default: 10; all of --steps and --trace]")
@click.option("--arrivals", type=click.Choice(["poisson", "even", "gamma"]), help="Spacing.  [default: poisson]")
@click.option("--cv", type=float, help="Coefficient of variation of the gaps: 0 even, 1 Poisson, 3 clumped.")
@click.option("-d", "--data", help="Body of every request; JSON unless -H sets another Content-Type.")
@click.option("--data-file", metavar="FILE", help="Bodies, one JSON value per line.")
@click.option("--data-order", type=click.Choice(["cycle", "random"]), default="cycle", show_default=True)
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="May be repeated.")
@click.option("-X", "--method", help="HTTP method.  [default: POST with a body, else GET]")
@click.option(
    "--timeout", "timeout_s", type=float, default=30.0, show_default=True, help="Maximum seconds for one request."
)
@click.option(
    "--max-in-flight",
    type=int,
    default=1000,
    show_default=True,
    help="Further requests wait; the wait counts as latency.",
)
@click.option("--slo-ms", type=float, help="Latency objective; the report shows how many requests met it.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same times and bodies.")
@click.option("--json", "json_file", type=click.File("w", lazy=False), help="Write the report as one JSON object.")
@click.option("--records", type=click.File("w", lazy=False), help="Write one JSON object per request.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def load(
    url: str,
    rps: float | None,
    steps: str | None,
    periodic: str | None,
    bursty: str | None,
    trace: str | None,
    scale: float | None,
    duration_s: float | None,
    arrivals: str | None,
    cv: float | None,
    data: str | None,
    data_file: str | None,
    data_order: str,
    headers: tuple[str, ...],
    method: str | None,
    timeout_s: float,
    max_in_flight: int,
    slo_ms: float | None,
    seed: int,
    json_file: IO[str] | None,
    records: IO[str] | None,
    quiet: bool,
) -> None:
    """Drive load against URL, and report latency, failures and SLO attainment.

    Requests are sent at their times, whatever the outcome of earlier ones (open loop), and latency counts from the
    time at which a request was due. So a stall of a second shows in the latency of all requests that were due in it.

    \b
    dilu load http://127.0.0.1:8080/embed -d '"a sentence"' --rps 50 --duration 30 --slo-ms 60
    dilu load http://127.0.0.1:8080/embed --data-file texts.jsonl --steps 20:5,0:10,50:5
    dilu load http://127.0.0.1:8080/embed --trace day.txt --scale 5 --json report.json --records requests.jsonl
    dilu load http://127.0.0.1:8080/embed --rps 20 --cv 3 --json - --quiet | jq .latency_ms.p99

    Exit code: 0 the load was driven, 1 no request succeeded, 2 invalid options, 130 ended by Ctrl-C (the report then
    covers what was measured until then).
    """
    from dilu.load.plan import LoadPlan, parse_header
    from dilu.load.shapes import ShapeOptions, arrivals_of

    given_headers = tuple(parse_header(header) for header in headers)
    shape = ShapeOptions(
        rps=rps,
        steps=steps,
        periodic=periodic,
        bursty=bursty,
        trace=trace,
        scale=scale,
        duration_s=duration_s,
        arrivals=arrivals,
        cv=cv,
    )
    plan = LoadPlan(
        url=url,
        arrivals=arrivals_of(shape),
        seed=seed,
        method=method.upper() if method else None,
        payloads=_payloads(data, data_file, given_headers),
        payload_order="random" if data_order == "random" else "cycle",
        headers=given_headers,
        timeout_s=timeout_s,
        max_in_flight=max_in_flight,
        slo_ms=slo_ms,
    )
    sys.exit(_drive(plan, json_file, records, quiet=quiet))


def _payloads(data: str | None, data_file: str | None, headers: tuple[tuple[str, str], ...]) -> tuple[bytes, ...]:
    from dilu.load.plan import check_json, read_payloads

    if data is not None and data_file is not None:
        raise click.UsageError("--data and --data-file: use only one of them")
    if data_file is not None:
        return read_payloads(data_file)
    if data is None:
        return ()
    if not any(name.lower() == "content-type" for name, _ in headers):
        check_json(data, f"--data {data!r} (another format needs -H 'Content-Type: ...')")
    return (data.encode(),)


def _drive(plan: LoadPlan, json_file: IO[str] | None, records: IO[str] | None, *, quiet: bool) -> int:
    """Run the load, write the report, and return the exit code."""
    try:
        import aiohttp  # noqa: F401 (so that a missing extra is reported before a request is sent)
    except ModuleNotFoundError as error:
        raise click.ClickException(f"`dilu load` needs the module {error.name}: pip install 'dilu[local]'") from None
    import asyncio

    from dilu.load.formats import record_lines, table
    from dilu.load.generator import unreachable_reason
    from dilu.load.report import summarize

    if (reason := unreachable_reason(plan.url)) is not None:
        raise click.ClickException(f"cannot reach {plan.url}: {reason}")
    result, signal_number = asyncio.run(_run_until_signal(plan, quiet=quiet))
    summary = summarize(result)
    if records is not None:
        records.writelines(f"{line}\n" for line in record_lines(result.records))
    if json_file is not None:
        json_file.write(f"{summary.to_json()}\n")
    # If stdout has data for a program, the table goes to stderr.
    click.echo(table(summary), err=_is_stdout(json_file) or _is_stdout(records))
    if signal_number is not None:
        return 128 + signal_number
    return 1 if summary.scheduled and not summary.ok else 0


def _is_stdout(file: IO[str] | None) -> bool:
    return file is not None and file.name == sys.stdout.name


async def _run_until_signal(plan: LoadPlan, *, quiet: bool) -> tuple[LoadResult, int | None]:
    """Run the load until its end or a signal. Return the result, and the signal if there was one."""
    import asyncio
    import signal

    from dilu.load.generator import run_load

    stop = asyncio.Event()
    received: list[int] = []

    def on_signal(number: int) -> None:
        received.append(number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    terminal = sys.stderr.isatty()
    result = await run_load(
        plan,
        stop=stop,
        on_progress=None if quiet else _show_on_terminal if terminal else _show_plainly,
        progress_every_s=_TERMINAL_EVERY_S if terminal else _PLAIN_EVERY_S,
    )
    if terminal and not quiet:
        click.echo("\r\033[K", err=True, nl=False)
    return result, received[0] if result.stopped else None


def _show_on_terminal(progress: LoadProgress) -> None:
    """Rewrite one line, with plain escape codes, because drawing must not delay requests."""
    from dilu.load.formats import progress_line

    click.echo(f"\r\033[K{progress_line(progress)}", err=True, nl=False)


def _show_plainly(progress: LoadProgress) -> None:
    from dilu.load.formats import progress_line

    click.echo(progress_line(progress), err=True)
