"""The label service's process: which models it serves, how it ends, what it survives."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deploy.app.deployment import Deployment
from deploy.metrics.quality import QualityExporter
from deploy.services import labels
from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import QualityVerdict
from streaming.quality.service import LabelService
from tests.deploy.cli.runner import DEMO, SHIPPED, UNUSED_PORTS

MODEL = "big_tipper"


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def deployment(log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE__LOCAL__PORT_OFFSET", UNUSED_PORTS)
    return Deployment.load(DEMO, log_factory=lambda bootstrap: log)


@pytest.fixture
def signals() -> Iterator[None]:
    """Puts the signal handlers back that the service replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_until_a_signal_and_finishes_its_step(
    deployment: Deployment,
    log: MemoryLog,
    signals: None,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    steps: list[str] = []

    def step(service: LabelService) -> list[QualityVerdict]:
        steps.append(service.contract.model)
        if len(steps) == 3:
            signal.raise_signal(number)
        return []

    monkeypatch.setattr(LabelService, "step", step)
    monkeypatch.setattr("deploy.services.labels.time.sleep", lambda seconds: None)
    monkeypatch.setattr(QualityExporter, "serve", lambda exporter, port: None)
    labels.run(deployment)
    assert steps == [MODEL] * 3
    assert log.spans("quality-verdicts")  # the topics were created


def test_an_engine_that_does_not_answer_is_waited_for(
    deployment: Deployment, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(service: LabelService) -> list[QualityVerdict]:
        raise UnavailableError("Kafka does not answer.", delay_seconds=7.0)

    pauses: list[float] = []
    monkeypatch.setattr(LabelService, "step", fail)
    monkeypatch.setattr("deploy.services.labels.time.sleep", pauses.append)
    service = labels.label_service(deployment, MODEL, log, QualityExporter())
    with capture_logs() as logs:
        labels._step(service)
    assert pauses == [7.0]
    assert [entry["event"] for entry in logs] == ["step.postponed"]


def test_the_service_follows_the_settings(deployment: Deployment, log: MemoryLog) -> None:
    service = labels.label_service(deployment, MODEL, log, QualityExporter())
    assert service.predictions_topic == "taxi.predictions"
    assert service.rules == deployment.quality_rules(MODEL)
    assert service.contract == deployment.contract(MODEL)
    assert service.outcome_of({"tips": 3.0, "fare": 10.0}) is True


def test_a_model_without_predictions_is_refused(log: MemoryLog) -> None:
    shipped = Deployment.load(SHIPPED)
    with pytest.raises(ConfigurationError, match="predictions topic"):
        labels.label_service(shipped, MODEL, log, QualityExporter())
    with pytest.raises(ConfigurationError, match="predictions"):
        labels.run(shipped)
