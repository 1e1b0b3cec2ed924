"""The command line: `python -m tools.testcluster`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

from . import dilu_install, fakenodes
from .build import build_knative_tests
from .cluster import Cluster, open_cluster
from .errors import ClusterError
from .lifecycle import build_all, down, up
from .parts import DEFAULT_KNATIVE, KNATIVES, knative_release
from .places import DEFAULT_NAME, cache_directory, clusters_directory, places_of
from .record import read_record

_PASS_ON: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


class _OneLineErrors(click.Group):
    """A failure is its message on stderr and exit code 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ClusterError as error:
            notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
            print(f"cluster: error: {error}{notes}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("cluster: interrupted", file=sys.stderr)
            sys.exit(130)


@click.group(cls=_OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--name", default=DEFAULT_NAME, envvar="DILU_TEST_CLUSTER", show_default=True, help="Which cluster.")
@click.pass_context
def main(ctx: click.Context, name: str) -> None:
    """Run a real Kubernetes with Knative and Kourier on this machine, in its own namespaces."""
    ctx.obj = name
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a start that is told to end removes what it started


_knative = click.option(
    "--knative", default=DEFAULT_KNATIVE, show_default=True, metavar="RELEASE", help=f"One of {', '.join(KNATIVES)}."
)


@main.command("build")
@_knative
@click.option("--tests", is_flag=True, help="Also Knative's own end-to-end tests.")
def build_command(knative: str, tests: bool) -> None:
    """Build everything that a cluster needs; what is in the cache is checked and kept."""
    built = build_all(knative)
    if tests:
        print(build_knative_tests(knative_release(knative)))
    print(f"{len(built.programs)} programs and {len(built.images)} images in {cache_directory()}")


@main.command("up")
@_knative
@click.pass_obj
def up_command(name: str, knative: str) -> None:
    """Start a cluster; done when all pods of Knative and Kourier are ready."""
    cluster = up(name, knative)
    command = f"python -m tools.testcluster{_name_option(cluster.name)} kn service create hello"
    print(f"try: {command} --image dev.local/helloworld:v1")


def _name_option(name: str) -> str:
    return "" if name == DEFAULT_NAME else f" --name {name}"


@main.command("down")
@click.pass_obj
def down_command(name: str) -> None:
    """Stop the cluster and remove everything of it; also what a killed `up` has left."""
    if not down(name):
        print(f"no cluster {name}")


@main.command("status")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def status_command(name: str, as_json: bool) -> None:
    """Say which clusters there are and what the components of this one do (exit code 1 where one does not run)."""
    states = _states(name)
    if as_json:
        print(json.dumps(states))
    else:
        for key, value in states.items():
            print(f"{key:26} {value}")
    sys.exit(0 if states["cluster"] == "running" and "exit" not in str(states) else 1)


def _states(name: str) -> dict[str, str]:
    record = read_record(places_of(name))
    others = [path.name for path in sorted(clusters_directory().glob("*/record.json")) for path in [path.parent]]
    listed = ", ".join(one for one in others if one != name) or "none"
    if record is None:
        return {"cluster": "not there", "other clusters": listed}
    if record.init is None or not record.init.runs():
        return {"cluster": "ended; `down` removes what is left", "other clusters": listed}
    if not record.ready:
        return {"cluster": "not ready", "other clusters": listed}
    cluster = Cluster(places_of(name), record)
    found = {"cluster": "running", "Knative": record.knative, "directory": str(cluster.places.directory)}
    for component, code in cluster.sandbox.states().items():
        found[component] = "running" if code is None else f"exit code {code}: see `logs {component}`"
    pods = cluster.api.items("v1", "Pod")
    phases = [pod["status"].get("phase", "Unknown") for pod in pods]
    found["pods"] = ", ".join(f"{phases.count(phase)} {phase}" for phase in sorted(set(phases))) or "none"
    return {**found, "other clusters": listed}


def _replace_process(cluster: Cluster, argv: list[str]) -> NoReturn:
    command = cluster.command(argv)
    os.execvpe(command[0], command, {**os.environ, **cluster.environment()})


def _add_program(program: str) -> None:
    @main.command(program, context_settings=_PASS_ON, help=f"Run {program} against the cluster.")
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    @click.pass_obj
    def run_program(name: str, arguments: tuple[str, ...]) -> None:
        _replace_process(open_cluster(name), [program, *arguments])


for _program in ("kubectl", "kn", "helm"):
    _add_program(_program)


@main.command("run", context_settings=_PASS_ON)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def run_command(name: str, command: tuple[str, ...]) -> None:
    """Run any program in the cluster's network, with its kubectl, kn and helm on PATH."""
    if shutil.which(command[0]) is None and command[0] not in ("kubectl", "kn", "helm"):
        raise ClusterError(f"{command[0]}: no such program on PATH")
    _replace_process(open_cluster(name), list(command))


@main.command("env")
@click.pass_obj
def env_command(name: str) -> None:
    """Print what a shell needs: `eval "$(python -m tools.testcluster env)"`."""
    cluster = open_cluster(name)
    for variable, value in cluster.environment().items():
        print(f"export {variable}={shlex.quote(value)}")
    inside = shlex.join(cluster.command([]))
    for program in ("kubectl", "kn", "helm", "curl"):
        print(f'{program}() {{ {inside} {program} "$@"; }}')


@main.command("load-image")
@click.argument("archives", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_obj
def load_image_command(name: str, archives: tuple[Path, ...]) -> None:
    """Put images of docker or OCI archives on the node."""
    cluster = open_cluster(name)
    for archive in archives:
        cluster.load_image(archive)


@main.command("logs")
@click.argument("component")
@click.option("--follow", "-f", is_flag=True, help="Go on as it grows.")
@click.pass_obj
def logs_command(name: str, component: str, follow: bool) -> None:
    """Print a component's log: kubelet, containerd, kube-apiserver, …; pods have `kubectl logs`."""
    places = places_of(name)
    log = places.logs / f"{component}.log"
    if not log.exists():
        known = sorted(path.stem for path in places.logs.glob("*.log"))
        raise ClusterError(f"no log of {component!r} in cluster {name}: there are {', '.join(known) or 'none'}")
    os.execvp("tail", ["tail", "-n", "+1", *(["-F"] if follow else []), str(log)])


@main.group("dilu")
def dilu_group() -> None:
    """Dilu in the place of Knative's autoscaler, by helm, with images of the sources as they are."""


@dilu_group.command("install")
@click.option("--mode", type=click.Choice(dilu_install.MODES), default="replace", show_default=True)
@click.pass_obj
def dilu_install_command(name: str, mode: str) -> None:
    """Build its images where they are not in the cache, and install or upgrade the chart."""
    cluster = open_cluster(name)
    images = dilu_install.load_python_images(cluster)
    # An image under the same name makes no new pods; another annotation does.
    values = {"autoscaler.podAnnotations": {"dilu.dev/build": images.autoscaler.parent.name}}
    dilu = dilu_install.Dilu(cluster)
    change = dilu.install if dilu.values_of() is None else dilu.upgrade
    print(change(mode=mode, values=values), end="")


@dilu_group.command("uninstall")
@click.pass_obj
def dilu_uninstall_command(name: str) -> None:
    """Give Knative's autoscaler its place back."""
    print(dilu_install.Dilu(open_cluster(name)).uninstall(), end="")


@main.group("nodes")
def nodes_group() -> None:
    """Fake nodes: objects with heartbeats, for tests of scheduling."""


@nodes_group.command("add")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 5000))
@click.option("--gpus", default=0, show_default=True, type=click.IntRange(0, 64), help="GPUs of each node.")
@click.option("--gpu-memory-mib", default=40960, show_default=True, type=click.IntRange(1), help="Memory of each GPU.")
@click.option("--prefix", default="fake", show_default=True, help="What their names begin with.")
@click.pass_obj
def nodes_add(name: str, count: int, gpus: int, gpu_memory_mib: int, prefix: str) -> None:
    """Add nodes on which pods can be placed but never run."""
    shape = fakenodes.NodeShape(gpus=gpus, gpu_memory_mib=gpu_memory_mib)
    for node in fakenodes.add_nodes(open_cluster(name), count=count, shape=shape, prefix=prefix):
        print(node)


@nodes_group.command("remove")
@click.pass_obj
def nodes_remove(name: str) -> None:
    """Remove all fake nodes and the pods on them."""
    print(f"{fakenodes.remove_nodes(open_cluster(name))} fake nodes removed")


@nodes_group.command("run-pods")
@click.pass_obj
def nodes_run_pods(name: str) -> None:
    """Give pods on fake nodes the status Running, and let go of those that are being deleted."""
    print(f"{fakenodes.run_pods(open_cluster(name))} pods changed")
