"""Records of retraining: requests, progress, and the version or failure at the end."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Artifact, OffsetRange, Record, Value
from streaming.contracts.tolerance import Breach

Cause = Literal["drift", "concept", "manual", "schedule", "initial"]
"""Why a retrain was requested.

* ``drift``: the inputs have shifted.
* ``concept``: quality has degraded although the inputs are stable.
* ``manual``: a person requested it.
* ``schedule``: the scheduled time since the last retrain or promotion has passed.
* ``initial``: no version is live yet.
"""


class RetrainRequest(Record, frozen=True, kw_only=True, tag="retrain-request"):
    """Train a new version on these offsets."""

    cause: Cause
    """Why the retrain was requested."""
    reason: str
    """The cause in words, and the numbers of rows and labels that decided."""
    events: tuple[OffsetRange, ...]
    """Offsets of the events to train on."""
    labels: tuple[OffsetRange, ...]
    """The label offsets that were known at the time of the decision."""
    window_start: float
    """Start of the newest data in event time, seconds since 1970. The windows from here to
    `window_end` become the reference."""
    window_end: float
    """End of the newest data in event time, seconds since 1970."""
    base_version: int
    """The champion; 0 when no version is live yet."""
    deadline: float
    """Time after which the request is not served and its worker counts as lost, seconds since
    1970."""
    after_shift: tuple[OffsetRange, ...] = ()
    """The part of `events` after the shift: the slice on which the challenger must win. Empty when
    there was no shift."""
    proposed_by: str = ""
    """Name of the person who asked for it; empty when no person did."""
    waited: bool = False
    """Whether it has waited for more rows already, or a person asked for it: it is then trained on
    what there is, and no learning curve is asked."""


class RowRules(Value, frozen=True, kw_only=True):
    """How the rows of a retrain are chosen among those that it replays."""

    after_shift_share: float = 0.7
    """Share of the rows after the shift; the rest is history."""
    entity_share: float = 0.1
    """Largest share of one entity; at least twice what each would have if all had equally many."""
    eval_share: float = 0.2
    """Share of the entities that is held back."""
    newest_share: float = 0.5
    """The newest share of the rows of held-back entities is evaluated; older ones are left out.
    Without entities all of them are."""
    min_entities: int = 30
    """Fewest entities that are held back as such. Fewer give no interval; then single rows are held
    back, whatever their entity, and evaluated."""


class ClassCount(Value, frozen=True, kw_only=True):
    """Rows of history of one class."""

    label: str
    """The class; empty where there is none."""
    available: int
    """Rows that could be taken."""
    taken: int
    """Rows that were taken."""
    slices: int = 1
    """Number of slices among them; each gives equally many rows, as far as it has any."""


class RowSelection(Value, frozen=True, kw_only=True):
    """What was taken and what was left out."""

    rows: int
    """Rows that were offered, duplicates included."""
    duplicates: int
    """Rows with the key of an earlier one."""
    capped_rows: int
    """Rows left out because their entity had too many."""
    capped_entities: int
    """Entities that had too many."""
    after_shift: int
    """Rows after the shift that were taken."""
    history: tuple[ClassCount, ...]
    """Rows of history by class; without a shift empty, and all rows are taken."""
    train: int
    """Rows to train on."""
    evaluated: int
    """Rows held back for the evaluation."""
    too_old: int
    """Rows of held-back entities that are left out because newer ones are evaluated."""
    by_entity: bool
    """Whether no entity is on both sides; otherwise too few would have been held back."""
    digest: str
    """Digest of the chosen keys of both sides; equal for an equal choice."""


class SmallFit(Value, frozen=True, kw_only=True):
    """A small training and its score on rows that no fit was trained on."""

    rows: int
    """Rows that it was trained on."""
    score: float
    """Its score; higher is better."""
    error: float
    """Standard error of the score, above 0."""


class RowsProbe(Value, frozen=True, kw_only=True):
    """The learning curve of small fits, and what it says about the number of rows."""

    outcome: Literal["enough", "more", "unclear"]
    """``enough``: `factor` times the rows would gain less than `smallest_gain`; ``more``: they
    would gain more; ``unclear``: neither is shown, and nothing waits."""
    reason: str
    """One sentence with the values that decided."""
    rows: int
    """Labelled rows after the shift that there were."""
    fits: tuple[SmallFit, ...]
    """The small fits."""
    smallest_gain: float
    """A gain of the score that is worth the wait."""
    factor: float
    """By how much the rows would grow."""
    seed: int
    """Seed of the draws."""
    gain: float = 0.0
    """Expected gain from `factor` times the rows."""
    low: float = 0.0
    """Lower end of its 90 % interval."""
    high: float = 0.0
    """Upper end of its 90 % interval."""


class TrainingRows(Record, frozen=True, kw_only=True, tag="training-rows"):
    """The rows that an attempt at a retrain was given. The same request gives the same choice."""

    request_id: str
    """record_id of the retrain request."""
    rules: RowRules
    """How they were chosen."""
    selection: RowSelection
    """What was taken and what was left out."""
    probe: RowsProbe | None = None
    """Whether more rows would help; None where that was not asked: without a shift, for a person's
    request, and after a wait."""


class RetrainProgress(Record, frozen=True, kw_only=True, tag="retrain-progress"):
    """Progress of a retrain worker."""

    request_id: str
    """record_id of the request that is being served."""
    attempt: int
    """Number of the attempt at the request, from 1."""
    worker: str
    """Name of the worker, unique for each process."""
    component: str
    """Name of the step: ``Examples``, a component of the trainer, or ``Publish``."""
    state: Literal["started", "waiting", "done", "failed"]
    """Whether the step has started, waits for an engine that cannot be reached, succeeded
    (``done``) or failed. Waiting uses up no attempt."""
    step: int
    """Number of the step, from 1."""
    steps: int
    """Number of steps of the attempt."""
    seconds: float = 0.0
    """Duration of the step; 0 when it has only started."""
    detail: str = ""
    """Result of the step or its error, in words; empty when there is nothing to add."""


class Metric(Value, frozen=True, kw_only=True):
    """One metric of an evaluation on one slice."""

    name: str
    """Name of the metric. Those that the blessing judges are auc (binary), macro_f1 (multiclass)
    and skill (regression: 1 - loss / loss of the best constant). They are compared with the
    champion's on the same rows by auc_diff, macro_f1_diff (challenger minus champion), and
    loss_gain (share of the champion's loss that is saved). Others are log_loss, brier, accuracy,
    top_3, rmse, mae, poisson_deviance, pinball, and score_distance (Kolmogorov-Smirnov distance of
    the outputs on the same rows)."""
    slice: str
    """Name of the slice; empty for all rows."""
    value: float
    """Value of the new version. Where there is nothing to measure (an AUC of a single class, skill
    on equal labels), it is that of guessing, without an interval."""
    low: float | None = None
    """Lower end of the 95 % interval; None where there is no interval."""
    high: float | None = None
    """Upper end of the 95 % interval; None where there is no interval."""
    n: int = 0
    """Number of rows of the slice."""
    champion: float | None = None
    """The champion's value on the same rows; None without a champion, and for comparisons."""


class ComponentRun(Value, frozen=True, kw_only=True):
    """Duration of one component of a retrain."""

    name: str
    """Name of the component."""
    seconds: float
    """Duration of the component."""


class ModelVersion(Record, frozen=True, kw_only=True, tag="model-version"):
    """A trained, evaluated and published version."""

    version: int
    """Number of the version, unique for each model."""
    request_id: str
    """record_id of the retrain request."""
    artifact: Artifact
    """Folder of the version in the model store."""
    base_version: int
    """The champion at the time of the request; 0 when no version was live."""
    blessed: bool
    """Whether the version may go to the canary."""
    reason: str
    """Why it was blessed, or not."""
    evaluation: tuple[Metric, ...]
    """Metrics of the evaluation, by slice."""
    components: tuple[ComponentRun, ...]
    """Durations of the trainer's components, in order."""
    training_rows: int
    """Number of labelled rows, those held back for the evaluation included."""
    window_start: float
    """Start of the newest training data in event time, seconds since 1970. The windows from here
    to `window_end` become the reference."""
    window_end: float
    """End of the newest training data in event time, seconds since 1970."""
    load_seconds: float
    """Time from version seen to version available, in a real server process."""
    warm_predict_seconds: float
    """Median duration of a single-row prediction in a warm server process."""
    cause: Cause = "manual"
    """Why the retrain was requested."""
    proposed_by: str = ""
    """Name of the person who asked for the retrain; empty when no person did."""
    schema_version: int = 0
    """The schema that its data was validated against; 0 = the file beside the model's code."""
    schema_digest: str = ""
    """SHA-256 of that schema's text, in hex; empty when the model has no schema."""
    set_aside: tuple[Breach, ...] = ()
    """Rows that it was not trained on because they break the schema, by column and code."""
    rules_digest: str = ""
    """Digest of the rules (`RulesInForce`) that decided on it; empty where they are not recorded.
    """


RetrainEnd = Literal["failed", "insufficient", "cancelled"]
"""How a retrain without a version ended.

* ``failed``: a step failed, or the request could not be served.
* ``insufficient``: the evaluation had too few rows to show whether the challenger is good enough,
  or the learning curve says that more rows would make a clearly better one.
  That is no failure: the next retrain waits for `rows_needed` labelled rows.
* ``cancelled``: a person cancelled it. That is no failure either.
"""


class RetrainFailure(Record, frozen=True, kw_only=True, tag="retrain-failure"):
    """A retrain that produced no version: it failed, was cancelled, or its evaluation was
    insufficient."""

    request_id: str
    """record_id of the retrain request."""
    component: str
    """Step that failed: ``Examples``, a component of the trainer or ``Publish``; ``Champion`` where
    the live version cannot be compared with; ``Worker`` or ``Store`` where no step was run;
    ``Blessing`` where the evaluation was insufficient, ``Examples`` where the rows were."""
    reason: str
    """What was found, and what was expected."""
    advice: str
    """What a person should do next."""
    attempt: int = 1
    """Number of the last attempt, from 1."""
    outcome: RetrainEnd = "failed"
    """Whether it failed, was insufficient or was cancelled."""
    rows: int = 0
    """Labelled rows that an insufficient one had; after a shift those after it."""
    rows_needed: int = 0
    """Estimate of the labelled rows, counted in the same way, that would decide; 0 unless it was
    insufficient."""
    evaluation: tuple[Metric, ...] = ()
    """Metrics of an insufficient evaluation, by slice."""
    rules_digest: str = ""
    """Digest of the rules (`RulesInForce`) by which it was insufficient."""
