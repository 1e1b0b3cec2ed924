"""A Kubernetes of objects alone: etcd and an API server in namespaces of their own, and one program that is every pod.

No controller, no kubelet and no webhook runs, so whatever changes an object is the autoscaler that is measured. The
pods' addresses lead to a network of their own, in which `fake-pods` answers at all of them, and every name in
`cluster.local` is an address of that network as well.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

import harness
from harness import BenchmarkError
from testcluster import components
from testcluster.api import KubeApi, condition_of
from testcluster.build import Built
from testcluster.cache import cached, digest_of
from testcluster.certificates import make_certificates
from testcluster.configuration import write_configuration
from testcluster.errors import ClusterError
from testcluster.gobuild import GoModule, build_programs
from testcluster.health import start_and_wait
from testcluster.lifecycle import build_all, down
from testcluster.network import NODE_IP, POD_NETWORK
from testcluster.places import Places, cache_directory, places_of
from testcluster.record import ProcessId, Record, only_one, write_record
from testcluster.sandbox import Sandbox, create_sandbox
from testcluster.sockets import ClusterConnection, client_context, unchecked_context

FAKE_PODS: Final = GoModule(folder="fake-pods", packages=(".",))
SYSTEM_NAMESPACE: Final = "knative-serving"
POD_CONCURRENCY: Final = 0.5
_OPEN_FILES: Final = 65_536
_WORLD_END, _PODS_END, _PREFIX = "10.89.0.1", "10.89.0.2", 30
ACTIVATOR_IP: Final = "10.88.0.1"  # an address of no pod
_COUNTS_PORT: Final = 9100
_ESTABLISHED_S: Final = 30.0
_KNATIVE_KINDS: Final = ("podautoscalers", "metrics", "serverlessservices")
_COREFILE: Final = f"""cluster.local:53 {{
    bind {NODE_IP}
    errors
    ready 127.0.0.1:8181
    template IN A {{
        answer "{{{{ .Name }}}} 60 IN A {ACTIVATOR_IP}"
    }}
    template IN AAAA {{
        rcode NOERROR
    }}
}}
.:53 {{
    bind {NODE_IP}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One that runs."""

    places: Places
    sandbox: Sandbox
    stock: Path  # Knative's autoscaler, out of the image that a cluster runs
    api: KubeApi

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.places.kubeconfig

    def scrapes(self) -> tuple[int, int]:
        """Return the number of scrapes so far, and of pods scraped since the last `forget_scraped`."""
        counts = json.loads(self._query_pods("GET", "/counts"))
        return counts["requests"], counts["pods"]

    def forget_scraped(self) -> None:
        """Start the count of scraped pods at zero."""
        self._query_pods("POST", "/reset")

    def _query_pods(self, method: str, path: str) -> bytes:
        connection = ClusterConnection(self.sandbox.network, _PODS_END, _COUNTS_PORT, timeout_s=10.0)
        with contextlib.closing(connection):
            connection.request(method, path)
            return connection.getresponse().read()

    def process_of(self, argv: Sequence[str]) -> int:
        """Return the machine's id of the process in this world that runs exactly this command."""
        wanted = "".join(f"{part}\0" for part in argv)
        return self._process(lambda command: command == wanted, argv[0])

    def process_named(self, program: str) -> int:
        """Return the same of the process that runs this program."""
        return self._process(lambda command: Path(command.partition("\0")[0]).name == program, program)

    def _process(self, is_wanted: Callable[[str], bool], name: str) -> int:
        namespace = Path(f"/proc/{self.sandbox.init.pid}/ns/pid").readlink()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it may end while it is looked at
                    command = (entry / "cmdline").read_text(errors="replace")
                    if is_wanted(command) and (entry / "ns/pid").readlink() == namespace:
                        return int(entry.name)
        raise BenchmarkError(f"{name} does not run: see {self.places.logs}")


@contextlib.contextmanager
def running_world(name: str, release: str) -> Iterator[World]:
    """Run a world until the end of the block; nothing of it is left."""
    harness.raise_open_files(_OPEN_FILES)
    try:
        places = places_of(name)
        if places.directory.exists():
            command = f"python -m tools.testcluster --name {name} down"
            raise BenchmarkError(
                f"{places.directory} is left from another run, or that run is not over. To remove it: {command}"
            )
        built = build_all(release)
        try:
            with only_one(places):
                world = _start(places, built, release)
            yield world
            world.api.close()
        finally:
            if not down(name):
                raise BenchmarkError(f"{name}: its directory was deleted before its end")
    except ClusterError as error:
        raise BenchmarkError(str(error)) from error


def _start(places: Places, built: Built, release: str) -> World:
    places.directory.mkdir(parents=True)
    record = Record(name=places.name, knative=release)
    write_record(places, record)
    places.logs.mkdir()
    make_certificates(places.certificates, places.name)
    write_configuration(places, cgroup=places.name, pause_image="")
    (places.configuration / "Corefile").write_text(_COREFILE)

    def record_init(init: ProcessId) -> None:
        write_record(places, replace(record, init=init))

    sandbox = create_sandbox(places, places.name, record_init)
    context = unchecked_context()
    for component in (
        components.etcd(),
        components.api_server(places, str(built.programs["kube-apiserver"])),
        components.coredns(places, str(built.programs["coredns"])),
    ):
        start_and_wait(sandbox, places, component, context)
    pki = places.certificates
    trusted = client_context(str(pki / "ca.crt"), str(pki / "admin.crt"), str(pki / "admin.key"))
    api = KubeApi(sandbox.network, trusted)
    world = World(places=places, sandbox=sandbox, stock=_stock_program(places, built), api=api)
    _start_pods(world)
    _apply_knative(api, built.knative)
    return world


def _stock_program(places: Places, built: Built) -> Path:
    """Return Knative's autoscaler as a plain program."""
    [archive] = [path for path in built.images if path.name == "autoscaler.tar"]
    program = places.directory / "stock-autoscaler"
    with tarfile.open(archive) as image:
        layer = image.extractfile("layer.tar")
        if layer is None:
            raise BenchmarkError(f"{archive}: no layer in it")
        with tarfile.open(fileobj=layer) as files:
            found = files.extractfile("ko-app/autoscaler")
            if found is None:
                raise BenchmarkError(f"{archive}: no autoscaler in it")
            with program.open("wb") as file:
                shutil.copyfileobj(found, file)
    program.chmod(0o755)
    return program


def _start_pods(world: World) -> None:
    """Start the program that is every pod, and route the pods' addresses to it."""
    key = digest_of(FAKE_PODS.inputs())
    folder = cached(cache_directory(), "fake-pods", key, lambda into: build_programs(FAKE_PODS, into))
    argv = [str(folder / "fake-pods"), f"-concurrency={POD_CONCURRENCY}"]
    # A network of its own, or its ports would be taken from the autoscalers, which are to have theirs.
    world.sandbox.start("fake-pods", ["unshare", "--net", "--", *argv])
    pid = _wait_for_process(world, argv)
    network = f"/proc/{pid}/ns/net"
    _ip(world.sandbox.network, f"link add pods0 type veth peer name pods1 netns {pid}")
    _ip(world.sandbox.network, f"address add {_WORLD_END}/{_PREFIX} dev pods0")
    _ip(world.sandbox.network, "link set pods0 up")
    _ip(network, "link set lo up")
    _ip(network, f"address add {_PODS_END}/{_PREFIX} dev pods1")
    _ip(network, "link set pods1 up")
    _ip(network, f"route add local {POD_NETWORK} dev lo")  # every address of it is this program's
    _ip(network, f"route add default via {_WORLD_END}")
    _ip(world.sandbox.network, f"route add {POD_NETWORK} via {_PODS_END}")


def _wait_for_process(world: World, argv: Sequence[str], max_wait_s: float = 10.0) -> int:
    until_s = time.monotonic() + max_wait_s
    while True:
        try:
            return world.process_of(argv)
        except BenchmarkError:
            if time.monotonic() > until_s:
                raise
        time.sleep(0.02)


def _ip(network: str, arguments: str) -> None:
    command = ["nsenter", f"--net={network}", "--", "ip", *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"ip {arguments}: {done.stderr.strip()}")


def _apply_knative(api: KubeApi, manifests: Path) -> None:
    """Apply the kinds and the configuration that an autoscaler needs."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    wanted: dict[str, list[dict[str, Any]]] = {"CustomResourceDefinition": [], "Namespace": [], "ConfigMap": []}
    for manifest in yaml.load_all(manifests.read_text(), Loader=loader):
        kind, metadata = manifest["kind"], manifest["metadata"]
        if kind == "CustomResourceDefinition" and metadata["name"].partition(".")[0] not in _KNATIVE_KINDS:
            continue
        if metadata.get("namespace", SYSTEM_NAMESPACE) == SYSTEM_NAMESPACE and kind in wanted:
            wanted[kind].append(manifest)
    for kind in ("Namespace", "CustomResourceDefinition", "ConfigMap"):
        for manifest in wanted[kind]:
            api.apply(manifest)
    for definition in wanted["CustomResourceDefinition"]:
        api.wait_for(
            definition["apiVersion"], definition["kind"], definition["metadata"]["name"], None,
            lambda one: condition_of(one, "Established") == "True", timeout_s=_ESTABLISHED_S,
        )  # fmt: skip
