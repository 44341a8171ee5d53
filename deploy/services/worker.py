"""Runs a retrain worker: TFX is imported once, in a process of its own, and requests are served.

One request is served at a time.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from deploy.app.code_version import code_version
from deploy.app.deployment import Deployment
from deploy.metrics.exporter import MetricsExporter
from deploy.runs.follower import recorded_runs
from deploy.runs.places import metadata_place, run_files
from deploy.services.device_lease import lease
from deploy.services.endpoints import kafka_answers
from deploy.services.model_server_launcher import DriftlineModelServer
from deploy.services.shutdown import ShutdownFlag
from streaming.contracts.clock import SystemClock
from streaming.contracts.errors import TemporaryError
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainProgress, RetrainRequest, RowRules
from streaming.contracts.registered import RegistryAddress, SchemaSource
from streaming.contracts.tolerance import Tolerance

if TYPE_CHECKING:
    from retrain.engines.tfx.champion_check import CheckedTrainer
    from retrain.engines.tfx.row_probe import ProbedExamples, ProbeRules
    from retrain.engines.tfx.trainer import TfxTrainer
    from retrain.engines.trainer_process import TrainerProcess
    from retrain.ports import ExampleBuilder, RequestQueue, Trainer
    from retrain.worker import Worker
    from streaming.windowing.decode import Decoder

log = structlog.get_logger()

POLL_SECONDS = 1.0
POLLS_PER_LINE = 15
"""A worker that serves one request logs at every 15th poll that there is none."""


def run(deployment: Deployment, *, devices: str = "auto", once: bool = False) -> None:
    """Take requests until the process is stopped; with `once`, end after one.

    The worker first leases its devices, and waits while others hold them.
    """
    from retrain.engines.kafka.request_queue import KafkaRequestQueue

    stop = ShutdownFlag()
    leased = lease(devices, stop=stop, sleep=time.sleep)
    if leased is None:
        return
    # TensorFlow reads it when it is imported, in the trainer's process.
    os.environ["CUDA_VISIBLE_DEVICES"] = leased.visible_gpus
    exporter = MetricsExporter()
    _serve_metrics(exporter, deployment.ports.worker_metrics)
    with deployment.log() as records, recorded_runs(deployment):
        trainer = trainer_process(deployment, cancelled=partial(_is_cancelled, records))
        trainer.warm()
        log.info("worker.ready")
        requests = KafkaRequestQueue(deployment.bootstrap)
        worker = retrain_worker(
            deployment,
            records,
            requests=requests,
            trainer=trainer,
            examples=trainer,
            exporter=exporter,
        )
        worker.stopping = stop
        try:
            if once:
                serve_one(worker, stop=stop, kafka_answers=partial(kafka_answers, deployment))
            else:
                worker.run(lambda: not stop())
        finally:
            requests.close()
            trainer.close()


def _serve_metrics(exporter: MetricsExporter, port: int) -> None:
    """Serve the metrics; of several workers on a machine only the first does."""
    try:
        exporter.serve(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        log.warning("worker.no_metrics", port=port, reason="another process has the port")


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


def trainer_process(
    deployment: Deployment, *, cancelled: Callable[[RetrainRequest], bool] = lambda request: False
) -> TrainerProcess:
    """Trainer and examples in a process of their own, so that what hangs can be ended."""
    from retrain.engines.trainer_process import TrainerProcess

    return TrainerProcess(
        partial(_checked_trainer, **_trainer_arguments(deployment)),
        examples=partial(
            _opened_examples,
            open_log=partial(deployment.log_factory, deployment.bootstrap),
            registry=deployment.registry,
            tolerances=_tolerances(deployment),
            rows=_row_rules(deployment),
            probes=_probe_rules(deployment),
        ),
        cancelled=cancelled,
    )


def _is_cancelled(records: RecordLog, request: RetrainRequest) -> bool:
    """Whether a person has cancelled the request; no, while the log cannot be reached."""
    from retrain.request_records import has_failure

    try:
        return has_failure(records, request)
    except TemporaryError:
        return False


@contextmanager
def _opened_examples(
    *,
    open_log: Callable[[], RecordLog],
    registry: RegistryAddress | None,
    tolerances: Mapping[str, Tolerance],
    rows: Mapping[str, RowRules],
    probes: Mapping[str, ProbeRules],
) -> Iterator[ProbedExamples]:
    """Runs in the trainer's process: the builder of examples over a log of its own."""
    from retrain.engines.kafka.examples import LogExampleBuilder
    from retrain.engines.tfx.row_probe import ProbedExamples
    from streaming.engines.registry import schema_source

    records = open_log()
    try:
        builder = LogExampleBuilder(
            log=records,
            schemas=schema_source(registry),
            tolerances=tolerances,
            rules=rows,
            decoder=column_decoder,
        )
        yield ProbedExamples(builder=builder, rules=probes)
    finally:
        records.close()


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
        "beam": {name: section.retrain.beam for name, section in models.items()},
        "training": {name: section.retrain.training() for name, section in models.items()},
        "metadata": metadata_place(deployment),
        "files": run_files(deployment),
    }


def _tolerances(deployment: Deployment) -> dict[str, Tolerance]:
    """How much broken data each model tolerates."""
    return {name: deployment.tolerance(name) for name in deployment.settings.models}


def _row_rules(deployment: Deployment) -> dict[str, RowRules]:
    """How the rows of each model are chosen."""
    models = deployment.settings.models
    return {
        name: section.retrain.rows.rules(section.retrain.after_shift)
        for name, section in models.items()
    }


def _probe_rules(deployment: Deployment) -> dict[str, ProbeRules]:
    """Whether the rows of each model are probed."""
    from retrain.engines.tfx.row_probe import ProbeRules

    rows = {name: section.retrain.rows for name, section in deployment.settings.models.items()}
    return {
        name: ProbeRules(enabled=section.probe, smallest_gain=section.probe_gain)
        for name, section in rows.items()
    }


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
    examples: ExampleBuilder,
    exporter: MetricsExporter,
) -> Worker:
    """The worker of every model of the deployment, over a queue, a trainer and its examples."""
    from retrain.engines.model_store import FolderStore
    from retrain.worker import Worker

    return Worker(
        requests=requests,
        log=records,
        trainer=trainer,
        store=FolderStore(deployment.artifact_root / "models"),
        examples=examples,
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
