"""A retrain as one run, as plain values: what it was asked for, what it tried, how it ended.

One request is one run, however many attempts it took. `engines/mlmd` reads these values from ML
Metadata; commands show, compare and export them.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from streaming.contracts.records import ComponentRun, Metric, OffsetRange

RunState = Literal["waiting", "running", "trained", "published", "insufficient", "failed"]
"""How far a run is: no attempt yet, an attempt runs (or its worker died), trained but not
published, and the three ends."""


class RunCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Losses after each epoch; None where the loss was no number."""

    loss: tuple[float | None, ...] = ()
    val_loss: tuple[float | None, ...] = ()
    """On the training rows that were held back; empty when none were."""


class RunArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder of a run."""

    kind: str
    """Its type in ML Metadata."""
    uri: str
    """Where it is, or was."""
    removed: bool = False
    """Whether it was deleted, with its attempt or by the policy; ML Metadata says so too."""


class RunEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to the run's version after it was published."""

    kind: Literal["canary", "promotion"]
    outcome: str
    """Outcome of the last verdict of a rollout, or the change of a promotion."""
    at: float
    """Seconds since 1970."""
    reason: str
    record_id: str
    """Id of the record on the log."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One retrain request with everything that came of it."""

    run_id: str
    """record_id of the request."""
    model: str
    cause: str = ""
    """Why the retrain was requested."""
    reason: str = ""
    """The cause in words."""
    at: float = 0.0
    """Time of the request, seconds since 1970."""
    caused_by: tuple[str, ...] = ()
    """record_ids of the verdicts or the command behind the request."""
    base_version: int = 0
    """The version that was live then; 0 = none."""
    events: tuple[OffsetRange, ...] = ()
    labels: tuple[OffsetRange, ...] = ()
    attempts: int = 0
    """Number of times that the pipeline was started."""
    state: RunState = "waiting"
    outcome: str = ""
    """Why it ended as it did, in words."""
    version: int = 0
    """Number of the published version; 0 = none was published."""
    digest: str = ""
    """Digest of the trained model; empty without one."""
    blessed: bool | None = None
    """Whether the version may go to the canary; None without an evaluation."""
    schema_version: int = 0
    schema_digest: str = ""
    rows: int = 0
    """Labelled rows, those of the evaluation included."""
    parameters: dict[str, Any] = {}
    """Hyperparameters and how they were used: start, devices, precision."""
    curve: RunCurve = RunCurve()
    trials: tuple[dict[str, Any], ...] = ()
    """Trials of the search before the training."""
    metrics: tuple[Metric, ...] = ()
    """The evaluation, with intervals."""
    components: tuple[ComponentRun, ...] = ()
    """Durations of the newest attempt's components, in order."""
    history: tuple[RunEvent, ...] = ()
    """Canary and promotions, oldest first."""
    logs: str = ""
    """Folder of TensorBoard's files; empty without any."""
    artifacts: tuple[RunArtifact, ...] = ()
    """Newest attempt first."""


def metric_of(run: Run, name: str, of_slice: str = "") -> Metric | None:
    """A metric of a run; None when it was not measured."""
    return next((m for m in run.metrics if (m.name, m.slice) == (name, of_slice)), None)


HEADLINES = ("auc", "macro_f1", "skill")
"""The metrics that the blessing judges; a run has one of them."""


def headline_of(run: Run) -> Metric | None:
    """The judged metric over all rows; None without an evaluation.

    >>> headline_of(Run(run_id="r", model="m")) is None
    True
    """
    return next((m for name in HEADLINES if (m := metric_of(run, name)) is not None), None)


class RunPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each model's runs is kept on disk."""

    runs: int = 100
    """Number of runs whose files are kept."""
    examples: int = 3
    """Number of runs whose examples are kept."""
