"""The daemon's and worker's metrics: each record counts once, every phase has a series."""

from __future__ import annotations

import pytest

from deploy.metrics.exporter import MetricsExporter
from serving.state import Phase
from tests.deploy.cli.builders import MODEL, canary_verdict, promotion, status, version


@pytest.fixture
def exporter() -> MetricsExporter:
    return MetricsExporter()


def value(exporter: MetricsExporter, name: str, **labels: str) -> float | None:
    labels = {"model": MODEL, **labels}
    return exporter.registry.get_sample_value(f"driftline_{name}", labels)


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_of_a_rollout_is_exported(exporter: MetricsExporter, phase: Phase) -> None:
    exporter.on_record(status(phase, weight=25), 0.0)
    exported = {other: value(exporter, "rollout_phase", phase=other) for other in Phase}
    assert exported == {other: float(other is phase) for other in Phase}
    waiting = value(exporter, "approval_waiting")
    assert waiting == float(phase is Phase.AWAITING_APPROVAL)
    assert value(exporter, "canary_weight_ratio") == 0.25


def test_a_replayed_record_counts_once(exporter: MetricsExporter) -> None:
    for _ in range(2):
        exporter.on_record(version(2), 0.0)
        exporter.on_record(canary_verdict(), 0.0)
    assert value(exporter, "retrains_total", outcome="published") == 1.0
    assert value(exporter, "canary_verdicts_total", outcome="insufficient") == 1.0


def test_the_live_version_follows_the_promotions(exporter: MetricsExporter) -> None:
    for number in (1, 2):
        exporter.on_record(promotion(number, replaced=number - 1), 0.0)
    assert value(exporter, "live_version") == 2.0
