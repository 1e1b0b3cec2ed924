"""`dilu autoscaler`: the process that scales the revisions of a Knative."""

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
    help="replace: be the autoscaler. coexist: Knative's own takes the websockets and stands by. "
    "observe: say what would be done, and write nothing. Or $DILU_AUTOSCALER_MODE.",
)
@click.option("--dry-run", is_flag=True, help="The same as --mode observe.")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="How the cluster is reached. Default: $KUBECONFIG, or the pod's service account.",
)
@click.option(
    "--policy",
    envvar="DILU_AUTOSCALER_POLICY",
    help="Decides on revisions with dilu.dev/sm-request; all others are KPA's. Or $DILU_AUTOSCALER_POLICY.  "
    "[default: dilu]",
)
@click.option(
    "--record",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DILU_AUTOSCALER_RECORD",
    help="Write what is seen of every revision there, for `dilu policy replay`. Or $DILU_AUTOSCALER_RECORD.",
)
@click.option("--stat-port", default=8080, show_default=True, help="Where activators report.")
@click.option("--explain-port", default=9090, show_default=True, help="Metrics and the last decisions.")
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
    """Scale the revisions of a Knative, in the place of its own autoscaler.

    Runs in a pod (charts/dilu), or anywhere that reaches the pods. $SYSTEM_NAMESPACE, $POD_NAME and $POD_IP say where
    it is; other replicas, and Knative's own autoscaler, find it by them.
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
