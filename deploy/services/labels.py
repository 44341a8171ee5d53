"""Runs the label services of all models: joins served predictions with their late labels.

It is a process of its own beside the stream job.
"""

from __future__ import annotations

import time

import structlog

from deploy.app.code_version import code_version
from deploy.app.deployment import Deployment
from deploy.app.topics import ensure_topics
from deploy.metrics.quality import QualityExporter
from deploy.services.shutdown import ShutdownFlag
from streaming.contracts.clock import SystemClock
from streaming.contracts.errors import ConfigurationError, TemporaryError
from streaming.contracts.log import RecordLog
from streaming.quality.service import LabelService

MIN_STEP_SECONDS = 0.2
log = structlog.get_logger()


def run(deployment: Deployment) -> None:
    """Run the service of every model that has a predictions topic, until the process is stopped.

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
    stop = ShutdownFlag()
    ensure_topics(deployment)
    exporter = QualityExporter()
    with deployment.log() as records:
        services = [label_service(deployment, name, records, exporter) for name in models]
        for service in services:
            service.start()
        exporter.progress(time.time())
        exporter.serve(deployment.ports.labels_metrics)
        log.info("labels.started", models=models)
        while not stop():
            began = time.monotonic()
            for service in services:
                _step(service)
                exporter.accounts(service.contract.model, service.monitor)
            exporter.progress(time.time())
            time.sleep(max(0.0, MIN_STEP_SECONDS - (time.monotonic() - began)))


def label_service(
    deployment: Deployment, model: str, records: RecordLog, exporter: QualityExporter
) -> LabelService:
    """The label service of one model on the deployment's log; raises `ConfigurationError`."""
    from retrain.engines.kafka.examples import schema_label_columns
    from retrain.models.code import load_code

    contract = deployment.contract(model)
    section = deployment.settings_of(model)
    outcome = load_code(section.module).outcome
    if section.predictions is None or outcome is None:
        missing = "predictions topic" if section.predictions is None else "`outcome` in its CODE"
        raise ConfigurationError(
            f"{model} has no {missing}; its realised quality cannot be measured."
        )
    return LabelService(
        log=records,
        clock=SystemClock(),
        contract=contract,
        code=code_version(),
        rules=deployment.quality_rules(model),
        predictions_topic=section.predictions.topic,
        outcome_of=outcome,
        label_columns=schema_label_columns(contract),
        schemas=deployment.schemas(),
        slices=section.rollout.slices.predictions(),
        on_verdict=exporter.verdict,
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
