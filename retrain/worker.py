"""One request at a time: examples, training, publication, and one outcome for each request.

The outcome is either a `ModelVersion` or a `RetrainFailure`. A request may come more than once:
its worker died, or the daemon made the same step twice. So every take first looks at what is
known: a version in the store is announced again and never trained again; a failure in the log
ends it; attempts are counted from the progress records, which outlive the worker. The queue is
told only after the outcome is durable.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from retrain.ports import (
    ExampleBuilder,
    ExampleSet,
    ModelStore,
    RequestQueue,
    Trainer,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
    highest,
)
from retrain.progress import Watch
from retrain.schema_versions import UsedSchema, lay_out
from streaming.contracts.clock import Clock
from streaming.contracts.codec import record_in
from streaming.contracts.errors import Conflict, TemporaryError
from streaming.contracts.ids import record_id
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    Artifact,
    ModelVersion,
    Record,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
)
from streaming.contracts.topics import RETRAIN_FAILURES, RETRAIN_PROGRESS, Topic

_log = structlog.get_logger(__name__)

EXAMPLES = "Examples"
PUBLISH = "Publish"

Taken = Literal["nothing", "published", "failed", "known", "lost"]

CLOCK_SLACK_SECONDS = 3_600.0
"""How far the log's clock may differ from the daemon's when a request's records are sought."""


@dataclass(slots=True, kw_only=True)
class Worker:
    """Takes requests until it is told to stop."""

    requests: RequestQueue
    log: RecordLog
    trainer: Trainer
    store: ModelStore
    examples: ExampleBuilder
    contracts: Mapping[str, ModelContract]
    """By model name."""
    clock: Clock
    name: str
    """Who this worker is, for the progress records; one name for each process."""
    scratch: Path
    """Where attempts keep their files while they run; shared by the workers of one machine."""
    max_attempts: int = 2
    report: Callable[[RetrainProgress], None] = lambda progress: None
    """Called with each progress record after it is published, for the screen and the meters."""

    def run(self, keep_going: Callable[[], bool], *, poll_seconds: float = 1.0) -> None:
        """Serve until `keep_going` says no; a request in hand is finished first.

        Raises
        ------
        ConfigurationError
            When no request can ever be read.
        """
        while keep_going():
            try:
                self.run_once(poll_seconds)
            except TemporaryError as error:
                _log.warning("tries again", reason=str(error), seconds=error.delay_seconds)
                self.clock.sleep(error.delay_seconds)

    def run_once(self, timeout_seconds: float) -> Taken:
        """Serve one request, if one comes within `timeout_seconds`.

        Raises
        ------
        TemporaryError
            When Kafka cannot be reached: the request stays in the queue.
        """
        request = self.requests.take(timeout_seconds)
        if request is None:
            return "nothing"
        known = self.store.of_request(request.model, request.record_id)
        if known is not None:
            self.log.append([known])
            return "known" if self.requests.done(request) else "lost"
        if any(isinstance(r, RetrainFailure) for r in self._told(request, RETRAIN_FAILURES)):
            return "known" if self.requests.done(request) else "lost"
        outcome = self._outcome(request)
        self.log.append([outcome])
        if not self.requests.done(request):
            return "lost"
        return "published" if isinstance(outcome, ModelVersion) else "failed"

    def _outcome(self, request: RetrainRequest) -> ModelVersion | RetrainFailure:
        """Try until there is an outcome; attempts of dead workers count."""
        told = [r for r in self._told(request, RETRAIN_PROGRESS) if isinstance(r, RetrainProgress)]
        attempt = max((r.attempt for r in told), default=0)
        component = told[-1].component if told else EXAMPLES
        reason = f"The worker died in {component}."
        while attempt < self.max_attempts:
            attempt += 1
            refusal = self._refuse(request, attempt)
            if refusal is not None:
                return refusal
            watch = Watch(
                request=request,
                attempt=attempt,
                steps=self.trainer.steps + 2,
                worker=self.name,
                tell=self._tell,
                clock=self.clock,
            )
            try:
                return self._attempt(request, attempt, watch)
            except TrainingFailed as error:
                watch.fail(str(error))
                return self._failure(request, error.component, str(error), error.advice, attempt)
            except Exception as error:  # noqa: BLE001 - a worker outlives any one training
                component, reason = watch.component, f"{type(error).__name__}: {error}"
                _log.exception("attempt failed", request=request.record_id, component=component)
                watch.fail(reason)
                if isinstance(error, TemporaryError):
                    self.clock.sleep(error.delay_seconds)
        return self._failure(
            request,
            component,
            f"{attempt} attempts gave no version. {reason}",
            "Read the worker's log at the times of the attempts, mend the cause and ask for a "
            "new retrain.",
            attempt,
        )

    def _attempt(self, request: RetrainRequest, attempt: int, watch: Watch) -> ModelVersion:
        contract = self.contracts[request.model]
        folder = self.scratch / f"{request.record_id}-{attempt}"
        for left_behind in self.scratch.glob(f"{request.record_id}-*"):  # by a dead worker
            shutil.rmtree(left_behind, ignore_errors=True)
        work = folder / "work"
        work.mkdir(parents=True)
        try:
            watch.started(EXAMPLES, 1)
            made = self.examples.build(request, contract, folder / "examples")
            watch.done(_counts(made))
            schema = lay_out(self.log, contract, folder)
            job = self._job(request, contract, made, work, schema)
            result = self.trainer.train(job, watch.relay)
            watch.started(PUBLISH, watch.steps)
            late = self._refuse(request, attempt)
            if late is not None:
                raise TrainingFailed(late.reason, component=PUBLISH, advice=late.advice)
            version = self._publish(request, job, result, schema)
            watch.done(f"version {version.version}")
            return version
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _job(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        made: ExampleSet,
        work: Path,
        schema: UsedSchema,
    ) -> TrainingJob:
        champion = request.base_version
        return TrainingJob(
            request=request,
            contract=contract,
            version=highest(self.store.versions(request.model)) + 1,
            examples=made.folder,
            rows=made.rows,
            rows_after_shift=made.rows_after_shift,
            champion=self.store.path(request.model, champion) if champion else None,
            work_dir=work,
            schema=schema.path,
            schema_version=schema.version,
            schema_digest=schema.digest,
        )

    def _publish(
        self, request: RetrainRequest, job: TrainingJob, result: TrainingResult, schema: UsedSchema
    ) -> ModelVersion:
        """Into the store, under the next free number if somebody took ours meanwhile."""
        version = job.version
        while True:
            record = self._version(request, version, job.rows, result, schema)
            try:
                return self.store.publish(record, result.built)
            except Conflict:
                taken = highest(self.store.versions(request.model))
                if taken < version:
                    raise
                version = taken + 1

    def _version(
        self,
        request: RetrainRequest,
        version: int,
        rows: int,
        result: TrainingResult,
        schema: UsedSchema,
    ) -> ModelVersion:
        return ModelVersion(
            record_id=record_id("model-version", request.model, request.record_id),
            model=request.model,
            at=self.clock.now(),
            caused_by=(request.record_id, *((schema.record_id,) if schema.record_id else ())),
            version=version,
            request_id=request.record_id,
            artifact=Artifact(uri="", digest=""),  # the store fills it in
            base_version=request.base_version,
            blessed=result.blessed,
            reason=result.reason,
            evaluation=result.metrics,
            components=result.components,
            training_rows=rows,
            window_start=request.window_start,
            window_end=request.window_end,
            load_seconds=result.load_seconds,
            warm_predict_seconds=result.warm_predict_seconds,
            cause=request.cause,
            schema_version=schema.version,
            schema_digest=schema.digest,
        )

    def _refuse(self, request: RetrainRequest, attempt: int) -> RetrainFailure | None:
        """A failure where trying makes no sense."""
        if request.model not in self.contracts:
            return self._failure(
                request,
                "Worker",
                f"This worker knows {', '.join(sorted(self.contracts)) or 'no model'}, not "
                f"{request.model}.",
                "Name the model in driftline.yaml and restart the worker.",
                attempt,
            )
        late = self.clock.now() - request.deadline
        if late > 0:
            return self._failure(
                request,
                "Worker",
                f"The request's deadline passed {late:.0f} s ago.",
                "The trigger asks again if the shift lasts; start more workers if this repeats.",
                attempt,
            )
        return None

    def _failure(
        self, request: RetrainRequest, component: str, reason: str, advice: str, attempt: int
    ) -> RetrainFailure:
        return RetrainFailure(
            record_id=record_id("retrain-failure", request.model, request.record_id),
            model=request.model,
            at=self.clock.now(),
            caused_by=(request.record_id,),
            request_id=request.record_id,
            component=component,
            reason=reason,
            advice=advice,
            attempt=attempt,
        )

    def _tell(self, progress: RetrainProgress) -> None:
        self.log.append([progress])
        self.report(progress)

    def _told(self, request: RetrainRequest, topic: Topic) -> list[Record]:
        """What was published about this request, oldest first."""
        told: list[Record] = []
        for span in self.log.spans(topic.name, since=request.at - CLOCK_SLACK_SECONDS):
            for message in self.log.read(span):
                record = record_in(message.value)
                if record and getattr(record, "request_id", None) == request.record_id:
                    told.append(record)
        return told


def _counts(made: ExampleSet) -> str:
    return (
        f"{made.rows} rows, {made.rows_after_shift} after the shift; {made.unlabelled} without a "
        f"label, {made.unusable} unusable"
    )
