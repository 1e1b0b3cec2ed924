"""Dilu on a cluster as people have it: the chart, installed by helm, with the images of the sources as they are now."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from types import MappingProxyType
from typing import Any, Final

from .api import Object, is_ready
from .cluster import Cluster, Response
from .errors import ApiError, ClusterError
from .places import ROOT
from .python_images import AUTOSCALER_IMAGE, PythonImages, build_python_images
from .sockets import ClusterConnection

RELEASE: Final = "dilu"
SERVING_NAMESPACE: Final = "knative-serving"
OURS: Final = "dilu-autoscaler"
STOCK: Final = "autoscaler"
CHART: Final = ROOT / "charts/dilu"
MODES: Final = ("replace", "coexist", "observe")
METRICS_PORT: Final = 9090
TAKEOVER_S: Final = 45  # each step of a hand-over
_HELM_S: Final = 180.0
_LINES_SHOWN: Final = 5
_ENDED_S: Final = 60.0
_BUCKET: Final = "autoscaler-bucket-00-of-01"

Values = Mapping[str, object]
_NONE: Final[Values] = MappingProxyType({})


class Dilu:
    """Dilu's release on one cluster: install it, change it, ask it, remove it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    # -- by helm

    def install(self, *, mode: str = "replace", values: Values = _NONE, release: str = RELEASE) -> str:
        """Install with values such as {"autoscaler.replicas": 3}; in mode replace ours holds the lease afterwards."""
        return self._change("install", release, mode, values)

    def upgrade(self, *, mode: str = "replace", values: Values = _NONE) -> str:
        """Change mode or values and return helm's output; values that are not named return to their defaults."""
        return self._change("upgrade", RELEASE, mode, values)

    def uninstall(self) -> str:
        """Uninstall and return helm's output; Knative's autoscaler holds the lease afterwards."""
        said = self._helm("uninstall", RELEASE, "--wait")
        self.wait_ended()
        return said

    def test(self) -> str:
        """What `helm test` says."""
        return self._helm("test", RELEASE, "--timeout=120s")

    def values_of(self) -> Mapping[str, Any] | None:
        """Return the values that the release was given; None if there is no release."""
        found = self.cluster.run("helm", "list", "--namespace", SERVING_NAMESPACE, "--all", "--output", "json")
        if RELEASE not in [one["name"] for one in json.loads(found.stdout)]:
            return None
        command = ("helm", "get", "values", RELEASE, "--namespace", SERVING_NAMESPACE, "--output", "json")
        values: Mapping[str, Any] = json.loads(self.cluster.run(*command).stdout)
        return values

    def _change(self, verb: str, release: str, mode: str, values: Values) -> str:
        try:
            return self._helm(verb, release, str(CHART), *_settings(mode, values))
        except ClusterError as error:
            raise ClusterError(f"{error}\n{self._last_words()}".rstrip()) from error

    def _last_words(self) -> str:
        """Return the end of the logs of our pods, including those in a crash loop."""
        command = ("kubectl", "logs", f"--selector=app.kubernetes.io/name={OURS}", f"--tail={_LINES_SHOWN}", "--prefix")
        done = self.cluster.run(*command, "--namespace", SERVING_NAMESPACE, check=False)
        return done.stdout.strip()

    def _helm(self, *arguments: str) -> str:
        command = ("helm", *arguments, "--namespace", SERVING_NAMESPACE)
        done = self.cluster.run(*command, timeout_s=_HELM_S)
        return done.stdout + done.stderr  # where helm writes what hooks and tests say

    # -- what runs

    def pods(self, deployment: str = OURS) -> list[Object]:
        """Return the ready pods of ours, or of Knative's autoscaler (`STOCK`), that are not being deleted."""
        label = f"app.kubernetes.io/name={OURS}" if deployment == OURS else f"app={STOCK}"
        found = self.cluster.api.items("v1", "Pod", SERVING_NAMESPACE, labels=label)
        return [
            pod
            for pod in found
            if pod["metadata"]["name"].startswith(f"{deployment}-")
            and is_ready(pod)
            and not pod["metadata"].get("deletionTimestamp")
        ]

    def wait_for_pods(self, count: int, *, timeout_s: float = 60.0) -> list[Object]:
        """Return our pods as soon as `count` are ready and there are no others."""
        found: list[Object] = self.cluster.api.wait_for_list(
            "v1",
            "Pod",
            SERVING_NAMESPACE,
            lambda pods: len(pods) == count and all(is_ready(pod) for pod in pods),
            timeout_s=timeout_s,
            what=f"{count} ready pods of {OURS}",
            labels=f"app.kubernetes.io/name={OURS}",
        )
        return found

    def wait_ended(self, *, timeout_s: float = _ENDED_S) -> None:
        """Return when no pod of ours is left, and none of the chart's hooks."""
        for name in (OURS, "dilu-takeover"):
            self.cluster.api.wait_for_list(
                "v1",
                "Pod",
                SERVING_NAMESPACE,
                lambda pods: not pods,
                timeout_s=timeout_s,
                what=f"the end of the pods of {name}",
                labels=f"app.kubernetes.io/name={name}",
            )

    def holder(self) -> str:
        """Return the pod that the lease names; "" if it has no holder."""
        lease = self.cluster.api.get("coordination.k8s.io/v1", "Lease", _BUCKET, SERVING_NAMESPACE)
        return _holder(lease)

    def wait_for_holder(self, deployment: str = OURS, *, timeout_s: float = 60.0, but: str = "") -> str:
        """Return the pod that holds the lease, as soon as it is one of this deployment and not the one named."""
        lease = self.cluster.api.wait_for(
            "coordination.k8s.io/v1",
            "Lease",
            _BUCKET,
            SERVING_NAMESPACE,
            lambda lease: _holder(lease).startswith(f"{deployment}-") and _holder(lease) != but,
            timeout_s=timeout_s,
            what=f"the lease of {deployment}",
        )
        return _holder(lease)

    def stock_replicas(self) -> int:
        """How many replicas Knative's autoscaler is to have."""
        found: int = self.cluster.api.get("apps/v1", "Deployment", STOCK, SERVING_NAMESPACE)["spec"]["replicas"]
        return found

    # -- what it says

    def ask(self, pod: Object, path: str) -> Response:
        """Return the answer of one pod on its metrics port."""
        ip: str = pod["status"]["podIP"]
        with closing(ClusterConnection(self.cluster.sandbox.network, ip, METRICS_PORT, timeout_s=10.0)) as connection:
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                headers = {name.lower(): value for name, value in response.getheaders()}
                return Response(status=response.status, headers=headers, body=response.read())
            except http.client.HTTPException as error:
                raise ClusterError(f"GET {ip}:{METRICS_PORT}{path}: {error!r}") from error

    def numbers(self, pod: Object) -> dict[str, float]:
        """Return the pod's metrics: a line's name with its labels, and its value."""
        lines = self.ask(pod, "/metrics").text.splitlines()
        pairs = [line.rpartition(" ") for line in lines if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in pairs}

    def decisions(self, revision: str) -> Mapping[str, Any]:
        """Return the lease holder's status of a revision (NAMESPACE/NAME), with its last decisions."""
        holder = self.holder()
        [pod] = [one for one in self.pods() if one["metadata"]["name"] == holder]
        functions = json.loads(self.ask(pod, f"/v1/status?function={revision}").body).get("functions", [])
        return functions[0] if functions else {}


def load_python_images(cluster: Cluster) -> PythonImages:
    """Our images, on the node too. Builds what is not in the cache."""
    images = build_python_images()
    for archive in (images.autoscaler, images.function, images.example):
        cluster.load_image(archive)
    return images


@contextmanager
def installed(cluster: Cluster, *, mode: str = "replace", values: Values = _NONE) -> Iterator[Dilu]:
    """Dilu while it is installed; afterwards Knative's autoscaler is in its place as before, whatever happened."""
    dilu = Dilu(cluster)
    try:
        dilu.install(mode=mode, values=values)
        yield dilu
    finally:
        restore_stock(dilu)


def restore_stock(dilu: Dilu) -> None:
    """No release of ours is left, and Knative's autoscaler has the lease; also after an installation that failed."""
    if dilu.values_of() is not None:
        try:
            dilu.uninstall()
        except ClusterError:
            _restore_by_hand(dilu)
    dilu.wait_for_holder(STOCK, timeout_s=90.0)


def _restore_by_hand(dilu: Dilu) -> None:
    """Do what docs/install.md prescribes for a hook that cannot run."""
    api = dilu.cluster.api
    note: Object = {"metadata": {"annotations": {"dilu.dev/stock-replicas": None}}, "spec": {"replicas": 1}}
    api.patch("apps/v1", "Deployment", STOCK, SERVING_NAMESPACE, note)
    with suppress(ApiError):  # it may not have been made
        api.patch("apps/v1", "Deployment", OURS, SERVING_NAMESPACE, {"spec": {"replicas": 0}})
    dilu.cluster.run("helm", "uninstall", RELEASE, "--namespace", SERVING_NAMESPACE, "--no-hooks", timeout_s=_HELM_S)
    dilu.wait_ended()


def _holder(lease: Object) -> str:
    identity: str = lease["spec"].get("holderIdentity") or ""
    return identity.partition("_")[0]


def _settings(mode: str, values: Values) -> list[str]:
    repository, _, tag = AUTOSCALER_IMAGE.partition(":")
    set_here = {
        "autoscaler.mode": mode,
        "autoscaler.image.repository": repository,
        "autoscaler.image.tag": tag,
        "takeover.timeoutSeconds": TAKEOVER_S,
    }
    flags = [f"--set-json={name}={json.dumps(value)}" for name, value in {**set_here, **values}.items()]
    return [*flags, "--wait", f"--timeout={_HELM_S - 30:.0f}s"]
