"""What an autoscaler uses while it scrapes many revisions and nothing changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import harness
from autoscaler_comparison.contestants import Contestant, used_by
from autoscaler_comparison.manifests import Revision
from autoscaler_comparison.sizes import Sizes
from autoscaler_comparison.world import World

_ALL_SCRAPED_S: Final = 90.0
_FULL_RATE: Final = 0.9  # of one scrape a second and pod; a second may hold fewer by chance
_OTHERS: Final = ("etcd", "kube-apiserver", "fake-pods")


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRest:
    """The figures of one turn."""

    revisions: int
    cpu_milli: float  # thousandths of a core
    rss_mib: float
    pss_mib: float
    threads: int
    scrapes_rps: float
    pods_scraped: int
    started_s: float  # from the lease to a scrape of each pod each second
    others_cpu_milli: dict[str, float]  # what the autoscaler costs its surroundings


def measure_rest(world: World, contestant: Contestant, revisions: Sequence[Revision], sizes: Sizes) -> AtRest:
    """Measure an autoscaler that has just acquired the lease."""
    pods = sum(len(revision.pods) for revision in revisions)
    started_s = _wait_until_all_are_scraped(world, contestant, pods)
    time.sleep(sizes.settle_s)
    world.forget_scraped()
    others = {name: world.process_named(name) for name in _OTHERS}
    before, others_before = contestant.used(), {name: used_by(pid).cpu_s for name, pid in others.items()}
    scrapes_before, _ = world.scrapes()
    began_s = time.monotonic()
    time.sleep(sizes.rest_s)
    scrapes, pods_scraped = world.scrapes()
    after = contestant.used()
    took_s = time.monotonic() - began_s
    found = AtRest(
        revisions=len(revisions),
        cpu_milli=(after.cpu_s - before.cpu_s) / took_s * 1000,
        rss_mib=after.rss_mib,
        pss_mib=after.pss_mib,
        threads=after.threads,
        scrapes_rps=(scrapes - scrapes_before) / took_s,
        pods_scraped=pods_scraped,
        started_s=started_s,
        others_cpu_milli={
            name: round((used_by(pid).cpu_s - others_before[name]) / took_s * 1000, 1) for name, pid in others.items()
        },
    )
    harness.progress(
        f"  at rest: {found.cpu_milli:.0f} mCPU, {found.rss_mib:.0f} MiB, {found.scrapes_rps:.0f} scrapes/s "
        f"of {found.pods_scraped} pods; others {found.others_cpu_milli}"
    )
    return found


def _wait_until_all_are_scraped(world: World, contestant: Contestant, pods: int) -> float:
    """Return the seconds until each pod is scraped each second."""
    began_s = time.monotonic()
    while True:
        world.forget_scraped()
        before, _ = world.scrapes()
        second_s = time.monotonic()
        time.sleep(1.0)
        requests, seen = world.scrapes()
        rate = (requests - before) / (time.monotonic() - second_s)
        took_s = time.monotonic() - began_s
        if rate >= _FULL_RATE * pods:
            harness.progress(
                f"  {contestant.name} scrapes {seen} pods each second, {took_s:.1f} s after it acquired the lease"
            )
            return took_s
        if took_s > _ALL_SCRAPED_S:  # the figures show it
            harness.progress(
                f"  {contestant.name} makes only {rate:.0f} scrapes/s after {took_s:.0f} s: taken as it is"
            )
            return took_s
