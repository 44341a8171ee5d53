"""What retraining asks of the outside: a queue of requests, a trainer, a store, label counts.

Decisions and the worker know these ports only. Engines implement them: the queue in
`engines/kafka_requests.py`, the trainer in `engines/tfx_run.py`, the store in
`engines/model_store.py`. Every port has a double in memory, and both pass the same suite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from streaming.contracts.errors import PermanentError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    ComponentRun,
    Metric,
    ModelVersion,
    OffsetRange,
    RetrainRequest,
)

AFTER_SHIFT = "after_shift"
"""int64 feature of every example: 1 when the row's offset lies in `request.after_shift`, else 0.
Never an input of the model; the evaluation slices by it."""

AFTER_SHIFT_SLICE = "after_shift:1"
"""`Metric.slice` of the rows after the shift. Slices are named ``feature:value``; "" is overall."""

TRAIN_SHARDS = "train-*"
EVAL_SHARDS = "eval-*"
"""Globs of the example shards inside `TrainingJob.examples`."""


class TrainingFailed(PermanentError):
    """A retrain that gives no version however often it is tried.

    Parameters
    ----------
    message:
        What was found and what was expected.
    component:
        The step that failed, for example ``Trainer`` or ``Examples``.
    advice:
        What a person should do next.
    """

    def __init__(self, message: str, *, component: str, advice: str) -> None:
        super().__init__(message)
        self.component = component
        self.advice = advice


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a retrain is: `component` is number `step` (from 1) of `steps`."""

    component: str
    state: Literal["started", "done", "failed"]
    step: int
    steps: int
    seconds: float = 0.0
    """How long the component took; 0 while it runs."""
    detail: str = ""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """Everything that a trainer needs; it reads nothing else."""

    request: RetrainRequest
    contract: ModelContract
    version: int
    """The number that the new version will have."""
    examples: Path
    """Folder of gzipped TFRecord shards of tf.Example, ``train-*.tfrecord.gz`` and
    ``eval-*.tfrecord.gz``, split by a hash of the key: the same key is always on the same side.
    Features: those of the contract (integer → int64, number → float, text → bytes; missing ones
    absent, zeros kept), the label's columns, and int64 `AFTER_SHIFT`."""
    rows: int
    """Labelled rows, train and eval together."""
    rows_after_shift: int
    champion: Path | None
    """The live version's folder in the store; None when nothing is live."""
    work_dir: Path
    """A folder of this attempt alone, already made; the worker clears it away in the end."""
    schema: Path | None = None
    """The schema in force as a file; None = the one beside the model's code."""
    schema_version: int = 0
    schema_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What a trainer made."""

    built: Path
    """The servable folder (``saved_model.pb``, ``variables/``, …), not yet in the store."""
    metrics: tuple[Metric, ...]
    """With `low`, `high` and `champion` where they could be measured (see `blessing`)."""
    components: tuple[ComponentRun, ...]
    load_seconds: float
    """Version seen to version available, in a real server process."""
    warm_predict_seconds: float
    blessed: bool
    reason: str
    """Why it was blessed, or not: one sentence."""


class Trainer(Protocol):
    """Trains, evaluates and checks one version."""

    @property
    def steps(self) -> int:
        """How many components it reports progress on: `Progress.steps` of every report."""

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        """Run the job; calls `on_progress` at the start and the end of each component.

        An unblessed model is a result, not an error.

        Raises
        ------
        TrainingFailed
            When a component failed, was skipped, or a gate stopped the run.
        TemporaryError
            When the same job may go through later (the worker counts it as an attempt).
        """


class ModelStore(Protocol):
    """The published versions, ``models/<model>/<version>/``."""

    def versions(self, model: str) -> tuple[int, ...]:
        """Published version numbers, ascending; half-written ones are invisible."""

    def publish(self, record: ModelVersion, built: Path) -> ModelVersion:
        """Copy `built` into the store as `record.version` and return the record with `artifact`.

        The record lies beside the model and becomes visible with it in one rename, so a version
        is never there without its record. When the store already has a version of
        `record.request_id`, that one's record is returned and nothing is written.

        Raises
        ------
        Conflict
            When the number belongs to another request.
        """

    def of_request(self, model: str, request_id: str) -> ModelVersion | None:
        """The record of the version that this request made."""

    def path(self, model: str, version: int) -> Path:
        """The version's folder.

        Raises
        ------
        NotFoundError
            When it is not published.
        """


class RequestQueue(Protocol):
    """Requests, each given to one worker until it is `done`.

    A worker that dies or closes without `done` leaves its request to the next one.
    """

    def take(self, timeout_seconds: float) -> RetrainRequest | None:
        """The next request; None when `timeout_seconds` brought none.

        It stays this worker's, however long it takes, while the worker's process lives.
        """

    def done(self, request: RetrainRequest) -> bool:
        """The outcome is durable; nobody gets this request again.

        False when the request was given to another worker in the meantime.
        """

    def close(self) -> None:
        """Let go; what is not done goes to another worker at once."""


class LabelProgress(Protocol):
    """How many labels there are."""

    def spans(self, since: float | None = None) -> tuple[OffsetRange, ...]:
        """The label offsets there are now, one range for each partition.

        With `since` only those that arrived at or after that time.
        """

    def since(self, time: float) -> int:
        """Labels that arrived at or after `time`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleSet:
    """Examples on disk, and how many."""

    folder: Path
    rows: int
    rows_after_shift: int
    unlabelled: int
    """Usable events without a label at decision time; left out."""
    unusable: int
    """Events and labels that could not be read; left out."""


class ExampleBuilder(Protocol):
    """Writes the examples of a request."""

    def build(self, request: RetrainRequest, contract: ModelContract, folder: Path) -> ExampleSet:
        """Replay the request's offsets into shards below `folder`.

        Deterministic: the same request over the same log gives the same rows in the same shards.

        Raises
        ------
        TrainingFailed
            Component ``Examples``: too few labelled rows, or the log no longer has them.
        """


def highest(versions: Sequence[int]) -> int:
    """The highest version number, 0 when there is none.

    >>> highest((1, 3, 2)), highest(())
    (3, 0)
    """
    return max(versions, default=0)
