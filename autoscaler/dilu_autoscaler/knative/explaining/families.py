"""Prometheus families that make their samples on iteration, so that thousands need not be in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from dilu_autoscaler.knative.explaining.snapshot import RevisionNumbers

Value: TypeAlias = Callable[[RevisionNumbers], float | None]
"""Returns a revision's value. None: no sample."""


class Labels(dict[str, str]):
    """Labels that many samples share; their text is made once."""

    __slots__ = ("_text",)
    _text: str

    @property
    def text(self) -> str:
        """Return the labels as in a line of text, without the braces."""
        try:
            return self._text
        except AttributeError:
            self._text = ",".join(f'{name}="{_escaped(self[name])}"' for name in sorted(self))
            return self._text


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def line(sample: Sample) -> str:
    """Return a sample's line in Prometheus' text format."""
    labels = sample.labels
    text = (labels if isinstance(labels, Labels) else Labels(labels)).text
    braced = f"{{{text}}}" if text else ""
    value: str = floatToGoString(sample.value)  # type: ignore[no-untyped-call]  # the package is half typed
    return f"{sample.name}{braced} {value}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One name with all its samples, which can be iterated once."""

    name: str
    text: str
    kind: str  # gauge | counter | histogram
    samples: Iterable[Sample]

    def metric(self, samples: Iterable[Sample]) -> Metric:
        """Return the family with these of its samples."""
        metric = Metric(self.name, self.text, self.kind)
        metric.samples = list(samples)
        return metric


def revision_family(
    name: str,
    text: str,
    value_of: Value,
    revisions: Sequence[RevisionNumbers],
    labels: Sequence[Labels],
    *,
    kind: str = "gauge",
) -> Family:
    """Return a family with one sample for each revision that has a value."""
    sample_name = f"{name}_total" if kind == "counter" else name
    values = ((value_of(one), own) for one, own in zip(revisions, labels, strict=True))
    samples = (Sample(sample_name, own, float(value)) for value, own in values if value is not None)
    return Family(name=name, text=text, kind=kind, samples=samples)
