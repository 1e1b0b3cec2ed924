"""Servers that a blocking command talks to: a platform's explanations, and an API server that lists Leases."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from dilu_autoscaler.knative.explaining.explain_server import ExplainServer
from knative.explaining.platforms import Platform


@contextmanager
def explaining(platform: Platform, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve the explanations of `platform`; yields the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = ExplainServer(platform)
        port = asyncio.run_coroutine_threadsafe(server.start(host, 0), loop).result(10)
        try:
            yield port
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def answering(answers: Mapping[str, tuple[int, bytes]]) -> Iterator[int]:
    """Serve (status, body) by path, for any query; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path.partition("?")[0], (404, b"{}"))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def lease(name: str, holder: str, renewed: str = "2026-01-01T00:00:00.000000Z") -> dict[str, Any]:
    """Return a bucket's Lease."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}
    return {"metadata": {"name": name, "namespace": "knative-serving"}, "spec": spec}


@contextmanager
def cluster(folder: Path, *leases: dict[str, Any], status: int = 200) -> Iterator[Path]:
    """Serve these Leases as an API server, or another status; yields its kubeconfig."""
    path = "/apis/coordination.k8s.io/v1/namespaces/knative-serving/leases"
    listed: dict[str, Any] = {"kind": "LeaseList", "metadata": {"resourceVersion": "1"}, "items": list(leases)}
    said = listed if status == 200 else {"kind": "Status", "message": "leases is forbidden", "code": status}
    with answering({path: (status, json.dumps(said).encode())}) as port:
        kubeconfig = folder / "kube config"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                    "users": [{"name": "test", "user": {"token": "t"}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                }
            )
        )
        yield kubeconfig
