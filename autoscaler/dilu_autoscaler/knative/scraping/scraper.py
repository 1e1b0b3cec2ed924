"""Scrapes the load of a revision's queue-proxies, as Knative does. Source: the contract, §3.3.

It scrapes pods by address, or the revision's private Service where a service mesh makes pods unreachable:

| mesh mode | pods are scraped | the Service is scraped                                           |
|-----------|------------------|------------------------------------------------------------------|
| disabled  | always           | never                                                            |
| enabled   | never            | always                                                           |
| auto      | first            | when each pod answered 502 or 503; once that worked, only it     |
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
MAX_TRIES: Final = 10
_MESH_STATUSES: Final = frozenset({502, 503})


class ScrapeProblem(StrEnum):
    """Why the load is not known, as a Metric's reason. Knative's `NoEndpoints` does not occur: the pods are known."""

    NO_STAT = "DidNotReceiveStat"  # the Service led to pods that were scraped before, `MAX_TRIES` times
    FAILED = "CollectionFailed"  # anything else


@dataclass(frozen=True, slots=True, kw_only=True)
class Scraped:
    """The result of one scrape. Neither load nor error: there was no pod."""

    load: Load | None = None
    error: str | None = None
    problem: ScrapeProblem = ScrapeProblem.FAILED  # of an error
    might_be_mesh: bool = False
    """No pod answered, and each failure was one that a service mesh causes."""


OnScraped: TypeAlias = Callable[[Scraped], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeTarget:
    """The revision whose queue-proxies are scraped, and how they are reached."""

    namespace: str
    revision: str
    service: str  # the private one
    mesh_mode: str = "auto"  # auto | enabled | disabled
    mesh_pod_addressability: bool = False
    port: int = QUEUE_PROXY_PORT

    @property
    def key(self) -> str:
        """Return NAMESPACE/REVISION."""
        return f"{self.namespace}/{self.revision}"

    @property
    def host(self) -> str:
        """Return the private Service's name, as the cluster's DNS completes it."""
        return f"{self.service}.{self.namespace}"


class Scraper:
    """Scrapes one revision's pods, one round at a time."""

    def __init__(self, target: ScrapeTarget, client: GetClient, randomness: random.Random) -> None:
        self.target = target
        self._client = client
        self._random = randomness
        self._pods_answer = True  # in mode auto: False once the Service answered and the pods did not
        self._is_busy = False

    @property
    def is_busy(self) -> bool:
        """Return whether a round is under way."""
        return self._is_busy

    def scrape(self, targets: Targets, stable_window_s: float, done: OnScraped) -> bool:
        """Start a round; `done` is called once, at its end. Returns False if the last round has not ended."""
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
    """Return old pods first, and shuffle the group of which not all are needed."""
    old, young = list(targets.old), list(targets.young)
    randomness.shuffle(young if len(old) < sample_size(targets.count) else old)
    return old + young


class _PodRound:
    """Scrapes as many pods at once as the sample has; for each that fails, the next one."""

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
        """Scrape the first pods."""
        for _ in range(sample_size(len(self._pods))):
            self._scrape_next()

    def _scrape_next(self) -> None:
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
            self._scrape_next()
        if not self._under_way:
            self._done(self._result())

    def _result(self) -> Scraped:
        needed = sample_size(len(self._pods))
        if len(self._stats) == needed:
            return Scraped(load=load_of(self._stats, len(self._pods)))
        error = f"{self._target.key}: {len(self._stats)} of {needed} pods could be scraped; last error: {self._error}"
        return Scraped(error=error, might_be_mesh=not self._stats and self._only_mesh_errors)


class _ServiceRound:
    """Scrapes the Service in as many chains as the sample has pods; a chain ends at an old pod that is new."""

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
        self._may_be_enough = True  # the first error was only that no new pod answered

    def begin(self) -> None:
        """Start the chains."""
        for _ in range(self._needed):
            self._scrape(1)

    def _scrape(self, tries: int) -> None:
        self._under_way += 1
        next_try = tries + 1
        self._client.get(
            self._address, self._request, lambda answer: self._answered(answer, next_try), keep_alive=False
        )

    def _answered(self, answer: GetResponse | GetFailed, next_try: int) -> None:
        self._under_way -= 1
        if self._must_retry(answer, tries=next_try - 1):
            self._scrape(next_try)
        if not self._under_way:
            self._done(self._result())

    def _must_retry(self, answer: GetResponse | GetFailed, *, tries: int) -> bool:
        """Record an answer and return whether its chain must scrape once more."""
        stat = _stat_of(answer, self._key)
        if not isinstance(stat, Stat) or stat.pod in self._seen:
            if tries >= MAX_TRIES and self._first_error is None:
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
    """Return the report of an answer, or what is wrong with it."""
    if isinstance(answer, GetFailed):
        return answer.reason
    if not 200 <= answer.status < 300:
        return f"status {answer.status}"
    if answer.content_type != PROTOBUF:
        return f"content type {answer.content_type!r}, must be {PROTOBUF}"
    stat = read_stat(answer.body, key, now_s=time.time())
    return "the body is not a valid report" if stat is None else stat


def _might_be_mesh(answer: GetResponse | GetFailed) -> bool:
    return isinstance(answer, GetResponse) and answer.status in _MESH_STATUSES
