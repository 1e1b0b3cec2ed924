"""Scrapes the runtimes of opted-in revisions once a second: their queues, refusals and throughput.

A pod without a valid answer is left out of the sum; its queue-proxy is scraped as well. A pod that never answers runs
another runtime, and is scraped at growing intervals.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from dilu.http.addresses import Address, host_header
from dilu.http.client.gets import GetFailed, GetResponse, OnGetResult, get_request
from dilu_autoscaler.knative.scraping.runtime_reports import (
    MAX_STATS_BYTES,
    Dated,
    RevisionStats,
    read_report,
    together,
)

__all__ = ["MAX_STATS_BYTES", "STATS_PORT", "RevisionStats", "RuntimeStats"]

STATS_PORT: Final = 8091
MAX_SCRAPED: Final = 128
"""Pods of one revision in one round; with more, rounds take them in turn."""
MAX_PAUSE_S: Final = 15.0
_HTTP_OK: Final = 200


class HttpGetter(Protocol):
    """The part of `GetClient` that is needed; it is to read bodies of up to `MAX_STATS_BYTES`."""

    def get(self, address: Address, request: bytes, on_result: OnGetResult, *, keep_alive: bool = True) -> None:
        """Send a request and call `on_answer` with its answer."""
        ...


@dataclass(slots=True, kw_only=True)
class _RuntimePod:
    """One pod of a revision."""

    ip: str
    request: bytes
    dated: Dated | None = None
    failures: int = 0  # in a row
    pause_until_s: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Polled:
    """One revision."""

    pods: dict[str, _RuntimePod] = field(default_factory=dict)
    first: int = 0  # the pod at which the next round begins
    under_way: int = 0
    done: Callable[[], None] | None = None


class RuntimeStats:
    """Scrapes with `client`, whose timeout should be a second; a revision has one round at a time."""

    def __init__(self, client: HttpGetter, port: int = STATS_PORT, now_s: Callable[[], float] = time.time) -> None:
        """`now_s` must be the clock of the times passed to `of`."""
        self._client = client
        self._port = port
        self._now_s = now_s
        self._revisions: dict[str, _Polled] = {}

    def poll(self, key: str, pod_ips: Mapping[str, str], done: Callable[[], None] | None = None) -> bool:
        """Start a round; `done` is called at its end. Returns False, and starts none, if the last has not ended."""
        polled = self._revisions.setdefault(key, _Polled())
        if polled.under_way:
            return False
        self._update(polled, pod_ips)
        chosen = self._chosen(polled)
        if not chosen:
            if done is not None:
                done()
            return True
        polled.under_way, polled.done = len(chosen), done
        for pod in chosen:
            self._client.get((pod.ip, self._port), pod.request, partial(self._answered, polled, pod))
        return True

    def of(self, key: str, now_s: float) -> RevisionStats | None:
        """Return the sum of a revision's reports. None: there is none from the last seconds."""
        polled = self._revisions.get(key)
        if polled is None:
            return None
        reports = {name: pod.dated for name, pod in polled.pods.items() if pod.dated is not None}
        return together(reports, pods=len(polled.pods), now_s=now_s)

    def forget(self, key: str) -> None:
        """Drop everything about a revision; pending answers are ignored."""
        polled = self._revisions.pop(key, None)
        if polled is not None:
            polled.done = None

    def _update(self, polled: _Polled, pod_ips: Mapping[str, str]) -> None:
        """Set the present pods; known ones keep their state."""
        known = polled.pods
        polled.pods = {
            name: known[name] if name in known and known[name].ip == ip else self._new_pod(ip)
            for name, ip in pod_ips.items()
        }

    def _new_pod(self, ip: str) -> _RuntimePod:
        headers = {"Host": host_header((ip, self._port)), "Accept": "application/json"}
        return _RuntimePod(ip=ip, request=get_request("/v1/stats", headers))

    def _chosen(self, polled: _Polled) -> list[_RuntimePod]:
        """Return the pods of this round: all, or the next ones in turn, without those that are paused."""
        pods, now_s = list(polled.pods.values()), self._now_s()
        if len(pods) > MAX_SCRAPED:
            first = polled.first % len(pods)
            pods = (pods[first:] + pods[:first])[:MAX_SCRAPED]
            polled.first = first + MAX_SCRAPED
        # A pause that ends too far in the future was set before the clock was set back.
        return [pod for pod in pods if not now_s < pod.pause_until_s <= now_s + MAX_PAUSE_S]

    def _answered(self, polled: _Polled, pod: _RuntimePod, answer: GetResponse | GetFailed) -> None:
        report = read_report(answer.body) if isinstance(answer, GetResponse) and answer.status == _HTTP_OK else None
        now_s = self._now_s()
        if report is None:
            pod.failures += 1
            # After the first failure without a pause: the pod may have been busy.
            pause_s = min(MAX_PAUSE_S, 2.0 ** min(pod.failures, 10) - 2.0)
            pod.pause_until_s = now_s + pause_s
        else:
            pod.failures, pod.pause_until_s = 0, 0.0
            pod.dated = Dated(report=report, at_s=now_s)
        polled.under_way -= 1
        if not polled.under_way and polled.done is not None:
            done, polled.done = polled.done, None
            done()
