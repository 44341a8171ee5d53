"""Retrains as runs, from the projection: what the log says of each, without ML Metadata.

Parameters, curves and trials are not on the log; `completed` takes them from a run as ML Metadata
has it. The log is the truth about how a run ended, so its values win.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from deploy.projection.reader import ProjectionReader, Stored
from retrain.run_view import Run, RunEvent, RunState
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import (
    ComponentRun,
    ModelVersion,
    Promotion,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    TrainingRows,
)

_PROGRESS = 400
"""Progress records of a run that are read; an attempt has about twenty."""
_FILLED = ("parameters", "curve", "trials", "logs", "artifacts", "schema_digest")
"""Fields that only ML Metadata has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """The records of one retrain."""

    request: RetrainRequest
    progress: tuple[RetrainProgress, ...]
    """Oldest first; of old runs the log has dropped them."""
    rows: TrainingRows | None
    """The rows that it was trained on; None before they are chosen."""
    version: ModelVersion | None
    failure: RetrainFailure | None
    promotions: tuple[Promotion, ...]
    """Of its version, oldest first."""

    @property
    def run(self) -> Run:
        """The same as one run."""
        request, version, failure = self.request, self.version, self.failure
        end = version or failure
        rows = self.rows.selection if self.rows is not None else None
        return Run(
            run_id=request.record_id,
            model=request.model,
            cause=request.cause,
            reason=request.reason,
            at=request.at,
            caused_by=request.caused_by,
            base_version=request.base_version,
            events=request.events,
            labels=request.labels,
            attempts=max((entry.attempt for entry in self.progress), default=int(end is not None)),
            state=self.state,
            outcome="" if end is None else end.reason,
            version=version.version if version else 0,
            digest=version.artifact.digest if version else "",
            blessed=version.blessed if version else None,
            schema_version=version.schema_version if version else 0,
            schema_digest=version.schema_digest if version else "",
            rows=version.training_rows if version else rows.train + rows.evaluated if rows else 0,
            metrics=end.evaluation if end else (),
            components=version.components if version and version.components else self._components,
            history=tuple(
                RunEvent(
                    kind="promotion",
                    outcome=entry.change,
                    at=entry.at,
                    reason=entry.reason,
                    record_id=entry.record_id,
                )
                for entry in self.promotions
            ),
        )

    @property
    def state(self) -> RunState:
        """How far it is."""
        if self.version is not None:
            return "published"
        if self.failure is not None:
            return "insufficient" if self.failure.outcome == "insufficient" else "failed"
        return "running" if self.progress else "waiting"

    @property
    def newest_attempt(self) -> tuple[RetrainProgress, ...]:
        """The progress of the newest attempt."""
        attempt = max((entry.attempt for entry in self.progress), default=0)
        return tuple(entry for entry in self.progress if entry.attempt == attempt)

    @property
    def _components(self) -> tuple[ComponentRun, ...]:
        done = [entry for entry in self.newest_attempt if entry.state in ("done", "failed")]
        return tuple(ComponentRun(name=entry.component, seconds=entry.seconds) for entry in done)


def newest_runs(reader: ProjectionReader, models: tuple[str, ...], count: int) -> list[RunRecords]:
    """The newest runs of these models, newest request first."""
    rows = [row for model in models for row in reader.newest(RetrainRequest, model, count)]
    newest = sorted(rows, key=lambda row: row.at, reverse=True)[:count]
    return [records_of(reader, row) for row in newest if reader.body(row.record_id) is not None]


def find_run(reader: ProjectionReader, run_id: str) -> RunRecords:
    """The records of a run.

    Raises
    ------
    NotFoundError
        When there is no such retrain request.
    """
    row = reader.find(run_id)
    if row is None or row.kind != "retrain-request":
        raise NotFoundError(f"There is no run {run_id}.")
    return records_of(reader, row)


def records_of(reader: ProjectionReader, row: Stored) -> RunRecords:
    """The records of the retrain request of a row.

    Raises
    ------
    NotFoundError
        When the projection does not keep the request.
    """
    request = reader.record(row.record_id, RetrainRequest)
    if request is None:
        raise NotFoundError(f"The log has dropped the retrain request {row.record_id}.")
    run_id = request.record_id
    versions = reader.full(reader.of_subject(ModelVersion, run_id, 1), ModelVersion)
    failures = reader.full(reader.of_subject(RetrainFailure, run_id, 1), RetrainFailure)
    chosen = reader.full(reader.of_subject(TrainingRows, run_id, 1), TrainingRows)
    progress = reader.full(reader.of_subject(RetrainProgress, run_id, _PROGRESS), RetrainProgress)
    version = versions[0] if versions else None
    promotions = (
        reader.full(reader.of_version(Promotion, row.model, version.version, 20), Promotion)
        if version
        else []
    )
    return RunRecords(
        request=request,
        progress=tuple(sorted(progress, key=_order)),
        rows=chosen[0] if chosen else None,
        version=version,
        failure=failures[0] if failures else None,
        promotions=tuple(reversed(promotions)),
    )


def _order(entry: RetrainProgress) -> tuple[int, int, float, bool]:
    return entry.attempt, entry.step, entry.at, entry.state != "started"


def completed(run: Run, recorded: Run | None) -> Run:
    """The run with what only ML Metadata has.

    Parameters
    ----------
    recorded:
        The same run as ML Metadata has it; None where it does not.
    """
    if recorded is None:
        return run
    fields = {name: getattr(run, name) or getattr(recorded, name) for name in _FILLED}
    fields["curve"] = recorded.curve
    return msgspec.structs.replace(run, **fields)
