from __future__ import annotations

import json
import socket
import time
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from dilu.errors import ConfigError, DiluError
from dilu_autoscaler.explain_cli import explain
from dilu_autoscaler.explaining.decision_log import DecisionOutcome
from dilu_autoscaler.explaining.view import decisions_view
from dilu_autoscaler.knative.buckets.hashing import bucket_name, owner
from dilu_autoscaler.knative.explaining.explain_client import read_address
from dilu_autoscaler.knative.explaining.explain_lookup import responsible_for
from dilu_kube.objects import Lease, LeaseSpec, Meta
from explaining.ticks import tick
from knative.explaining.platforms import BUCKET, Platform
from knative.explaining.servers_in_threads import answering, cluster, explaining, lease

KEY = "shop/embed-00001"
OUR_POD = "dilu-autoscaler-7d9c-x2v"


def platform() -> Platform:
    """One that decided 0 -> 2, then an hour of the same, then 2 -> 0 which waits."""
    made = Platform(known={KEY: {"policy": "kpa", "target-value": 7.0}})
    now_s = time.time() - 4000
    made.log.ticked(tick(KEY, now_s=now_s, before=0, decided=2, reason="2 for 9.00 in flight", panicking=True))
    made.log.reconciled(KEY, DecisionOutcome(want=2, applied=True, reason="as decided"), now_s)
    for second in range(2, 3600, 2):
        made.log.ticked(
            tick(KEY, now_s=now_s + second, before=2, decided=2, reason="steady", ready=2, stable=9.125, panic=8.5)
        )
    made.log.ticked(tick(KEY, now_s=now_s + 3600, before=2, decided=0, reason="0 for 0.00 in flight", ready=2))
    made.log.reconciled(KEY, DecisionOutcome(want=0, applied=False, reason="retention 30 s"), now_s + 3600)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(explain, arguments)


def error(*arguments: str) -> str:
    """What the command says instead of an explanation; `dilu` prints that as one line and exits with 2."""
    error = run(*arguments).exception
    assert isinstance(error, DiluError)
    return str(error)


def free_port() -> int:
    """A port without a listener."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_the_table_has_the_decisions_with_the_newest_last() -> None:
    with explaining(platform()) as port:
        result = run(KEY, "--address", f"127.0.0.1:{port}")
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.output.splitlines()]
    assert lines[0] == f"{KEY}  {BUCKET}, held by {OUR_POD}"
    assert lines[1] == "0 of - ready"
    assert lines[2] == "policy=kpa  target-value=7.0"
    rows = [line for line in lines if "→" in line]
    assert [row.split("→")[0][-2:].strip() + row.split("→")[1][:2] for row in rows] == ["0 2", "2 2", "2 0"]
    assert "!" in rows[0]
    assert "1799×" in rows[1]
    assert "9.12" in rows[1]
    assert "steady" in rows[1]
    assert "(0)" in rows[2]
    assert result.output.index("0 for 0.00 in flight") < result.output.index("retention 30 s")


def test_on_a_narrow_terminal_the_reasons_stand_below_the_numbers() -> None:
    console = Console(width=80, file=StringIO())
    answer = {"name": KEY, "decisions": msgspec.to_builtins(platform().log.entries(KEY))}
    console.print(decisions_view(answer))
    assert isinstance(console.file, StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert lines[-3].endswith("(0)")
    assert lines[-2:] == ["    0 for 0.00 in flight", "    retention 30 s"]
    assert max(map(len, lines)) <= 80


def test_json_is_what_the_autoscaler_said() -> None:
    with explaining(platform()) as port:
        result = run(KEY, "--address", f"127.0.0.1:{port}", "--output", "json")
    [status] = json.loads(result.output)["functions"]
    assert [one["decided"] for one in status["decisions"]] == [2, 2, 0]
    assert status["bucket"]["holder"]["pod"] == OUR_POD


def test_a_revision_that_nothing_was_decided_on_yet_says_so() -> None:
    with explaining(Platform(known={KEY: {}})) as port:
        assert "nothing decided yet" in run(KEY, "--address", f"127.0.0.1:{port}").output


def test_a_revision_that_is_not_there_says_where_to_look() -> None:
    with explaining(Platform()) as port:
        said = error("shop/typo", "--address", f"127.0.0.1:{port}")
    assert "kubectl get podautoscalers -n shop" in said


def test_an_autoscaler_that_does_not_decide_says_who_does() -> None:
    with explaining(Platform(holder="autoscaler-5f6b-qq8_10.0.0.8")) as port:
        said = error(KEY, "--address", f"127.0.0.1:{port}")
    assert f"its bucket {BUCKET} is held by autoscaler-5f6b-qq8 of Knative's own autoscaler" in said


def test_a_lost_lease_is_said_above_old_decisions() -> None:
    made = platform()
    made.holder = "dilu-autoscaler-7d9c-other_10.0.0.9"
    with explaining(made) as port:
        result = run(KEY, "--address", f"127.0.0.1:{port}")
    assert "This autoscaler does not hold the bucket" in result.output


def test_without_an_address_the_holder_of_the_lease_is_asked(tmp_path: Path) -> None:
    with (
        explaining(platform()) as port,
        cluster(tmp_path, lease(BUCKET, f"{OUR_POD}_127.0.0.1")) as kubeconfig,
    ):
        result = run(KEY, "--kubeconfig", str(kubeconfig), "--port", str(port))
    assert result.exit_code == 0
    assert "retention 30 s" in result.output


def test_the_kubeconfig_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        explaining(platform()) as port,
        cluster(tmp_path, lease(BUCKET, f"{OUR_POD}_127.0.0.1")) as kubeconfig,
    ):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        assert run(KEY, "--port", str(port)).exit_code == 0


def test_a_holder_out_of_reach_says_which_port_forward_to_run(tmp_path: Path) -> None:
    port = free_port()
    with cluster(tmp_path, lease(BUCKET, f"{OUR_POD}_127.0.0.1")) as kubeconfig:
        said = error(KEY, "--kubeconfig", str(kubeconfig), "--port", str(port))
    assert said.splitlines() == [
        f"127.0.0.1:{port} does not answer: Connection refused (pod {OUR_POD}, which decides on it).",
        "From outside the cluster's network, first run",
        f"  kubectl --kubeconfig '{kubeconfig}' port-forward -n knative-serving pod/{OUR_POD} {port}",
        "and then",
        f"  dilu explain {KEY} --address localhost:{port}",
    ]


def test_stock_that_holds_the_lease_is_said(tmp_path: Path) -> None:
    with cluster(tmp_path, lease(BUCKET, "autoscaler-5f6b-qq8_10.0.0.8")) as kubeconfig:
        said = error(KEY, "--kubeconfig", str(kubeconfig))
    assert said.startswith(f"Knative's own autoscaler holds {BUCKET} (pod autoscaler-5f6b-qq8, renewed 2026-01-01")
    assert "kubectl get pods -n knative-serving" in said


def test_our_release_may_have_another_name(tmp_path: Path) -> None:
    with (
        explaining(platform()) as port,
        cluster(tmp_path, lease(BUCKET, "gpu-autoscaler-1-2_127.0.0.1")) as kubeconfig,
    ):
        arguments = (KEY, "--kubeconfig", str(kubeconfig), "--port", str(port))
        assert error(*arguments).startswith("another program holds")
        assert run(*arguments, "--deployment", "gpu-autoscaler").exit_code == 0


def test_a_lease_without_a_holder_is_reported(tmp_path: Path) -> None:
    with cluster(tmp_path, lease(BUCKET, "")) as kubeconfig:
        assert f"{BUCKET} has no holder" in error(KEY, "--kubeconfig", str(kubeconfig))


def test_a_cluster_without_leases_of_knative_is_said(tmp_path: Path) -> None:
    with cluster(tmp_path, lease("controller.something.00-of-01", "x_1.2.3.4")) as kubeconfig:
        assert "--namespace" in error(KEY, "--kubeconfig", str(kubeconfig))


def test_a_person_who_may_not_read_leases_is_told_the_other_way(tmp_path: Path) -> None:
    with cluster(tmp_path, status=403) as kubeconfig:
        said = error(KEY, "--kubeconfig", str(kubeconfig))
    assert "leases is forbidden" in said
    assert "--address" in said


def test_a_cluster_out_of_reach_is_said(tmp_path: Path) -> None:
    with cluster(tmp_path) as kubeconfig:
        pass
    assert "Is it the right --kubeconfig?" in error(KEY, "--kubeconfig", str(kubeconfig))


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"functions": 3}', b'{"functions": [3]}', b'{"error": 1}', b"[" * 100_000]
)
def test_something_else_on_that_port_is_said(body: bytes) -> None:
    with answering({"/v1/status": (200, body)}) as port:
        assert "it is not an autoscaler of Dilu" in error(KEY, "--address", f"127.0.0.1:{port}")


def test_a_port_without_a_server_is_reported() -> None:
    said = error(KEY, "--address", f"127.0.0.1:{free_port()}")
    assert said.endswith("does not answer: Connection refused. Is `kubectl port-forward` running?")


def test_whatever_an_autoscaler_says_is_only_text() -> None:
    hostile = "[red]\x1b[31m\x07\n[/]"
    decision = {
        "first_s": 1e300,
        "last_s": "soon",
        "count": hostile,
        "kind": hostile,
        "before": {"a": hostile},
        "decided": True,
        "panicking": hostile,
        "first": {"reason": hostile * 1000, "stable": hostile},
        "last": hostile,
        "outcome": [hostile],
    }
    status = {"name": hostile, "bucket": hostile, "settings": {hostile: hostile}, "decisions": [decision, 3, None]}
    status |= {"ready": hostile, "starting": [hostile], "rps": hostile}
    with answering({"/v1/status": (200, json.dumps({"functions": [status]}).encode())}) as port:
        result = run(KEY, "--address", f"127.0.0.1:{port}")
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "\x07" not in result.output
    assert "[red]" in result.output


@pytest.mark.parametrize("revision", ["shop", "shop/", "Shop/embed", "a/b/c", "shop/\x1b[31m"])
def test_what_is_no_revision_is_refused_before_any_request(revision: str) -> None:
    assert "must be NAMESPACE/REVISION" in error(revision, "--address", "127.0.0.1:1")


@pytest.mark.parametrize(
    "address", ["", ":9090", "host:", "host:0", "host:99999", "host:http", "[::1", "a b:1", "[]:1"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        read_address(address, 9090)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost", ("localhost", 9090)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[fd00::1]:80", ("fd00::1", 80)),
        ("[fd00::1]", ("fd00::1", 9090)),
        ("fd00::1", ("fd00::1", 9090)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert read_address(text, 9090) == address


def bucket(ordinal: int, total: int, holder: str, renewed: str) -> Lease:
    return Lease(
        metadata=Meta(name=bucket_name(ordinal, total)), spec=LeaseSpec(holder_identity=holder, renew_time=renewed)
    )


def test_the_bucket_is_the_one_that_all_components_compute_for_the_key() -> None:
    leases = [bucket(ordinal, 3, f"dilu-autoscaler-{ordinal}_10.0.0.{ordinal}", "2026-01-01") for ordinal in range(3)]
    found = responsible_for(KEY, leases, "knative-serving", "dilu-autoscaler")
    assert found.bucket == owner(KEY, [bucket_name(ordinal, 3) for ordinal in range(3)])
    assert found.holder.ip == f"10.0.0.{int(found.bucket.split('-')[2])}"


def test_leases_of_another_number_of_buckets_are_old_if_others_were_renewed_later() -> None:
    leases = [bucket(0, 1, "old_1.1.1.1", "2025-12-31")]
    leases += [bucket(ordinal, 2, "dilu-autoscaler-a_10.0.0.1", "2026-01-01") for ordinal in range(2)]
    assert responsible_for(KEY, leases, "ns", "dilu-autoscaler").bucket.endswith("-of-02")
    assert responsible_for(KEY, leases[:2], "ns", "dilu-autoscaler").bucket.endswith("-of-02")


def test_a_holder_with_odd_characters_is_shown_as_text() -> None:
    found = responsible_for(KEY, [bucket(0, 1, "dilu-autoscaler-\x1b[31m_1.1.1.1", "")], "ns", "dilu-autoscaler")
    assert found.holder.pod.isprintable()
