"""The life of a cluster: up, down, and what is known of it between."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from . import components, knative_setup
from .api import Object, condition_of
from .build import PAUSE_IMAGE, Built, build
from .certificates import make_certificates
from .cluster import Cluster
from .configuration import write_configuration
from .console import say, step
from .errors import ClusterError
from .health import explained, start_and_wait
from .machine import install_packages, require_machine, require_room_to_build, require_room_to_run, require_root
from .network import DNS_SERVICE_IP, NODE_IP
from .parts import DEFAULT_KNATIVE, knative_release
from .places import Places, cache_directory, places_of
from .record import ProcessId, Record, only_one, read_record, record_draft, write_record
from .sandbox import (
    Sandbox,
    create_sandbox,
    end_sandbox,
    make_cgroups,
    plan_cgroups,
    remove_cgroups,
    remove_tree,
)
from .sockets import unchecked_context

_NODE_READY_S: Final = 60.0


def build_all(release: str = DEFAULT_KNATIVE) -> Built:
    """Everything that a cluster with this Knative needs; installs Debian's packages where they are missing."""
    knative = knative_release(release)
    require_machine()
    install_packages()
    require_room_to_build(cache_directory())
    return build(knative)


def up(name: str, release: str = DEFAULT_KNATIVE) -> Cluster:
    """Start a cluster with Knative and return it when all its pods are ready; a failed start leaves nothing behind."""
    knative_release(release)
    require_root()
    require_machine()
    places = places_of(name)
    with only_one(places):
        _require_free(places)
        built = build_all(release)
        require_room_to_run(places.directory)
        began_s = time.monotonic()
        try:
            cluster = _start(places, built, release)
        except BaseException as error:
            _clean_up_after(error, places)
            raise
        say(f"{name} is up: Kubernetes, Knative {release}, Kourier; {time.monotonic() - began_s:.1f} s")
        return cluster


def _require_free(places: Places) -> None:
    record = read_record(places)
    if record is not None:
        alive = record.init is not None and record.init.runs()
        state = "runs already" if alive and record.ready else "was not stopped"
        raise ClusterError(f"cluster {places.name} {state}: use it, run `down` first, or choose another --name")
    if places.directory.exists():
        hint = "look at it and remove it, or choose another --name"
        raise ClusterError(f"{places.directory} exists and has no record of a cluster: {hint}")


def _clean_up_after(error: BaseException, places: Places) -> None:
    """Remove what was started; the logs of a failed start are kept beside it."""
    shutil.rmtree(places.failed_logs, ignore_errors=True)
    if isinstance(error, Exception) and places.logs.exists():
        shutil.copytree(places.logs, places.failed_logs)
        error.add_note(f"All logs of the failed start are in {places.failed_logs}.")
    _remove(places)


def _start(places: Places, built: Built, release: str) -> Cluster:
    cgroups = plan_cgroups(places.name)
    places.directory.mkdir(parents=True)
    record = Record(name=places.name, knative=release, cgroups=cgroups)
    write_record(places, record)  # before the first thing that would have to be removed
    places.logs.mkdir()
    node = f"{places.name}-node"
    with step("certificates, configuration, namespaces"):
        make_cgroups(cgroups)
        make_certificates(places.certificates, node)
        write_configuration(places, cgroup=Path(cgroups[0]).name, pause_image=PAUSE_IMAGE)
        record = replace(record, programs=str(_link_programs(places, built)))
        started: list[Record] = []

        def record_init(init: ProcessId) -> None:
            started.append(replace(record, init=init))
            write_record(places, started[0])

        sandbox = create_sandbox(places, node, record_init)
    cluster = Cluster(places, replace(started[0], ready=True))
    with contextlib.closing(cluster.api):
        _start_components(cluster, sandbox, built, node)
    write_record(places, cluster.record)
    return cluster


def _link_programs(places: Places, built: Built) -> Path:
    """Return a directory for PATH with this cluster's programs."""
    directory = places.directory / "bin"
    directory.mkdir()
    for name, path in built.programs.items():
        (directory / name).symlink_to(path)
    return directory


def _start_components(cluster: Cluster, sandbox: Sandbox, built: Built, node: str) -> None:
    places, programs = cluster.places, {name: str(path) for name, path in built.programs.items()}
    context = unchecked_context()

    def start(component: components.Component) -> None:
        start_and_wait(sandbox, places, component, context)

    with ThreadPoolExecutor(2) as pool:
        with step("container runtime, store, API server"):
            start(components.containerd(places))
            # Images take as long as the control plane: both at once.
            imported = pool.submit(_import_images, cluster, built.images)
            start(components.etcd())
            start(components.api_server(places, programs["kube-apiserver"]))
        with step("control plane, node, names"):
            start(components.kubelet(places, programs["kubelet"], node))
            start(components.controller_manager(places, programs["kube-controller-manager"]))
            start(components.scheduler(places, programs["kube-scheduler"]))
            _wait_for_node(cluster, node, lambda one: True)  # kube-proxy sleeps for long when its node is not there
            start(components.kube_proxy(places, programs["kube-proxy"]))
            for manifest in _dns_manifests():
                cluster.api.apply(manifest)
            start(components.coredns(places, programs["coredns"]))
            manifests = _manifests(built.knative)
            knative = pool.submit(knative_setup.apply_manifests, cluster.api, manifests)
            _wait_for_node(cluster, node, lambda one: condition_of(one, "Ready") == "True")
        with step("images into the node"):
            imported.result()
        with step("Knative and Kourier"):
            knative.result()
            knative_setup.wait_until_ready(cluster.api, manifests)


def _manifests(path: Path) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [one for one in yaml.load_all(path.read_text(), Loader=loader) if one]


def _import_images(cluster: Cluster, archives: Sequence[Path]) -> None:
    for archive in archives:
        cluster.load_image(archive)


def _wait_for_node(cluster: Cluster, node: str, condition: Callable[[Object], bool]) -> None:
    try:
        cluster.api.wait_for("v1", "Node", node, None, condition, timeout_s=_NODE_READY_S)
    except ClusterError as error:
        raise ClusterError(explained(cluster.places, "kubelet", f"does not make its node Ready ({error})")) from error


def _dns_manifests() -> Iterator[dict[str, Any]]:
    """Create the Service of the name server, which is a process of the node and no pod."""
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    ports = [
        {"name": name, "port": 53, "protocol": protocol} for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
    ]
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"clusterIP": DNS_SERVICE_IP, "ports": ports},
    }
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [NODE_IP], "conditions": {"ready": True}}],
    }


def down(name: str) -> bool:
    """End a cluster and remove all of it; return False if there was none."""
    require_root()
    places = places_of(name)
    if not places.directory.exists() and not places.failed_logs.exists():
        return False
    with only_one(places), step(f"stopping {name}"):
        if places.directory.exists():
            _remove(places)
        shutil.rmtree(places.failed_logs, ignore_errors=True)
    return True


def _remove(places: Places) -> None:
    record = read_record(places)
    if record is not None:
        if record.init is not None:
            end_sandbox(record.init)
        remove_cgroups(record.cgroups)
    elif not {entry.name for entry in places.directory.iterdir()} <= {record_draft(places).name}:
        raise ClusterError(f"{places.directory} has no record of a cluster: look at it and remove it")
    # The record goes last: whatever cuts this off, the next `down` can go on.
    for entry in places.directory.iterdir():
        if entry != places.record:
            remove_tree(entry)
    remove_tree(places.directory)
