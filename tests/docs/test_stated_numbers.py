"""Numbers in the guides equal the constants of the code.

A row is a document, a pattern whose only group is the number, and the constant as `module:NAME`. Add a row for each
number that a guide states and the code defines.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
NUMBER = r"(\d+(?:\.\d+)?)"

STATED = [
    ("sdk.md", f"more than {NUMBER} parts\\s+are unread", "dilu.runtime.execution.streams:MAX_UNREAD_PARTS"),
    ("sdk.md", f"pause for more than {NUMBER} s in total", "dilu.runtime.execution.streams:PATIENCE_S"),
    ("sdk.md", f"earns {NUMBER} ms of this second", "dilu.runtime.execution.streams:_EARNED_S * 1000"),
    ("sdk.md", f"at most {NUMBER} % of the objective", "dilu.batching:_BATCH_RATIO * 100"),
    ("sdk.md", f"{NUMBER} calls run at once unless `concurrency`", "dilu.handlers:_ASYNC_CONCURRENCY"),
    ("sdk.md", f"default: {NUMBER} batches", "dilu.handlers:_QUEUE_BATCHES"),
    ("sdk.md", f"batches, at least {NUMBER}\\)", "dilu.handlers:_MIN_QUEUE_SIZE"),
    ("sdk.md", f"`max_body_bytes` \\({NUMBER} MiB\\)", "dilu.handlers:_MAX_BODY_BYTES / 1048576"),
    ("sdk.md", f"limit of the payload \\| yes: {NUMBER} MiB", "dilu.handlers:_MAX_BODY_BYTES / 1048576"),
    ("sdk.md", f"own, at most {NUMBER} at once", "dilu.runtime.routes.flask_app:MAX_ROUTES_AT_ONCE"),
    ("sdk.md", f"`DILU_STATS_PORT`, {NUMBER}\\)", "dilu.spec.names:DEFAULT_STATS_PORT"),
    ("sdk.md", f"one replica on port {NUMBER}", "dilu.spec.names:DEFAULT_PORT"),
    ("sdk.md", f"code` \\| requests answered; {NUMBER}:", "dilu.runtime.calls.call_routes:CLIENT_LEFT"),
    ("sdk.md", f"most urgent\\) to 7, from the header `Priority`; {NUMBER}", "dilu.spec.names:DEFAULT_URGENCY"),
    ("training.md", f"over the last {NUMBER} iterations, checkpoints", "dilu.trainer.metrics:_RECENT"),
    ("training.md", f"`klc.mean_s` \\(last {NUMBER} iterations", "dilu.trainer.metrics:_RECENT"),
    ("training.md", f"`DILU_STATS_PORT`, {NUMBER}\\)", "dilu.spec.names:DEFAULT_STATS_PORT"),
    ("local.md", f"1, 2, 4 … {NUMBER} s", "dilu_autoscaler.local.crash_loop:MAX_BACKOFF_S"),
    ("knative.md", f"For {NUMBER} s after a bucket", "dilu_autoscaler.knative.process:SETTLES_S"),
    ("adr/0003-drain.md", f"for another {NUMBER} ms", "dilu.runtime.replica:_LAST_CONNECTIONS_S * 1000"),
    ("adr/0003-drain.md", f"each SYN for {NUMBER} ms", "dilu.runtime.replica:_LAST_HANDSHAKES_S * 1000"),
    ("adr/0003-drain.md", f"until {NUMBER} checks in a row", "dilu.runtime.replica:_QUIET_POLLS"),
    ("adr/0003-drain.md", f"in a row, {NUMBER} ms apart", "dilu.runtime.replica:_POLL_S * 1000"),
    ("../README.md", f"Serve it on port {NUMBER}", "dilu.spec.names:DEFAULT_PORT"),
    (
        "../CHANGELOG.md",
        f"{NUMBER} connections per address",
        "dilu_autoscaler.knative.reports.stat_server:MAX_PER_ADDRESS",
    ),
]


@pytest.mark.parametrize(("document", "pattern", "constant"), STATED, ids=lambda value: str(value)[-40:])
def test_a_stated_number_is_the_constant(document: str, pattern: str, constant: str) -> None:
    stated = re.findall(pattern, (DOCS / document).read_text(encoding="utf-8"))
    assert stated, f"{document} no longer matches {pattern!r}: change the row with the sentence"
    assert [float(number) for number in stated] == [pytest.approx(value_of(constant))] * len(stated)


def value_of(constant: str) -> float:
    """The constant, times or over the factor behind it."""
    name, *factor = constant.split()
    module, _, attribute = name.partition(":")
    value = float(getattr(import_module(module), attribute))
    if not factor:
        return value
    return value * float(factor[1]) if factor[0] == "*" else value / float(factor[1])
