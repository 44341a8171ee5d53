"""Runs a retrain worker: TFX is imported once, then requests are taken one by one."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import structlog

from deploy.metrics.exporter import Instruments
from deploy.services.shutdown import Stop
from streaming.contracts.clock import SystemClock
from streaming.contracts.records import RetrainProgress

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

log = structlog.get_logger()


def run(deployment: Deployment, *, once: bool = False) -> None:
    """Take requests until told to stop; with `once`, leave after one."""
    from retrain.blessing import BlessingRules
    from retrain.engines.kafka.examples import LogExamples
    from retrain.engines.kafka.request_queue import KafkaRequests
    from retrain.engines.model_store import FolderStore
    from retrain.engines.tfx.trainer import TfxTrainer
    from retrain.worker import Worker

    stop = Stop()
    instruments = Instruments()
    instruments.serve(deployment.ports.worker_metrics)
    floors = {section.retrain.auc_floor for section in deployment.settings.models.values()}
    trainer = TfxTrainer(deployment.home, rules=BlessingRules(floor=max(floors)))
    trainer.warm()
    log.info("worker.ready")
    requests = KafkaRequests(deployment.bootstrap)
    with deployment.log() as records:
        worker = Worker(
            requests=requests,
            log=records,
            trainer=trainer,
            store=FolderStore(deployment.artifact_root / "models"),
            examples=LogExamples(log=records),
            contracts={name: deployment.contract(name) for name in deployment.settings.models},
            clock=SystemClock(),
            name=f"{socket.gethostname()}-{os.getpid()}",
            scratch=deployment.home / "scratch",
            report=lambda progress: _report(instruments, progress),
        )
        try:
            if once:
                while worker.run_once(1.0) == "nothing" and not stop():
                    pass
            else:
                worker.run(lambda: not stop())
        finally:
            requests.close()


def _report(instruments: Instruments, progress: RetrainProgress) -> None:
    instruments.on_record(progress, progress.at)
    log.info(
        "retrain.progress",
        step=f"{progress.step}/{progress.steps}",
        component=progress.component,
        state=progress.state,
        seconds=round(progress.seconds, 1),
        detail=progress.detail,
    )
