"""Runs a retrain worker: TFX is imported once, then requests are taken one by one."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import structlog

from deploy.instruments import Instruments
from deploy.stopping import Stop
from streaming.contracts.clock import SystemClock
from streaming.contracts.records import RetrainProgress

if TYPE_CHECKING:
    from deploy.wiring import House

log = structlog.get_logger()


def run(house: House, *, once: bool = False) -> None:
    """Take requests until told to stop; with `once`, leave after one."""
    from retrain.blessing import BlessingRules
    from retrain.engines.kafka_examples import LogExamples
    from retrain.engines.kafka_requests import KafkaRequests
    from retrain.engines.model_store import FolderStore
    from retrain.engines.tfx_run import TfxTrainer
    from retrain.worker import Worker

    stop = Stop()
    instruments = Instruments()
    instruments.serve(house.ports.worker_metrics)
    floors = {section.retrain.auc_floor for section in house.settings.models.values()}
    trainer = TfxTrainer(house.home, rules=BlessingRules(floor=max(floors)))
    trainer.warm()
    log.info("worker.ready")
    requests = KafkaRequests(house.bootstrap)
    with house.log() as records:
        worker = Worker(
            requests=requests,
            log=records,
            trainer=trainer,
            store=FolderStore(house.artifact_root / "models"),
            examples=LogExamples(log=records),
            contracts={name: house.contract(name) for name in house.settings.models},
            clock=SystemClock(),
            name=f"{socket.gethostname()}-{os.getpid()}",
            scratch=house.home / "scratch",
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
