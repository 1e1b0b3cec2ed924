"""The core kinds of objects, their API paths, and the content types of patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind and its place in the API."""

    group: str  # "" for the core group
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """Return the apiVersion of objects: `v1` or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of one object, or of the list of a namespace ("": of all namespaces).

        >>> DEPLOYMENTS.path("shop", "embed", "scale")
        '/apis/apps/v1/namespaces/shop/deployments/embed/scale'
        >>> PODS.path()
        '/api/v1/pods'
        """
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


DEPLOYMENTS: Final = Resource(group="apps", version="v1", kind="Deployment", plural="deployments")
PODS: Final = Resource(group="", version="v1", kind="Pod", plural="pods")
CONFIG_MAPS: Final = Resource(group="", version="v1", kind="ConfigMap", plural="configmaps")
SERVICES: Final = Resource(group="", version="v1", kind="Service", plural="services")
EVENTS: Final = Resource(group="", version="v1", kind="Event", plural="events")
LEASES: Final = Resource(group="coordination.k8s.io", version="v1", kind="Lease", plural="leases")
ENDPOINT_SLICES: Final = Resource(group="discovery.k8s.io", version="v1", kind="EndpointSlice", plural="endpointslices")
