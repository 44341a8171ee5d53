"""Serves one request after another: examples, training, publication, and one outcome per request.

The outcome is either a `ModelVersion` or a `RetrainFailure`, which also says where an evaluation
was insufficient. A request may arrive more than once: its worker died, or the daemon repeated a
step. The worker therefore first checks what exists already: a version in the store is published
again and never trained again; a failure in the log ends the request; attempts are counted from the
progress records, which outlive the worker. A request is marked as done only after its outcome is
durable.

While an engine cannot be reached before the training, the attempt waits, until the request's
deadline at most, and is not used up. A person's cancellation is a failure record on the log: the
worker ends what runs, publishes nothing, and takes the next request.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from retrain.failures import EXAMPLES, failure_record
from retrain.messages import DISK_ADVICE, clear_failure, safe_message
from retrain.outage import OutageWait, Stopping
from retrain.outcomes import (
    counts_of,
    insufficient_record,
    more_rows_record,
    rows_record,
    version_record,
)
from retrain.ports import (
    CHAMPION,
    CHAMPION_ADVICE,
    ExampleBuilder,
    ExampleSet,
    ModelStore,
    ProcessDied,
    RequestQueue,
    RetrainCancelled,
    Room,
    Trainer,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
    highest_version,
)
from retrain.progress import AttemptProgress
from retrain.refusal import refusal_of
from retrain.request_records import has_failure, has_outcome, records_of
from retrain.schema_versions import TrainingSchema, write_active_schema
from streaming.contracts.clock import Clock
from streaming.contracts.errors import Conflict, NotFoundError, PermanentError, TemporaryError
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.recomputed import rules_in_force
from streaming.contracts.records import (
    ModelVersion,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
)
from streaming.contracts.topics import RETRAIN_PROGRESS

log = structlog.get_logger()

PUBLISH = "Publish"
"""Name of the worker's last step."""

RequestOutcome = Literal[
    "no-request",
    "published",
    "failed",
    "insufficient",
    "cancelled",
    "already-done",
    "lost",
    "left",
]
"""What `Worker.run_once` did. "lost": another worker took the request over in the meantime. "left":
the worker is stopping while an engine is away, and another worker gets the request."""


@dataclass(slots=True, kw_only=True)
class Worker:
    """Serves requests until it is stopped."""

    requests: RequestQueue
    log: RecordLog
    trainer: Trainer
    store: ModelStore
    examples: ExampleBuilder
    contracts: Mapping[str, ModelContract]
    """Model name → contract."""
    clock: Clock
    name: str
    """Name of this worker in the progress records; unique for each process."""
    code: str = ""
    """Version of the code, for the record of the rules."""
    scratch: Path
    """Folder for the files of running attempts; shared by the workers of one machine."""
    max_attempts: int = 2
    """Attempts at one request, those of dead workers included, before it fails."""
    stopping: Callable[[], bool] = lambda: False
    """Whether the worker is to stop; a request that waits for an engine is then left to others."""
    make_room: Callable[[], Room] = Room
    """Removes old files and says what else can be freed; called when the disk is full."""
    on_end: Callable[[], None] = lambda: None
    """Called after each request that ended."""
    on_progress: Callable[[RetrainProgress], None] = lambda progress: None
    """Called with each progress record after it is published, for the log and the metrics."""

    def run(self, keep_going: Callable[[], bool], *, poll_seconds: float = 1.0) -> None:
        """Serve until `keep_going` returns False; a running request is finished first.

        Raises
        ------
        ConfigurationError
            When the requests cannot be read at all.
        """
        while keep_going():
            try:
                self.run_once(poll_seconds)
            except TemporaryError as error:
                log.warning("worker.retrying", reason=str(error), seconds=error.delay_seconds)
                self.clock.sleep(error.delay_seconds)

    def run_once(self, timeout_seconds: float) -> RequestOutcome:
        """Serve one request, if one arrives within `timeout_seconds`.

        Raises
        ------
        TemporaryError
            When Kafka cannot be reached: the request stays in the queue.
        """
        request = self.requests.take(timeout_seconds)
        if request is None:
            return "no-request"
        try:
            published = self.store.of_request(request.model, request.record_id)
        except PermanentError as error:
            failure = self._failure(
                request,
                component="Store",
                reason=str(error),
                advice="Restore or remove the damaged version in the model store.",
                attempt=1,
            )
            return self._finish(request, failure)
        if published is not None:
            self.log.append([published])
            return "already-done" if self.requests.done(request) else "lost"
        if has_outcome(self.log, request):
            return "already-done" if self.requests.done(request) else "lost"
        try:
            outcome = self._outcome(request)
        except RetrainCancelled:
            outcome_words: RequestOutcome = "cancelled" if self.requests.done(request) else "lost"
            log.info(f"worker.{outcome_words}", request=request.record_id, model=request.model)
            return outcome_words
        except Stopping:
            return "left"
        return self._finish(request, outcome)

    def _finish(
        self, request: RetrainRequest, outcome: ModelVersion | RetrainFailure
    ) -> RequestOutcome:
        if not self.requests.holds(request):  # its new worker writes the outcome
            return "lost"
        self.log.append([outcome])
        done = self.requests.done(request)
        self.on_end()
        if not done:
            return "lost"
        return "published" if isinstance(outcome, ModelVersion) else outcome.outcome

    def _outcome(self, request: RetrainRequest) -> ModelVersion | RetrainFailure:
        """Attempt the request until there is an outcome; attempts of dead workers count."""
        reports = records_of(self.log, request, RETRAIN_PROGRESS, RetrainProgress)
        attempt = max((report.attempt for report in reports), default=0)
        if reports and reports[-1].state == "waiting":
            attempt -= 1  # it waited for an engine, which uses up no attempt
        component = reports[-1].component if reports else EXAMPLES
        reason = f"The worker died in {component}."
        while attempt < self.max_attempts:
            attempt += 1
            refusal = self._refusal(request, attempt)
            if refusal is not None:
                return refusal
            progress = AttemptProgress(
                request=request,
                attempt=attempt,
                steps=self.trainer.steps_of(request) + 2,
                worker=self.name,
                publish=self._publish_progress,
                clock=self.clock,
            )
            try:
                return self._attempt(request, attempt, progress)
            except (RetrainCancelled, Stopping):
                raise
            except Exception as error:  # a worker outlives any failed training
                component = progress.component
                reason = safe_message(error)
                if (failure := clear_failure(error, component)) is not None:
                    progress.failed(safe_message(failure))
                    room = self.make_room() if failure.advice == DISK_ADVICE else Room()
                    if room.freed and attempt < self.max_attempts:
                        log.warning("worker.made_room", request=request.record_id, room=room.freed)
                        continue
                    return self._failure(
                        request,
                        component=failure.component,
                        reason=safe_message(failure),
                        advice=f"{failure.advice} {room.advice}".rstrip(),
                        attempt=attempt,
                    )
                log.exception(
                    "worker.attempt_failed", request=request.record_id, component=component
                )
                reason = f"{type(error).__name__}: {reason}"
                progress.failed(reason)
                if isinstance(error, TemporaryError):
                    self.clock.sleep(error.delay_seconds)
        return self._failure(
            request,
            component=component,
            reason=f"{attempt} attempts gave no version. {reason}",
            advice="Read the worker's log at the times of the attempts, fix the cause and request "
            "a new retrain.",
            attempt=attempt,
        )

    def _attempt(
        self, request: RetrainRequest, attempt: int, progress: AttemptProgress
    ) -> ModelVersion | RetrainFailure:
        champion = self._champion(request)
        folder = self.scratch / f"{request.record_id}-{attempt}"
        for abandoned in self.scratch.glob(f"{request.record_id}-*"):  # left by a dead worker
            shutil.rmtree(abandoned, ignore_errors=True)
        work = folder / "work"
        work.mkdir(parents=True)
        try:
            progress.started(EXAMPLES, 1)
            schema, example_set = self._examples(request, folder, progress)
            progress.done(counts_of(example_set))
            rows = rows_record(request, example_set, at=self.clock.now())
            if rows is not None:
                self.log.append([rows])
                if rows.probe is not None and rows.probe.outcome == "more":
                    now = self.clock.now()
                    return more_rows_record(request, rows, rows.probe, attempt=attempt, at=now)
            job = self._job(request, example_set, champion, work_dir=work, schema=schema)
            job = replace(job, rows_id=rows.record_id if rows is not None else "")
            result = self.trainer.train(job, progress.relay)
            if result.growth > 0.0:
                return self._insufficient(request, job, result, attempt)
            progress.started(PUBLISH, progress.steps)
            refusal = self._refusal(request, attempt)
            if refusal is not None:
                raise TrainingFailed(refusal.reason, component=PUBLISH, advice=refusal.advice)
            if has_failure(self.log, request) or not self.requests.holds(request):
                raise RetrainCancelled(request.record_id)
            version = self._publish(job, result, schema)
            progress.done(f"version {version.version}")
            return version
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _examples(
        self, request: RetrainRequest, folder: Path, progress: AttemptProgress
    ) -> tuple[TrainingSchema, ExampleSet]:
        """Schema and examples; waits while the log or the registry cannot be reached."""
        contract = self.contracts[request.model]
        outage = OutageWait(
            request=request,
            progress=progress,
            clock=self.clock,
            stopping=self.stopping,
            cancelled=lambda: has_failure(self.log, request),
        )
        while True:
            try:
                schema = write_active_schema(self.log, contract, folder)
                target = folder / "examples"
                return schema, self.examples.build(request, contract, target, schema.path)
            except ProcessDied:
                raise
            except TemporaryError as error:
                outage.pause(error)

    def _champion(self, request: RetrainRequest) -> Path | None:
        """Folder of the live version; None when there is none.

        Raises
        ------
        TrainingFailed
            When the store no longer has it: nothing could be compared with it.
        """
        if not request.base_version:
            return None
        try:
            return self.store.path(request.model, request.base_version)
        except NotFoundError as error:
            raise TrainingFailed(str(error), component=CHAMPION, advice=CHAMPION_ADVICE) from error

    def _job(
        self,
        request: RetrainRequest,
        example_set: ExampleSet,
        champion: Path | None,
        *,
        work_dir: Path,
        schema: TrainingSchema,
    ) -> TrainingJob:
        return TrainingJob(
            request=request,
            contract=self.contracts[request.model],
            version=highest_version(self.store.versions(request.model)) + 1,
            examples=example_set.folder,
            rows=example_set.rows,
            rows_after_shift=example_set.rows_after_shift,
            champion=champion,
            work_dir=work_dir,
            schema=schema.path,
            schema_version=schema.version,
            schema_digest=schema.digest,
            set_aside=example_set.set_aside,
        )

    def _insufficient(
        self, request: RetrainRequest, job: TrainingJob, result: TrainingResult, attempt: int
    ) -> RetrainFailure:
        """The outcome of an evaluation that shows nothing yet; the model is not published."""
        digest = self._write_rules(request.model, result)
        return insufficient_record(
            job, result, rules_digest=digest, attempt=attempt, at=self.clock.now()
        )

    def _publish(
        self, job: TrainingJob, result: TrainingResult, schema: TrainingSchema
    ) -> ModelVersion:
        """Publish to the store, under the next free number if the job's number is taken by now."""
        request = job.request
        version, rules = job.version, self._write_rules(request.model, result)
        while True:
            record = version_record(
                job, result, schema, version=version, rules_digest=rules, at=self.clock.now()
            )
            try:
                return self.store.publish(record, result.servable)
            except Conflict:
                highest = highest_version(self.store.versions(request.model))
                if highest < version:
                    raise
                version = highest + 1

    def _write_rules(self, model: str, result: TrainingResult) -> str:
        """Write the rules that decided; returns the digest by which the version names them."""
        if not result.blessing_rules:
            return ""
        rules = msgspec.Raw(result.blessing_rules.encode())
        record = rules_in_force("blessing", rules, model=model, code=self.code, at=self.clock.now())
        self.log.append([record])
        return record.digest

    def _refusal(self, request: RetrainRequest, attempt: int) -> RetrainFailure | None:
        return refusal_of(request, models=self.contracts, attempt=attempt, now=self.clock.now())

    def _failure(
        self, request: RetrainRequest, *, component: str, reason: str, advice: str, attempt: int
    ) -> RetrainFailure:
        return failure_record(
            request.record_id,
            model=request.model,
            component=component,
            reason=reason,
            advice=advice,
            attempt=attempt,
            at=self.clock.now(),
        )

    def _publish_progress(self, progress: RetrainProgress) -> None:
        self.log.append([progress])
        self.on_progress(progress)
