"""Asks a revision's queue-proxies for their load, as Knative does. Source: the contract, §3.3.

By pod where that works, by the revision's private Service where a service mesh lets nobody reach a pod:

| mesh mode | pods are asked | the Service is asked                                               |
|-----------|----------------|--------------------------------------------------------------------|
| disabled  | always         | never                                                              |
| enabled   | never          | always                                                             |
| auto      | first          | when each pod answered 502 or 503; once that worked, only it       |
| auto, pods are addressable through the mesh | always | never                                    |
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from dilu.http.addresses import host_header
from dilu.http.client.gets import GetClient, GetFailed, GetResponse, get_request
from dilu_autoscaler.knative.reports.sampling import Load, Targets, load_of, sample_size
from dilu_autoscaler.knative.reports.stats import Stat, read_stat

QUEUE_PROXY_PORT: Final = 9090
PROTOBUF: Final = "application/protobuf"
MOST_TRIES: Final = 10
_MESH_STATUSES: Final = frozenset({502, 503})


class ScrapeProblem(StrEnum):
    """Why the load is not known, in a Metric's words. Knative's `NoEndpoints` never comes: the pods are known."""

    NO_STAT = "DidNotReceiveStat"  # the Service led to pods that had been asked before, again and again
    FAILED = "CollectionFailed"  # anything else


@dataclass(frozen=True, slots=True, kw_only=True)
class Scraped:
    """What one round brought. Neither a load nor an error: there was no pod to ask."""

    load: Load | None = None
    error: str | None = None
    problem: ScrapeProblem = ScrapeProblem.FAILED  # of an error
    might_be_mesh: bool = False
    """No pod was reached, and each answered what a service mesh answers."""


OnScraped: TypeAlias = Callable[[Scraped], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeTarget:
    """Whose queue-proxies, and how they are reached."""

    namespace: str
    revision: str
    service: str  # the private one
    mesh_mode: str = "auto"  # auto | enabled | disabled
    mesh_pod_addressability: bool = False
    port: int = QUEUE_PROXY_PORT

    @property
    def key(self) -> str:
        """NAMESPACE/REVISION."""
        return f"{self.namespace}/{self.revision}"

    @property
    def host(self) -> str:
        """The private Service's name as the cluster's DNS completes it."""
        return f"{self.service}.{self.namespace}"


class Scraper:
    """Asks one revision's pods, one round at a time."""

    def __init__(self, target: ScrapeTarget, client: GetClient, randomness: random.Random) -> None:
        self.target = target
        self._client = client
        self._random = randomness
        self._pods_answer = True  # in mode auto: False once the Service answered and they did not
        self._is_busy = False

    @property
    def is_busy(self) -> bool:
        """Whether a round is under way."""
        return self._is_busy

    def scrape(self, targets: Targets, stable_window_s: float, done: OnScraped) -> bool:
        """Begin a round; `done` is called once, when it is over. False: the last round is not over, and none begins."""
        if self._is_busy:
            return False
        if not targets.count:
            done(Scraped())
            return True
        self._is_busy = True
        mode, addressable = self.target.mesh_mode, self.target.mesh_pod_addressability

        def over(result: Scraped) -> None:
            self._is_busy = False
            done(result)

        def by_service(then: OnScraped) -> None:
            _ServiceRound(self.target, self._client, targets.count, stable_window_s, then).begin()

        def service_answered(result: Scraped) -> None:
            self._pods_answer = self._pods_answer and result.error is not None
            over(result)

        def pods_answered(result: Scraped) -> None:
            if result.might_be_mesh and mode == "auto" and not addressable:
                by_service(service_answered)
            else:
                over(result)

        if mode == "enabled":
            by_service(over)
        elif mode == "disabled" or addressable or self._pods_answer:
            pods = _in_order(targets, self._random)
            _PodRound(self.target, self._client, pods, pods_answered).begin()
        else:
            by_service(over)
        return True


def _in_order(targets: Targets, randomness: random.Random) -> list[str]:
    """Old pods first; at random those of which not all are needed."""
    old, young = list(targets.old), list(targets.young)
    randomness.shuffle(young if len(old) < sample_size(targets.count) else old)
    return old + young


class _PodRound:
    """As many pods as the sample has are asked at once; for each that fails, the next one."""

    def __init__(self, target: ScrapeTarget, client: GetClient, pods: list[str], done: OnScraped) -> None:
        self._target = target
        self._client = client
        self._pods = pods
        self._done = done
        self._next = 0
        self._under_way = 0
        self._stats: list[Stat] = []
        self._only_mesh_errors = True
        self._error = ""

    def begin(self) -> None:
        """Ask the first ones."""
        for _ in range(sample_size(len(self._pods))):
            self._ask_next()

    def _ask_next(self) -> None:
        if self._next >= len(self._pods):
            return
        address = (self._pods[self._next], self._target.port)
        self._next += 1
        self._under_way += 1
        headers = {"Host": host_header(address), "Accept": PROTOBUF}
        if self._target.mesh_pod_addressability:
            headers |= {"Host": self._target.host, "Knative-Direct-Lb": "true"}
        self._client.get(address, get_request("/metrics", headers), self._answered)

    def _answered(self, answer: GetResponse | GetFailed) -> None:
        self._under_way -= 1
        stat = _stat_of(answer, self._target.key)
        if isinstance(stat, Stat):
            self._stats.append(stat)
        else:
            self._error = stat
            self._only_mesh_errors = self._only_mesh_errors and _might_be_mesh(answer)
            self._ask_next()
        if not self._under_way:
            self._done(self._result())

    def _result(self) -> Scraped:
        needed = sample_size(len(self._pods))
        if len(self._stats) == needed:
            return Scraped(load=load_of(self._stats, len(self._pods)))
        answered = f"{len(self._stats)} of {needed} pods answered"
        error = f"{self._target.key}: {answered}; the last that did not: {self._error}"
        return Scraped(error=error, might_be_mesh=not self._stats and self._only_mesh_errors)


class _ServiceRound:
    """As many askers as the sample has, of which each asks the Service until it finds an old pod not met before."""

    def __init__(
        self, target: ScrapeTarget, client: GetClient, pods: int, stable_window_s: float, done: OnScraped
    ) -> None:
        address = (target.host, target.port)
        headers = {"Host": host_header(address), "Accept": PROTOBUF, "Connection": "close"}
        self._address, self._request = address, get_request("/metrics", headers)
        self._key = target.key
        self._client = client
        self._pods = pods
        self._needed = sample_size(pods)
        self._old_from_s = stable_window_s
        self._done = done
        self._under_way = 0
        self._seen: set[str] = set()
        self._old: list[Stat] = []
        self._young: list[Stat] = []
        self._first_error: str | None = None
        self._may_be_enough = True  # the first error was only that no more pods were met

    def begin(self) -> None:
        """Send out the askers."""
        for _ in range(self._needed):
            self._ask(1)

    def _ask(self, tries: int) -> None:
        self._under_way += 1
        ask_again = tries + 1
        self._client.get(
            self._address, self._request, lambda answer: self._answered(answer, ask_again), keep_alive=False
        )

    def _answered(self, answer: GetResponse | GetFailed, ask_again: int) -> None:
        self._under_way -= 1
        if self._goes_on(answer, tries=ask_again - 1):
            self._ask(ask_again)
        if not self._under_way:
            self._done(self._result())

    def _goes_on(self, answer: GetResponse | GetFailed, *, tries: int) -> bool:
        """Take the answer in. Whether its asker has to ask once more."""
        stat = _stat_of(answer, self._key)
        if not isinstance(stat, Stat) or stat.pod in self._seen:
            if tries >= MOST_TRIES and self._first_error is None:
                self._may_be_enough = isinstance(stat, Stat)
                self._first_error = "no further pod answered" if isinstance(stat, Stat) else stat
            return self._first_error is None
        self._seen.add(stat.pod)
        if stat.uptime_s >= self._old_from_s:
            self._old.append(stat)
            return False
        if len(self._young) < self._needed:
            self._young.append(stat)
            return self._first_error is None
        return False

    def _result(self) -> Scraped:
        found = [*self._old, *self._young]
        if self._first_error is not None and not (self._may_be_enough and len(found) >= self._needed):
            error = f"{self._key}: {len(found)} of {self._needed} pods answered by the Service; {self._first_error}"
            return Scraped(error=error, problem=ScrapeProblem.NO_STAT if self._may_be_enough else ScrapeProblem.FAILED)
        return Scraped(load=load_of(found[: self._needed], self._pods))


def _stat_of(answer: GetResponse | GetFailed, key: str) -> Stat | str:
    """The report, or what is wrong with the answer."""
    if isinstance(answer, GetFailed):
        return answer.reason
    if not 200 <= answer.status < 300:
        return f"status {answer.status}"
    if answer.content_type != PROTOBUF:
        return f"content type {answer.content_type!r}, must be {PROTOBUF}"
    stat = read_stat(answer.body, key, now_s=time.time())
    return "no report: its bytes cannot be read" if stat is None else stat


def _might_be_mesh(answer: GetResponse | GetFailed) -> bool:
    return isinstance(answer, GetResponse) and answer.status in _MESH_STATUSES
