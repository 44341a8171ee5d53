"""Runs the label service: late labels are joined with served predictions, beside the stream job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from deploy.metrics.quality import QualityInstruments
from deploy.services.shutdown import Stop
from streaming.contracts.clock import SystemClock
from streaming.contracts.errors import ConfigurationError, TemporaryError
from streaming.quality.service import LabelService

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from streaming.contracts.log import RecordLog

LEAST_STEP_SECONDS = 0.2
log = structlog.get_logger()


def run(deployment: Deployment) -> None:
    """Follow the predictions and labels of every model that has them, until told to stop.

    Raises
    ------
    ConfigurationError
        When no model has a predictions topic.
    """
    models = [name for name, section in deployment.settings.models.items() if section.predictions]
    if not models:
        raise ConfigurationError(
            f"No model of {deployment.file.name} has a `predictions` topic; name the one that the "
            "applications write their served predictions to."
        )
    stop = Stop()
    deployment.ensure_topics()
    instruments = QualityInstruments()
    with deployment.log() as records:
        services = [label_service(deployment, name, records, instruments) for name in models]
        for service in services:
            service.start()
        instruments.serve(deployment.ports.labels_metrics)
        log.info("labels.started", models=models)
        while not stop():
            began = time.monotonic()
            for service in services:
                _step(service)
                instruments.accounts(service.contract.model, service.book)
            time.sleep(max(0.0, LEAST_STEP_SECONDS - (time.monotonic() - began)))


def label_service(
    deployment: Deployment, model: str, records: RecordLog, instruments: QualityInstruments
) -> LabelService:
    """The service of one model on its real log; raises `ConfigurationError`."""
    from retrain.models.code import load_code

    section = deployment.settings_of(model)
    outcome = load_code(section.module).outcome
    if section.predictions is None or outcome is None:
        lacks = "predictions topic" if section.predictions is None else "`outcome` in its CODE"
        raise ConfigurationError(
            f"{model} has no {lacks}; its realised quality cannot be measured."
        )
    return LabelService(
        log=records,
        clock=SystemClock(),
        contract=deployment.contract(model),
        rules=deployment.quality_rules(model),
        predictions_topic=section.predictions.topic,
        outcome_of=outcome,
        report=instruments.verdict,
    )


def _step(service: LabelService) -> None:
    try:
        verdicts = service.step()
    except TemporaryError as error:
        log.warning("step.postponed", model=service.contract.model, reason=str(error))
        time.sleep(error.delay_seconds)
        return
    for verdict in verdicts:
        if verdict.stage == "realised":
            log.info(
                "window.realised",
                model=verdict.model,
                version=verdict.version,
                end=verdict.window_end,
                outcome=verdict.outcome,
                reason=verdict.reason,
            )
