"""Runs a retrain worker: TFX is imported once, in a process of its own, and requests are served.

A worker process serves one request at a time, or several of different models at once: each in a
slot with a thread, a claim and a trainer's process of its own.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import structlog

from deploy.app.code_version import code_version
from deploy.app.deployment import Deployment
from deploy.app.topics import ensure_topics
from deploy.metrics.exporter import MetricsExporter
from deploy.runs.follower import recorded_runs
from deploy.runs.places import metadata_place, run_files
from deploy.services.clean_up import cleaned_up, make_room
from deploy.services.device_lease import lease
from deploy.services.endpoints import kafka_answers
from deploy.services.model_server_launcher import DriftlineModelServer
from deploy.services.shutdown import ShutdownFlag
from deploy.services.worker_slots import Slot, slots_of
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


def run(
    deployment: Deployment, *, devices: str = "auto", workers: int = 1, once: bool = False
) -> None:
    """Take requests until the process is stopped; with `once`, end after one.

    At most `workers` requests of different models are worked on at once, each on devices of its
    own. The process first leases the devices, and waits while others hold them.

    Raises
    ------
    UnavailableError
        When Kafka cannot be reached at the start.
    """
    stop = ShutdownFlag()
    count = 1 if once else workers
    leased = lease(devices, stop=stop, sleep=time.sleep, cpus=count)
    if leased is None:
        return
    slots = slots_of(leased.devices, count, name=f"{socket.gethostname()}-{os.getpid()}")
    if len(slots) < count:
        log.warning("worker.fewer_at_once", wanted=count, devices=leased.devices)
    ensure_topics(deployment)
    exporter = MetricsExporter()
    _serve_metrics(exporter, deployment.ports.worker_metrics)
    with recorded_runs(deployment), cleaned_up(deployment) as clean_up:
        serve = partial(
            _serve, deployment, exporter=exporter, lock=Lock(), once=once, clean_up=clean_up
        )
        serve_slots(slots, serve, stop=stop)


def serve_slots(
    slots: Sequence[Slot], serve: Callable[..., None], *, stop: Callable[[], bool]
) -> None:
    """Serve every slot in a thread of its own; an error of one ends them all, and is raised."""
    failed = Event()

    def guarded(slot: Slot) -> None:
        try:
            serve(slot, stop=lambda: stop() or failed.is_set())
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(len(slots), thread_name_prefix="retrains") as pool:
        for future in [pool.submit(guarded, slot) for slot in slots]:
            future.result()


def _serve(
    deployment: Deployment,
    slot: Slot,
    *,
    exporter: MetricsExporter,
    lock: Lock,
    once: bool,
    clean_up: Callable[[], None],
    stop: Callable[[], bool],
) -> None:
    """Serve one request after another until the process is stopped."""
    from retrain.engines.claimed_requests import ClaimedRequests

    with deployment.log() as records, deployment.log() as claims:
        requests = ClaimedRequests(claims, worker=slot.name, clock=SystemClock())
        trainer = trainer_process(
            deployment,
            visible_gpus=slot.visible_gpus,
            cancelled=lambda request: requests.lost() or _is_cancelled(records, request),
        )
        try:
            trainer.warm()
            log.info("worker.ready", worker=slot.name)
            worker = retrain_worker(
                deployment,
                records,
                requests=requests,
                trainer=trainer,
                examples=trainer,
                name=slot.name,
                report=partial(_report, exporter, lock),
            )
            worker.stopping, worker.on_end = stop, clean_up
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
    deployment: Deployment,
    *,
    visible_gpus: str = "",
    cancelled: Callable[[RetrainRequest], bool] = lambda request: False,
) -> TrainerProcess:
    """Trainer and examples in a process of their own, so that what hangs can be ended."""
    from retrain.engines.trainer_process import TrainerProcess

    return TrainerProcess(
        partial(_checked_trainer, visible_gpus, **_trainer_arguments(deployment)),
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


def _checked_trainer(visible_gpus: str, **arguments: Any) -> CheckedTrainer:
    """Runs in the trainer's process."""
    # TensorFlow reads it when it is imported, so before the imports below.
    os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpus
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
    name: str,
    report: Callable[[RetrainProgress], None],
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
        name=name,
        scratch=deployment.home / "scratch",
        make_room=partial(make_room, deployment),
        on_progress=report,
    )


def _report(exporter: MetricsExporter, lock: Lock, progress: RetrainProgress) -> None:
    with lock:
        exporter.on_record(progress, progress.at)
    log.info(
        "retrain.progress",
        model=progress.model,
        step=f"{progress.step}/{progress.steps}",
        component=progress.component,
        state=progress.state,
        seconds=round(progress.seconds, 1),
        detail=progress.detail,
    )
