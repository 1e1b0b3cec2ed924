"""`dilu explain`. Everything heavy is imported when it runs."""

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
@click.argument("revision", metavar="NAMESPACE/REVISION")
@click.option("--address", metavar="HOST:PORT", help="The autoscaler to ask.  [default: the one that decides now]")
@click.option("--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="How the cluster is reached.  [default: $KUBECONFIG, else ~/.kube/config]",
)
@click.option("--namespace", "-n", default="knative-serving", show_default=True, help="Where Knative Serving runs.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=9090, show_default=True, help="Where autoscalers explain."
)
@click.option("--deployment", default="dilu-autoscaler", show_default=True, help="The name of Dilu's Deployment there.")
def explain(
    revision: str,
    address: str | None,
    output: str,
    kubeconfig: Path | None,
    namespace: str,
    port: int,
    deployment: str,
) -> None:
    """Show why a revision on Knative has as many replicas as it has: the last decisions, the newest last.

    \b
    dilu explain default/embed-00001

    Without --address, the Lease of the revision's bucket says which pod decides, and that pod is asked. Its network is
    the cluster's: from outside, use `kubectl port-forward` and --address.
    """
    from dilu_autoscaler.knative.explaining.explain_answers import REVISION_KEY
    from dilu_autoscaler.knative.explaining.explain_client import read_address

    if not REVISION_KEY.fullmatch(revision):
        raise ConfigError(f"{revision!a}: must be NAMESPACE/REVISION, such as default/embed-00001")
    if address is not None:
        answer = _ask_there(read_address(address, port), revision)
    else:
        responsible = _find(revision, namespace, kubeconfig, deployment)
        answer = _ask_responsible(responsible, revision, namespace, kubeconfig, port)
    _check_known(answer, revision)
    if output == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        _print_table(answer)


def _ask_there(address: tuple[str, int], revision: str) -> dict[str, Any]:
    from dilu_autoscaler.knative.explaining.explain_client import NotReachedError, ask

    try:
        return ask(address, revision)
    except NotReachedError as error:
        raise NotReachedError(f"{error}. Is `kubectl port-forward` running?") from error


def _ask_responsible(
    responsible: Responsible, revision: str, namespace: str, kubeconfig: Path | None, port: int
) -> dict[str, Any]:
    from dilu_autoscaler.knative.explaining.explain_client import NotReachedError, ask
    from dilu_autoscaler.knative.explaining.explain_lookup import ip_of, way_in

    ip = ip_of(responsible, revision, namespace)
    try:
        return ask((ip, port), revision)
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
        raise DiluError(f"{error}. With --address it is not needed to read Leases") from error
    except KubeError as error:
        raise DiluError(f"the cluster does not say who decides: {error}. Is it the right --kubeconfig?") from error


def _check_known(answer: dict[str, Any], revision: str) -> None:
    """Raises `DiluError` where the answer is none, with who may know more."""
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
    pod = _printable(holder.get("pod")) or "nobody"
    whose = " of Knative's own autoscaler" if holder.get("side") == "stock" else ""
    name = _printable(bucket.get("name"))
    raise DiluError(
        f"{revision}: this autoscaler does not decide on it; its bucket {name} is held by {pod}{whose}. "
        "Without --address the right one is asked"
    )


def _print_table(answer: dict[str, Any]) -> None:
    from rich.console import Console

    from dilu_autoscaler.knative.explaining.explain_view import decisions_view

    console = Console(width=None if sys.stdout.isatty() else 160)  # a file or a pipe has no width of its own
    console.print(decisions_view(answer))


def _printable(value: object) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", str(value or ""))[:200]
