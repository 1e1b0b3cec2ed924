"""Scrapes every revision's pods once in each second, each revision at its own moment of the second.

The moment is fixed, so that each second gets one report: a drifting ticker would give two to one and none to the next.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from dilu.http.client.gets import GetClient
from dilu_autoscaler.knative.reports.sampling import Targets
from dilu_autoscaler.knative.scraping.scraper import Scraped, Scraper, ScrapeTarget

SCRAPE_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The buckets of Knative's histogram."""


class ScrapeTimes:
    """A histogram of the durations of one revision's scrapes."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(SCRAPE_BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one scrape."""
        self.counts[bisect_left(SCRAPE_BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Yield each upper bound as Prometheus spells it, and how many scrapes took at most that time."""
        running = 0
        for bound, count in zip((*SCRAPE_BOUNDS_S, None), self.counts, strict=True):
            running += count
            yield "+Inf" if bound is None else repr(bound), running


SLOTS: Final = 32
"""Moments in a second. The last quarter stays free, so that answers arrive within their second."""
_USED: Final = 24
_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _ScrapedRevision:
    """One revision that is scraped."""

    scraper: Scraper
    stable_window_s: float
    scrapes_queue_proxies: bool
    scrapes_runtime: bool
    failures: int = 0
    times: ScrapeTimes = field(default_factory=ScrapeTimes)


@dataclass(slots=True, kw_only=True)
class ScrapeCounts:
    """What happened since the start."""

    rounds: int = 0
    failed: int = 0
    skipped: int = 0  # the scrape before had not ended
    errors: dict[str, Scraped] = field(default_factory=dict)  # by key: the last scrape, if it failed


class ScrapeSchedule:
    """Runs the scrapers of all revisions that are scraped."""

    def __init__(
        self,
        client: GetClient,
        *,
        targets: Callable[[str, float, float], Targets],
        on_scraped: Callable[[str, Scraped, float], None],
        scrape_runtime: Callable[[str], None],
        randomness: random.Random | None = None,
    ) -> None:
        """`targets(key, stable_window_s, now_s)` returns the pods; `on_scraped(key, result, when_s)` gets each result.

        `scrape_runtime` is called each second with the key of each revision whose runtimes are scraped as well.
        """
        self.counts = ScrapeCounts()
        self._client = client
        self._targets = targets
        self._on_scraped = on_scraped
        self._scrape_runtime = scrape_runtime
        self._random = randomness or random.Random()
        self._slots: list[dict[str, _ScrapedRevision]] = [{} for _ in range(_USED)]

    def __len__(self) -> int:
        return sum(len(slot) for slot in self._slots)

    def scrape(
        self,
        target: ScrapeTarget,
        stable_window_s: float,
        *,
        scrapes_queue_proxies: bool = True,
        scrapes_runtime: bool = False,
    ) -> None:
        """Scrape a revision's pods from now on. The same target again only changes the options."""
        slot = self._slot(target.key)
        known = slot.get(target.key)
        is_same = known is not None and known.scraper.target == target
        slot[target.key] = _ScrapedRevision(
            scraper=known.scraper if known is not None and is_same else Scraper(target, self._client, self._random),
            stable_window_s=stable_window_s,
            scrapes_queue_proxies=scrapes_queue_proxies,
            scrapes_runtime=scrapes_runtime,
            failures=known.failures if known is not None else 0,
            times=known.times if known is not None else ScrapeTimes(),
        )
        if not scrapes_queue_proxies:
            self.counts.errors.pop(target.key, None)

    def forget(self, key: str) -> None:
        """Stop scraping a revision's pods. Unknown revisions are ignored."""
        self._slot(key).pop(key, None)
        self.counts.errors.pop(key, None)

    def failure(self, key: str) -> Scraped | None:
        """Return the last scrape of a revision, if it failed."""
        return self.counts.errors.get(key)

    def failures(self, key: str) -> int:
        """Return how many scrapes of a revision failed."""
        revision = self._slot(key).get(key)
        return 0 if revision is None else revision.failures

    def times(self, key: str) -> ScrapeTimes | None:
        """Return the durations of a revision's scrapes."""
        revision = self._slot(key).get(key)
        return None if revision is None else revision.times

    async def run(self) -> None:
        """Scrape until cancelled."""
        done = int(time.time() * SLOTS)
        while True:
            await asyncio.sleep(min(1.0, max(0.0, (done + 1) / SLOTS - time.time())))
            now = int(time.time() * SLOTS)
            # After a pause of any length each revision is scraped once; the clock may also be set back.
            first = now if now < done else max(done + 1, now - SLOTS + 1)
            for slot in range(first, now + 1):
                if slot % SLOTS < _USED:
                    self._scrape_all(self._slots[slot % SLOTS])
            done = now

    def _slot(self, key: str) -> dict[str, _ScrapedRevision]:
        return self._slots[zlib.crc32(key.encode()) % _USED]

    def _scrape_all(self, slot: dict[str, _ScrapedRevision]) -> None:
        now_s = time.time()
        for key, revision in list(slot.items()):
            try:
                if revision.scrapes_runtime:
                    self._scrape_runtime(key)
                if revision.scrapes_queue_proxies:
                    self._scrape(key, revision, now_s)
            except Exception:  # one revision's failure must not stop the others
                _log.exception("%s: its pods could not be scraped", key)

    def _scrape(self, key: str, revision: _ScrapedRevision, now_s: float) -> None:
        targets = self._targets(key, revision.stable_window_s, now_s)

        def done(result: Scraped) -> None:
            self._done(key, revision, result, now_s)

        if not revision.scraper.scrape(targets, revision.stable_window_s, done):
            self.counts.skipped += 1

    def _done(self, key: str, revision: _ScrapedRevision, result: Scraped, began_s: float) -> None:
        known = self._slot(key).get(key)
        if known is None or known.scraper is not revision.scraper:
            return  # forgotten meanwhile
        self.counts.rounds += 1
        known.times.observe(max(0.0, time.time() - began_s))
        if result.error is None:
            if self.counts.errors.pop(key, None) is not None:
                _log.info("%s: scrapes of its pods work again", key)
        else:
            self.counts.failed += 1
            known.failures += 1
            if key not in self.counts.errors:
                _log.warning("%s", result.error)  # once, until a scrape works again
            self.counts.errors[key] = result
        self._on_scraped(key, result, began_s)
