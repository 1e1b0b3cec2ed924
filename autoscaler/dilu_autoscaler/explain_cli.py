"""`dilu explain`, for functions on this machine and revisions on Knative. Heavy imports happen when it runs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilu.errors import ConfigError, DiluError

if TYPE_CHECKING:
    from dilu_autoscaler.knative.explaining.explain_lookup import Responsible


@click.command()
@click.argument("function", metavar="FUNCTION|NAMESPACE/REVISION")
@click.option("--name", help="Local: the platform, if several are up.")
@click.option("--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--address", metavar="HOST:PORT", help="Knative: the autoscaler to query.  [default: the lease's holder]")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Knative: how to reach the cluster.  [default: $KUBECONFIG, else ~/.kube/config]",
)
@click.option("--namespace", "-n", default="knative-serving", show_default=True, help="Where Knative Serving runs.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=9090, show_default=True, help="The autoscalers' explain port."
)
@click.option("--deployment", default="dilu-autoscaler", show_default=True, help="The name of Dilu's Deployment there.")
def explain(
    function: str,
    name: str | None,
    output: str,
    address: str | None,
    kubeconfig: Path | None,
    namespace: str,
    port: int,
    deployment: str,
) -> None:
    """Show why a function has as many replicas as it has: its last decisions, the newest last.

    \b
    dilu explain embed                  a function of `dilu up`
    dilu explain default/embed-00001    a revision on Knative

    On Knative, the Lease of the revision's bucket names the pod that decides, and that pod is queried. It listens on
    the cluster's network: from outside, use `kubectl port-forward` and --address.
    """
    if "/" not in function and address is None:
        answer = _local_status(function, name)
    else:
        answer = _knative_status(function, address, kubeconfig, namespace, port, deployment)
    if output == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        _print_table(answer["functions"][0])


def _local_status(function: str, name: str | None) -> dict[str, Any]:
    from dilu_autoscaler.local.client import platform_with, read_status

    platform, _ = platform_with(function, name)
    return read_status(platform, function)


# --- Knative ---------------------------------------------------------------------------------------------------------


def _knative_status(
    revision: str, address: str | None, kubeconfig: Path | None, namespace: str, port: int, deployment: str
) -> dict[str, Any]:
    from dilu_autoscaler.knative.explaining.explain_answers import REVISION_KEY
    from dilu_autoscaler.knative.explaining.explain_client import read_address

    if not REVISION_KEY.fullmatch(revision):
        raise ConfigError(f"{revision!a}: must be NAMESPACE/REVISION, such as default/embed-00001")
    if address is not None:
        answer = _query_address(read_address(address, port), revision)
    else:
        responsible = _find(revision, namespace, kubeconfig, deployment)
        answer = _query_responsible(responsible, revision, namespace, kubeconfig, port)
    _check_known(answer, revision)
    return answer


def _query_address(address: tuple[str, int], revision: str) -> dict[str, Any]:
    from dilu_autoscaler.knative.explaining.explain_client import NotReachedError, read_status

    try:
        return read_status(address, revision)
    except NotReachedError as error:
        raise NotReachedError(f"{error}. Is `kubectl port-forward` running?") from error


def _query_responsible(
    responsible: Responsible, revision: str, namespace: str, kubeconfig: Path | None, port: int
) -> dict[str, Any]:
    from dilu_autoscaler.knative.explaining.explain_client import NotReachedError, read_status
    from dilu_autoscaler.knative.explaining.explain_lookup import ip_of, way_in

    ip = ip_of(responsible, revision, namespace)
    try:
        return read_status((ip, port), revision)
    except NotReachedError as error:
        way = way_in(responsible, revision, namespace, kubeconfig, port)
        raise NotReachedError(f"{error} (pod {responsible.holder.pod}, which decides on it).\n{way}") from error


def _find(revision: str, namespace: str, kubeconfig: Path | None, deployment: str) -> Responsible:
    import asyncio

    from dilu_autoscaler.knative.explaining.explain_lookup import find_responsible
    from dilu_kube.client import Forbidden, KubeError

    try:
        return asyncio.run(find_responsible(revision, namespace, kubeconfig, deployment))
    except Forbidden as error:
        raise DiluError(f"{error}. With --address, reading Leases is not needed") from error
    except KubeError as error:
        raise DiluError(f"cannot find out who decides: {error}. Is it the right --kubeconfig?") from error


def _check_known(answer: dict[str, Any], revision: str) -> None:
    """Raise `DiluError` for an answer that is an error, and name the autoscaler that may know more."""
    if "error" not in answer:
        return
    bucket = answer.get("bucket")
    holder = bucket.get("holder") if isinstance(bucket, dict) else None
    if not isinstance(bucket, dict) or not isinstance(holder, dict):
        raise DiluError(f"the autoscaler refused: {_printable(answer['error'].get('message'))}")
    if bucket.get("is_held") is True:
        raise DiluError(
            f"{revision}: the autoscaler knows no such revision of class kpa.autoscaling.knative.dev. Is there a "
            f"PodAutoscaler of that name? kubectl get podautoscalers -n {revision.partition('/')[0]}"
        )
    pod = _printable(holder.get("pod")) or "no pod"
    whose = " of Knative's own autoscaler" if holder.get("side") == "stock" else ""
    name = _printable(bucket.get("name"))
    raise DiluError(
        f"{revision}: this autoscaler does not decide on it; its bucket {name} is held by {pod}{whose}. "
        "Without --address, `dilu explain` finds the right one"
    )


def _print_table(status: dict[str, Any]) -> None:
    from rich.console import Console

    from dilu_autoscaler.explaining.view import decisions_view

    console = Console(width=None if sys.stdout.isatty() else 160)  # a file or a pipe has no width of its own
    console.print(decisions_view(status))


def _printable(value: object) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", str(value or ""))[:200]
