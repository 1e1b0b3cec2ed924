"""The numbers of a run: rate, KLC, and what Prometheus reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dilu.trainer.metrics import TrainingMetrics

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def ran(*cycles_s: float, start_s: float = 100.0) -> TrainingMetrics:
    metrics = TrainingMetrics("f")
    now_s = start_s
    for cycle_s in cycles_s:
        now_s += cycle_s
        metrics.iteration_ended(cycle_s, now_s)
    return metrics


def test_before_the_first_iteration_nothing_is_known() -> None:
    seen = TrainingMetrics("f").progress(0.0)
    assert (seen.iteration, seen.iterations_per_s, seen.klc, seen.checkpoint_iteration) == (0, None, None, None)


def test_the_rate_is_that_of_the_last_iterations() -> None:
    metrics = ran(*[1.0] * 10, *[0.1] * 64)
    assert metrics.progress(100 + 10 + 6.4).iterations_per_s == pytest.approx(10.0)


def test_the_rate_falls_while_no_iteration_ends() -> None:
    metrics = ran(*[0.1] * 11)
    assert metrics.progress(101.1 + 0.15).iterations_per_s == pytest.approx(10.0)
    assert metrics.progress(101.1 + 9.0).iterations_per_s == pytest.approx(1.0)


def test_the_first_cycle_warms_up_and_counts_only_until_there_is_another() -> None:
    first = ran(5.0).progress(0.0).klc
    second = ran(5.0, 0.1).progress(0.0).klc
    assert first is not None
    assert second is not None
    assert (first.mean_s, second.mean_s) == (5.0, 0.1)


def test_the_inflation_is_one_until_something_is_in_the_way() -> None:
    metrics = ran(5.0, *[0.1] * 15)
    klc = metrics.progress(0.0).klc
    assert klc is not None
    assert klc.min_s is None
    metrics = ran(5.0, *[0.1] * 64, *[0.2] * 64)
    klc = metrics.progress(0.0).klc
    assert klc is not None
    assert klc.min_s is not None
    assert klc.last_s == 0.2
    assert klc.mean_s / klc.min_s == pytest.approx(2.0)


def test_cycles_in_turn_long_and_short_are_no_inflation() -> None:
    klc = ran(*[0.2, 0.0] * 100).progress(0.0).klc
    assert klc is not None
    assert klc.min_s is not None
    assert klc.mean_s / klc.min_s == pytest.approx(1.0, rel=0.1)


def exposed(metrics: TrainingMetrics) -> dict[str, float]:
    families = text_string_to_metric_families(generate_latest(metrics.registry()).decode())
    samples = [sample for family in families for sample in family.samples]
    assert all(sample.labels.get("function", "f") == "f" for sample in samples)
    return {
        sample.name + "".join(f"{{{value}}}" for key, value in sample.labels.items() if key != "function"): sample.value
        for sample in samples
    }


def test_prometheus_reads_what_the_run_did() -> None:
    metrics = TrainingMetrics("f", version="1")
    metrics.cold_start_s.update(load=2.5, resume=0.5)
    metrics.resumed(40)
    metrics.iteration_ended(0.25, 1.0)
    metrics.iteration_ended(0.25, 1.25)
    metrics.yielded({"loss": 0.5})
    metrics.checkpointed(42, 0.2)
    values = exposed(metrics)
    assert values["dilu_iterations_total"] == 2
    assert values["dilu_iteration"] == values["dilu_checkpoint_iteration"] == 42
    assert (values["dilu_klc_seconds_count"], values["dilu_klc_seconds_sum"]) == (2, 0.5)
    assert values["dilu_klc_seconds_bucket{0.2}"] == 0
    assert values["dilu_klc_seconds_bucket{0.3}"] == 2
    assert values["dilu_checkpoint_seconds_count"] == 1
    assert values["dilu_training_scalar{loss}"] == 0.5
    assert values["dilu_cold_start_seconds{load}"] == 2.5


def test_a_run_without_a_checkpoint_shows_none() -> None:
    values = exposed(TrainingMetrics("f"))
    assert "dilu_checkpoint_iteration" not in values
    assert "dilu_iterations_per_second" not in values
    assert values["dilu_iterations_total"] == 0


def test_each_metric_is_in_the_document() -> None:
    text = DOCUMENT.read_text()
    metrics = ran(0.1, 0.1)
    names = {family.name for family in metrics.collect()} - {"dilu"}
    assert sorted(name for name in names if f"`{name}" not in text) == []
