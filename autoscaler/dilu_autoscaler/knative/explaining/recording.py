"""Recordings of revisions, from which `dilu policy replay` reaches the same decisions."""

from __future__ import annotations

import math

from dilu.spec import to_mapping
from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings
from dilu_autoscaler.knative.deciding.deciders import Deciders
from dilu_autoscaler.knative.deciding.loads import SECOND_IS_OVER_S
from dilu_autoscaler.loop import Tick
from dilu_autoscaler.replay.recorder import Recorder
from dilu_autoscaler.replay.spec_keys import keys_of


class RevisionRecorder:
    """Writes decisions of revisions, and for KPA the seconds of load that its policy does not see itself."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._recorded_until_s: dict[str, float] = {}
        self._first_ready: dict[str, int] = {}

    def record(self, tick: Tick, settings: RevisionSettings, deciders: Deciders) -> None:
        """Write a decision and what it was made from."""
        if settings.function is None:
            self._record_kpa(tick, settings, deciders)
            return
        key, function = tick.function, {**to_mapping(settings.function)}
        if not deciders.co_scales(key):  # KPA decides until a throughput is learned
            self._recorder.spec(key, function)
            self._record_seconds(tick, deciders)
        else:
            self._recorder.tick(tick, function)

    def forget(self, key: str) -> None:
        """End a revision's recording."""
        self._recorded_until_s.pop(key, None)
        self._first_ready.pop(key, None)
        self._recorder.forget(key)

    def close(self) -> None:
        """Write the rest."""
        self._recorder.close()

    def _record_kpa(self, tick: Tick, settings: RevisionSettings, deciders: Deciders) -> None:
        key = tick.function
        first = deciders.first_observed(key)
        if first is None:
            return  # the scaler did not see the revision yet
        keys = keys_of(settings.kpa, initial_ready=self._first_ready.setdefault(key, first.ready))
        self._recorder.spec(key, keys)
        if key not in self._recorded_until_s and tick.seen is None and tick.now_s == first.at_s:
            # The scaler is made now, though its first decision comes later: a replay has to begin here as well.
            self._recorder.averages(key, t_s=first.at_s, ready=first.ready, stable=None, panic=None)
        self._recorder.tick(tick, keys)
        self._record_seconds(tick, deciders)

    def _record_seconds(self, tick: Tick, deciders: Deciders) -> None:
        """Write the seconds since the last call that are over for a co-scaling policy, which may decide next."""
        key, seen = tick.function, tick.seen
        if seen is None:
            return
        until_s = tick.now_s - 1.0 - SECOND_IS_OVER_S
        since_s = self._recorded_until_s.get(key, math.inf)
        if since_s > tick.now_s:  # the first call, or the clock went back
            since_s = until_s - 1.0
        for sample in deciders.collector.seconds(key, since_s=since_s, until_s=until_s):
            self._recorder.values(key, t_s=sample.t_s, concurrency=sample.concurrency, rps=sample.rps, ready=seen.ready)
            self._recorded_until_s[key] = sample.t_s + 1.0
