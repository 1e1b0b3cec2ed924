"""The programs that make a cluster: how each is started, and how it says that it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .network import API_PORT, NODE_IP, SERVICE_NETWORK
from .places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One program of a cluster."""

    name: str
    argv: tuple[str, ...]
    health: str  # http(s)://… in the cluster's network, or the path of a Unix socket that must accept
    timeout_s: float = 60.0
    environment: Mapping[str, str] = field(default_factory=dict)


def _flags(**values: object) -> tuple[str, ...]:
    return tuple(f"--{name.replace('_', '-')}={value}" for name, value in values.items())


def etcd() -> Component:
    """Return etcd."""
    return Component(
        name="etcd",
        argv=(
            "etcd",
            *_flags(
                data_dir="/var/lib/etcd",
                listen_client_urls="http://127.0.0.1:2379",
                advertise_client_urls="http://127.0.0.1:2379",
                listen_peer_urls="http://127.0.0.1:2380",
                snapshot_count=10000,
                quota_backend_bytes=2 << 30,
            ),
        ),
        health="http://127.0.0.1:2379/health",
    )


def api_server(places: Places, program: str) -> Component:
    """Return the API server."""
    pki = places.certificates
    return Component(
        name="kube-apiserver",
        argv=(
            program,
            *_flags(
                advertise_address=NODE_IP,
                secure_port=API_PORT,
                etcd_servers="http://127.0.0.1:2379",
                service_cluster_ip_range=SERVICE_NETWORK,
                authorization_mode="Node,RBAC",
                allow_privileged="true",
                client_ca_file=pki / "ca.crt",
                tls_cert_file=pki / "apiserver.crt",
                tls_private_key_file=pki / "apiserver.key",
                kubelet_client_certificate=pki / "apiserver-kubelet.crt",
                kubelet_client_key=pki / "apiserver-kubelet.key",
                kubelet_certificate_authority=pki / "ca.crt",
                kubelet_preferred_address_types="InternalIP",
                service_account_issuer="https://kubernetes.default.svc.cluster.local",
                service_account_key_file=pki / "accounts.pub",
                service_account_signing_key_file=pki / "accounts.key",
            ),
        ),
        health=f"https://{NODE_IP}:{API_PORT}/readyz",
    )


def controller_manager(places: Places, program: str) -> Component:
    """Kubernetes' own controllers."""
    kubeconfig = places.configuration / "controller-manager.kubeconfig"
    return Component(
        name="kube-controller-manager",
        argv=(
            program,
            *_flags(
                kubeconfig=kubeconfig,
                authentication_kubeconfig=kubeconfig,
                authorization_kubeconfig=kubeconfig,
                leader_elect="false",
                kube_api_qps=200,  # hundreds of fake nodes at once
                kube_api_burst=400,
                use_service_account_credentials="true",
                root_ca_file=places.certificates / "ca.crt",
                service_account_private_key_file=places.certificates / "accounts.key",
                cluster_signing_cert_file=places.certificates / "ca.crt",
                cluster_signing_key_file=places.certificates / "ca.key",
                bind_address="127.0.0.1",
            ),
        ),
        health="https://127.0.0.1:10257/healthz",
    )


def scheduler(places: Places, program: str) -> Component:
    """Return the scheduler; its configuration is a file, so that tests can change it and restart it."""
    kubeconfig = places.configuration / "scheduler.kubeconfig"
    return Component(
        name="kube-scheduler",
        argv=(
            program,
            *_flags(
                config=places.configuration / "scheduler.yaml",
                authentication_kubeconfig=kubeconfig,
                authorization_kubeconfig=kubeconfig,
                bind_address="127.0.0.1",
            ),
        ),
        health="https://127.0.0.1:10259/healthz",
    )


def containerd(places: Places) -> Component:
    """Return the container runtime."""
    return Component(
        name="containerd",
        argv=("containerd", "--config", str(places.configuration / "containerd.toml")),
        health="/run/containerd/containerd.sock",
    )


def kubelet(places: Places, program: str, node: str) -> Component:
    """Return the kubelet."""
    return Component(
        name="kubelet",
        argv=(
            program,
            *_flags(
                config=places.configuration / "kubelet.yaml",
                kubeconfig=places.configuration / "kubelet.kubeconfig",
                hostname_override=node,
                node_ip=NODE_IP,
                cert_dir="/var/lib/kubelet/pki",
            ),
        ),
        health="http://127.0.0.1:10248/healthz",
    )


def kube_proxy(places: Places, program: str) -> Component:
    """Services, as packet filter rules."""
    return Component(
        name="kube-proxy",
        argv=(program, *_flags(config=places.configuration / "proxy.yaml")),
        health="http://127.0.0.1:10256/livez",
    )


def coredns(places: Places, program: str) -> Component:
    """Names of services; a process of the node, for a pod would cost every start some seconds."""
    return Component(
        name="coredns",
        argv=(program, "-conf", str(places.configuration / "Corefile")),
        health="http://127.0.0.1:8181/ready",
    )


def fake_node_heartbeats(places: Places, python: str, root: Path) -> Component:
    """Return the heartbeats of nodes that are only objects."""
    return Component(
        name="fake-nodes",
        argv=(python, "-m", "tools.testcluster.heartbeats", str(places.directory)),
        health="",
        environment={"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
    )
