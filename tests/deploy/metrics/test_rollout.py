"""The metrics of a rollout."""

from __future__ import annotations

import pytest

from deploy.metrics.exporter import MetricsExporter
from serving.phase import Phase
from streaming.contracts.records import RolloutStatus


def status(phase: str) -> RolloutStatus:
    return RolloutStatus(
        record_id=f"status-{phase}",
        model="m",
        at=0.0,
        rollout_id="r",
        version=2,
        champion=1,
        phase=phase,
        weight=5,
        step=0,
        reason="",
    )


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_series_and_only_the_current_one_is_1(phase: Phase) -> None:
    exporter = MetricsExporter()
    exporter.on_record(status(phase.value), now=0.0)
    values = {
        sample.labels["phase"]: sample.value
        for metric in exporter.registry.collect()
        for sample in metric.samples
        if sample.name == "driftline_rollout_phase"
    }
    assert values == {known.value: float(known is phase) for known in Phase}
