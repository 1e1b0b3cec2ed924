"""One certificate authority for a cluster, and what it signs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import ClusterError
from .network import API_SERVICE_IP, NODE_IP

_CURVE: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS: Final = "30"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a certificate says its holder is."""

    name: str
    group: str | None = None
    hosts: tuple[str, ...] = ()  # "IP:…" and "DNS:…"; none for a client


def identities(node: str) -> Mapping[str, Identity]:
    """Return the holder of each certificate, by the name of its files."""
    api = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    )
    addresses = (API_SERVICE_IP, NODE_IP, "127.0.0.1")
    hosts = tuple(f"DNS:{one}" for one in api) + tuple(f"IP:{one}" for one in addresses)
    return {
        "apiserver": Identity(name="kube-apiserver", hosts=hosts),
        "apiserver-kubelet": Identity(name="kube-apiserver-kubelet-client", group="system:masters"),
        "admin": Identity(name="dilu-test-admin", group="system:masters"),
        "controller-manager": Identity(name="system:kube-controller-manager"),
        "scheduler": Identity(name="system:kube-scheduler"),
        "proxy": Identity(name="system:kube-proxy"),
        "kubelet": Identity(
            name=f"system:node:{node}", group="system:nodes", hosts=(f"DNS:{node}", f"IP:{NODE_IP}", "IP:127.0.0.1")
        ),
    }


def make_certificates(directory: Path, node: str) -> None:
    """Write NAME.crt and NAME.key of the authority and of each identity, and the key pair of accounts' tokens."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca = [*_CURVE, "-keyout", "ca.key", "-out", "ca.crt", "-days", _DAYS, "-subj", "/CN=dilu-test-ca"]
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"]
    _openssl(directory, "req", "-x509", *ca, *usage)
    for file, identity in identities(node).items():
        subject = (f"/O={identity.group}" if identity.group else "") + f"/CN={identity.name}"
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-days", _DAYS, "-subj", subject]
        signed += ["-keyout", f"{file}.key", "-out", f"{file}.crt"]
        extensions = [
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "extendedKeyUsage=clientAuth,serverAuth",
        ]
        if identity.hosts:
            extensions += ["-addext", f"subjectAltName={','.join(identity.hosts)}"]
        _openssl(directory, "req", "-x509", *_CURVE, *signed, *extensions)
    _openssl(directory, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "accounts.key")
    _openssl(directory, "pkey", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")


def _openssl(directory: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"openssl {arguments[0]}: {done.stderr.strip()}")
