"""Runs a retrain worker: TFX is imported once, in a process of its own, and requests are served.

One request is served at a time.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from deploy.app.code_version import code_version
from deploy.app.deployment import Deployment
from deploy.metrics.exporter import MetricsExporter
from deploy.services.endpoints import kafka_answers
from deploy.services.model_server_launcher import DriftlineModelServer
from deploy.services.shutdown import ShutdownFlag
from streaming.contracts.clock import SystemClock
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainProgress
from streaming.contracts.registered import SchemaSource
from streaming.contracts.tolerance import Tolerance

if TYPE_CHECKING:
    from retrain.engines.tfx.champion_check import CheckedTrainer
    from retrain.engines.tfx.trainer import TfxTrainer
    from retrain.engines.trainer_process import TrainerProcess
    from retrain.ports import RequestQueue, Trainer
    from retrain.worker import Worker
    from streaming.windowing.decode import Decoder

log = structlog.get_logger()

POLL_SECONDS = 1.0
POLLS_PER_LINE = 15
"""A worker that serves one request logs at every 15th poll that there is none."""


def run(deployment: Deployment, *, once: bool = False) -> None:
    """Take requests until the process is stopped; with `once`, end after one."""
    from retrain.engines.kafka.request_queue import KafkaRequestQueue

    stop = ShutdownFlag()
    exporter = MetricsExporter()
    exporter.serve(deployment.ports.worker_metrics)
    trainer = trainer_process(deployment)
    trainer.warm()
    log.info("worker.ready")
    requests = KafkaRequestQueue(deployment.bootstrap)
    with deployment.log() as records:
        worker = retrain_worker(
            deployment, records, requests=requests, trainer=trainer, exporter=exporter
        )
        try:
            if once:
                serve_one(worker, stop=stop, kafka_answers=partial(kafka_answers, deployment))
            else:
                worker.run(lambda: not stop())
        finally:
            requests.close()
            trainer.close()


def serve_one(
    worker: Worker, *, stop: Callable[[], bool], kafka_answers: Callable[[], bool]
) -> None:
    """Serve one request; while there is none, log now and then what the worker waits for."""
    polls = 0
    while worker.run_once(POLL_SECONDS) == "no-request" and not stop():
        polls += 1
        if polls % POLLS_PER_LINE == 0:
            log.info(
                "worker.waiting",
                seconds=round(polls * POLL_SECONDS),
                waits_for="a request; `driftline retrain MODEL` asks for a retrain"
                if kafka_answers()
                else "Kafka, which does not answer; `driftline status` shows what is running",
            )


def trainer_process(deployment: Deployment) -> TrainerProcess:
    """The trainer in a process of its own, so that a run that hangs can be ended."""
    from retrain.engines.trainer_process import TrainerProcess

    return TrainerProcess(partial(_checked_trainer, **_trainer_arguments(deployment)))


def tfx_trainer(deployment: Deployment) -> TfxTrainer:
    """The trainer of every model of the deployment, each judged by its own blessing rules."""
    from retrain.engines.tfx.trainer import TfxTrainer

    return TfxTrainer(**_trainer_arguments(deployment))


def _checked_trainer(**arguments: Any) -> CheckedTrainer:
    """Runs in the trainer's process."""
    from retrain.engines.tfx.champion_check import CheckedTrainer
    from retrain.engines.tfx.trainer import TfxTrainer

    return CheckedTrainer(TfxTrainer(**arguments))


def _trainer_arguments(deployment: Deployment) -> dict[str, Any]:
    """What a trainer needs of the deployment; plain values, so another process can have them."""
    models = deployment.settings.models
    return {
        "home": deployment.home,
        "server": DriftlineModelServer(deployment.settings.artifacts.allowed_operations),
        "rules": {name: section.retrain.blessing() for name, section in models.items()},
        "tolerances": _tolerances(deployment),
        "engines": {name: section.retrain.engine for name, section in models.items()},
        "training": {name: section.retrain.training() for name, section in models.items()},
    }


def _tolerances(deployment: Deployment) -> dict[str, Tolerance]:
    """How much broken data each model tolerates."""
    return {name: deployment.tolerance(name) for name in deployment.settings.models}


def column_decoder(contract: ModelContract, schemas: SchemaSource | None) -> Decoder:
    """The stream job's decoder of flat records, for the replay."""
    from streaming.windowing.decode import Decoder

    return Decoder(contract, schemas=schemas)


def retrain_worker(
    deployment: Deployment,
    records: RecordLog,
    *,
    requests: RequestQueue,
    trainer: Trainer,
    exporter: MetricsExporter,
) -> Worker:
    """The worker of every model of the deployment, over a queue and a trainer."""
    from retrain.engines.kafka.examples import LogExampleBuilder
    from retrain.engines.model_store import FolderStore
    from retrain.worker import Worker

    return Worker(
        requests=requests,
        log=records,
        trainer=trainer,
        store=FolderStore(deployment.artifact_root / "models"),
        examples=LogExampleBuilder(
            log=records,
            schemas=deployment.schemas(),
            tolerances=_tolerances(deployment),
            decoder=column_decoder,
        ),
        code=code_version(),
        contracts={name: deployment.contract(name) for name in deployment.settings.models},
        clock=SystemClock(),
        name=f"{socket.gethostname()}-{os.getpid()}",
        scratch=deployment.home / "scratch",
        on_progress=lambda progress: _report(exporter, progress),
    )


def _report(exporter: MetricsExporter, progress: RetrainProgress) -> None:
    exporter.on_record(progress, progress.at)
    log.info(
        "retrain.progress",
        step=f"{progress.step}/{progress.steps}",
        component=progress.component,
        state=progress.state,
        seconds=round(progress.seconds, 1),
        detail=progress.detail,
    )
