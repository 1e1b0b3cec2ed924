"""The configuration files of the components."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml

from .network import API_PORT, DNS_SERVICE_IP, NODE_IP, POD_NETWORK
from .places import Places

KUBECONFIGS: Final = ("admin", "controller-manager", "scheduler", "proxy", "kubelet")


def write_configuration(places: Places, *, cgroup: str, pause_image: str) -> None:
    """Write every file that a component reads."""
    directory = places.configuration
    (directory / "cni").mkdir(parents=True, exist_ok=True)
    for user in KUBECONFIGS:
        _write_yaml(directory / f"{user}.kubeconfig", _kubeconfig(places, user))
    (directory / "resolv.conf").write_text(f"nameserver {NODE_IP}\n")
    (directory / "Corefile").write_text(_corefile(places))
    (directory / "containerd.toml").write_text(_containerd(directory / "cni", pause_image))
    (directory / "cni/10-pods.conflist").write_text(json.dumps(_pod_network(), indent=1))
    _write_yaml(directory / "kubelet.yaml", _kubelet(places, cgroup))
    _write_yaml(directory / "proxy.yaml", _proxy(directory))
    _write_yaml(directory / "scheduler.yaml", _scheduler(directory))


def _write_yaml(path: Path, value: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False))


def _kubeconfig(places: Places, user: str) -> dict[str, Any]:
    pki = places.certificates
    cluster = {"server": f"https://{NODE_IP}:{API_PORT}", "certificate-authority": str(pki / "ca.crt")}
    credentials = {"client-certificate": str(pki / f"{user}.crt"), "client-key": str(pki / f"{user}.key")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": places.name, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": places.name, "context": {"cluster": places.name, "user": user}}],
        "current-context": places.name,
    }


def _corefile(places: Places) -> str:
    # Two blocks: in one, the template would answer for the cluster's names as well.
    return f"""cluster.local:53 in-addr.arpa:53 {{
    bind {NODE_IP}
    errors
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {places.kubeconfig}
        ttl 5
    }}
}}
.:53 {{
    bind {NODE_IP}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def _containerd(cni: Path, pause_image: str) -> str:
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower it, and no container starts.
    return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  restrict_oom_score_adj = true
  max_concurrent_downloads = 1
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{cni}"
"""


def _pod_network() -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": POD_NETWORK}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }


def _kubelet(places: Places, cgroup: str) -> dict[str, Any]:
    pki = places.certificates
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",  # or two kubelets take each other's pods for orphans
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,  # a deleted image could not be pulled again
        "imageGCLowThresholdPercent": 99,
        "clusterDNS": [DNS_SERVICE_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": str(places.configuration / "resolv.conf"),
        "maxPods": 250,
        "serializeImagePulls": False,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    }


def _proxy(directory: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(directory / "proxy.kubeconfig")},
        "mode": "iptables",
        "clusterCIDR": POD_NETWORK,
        # These settings of the kernel belong to the machine, not to a namespace: leave them as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
    }


def _scheduler(directory: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(directory / "scheduler.kubeconfig")},
        "leaderElection": {"leaderElect": False},
    }
