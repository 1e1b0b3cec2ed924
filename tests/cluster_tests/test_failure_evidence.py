"""What is kept of a failed test."""

from __future__ import annotations

from pathlib import Path

from testcluster.cluster import Cluster
from testcluster.evidence import save_evidence
from testcluster.services import create_service


def test_objects_events_and_logs_are_kept(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    url = create_service(cluster, namespace, "hello")["status"]["url"]
    cluster.http(url)
    save_evidence(cluster, namespace, tmp_path / "evidence")
    found = {str(path.relative_to(tmp_path / "evidence")) for path in (tmp_path / "evidence").rglob("*")}
    assert {"Pod.yaml", "Event.yaml", "Service.serving.knative.dev.yaml", "logs/kubelet.log"} <= found
    [log] = [name for name in found if name.endswith(".user-container.log")]
    assert "Hello world received a request" in (tmp_path / "evidence" / log).read_text()
    assert any(name.startswith("logs/knative-serving.autoscaler") for name in found)
    assert "reason: Scheduled" in (tmp_path / "evidence/Event.yaml").read_text()
