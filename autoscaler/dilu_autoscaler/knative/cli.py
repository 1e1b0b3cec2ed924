"""`dilu autoscaler`: the process that scales revisions on Knative."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Final

import click

from dilu.errors import DiluError

_MODES: Final = ("replace", "coexist", "observe")


@click.command()
@click.option(
    "--mode",
    type=click.Choice(_MODES),
    envvar="DILU_AUTOSCALER_MODE",
    default="replace",
    show_default=True,
    help="replace: be the autoscaler. coexist: Knative's accepts the websockets and stands by. "
    "observe: log what would be done, and write nothing. Or $DILU_AUTOSCALER_MODE.",
)
@click.option("--dry-run", is_flag=True, help="The same as --mode observe.")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="How to reach the cluster. Default: $KUBECONFIG, or the pod's service account.",
)
@click.option(
    "--policy",
    envvar="DILU_AUTOSCALER_POLICY",
    help="The policy of revisions with dilu.dev/sm-request; KPA decides on all others. Or $DILU_AUTOSCALER_POLICY.  "
    "[default: dilu]",
)
@click.option(
    "--record",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DILU_AUTOSCALER_RECORD",
    help="Record every revision there, for `dilu policy replay`. Or $DILU_AUTOSCALER_RECORD.",
)
@click.option("--stat-port", default=8080, show_default=True, help="The port that activators report to.")
@click.option("--explain-port", default=9090, show_default=True, help="The port of metrics and of the last decisions.")
@click.option(
    "--log-format",
    type=click.Choice(("json", "plain")),
    envvar="DILU_LOG_FORMAT",
    default="json",
    show_default=True,
    help="Or $DILU_LOG_FORMAT.",
)
def autoscaler(
    mode: str,
    dry_run: bool,
    kubeconfig: Path | None,
    policy: str | None,
    record: Path | None,
    stat_port: int,
    explain_port: int,
    log_format: str,
) -> None:
    """Scale the revisions of a cluster with Knative, in place of Knative's own autoscaler.

    Runs in a pod (charts/dilu), or anywhere that reaches the pods. $SYSTEM_NAMESPACE, $POD_NAME and $POD_IP are its
    identity, by which other replicas and Knative's own autoscaler find it.
    """
    from dilu_autoscaler.knative.serving import configure_logs, serve
    from dilu_autoscaler.policy.horizontal import DEFAULT_POLICY

    configure_logs(log_format)
    try:
        sys.exit(
            serve(
                dict(os.environ),
                mode="observe" if dry_run else mode,
                kubeconfig=kubeconfig,
                policy=policy or DEFAULT_POLICY,
                record=record,
                stat_port=stat_port,
                explain_port=explain_port,
            )
        )
    except DiluError as error:
        logging.getLogger(__name__).error("%s", error)
        sys.exit(2)
