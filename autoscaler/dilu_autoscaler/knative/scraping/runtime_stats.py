"""Asks the pods of opted-in revisions once a second how long their queues are, what they refuse, how fast they are.

A pod that does not answer, or with something else, is only missing: its queue-proxy is asked as well. One that never
answers has another runtime than ours, and is asked less and less.
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
    MOST_STATS_BYTES,
    Dated,
    RevisionStats,
    read_report,
    together,
)

__all__ = ["MOST_STATS_BYTES", "STATS_PORT", "RevisionStats", "RuntimeStats"]

STATS_PORT: Final = 8091
MOST_ASKED: Final = 128
"""Pods of one revision in one round; with more, they take turns."""
LONGEST_PAUSE_S: Final = 15.0
_HTTP_OK: Final = 200


class Asks(Protocol):
    """The part of `GetClient` that is needed; it is to read bodies of up to `MOST_STATS_BYTES`."""

    def get(self, address: Address, request: bytes, on_result: OnGetResult, *, keep_alive: bool = True) -> None:
        """Send a request, and hand its answer to `on_answer`."""
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
    first: int = 0  # whose turn it is
    under_way: int = 0
    done: Callable[[], None] | None = None


class RuntimeStats:
    """Asks with `client`, whose timeout is to be a second; a revision has one round at a time."""

    def __init__(self, client: Asks, port: int = STATS_PORT, now_s: Callable[[], float] = time.time) -> None:
        """`now_s` is the clock that `of` is asked by."""
        self._client = client
        self._port = port
        self._now_s = now_s
        self._revisions: dict[str, _Polled] = {}

    def poll(self, key: str, pod_ips: Mapping[str, str], done: Callable[[], None] | None = None) -> bool:
        """Begin a round; `done` is called when it is over. False: the last one is not over, and none begins."""
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
        """What is known of a revision. None: nothing from the last seconds."""
        polled = self._revisions.get(key)
        if polled is None:
            return None
        reports = {name: pod.dated for name, pod in polled.pods.items() if pod.dated is not None}
        return together(reports, asked=len(polled.pods), now_s=now_s)

    def forget(self, key: str) -> None:
        """Keep nothing of a revision; what is still on its way is ignored."""
        polled = self._revisions.pop(key, None)
        if polled is not None:
            polled.done = None

    def _update(self, polled: _Polled, pod_ips: Mapping[str, str]) -> None:
        """The pods that there are now; those that were known stay so."""
        known = polled.pods
        polled.pods = {
            name: known[name] if name in known and known[name].ip == ip else self._new_pod(ip)
            for name, ip in pod_ips.items()
        }

    def _new_pod(self, ip: str) -> _RuntimePod:
        headers = {"Host": host_header((ip, self._port)), "Accept": "application/json"}
        return _RuntimePod(ip=ip, request=get_request("/v1/stats", headers))

    def _chosen(self, polled: _Polled) -> list[_RuntimePod]:
        """Those that are asked now: all, or the next ones in turn, without those that are left alone for a while."""
        pods, now_s = list(polled.pods.values()), self._now_s()
        if len(pods) > MOST_ASKED:
            first = polled.first % len(pods)
            pods = (pods[first:] + pods[:first])[:MOST_ASKED]
            polled.first = first + MOST_ASKED
        # A pause that ends too far ahead was set before the clock went back.
        return [pod for pod in pods if not now_s < pod.pause_until_s <= now_s + LONGEST_PAUSE_S]

    def _answered(self, polled: _Polled, pod: _RuntimePod, answer: GetResponse | GetFailed) -> None:
        report = read_report(answer.body) if isinstance(answer, GetResponse) and answer.status == _HTTP_OK else None
        now_s = self._now_s()
        if report is None:
            pod.failures += 1
            # The first one is asked again at once: it may have been busy.
            pause_s = min(LONGEST_PAUSE_S, 2.0 ** min(pod.failures, 10) - 2.0)
            pod.pause_until_s = now_s + pause_s
        else:
            pod.failures, pod.pause_until_s = 0, 0.0
            pod.dated = Dated(report=report, at_s=now_s)
        polled.under_way -= 1
        if not polled.under_way and polled.done is not None:
            done, polled.done = polled.done, None
            done()
