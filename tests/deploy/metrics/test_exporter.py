"""The daemon's and worker's metrics: each record counts once, every phase has a series."""

from __future__ import annotations

from typing import get_args

import pytest
from msgspec.structs import replace

from deploy.metrics.exporter import MetricsExporter
from serving.phase import Phase
from streaming.contracts.records import GateMode, GateOutcome, RetrainEnd, RetrainFailure
from tests.deploy.cli.approval_records import ended, request
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


@pytest.mark.parametrize("outcome", get_args(RetrainEnd))
def test_an_insufficient_retrain_is_not_counted_as_failed(
    exporter: MetricsExporter, outcome: RetrainEnd
) -> None:
    record = RetrainFailure(
        record_id=outcome, model=MODEL, at=1.0, request_id="r", component="Blessing", reason="",
        advice="", outcome=outcome,
    )  # fmt: skip
    exporter.on_record(record, 0.0)
    assert value(exporter, "retrains_total", outcome=outcome) == 1.0
    assert value(exporter, "retrain_running") == 0.0


@pytest.mark.parametrize("mode", ["critical", "soft", "dry-run"])
def test_the_outcome_of_each_gate_is_exported_with_its_mode(
    exporter: MetricsExporter, mode: GateMode
) -> None:
    first = canary_verdict(gate="predictions")
    outcomes: tuple[GateOutcome, ...] = ("insufficient", "fail")
    for number, outcome in enumerate(outcomes):
        gates = tuple(replace(gate, mode=mode, outcome=outcome) for gate in first.gates)
        exporter.on_record(replace(first, record_id=str(number), gates=gates), 0.0)
    exported = {
        outcome: value(exporter, "canary_gate", gate="predictions", mode=mode, outcome=outcome)
        for outcome in get_args(GateOutcome)
    }
    assert exported == {"pass": 0.0, "fail": 1.0, "insufficient": 0.0, "error": 0.0}


def test_the_live_version_follows_the_promotions(exporter: MetricsExporter) -> None:
    for number in (1, 2):
        exporter.on_record(promotion(number, replaced=number - 1), 0.0)
    assert value(exporter, "live_version") == 2.0


def test_an_open_approval_is_exported_with_its_times_and_missing_people(
    exporter: MetricsExporter,
) -> None:
    asked_of = request()
    for _ in range(2):
        exporter.on_record(asked_of, 0.0)
    assert value(exporter, "approval_asked_seconds") == asked_of.at
    assert value(exporter, "approval_deadline_seconds") == asked_of.deadline
    assert value(exporter, "approval_missing_people") == 2.0
    assert value(exporter, "approvals_total", outcome="asked") == 1.0
    exporter.on_record(ended(asked_of, "expired"), 0.0)
    exporter.approval(MODEL, None, 0)  # as the daemon says at its next tick
    assert value(exporter, "approvals_total", outcome="expired") == 1.0
    for name in ("asked_seconds", "deadline_seconds", "missing_people"):
        assert value(exporter, f"approval_{name}") == 0.0
