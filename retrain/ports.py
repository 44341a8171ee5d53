"""What retraining needs from outside: a queue, a trainer, a model store, examples, label counts.

Decisions and the worker know these ports only; `retrain.engines` implements them. The queue and
the store have in-memory implementations that pass the same suites.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from streaming.contracts.errors import PermanentError, UnavailableError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    ComponentRun,
    Metric,
    ModelVersion,
    OffsetRange,
    RetrainRequest,
    RowRules,
    RowSelection,
    RowsProbe,
)
from streaming.contracts.tolerance import Breach

AFTER_SHIFT = "after_shift"
"""int64 feature of every example: 1 when the row's offset lies in `request.after_shift`, else 0.
Never an input of the model; the evaluation slices by it."""

AFTER_SHIFT_SLICE = "after_shift:1"
"""`Metric.slice` of the rows after the shift. Slices are named ``feature:value``; "" is overall."""

TRAIN_SHARDS = "train-*"
"""Glob of the training shards inside `TrainingJob.examples`."""

EVAL_SHARDS = "eval-*"
"""Glob of the evaluation shards inside `TrainingJob.examples`."""


CHAMPION = "Champion"
"""Component of a failure that lies in the live version, not in the new one."""

CHAMPION_ADVICE = (
    "Restore the live version's folder in the model store, or roll back to another version "
    "(`driftline rollout rollback MODEL`); then request the retrain again."
)
"""What a person should do about a live version that cannot be compared with."""


class TrainingFailed(PermanentError):
    """A retrain that gives no version however often it is repeated.

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


class ProcessDied(UnavailableError):
    """The process that did a step has ended by itself; another attempt may succeed."""


class RetrainCancelled(Exception):
    """A person cancelled the request, or another worker has it: there is nothing to publish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report of a trainer: a component has started or ended."""

    component: str
    """Name of the component."""
    state: Literal["started", "done", "failed"]
    """What has happened to it."""
    step: int
    """Number of the component, from 1."""
    steps: int
    """Number of components of the run."""
    seconds: float = 0.0
    """Duration of the component; 0 while it runs."""
    detail: str = ""
    """Further information in words; the error of a failed component."""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """Everything that a trainer needs; it reads nothing else."""

    request: RetrainRequest
    """The request that the job serves."""
    contract: ModelContract
    """Contract of the model."""
    version: int
    """Number of the new version."""
    examples: Path
    """Folder of gzipped TFRecord shards of tf.Example, ``train-*.tfrecord.gz`` and
    ``eval-*.tfrecord.gz``, split by a hash of the key: the same key is always on the same side.
    Features: those of the contract (integer → int64, number → float, text → bytes; missing ones
    absent, zeros kept), the label's columns, and int64 `AFTER_SHIFT`."""
    rows: int
    """Number of labelled rows, train and eval together."""
    rows_after_shift: int
    """Number of those rows that lie after the shift."""
    champion: Path | None
    """Folder of the live version in the store; None when nothing is live."""
    work_dir: Path
    """Existing folder of this attempt alone; the worker deletes it at the end."""
    schema: Path | None = None
    """File of the active schema; None = the one beside the model's code."""
    schema_version: int = 0
    """Number of the active schema version; 0 = the one beside the model's code."""
    schema_digest: str = ""
    """SHA-256 of the active schema's text."""
    set_aside: tuple[Breach, ...] = ()
    """Rows that are not among the examples because they break the schema."""
    rows_id: str = ""
    """record_id of the record of the chosen rows; empty where there was no choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """The trained model, its evaluation and the decision on it."""

    servable: Path
    """Folder of the SavedModel (``saved_model.pb``, ``variables/``, …), not yet in the store."""
    metrics: tuple[Metric, ...]
    """Evaluation, with `low`, `high` and `champion` where they were measured (see `blessing`)."""
    components: tuple[ComponentRun, ...]
    """Durations of the components."""
    load_seconds: float
    """Time from version seen to version available, in a real server process."""
    warm_predict_seconds: float
    """Median duration of a single-row prediction in a warm server process."""
    blessed: bool
    """Whether the version may go to the canary."""
    reason: str
    """Why it was blessed, or not, in one sentence."""
    blessing_rules: str = ""
    """JSON of the rules that decided; empty where they are not known."""
    growth: float = 0.0
    """By which factor the labelled rows must grow for a decision; above 0 the evaluation was
    insufficient, and no version is published. 0 = it is decided."""
    p99_predict_seconds: float = 0.0
    """99 % quantile of the durations of such predictions; 0 = it was not measured."""


class Trainer(Protocol):
    """Trains, evaluates and checks one version."""

    def steps_of(self, request: RetrainRequest) -> int:
        """Number of components of the request's run: `Progress.steps` of every report."""

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        """Run the job; calls `on_progress` at the start and the end of each component.

        An unblessed model is a result, not an error.

        Raises
        ------
        TrainingFailed
            When a component failed or was skipped, or a gate stopped the run.
        TemporaryError
            When the same job may succeed later (the worker counts it as an attempt).
        RetrainCancelled
            When a person has cancelled the request; the run was ended.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommand:
    """A command line that starts a model server in the foreground, as a template.

    The placeholders ``{model}``, ``{base_path}``, ``{grpc_port}`` and ``{rest_port}`` are filled
    in by `fill`. It is plain data, so it can be passed to another process.

    >>> command = ServerCommand(arguments=("server", "--model", "{model}"))
    >>> command.fill(model="taxi", base_path=Path("m"), grpc_port=1, rest_port=2)
    ['server', '--model', 'taxi']
    """

    arguments: tuple[str, ...]
    """The program and its arguments."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that are set in addition to those of the starting process."""

    def fill(self, *, model: str, base_path: Path, grpc_port: int, rest_port: int) -> list[str]:
        """The command line for one model.

        Parameters
        ----------
        model:
            Name under which the model is served.
        base_path:
            Folder of numbered version folders; it may be empty when the server starts.
        grpc_port, rest_port:
            Free TCP ports on 127.0.0.1.
        """
        values = {
            "model": model,
            "base_path": str(base_path),
            "grpc_port": str(grpc_port),
            "rest_port": str(rest_port),
        }
        return [argument.format_map(values) for argument in self.arguments]


class ModelServerLauncher(Protocol):
    """Knows how a model server with TF Serving's REST API is started.

    The serving check starts one for a moment. It may run in another process than the worker, so
    the launcher hands out a command and does not start the server itself.
    """

    def command(self) -> ServerCommand:
        """The command; the server must run until SIGTERM and find new versions by polling."""


class Room(NamedTuple):
    """What was done about a full disk."""

    freed: int = 0
    """Bytes of the files that were removed."""
    advice: str = ""
    """One sentence on what else can be freed; empty when that cannot be said."""


class ModelStore(Protocol):
    """The published versions, ``models/<model>/<version>/``."""

    def versions(self, model: str) -> tuple[int, ...]:
        """Published version numbers, ascending; half-written ones are invisible."""

    def publish(self, record: ModelVersion, servable: Path) -> ModelVersion:
        """Copy `servable` into the store as `record.version`; return the record with `artifact`.

        The record lies beside the model and becomes visible with it in one rename, so a version
        never exists without its record. When the store already has a version of
        `record.request_id`, that version's record is returned and nothing is written.

        Raises
        ------
        Conflict
            When the number belongs to another request.
        """

    def of_request(self, model: str, request_id: str) -> ModelVersion | None:
        """The record of the version that this request produced; None when there is none."""

    def path(self, model: str, version: int) -> Path:
        """The version's folder.

        Raises
        ------
        NotFoundError
            When it is not published.
        """


class RequestQueue(Protocol):
    """Requests, each given to one worker until it is `done`.

    Requests of different models are given to several workers at once, those of one model one after
    another. A worker that dies or closes without `done` leaves its request to the next worker.
    """

    def take(self, timeout_seconds: float) -> RetrainRequest | None:
        """The next request; None when none arrives within `timeout_seconds`.

        The request stays with this worker, however long it takes, while its process lives.
        """

    def holds(self, request: RetrainRequest) -> bool:
        """Whether this worker still has the request; asked before an outcome is written.

        False when it was given to another worker in the meantime.
        """

    def done(self, request: RetrainRequest) -> bool:
        """Mark the request as served: its outcome is durable and no worker gets it again.

        False when the request was given to another worker in the meantime.
        """

    def close(self) -> None:
        """Leave the queue; a request that is not done goes to another worker at once."""


class LabelCounter(Protocol):
    """Counts the labels of a model."""

    def spans(self, since: float | None = None) -> tuple[OffsetRange, ...]:
        """The label offsets that exist now, one range for each partition.

        With `since` only those of labels that arrived at or after that time.
        """

    def count_since(self, time: float) -> int:
        """Number of labels that arrived at or after `time`, seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleSet:
    """Examples on disk, and their numbers."""

    folder: Path
    """Folder of the shards."""
    rows: int
    """Number of labelled rows."""
    rows_after_shift: int
    """Number of those rows that lie after the shift."""
    unlabelled: int
    """Number of usable events without a label at the time of the decision; they are left out."""
    unusable: int
    """Number of events and labels that could not be read; they are left out."""
    set_aside: tuple[Breach, ...] = ()
    """Rows that break the schema, by column and code; they are left out."""
    rules: RowRules | None = None
    """How the rows were chosen."""
    selection: RowSelection | None = None
    """Which rows were chosen; None where there was no choice."""
    probe: RowsProbe | None = None
    """Whether more rows would help; None where that was not asked."""


class ExampleBuilder(Protocol):
    """Writes the examples of a request."""

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        """Replay the request's offsets into shards below `folder`.

        Rows that break the schema in the file `schema` are set aside and counted.

        Deterministic: the same request over the same log gives the same rows in the same shards.

        Raises
        ------
        TrainingFailed
            Component ``Examples``: too few labelled rows, too many that break the schema, or the
            log no longer has them.
        TemporaryError
            When an engine cannot be reached; the worker waits and asks again.
        """


def highest_version(versions: Sequence[int]) -> int:
    """The highest version number, 0 when there is none.

    >>> highest_version((1, 3, 2)), highest_version(())
    (3, 0)
    """
    return max(versions, default=0)
