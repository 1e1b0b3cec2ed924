"""Probes whether a revision's public Service leads to an activator: only then may its last pod stop. Contract, §2.4.

If a pod answers instead, requests still bypass the activator, and would fail without the pod.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dilu.http.client.gets import GetClient, GetFailed, GetResponse, get_request

PERIOD_S: Final = 1.0
MAX_PROBING_S: Final = 45.0
_ACTIVATOR: Final = "activator"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTarget:
    """A revision's public Service."""

    namespace: str
    service: str  # "": the revision has none yet
    cluster_domain: str = "cluster.local"
    port: int = 80  # 81 if its protocol is h2c

    @property
    def host(self) -> str:
        """Return the Service's full name."""
        return f"{self.service}.{self.namespace}.svc.{self.cluster_domain}"


async def activator_answers(client: GetClient, target: ProbeTarget) -> bool:
    """Return whether an activator answers at the Service now."""
    if not target.service:
        return False
    headers = {
        "Host": f"{target.host}:{target.port}",
        "User-Agent": "Knative-Autoscaling-Probe",
        "K-Network-Probe": _ACTIVATOR,
        "Connection": "close",
    }
    answered: asyncio.Future[GetResponse | GetFailed] = asyncio.get_running_loop().create_future()

    def on_answer(answer: GetResponse | GetFailed) -> None:
        if not answered.done():
            answered.set_result(answer)

    # Two slashes, as Knative's autoscaler sends it; activators ignore the path.
    client.get((target.host, target.port), get_request("//healthz", headers), on_answer, keep_alive=False)
    answer = await answered
    return isinstance(answer, GetResponse) and answer.status == 200 and answer.body == _ACTIVATOR.encode()


class ActivatorProber:
    """Probes a target until an activator answers or the time is over; each target once at a time."""

    def __init__(
        self,
        client: GetClient,
        on_done: Callable[[str, bool], None],
        *,
        period_s: float = PERIOD_S,
        max_probing_s: float = MAX_PROBING_S,
    ) -> None:
        """`on_done` is called with the revision's key and whether an activator answered in time."""
        self._client = client
        self._on_done = on_done
        self._period_s = period_s
        self._max_probing_s = max_probing_s
        self._probes: dict[ProbeTarget, asyncio.Task[None]] = {}

    def offer(self, key: str, target: ProbeTarget) -> bool:
        """Start to probe. Returns False if the target is being probed already."""
        if target in self._probes:
            return False
        self._probes[target] = asyncio.get_running_loop().create_task(self._probe(key, target))
        return True

    async def close(self) -> None:
        """Cancel all probes without a call of `on_done`."""
        tasks = list(self._probes.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._probes.clear()

    async def _probe(self, key: str, target: ProbeTarget) -> None:
        answers = False
        try:
            async with asyncio.timeout(self._max_probing_s):
                while not (answers := await activator_answers(self._client, target)):
                    await asyncio.sleep(self._period_s)
        except TimeoutError:
            answers = False
        self._probes.pop(target, None)
        self._on_done(key, answers)
