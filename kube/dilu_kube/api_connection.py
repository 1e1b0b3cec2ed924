"""The connection to the API server, from a kubeconfig or the pod's service account. Nothing is sent here."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from dilu.errors import ConfigError

_RELOAD_S: Final = 10.0
# What the package raises for an invalid file; ssl.SSLError is an OSError.
_INVALID: Final = (ConfigException, AttributeError, KeyError, TypeError, ValueError, OSError, yaml.YAMLError)


class _Rest(RESTClientObject):
    """The package's HTTP client without the retries of its connection pool."""

    def _create_pool_manager(self) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = super()._create_pool_manager()
        # aiohttp repeats a PUT or DELETE when a kept-alive connection breaks. A process that was frozen meanwhile would
        # write after it lost its lease. The public switch is for aiohttp's own tests only.
        session._retry_connection = False
        return session


@dataclass(slots=True, kw_only=True)
class ApiConnection:
    """A configured client of the package, and the means to reload credentials that the server refused."""

    api: ApiClient
    reload: Callable[[], Awaitable[None]] | None  # None: the package reloads a service account's token every minute
    reloaded_s: float = float("-inf")

    async def renew(self) -> bool:
        """Reload the credentials; return False if that was done just now or cannot help."""
        now_s = time.monotonic()
        if self.reload is None or now_s - self.reloaded_s < _RELOAD_S:
            return False
        self.reloaded_s = now_s
        await self.reload()
        return True


async def connection_of(kubeconfig: Path | None, user_agent: str) -> ApiConnection:
    """Return the connection of a kubeconfig; without one that of `$KUBECONFIG`, else of the pod's service account."""
    configuration = _configuration()
    source = str(kubeconfig) if kubeconfig is not None else os.environ.get("KUBECONFIG", "")

    async def reload() -> None:
        await _read_kubeconfig(source, configuration)

    try:
        if source:
            await reload()
        else:
            load_incluster_config(configuration)
        api = ApiClient(configuration)
        api.rest_client = _Rest(configuration)
    except ConfigError:
        raise
    except _INVALID as error:
        raise ConfigError(_error_text(source, error)) from error
    api.user_agent = user_agent
    # Uncompressed lists: inside a cluster, gzip costs both ends more than the network does.
    api.default_headers["Accept-Encoding"] = "identity"
    return ApiConnection(api=api, reload=reload if source else None)


def _configuration() -> Configuration:
    made = Configuration()  # not the package's shared default, which other code may change
    # Proxies of the environment (and .netrc) are for the internet; a proxy for the API stands in the kubeconfig.
    made.client_session_kwargs = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
    made.retries = None
    return made


async def _read_kubeconfig(source: str, configuration: Configuration) -> None:
    paths = [Path(part).expanduser() for part in source.split(os.pathsep) if part]
    if not any(path.is_file() for path in paths):
        raise ConfigError(f"kubeconfig {source}: no such file")
    load: Any = load_kube_config  # untyped in the package
    try:
        # The user's file is never written.
        await load(config_file=source, client_configuration=configuration, persist_config=False)
    except _INVALID as error:
        raise ConfigError(_error_text(source, error)) from error


def _error_text(source: str, error: Exception) -> str:
    if source:
        return f"kubeconfig {source} cannot be used: {error or type(error).__name__}"
    return (
        f"no Kubernetes API: {error}. Inside a pod its service account is used (is automountServiceAccountToken off?); "
        "elsewhere pass a kubeconfig, or set KUBECONFIG"
    )
