"""Watches the pods of a namespace and reports the cost: `watch_pods.py ours|package NAMESPACE`.

Writes a line of JSON after the import and after the first list, and one for every line that it reads.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, cast


def resident_mib() -> float:
    """Return the memory that only this process holds."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    kib = sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))
    return kib / 1024


class Report:
    """The use so far, as lines of JSON."""

    def __init__(self) -> None:
        self.events = 0

    def write(self, what: str, **more: Any) -> None:
        """Write one line."""
        line = {"what": what, "cpu_s": time.process_time(), "mib": resident_mib(), "events": self.events, **more}
        print(json.dumps(line), flush=True)


def ours(namespace: str, report: Report) -> None:
    import asyncio

    import uvloop

    from dilu_kube.client import KubeClient
    from dilu_kube.informers import Informer
    from dilu_kube.objects import Pod
    from dilu_kube.resources import PODS

    report.write("imported")

    def count(key: str, before: Pod | None, after: Pod | None) -> None:
        report.events += 1

    def revision(pod: Pod) -> str:
        return pod.metadata.labels["serving.knative.dev/revision"]

    async def main() -> None:
        client = await KubeClient.connect()
        informer = Informer(client, PODS, type=Pod, namespace=namespace, index=revision)
        informer.on_change(count)
        informer.start()
        await informer.synced()
        report.write("synced", objects=len(informer))
        while await asyncio.to_thread(sys.stdin.readline):
            report.write("mark")
        await informer.close()
        await client.close()

    uvloop.run(main())


def package(namespace: str, report: Report) -> None:
    from kubernetes import client, config
    from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer

    load, new_informer = cast("Any", config.load_kube_config), cast("Any", SharedInformer)  # without types
    load()
    api = client.CoreV1Api()
    report.write("imported")

    def count(pod: object) -> None:
        report.events += 1

    informer = new_informer(api.list_namespaced_pod, namespace=namespace)
    for kind in (ADDED, MODIFIED, DELETED):
        informer.add_event_handler(kind, count)
    informer.start()
    wanted = int(sys.argv[3])
    while report.events < wanted:  # it does not report when it has seen all
        time.sleep(0.05)
    report.write("synced", objects=len(informer.cache.list()))
    while sys.stdin.readline():
        report.write("mark")


if __name__ == "__main__":
    {"ours": ours, "package": package}[sys.argv[1]](sys.argv[2], Report())
