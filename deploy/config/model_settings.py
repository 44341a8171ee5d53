"""The settings of one model, as they are written below `models.NAME` in `driftline.yaml`.

Defaults stand once, in the rules of the part that uses them (`DriftRules`, `QualityRules`,
`RetrainRules`, `BlessingRules`, `RolloutRules`); each section takes them from there and turns
itself into such rules with `rules`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from deploy.config import units
from deploy.config.approval_settings import ApproverSettings
from deploy.config.event_settings import EventSettings, LabelSettings, PredictionSettings
from deploy.config.experiment_settings import ExperimentSettings
from deploy.config.gate_settings import GateSettings
from deploy.config.shadow_settings import ShadowSettings
from deploy.config.slice_settings import SliceSettings
from deploy.config.training_settings import TrainingSettings
from deploy.config.types import (
    Duration,
    Percent,
    PositiveDuration,
    Rate,
    RunsRule,
    Schedule,
    Section,
    Zone,
)
from retrain.blessing import BlessingRules
from retrain.policy import RetrainRules
from serving.approval_rules import ApprovalRules
from serving.experiment_rules import ExperimentRules
from serving.rules import Approval, RolloutRules
from streaming.contracts.model import ModelContract
from streaming.contracts.tolerance import Tolerance
from streaming.drift.settings import DriftRules
from streaming.quality.settings import (
    QualityRules,
    default_grace_seconds,
    default_horizon_seconds,
)

_DRIFT, _QUALITY, _RETRAIN, _ROLLOUT = DriftRules(), QualityRules(), RetrainRules(), RolloutRules()
_WINDOW = ModelContract(model="", module="", events_topic="", labels_topic="", key="", time="")
_BLESSING, _TOLERANCE = BlessingRules(), Tolerance()


class WindowSettings(Section):
    """Event-time windows."""

    size: PositiveDuration = _WINDOW.window_seconds
    """Length of a window; a multiple of 10 ms."""
    max_out_of_orderness: Duration = _WINDOW.max_out_of_orderness_seconds
    """How far an event may lag behind most others; one that comes later counts as late, and so does
    one that arrives this long after its window's end."""


class EffectSettings(Section):
    """Effect sizes in standard deviations; smaller changes never raise an alarm."""

    suspected: float = Field(default=_DRIFT.suspected_sd, ge=0)
    """Smallest effect that is reported."""
    drifted: float = Field(default=_DRIFT.drifted_sd, ge=0)
    """Smallest effect that asks for a retrain."""


class DriftSettings(Section):
    """The drift judge."""

    false_alarms: Rate = units.Rate(_DRIFT.false_alarms, _DRIFT.period_seconds)
    """Budget of false alarms of the model, over all features and windows."""
    effect: EffectSettings = EffectSettings()
    """Smallest effects that raise an alarm."""
    sustained: RunsRule = units.RunsRule(_DRIFT.sustained, _DRIFT.of)
    """How many of the last windows must exceed their limit."""
    min_rows: int = Field(default=_DRIFT.min_rows, ge=20)
    """A window with fewer rows is inconclusive."""
    max_lost: float = Field(default=_DRIFT.max_lost, ge=0, lt=1)
    """A window that lost a larger share of the events that arrived, as dead letters or late, is
    inconclusive: the events left may differ from those lost."""
    day_variation: Annotated[float, Field(ge=0)] | Literal["learnt"] = "learnt"
    """Day-to-day variation of a healthy feature in standard deviations. learnt: estimated from the
    days before a version's training windows, and 0.05 while there are too few."""
    season: Literal["none", "hour-of-day", "hour-of-week"] = _DRIFT.season
    """Compare each window with the history of its own hour."""
    season_zone: str = _DRIFT.season_zone
    """Time zone of those hours, for example America/Chicago."""
    exported_features: int = Field(default=50, ge=0)
    """Maximum number of features with Prometheus series, the worst first; the rest is counted."""

    def rules(self) -> DriftRules:
        """The judge's rules; raises `ConfigurationError`."""
        return DriftRules(
            false_alarms=self.false_alarms.times,
            period_seconds=self.false_alarms.seconds,
            suspected_sd=self.effect.suspected,
            drifted_sd=self.effect.drifted,
            sustained=self.sustained.hits,
            of=self.sustained.of,
            min_rows=self.min_rows,
            max_lost=self.max_lost,
            between_day_sd=_DRIFT.between_day_sd
            if self.day_variation == "learnt"
            else self.day_variation,
            learn_day_variance=self.day_variation == "learnt",
            season=self.season,
            season_zone=self.season_zone,
        )


class ToleranceSettings(Section):
    """When data are broken: for the schema's verdicts, the retrain trigger and the retrain.

    New values and new fields are change and never break anything. All other rows that do not fit
    the schema are set aside, and their number is in the version's record.
    """

    share: Percent = _TOLERANCE.share
    """Share of the rows that may break the schema in one respect; more count as broken data."""
    sustained: RunsRule = units.RunsRule(_TOLERANCE.sustained, _TOLERANCE.of)
    """How many of the last windows must exceed the share before no retrain starts. A single such
    window is left out of training."""
    never: tuple[str, ...] = _TOLERANCE.never
    """TFDV's names of the anomalies that never pass, whatever their share: one window is enough."""

    def rules(self) -> Tolerance:
        """The rule that schema, trigger and retrain share."""
        return Tolerance(
            share=self.share,
            sustained=self.sustained.hits,
            of=self.sustained.of,
            never=self.never,
        )


class QualitySettings(Section):
    """The judge of served predictions; needs `predictions`."""

    false_alarms: Rate = units.Rate(_QUALITY.false_alarms, _QUALITY.period_seconds)
    """Budget of false alarms, in addition to that of `drift`."""
    auc_fall: float = Field(default=_QUALITY.auc_fall, ge=0)
    """Smallest fall of the AUC that is reported."""
    f1_fall: float = Field(default=_QUALITY.f1_fall, ge=0)
    """Smallest fall of a multiclass model's macro F1 that is reported."""
    log_loss_rise: float = Field(default=_QUALITY.log_loss_rise, ge=0)
    """Smallest rise of a multiclass model's log loss that is reported, in nats."""
    loss_rise: float = Field(default=_QUALITY.loss_rise, ge=0)
    """Smallest rise of a regression's bounded error that is reported, on its scale from 0 to 1;
    0.02 is about a rise of the root mean squared error by 7 %."""
    large_errors_rise: float = Field(default=_QUALITY.large_errors_rise, ge=0)
    """Smallest rise of a regression's share of large errors that is reported, from 5 %."""
    bias_shift: float = Field(default=_QUALITY.bias_shift, ge=0, le=0.5)
    """Smallest shift of a regression's errors to one side that is reported, as the probability,
    less 0.5, that an error exceeds an earlier one."""
    sustained: RunsRule = units.RunsRule(_QUALITY.sustained, _QUALITY.of)
    """How many of the last batches must exceed their limit."""
    min_labels: int = Field(default=_QUALITY.min_labels, ge=50)
    """Labelled predictions that are judged together."""
    day_variation: float = Field(default=_QUALITY.day_variation, ge=0)
    """Day-to-day variation of the compared measures that is not a loss, on scales from 0 to 1."""
    horizon: PositiveDuration | None = None
    """Labels that arrive later than this are not used. null: 4 times `labels.mature_after` plus
    2 windows."""

    def rules(self, window: WindowSettings, mature_after: float) -> QualityRules:
        """The judge's rules; raises `ConfigurationError`."""
        return QualityRules(
            false_alarms=self.false_alarms.times,
            period_seconds=self.false_alarms.seconds,
            auc_fall=self.auc_fall,
            f1_fall=self.f1_fall,
            log_loss_rise=self.log_loss_rise,
            loss_rise=self.loss_rise,
            large_errors_rise=self.large_errors_rise,
            bias_shift=self.bias_shift,
            sustained=self.sustained.hits,
            of=self.sustained.of,
            min_labels=self.min_labels,
            day_variation=self.day_variation,
            horizon_seconds=self.horizon
            or default_horizon_seconds(
                mature_after_seconds=mature_after, window_seconds=window.size
            ),
            grace_seconds=default_grace_seconds(window_seconds=window.size),
        )


class RetrainSettings(TrainingSettings):
    """When to train, and on which rows."""

    cooldown: Duration = _RETRAIN.cooldown_seconds
    """Minimum time between the end of a retrain and the start of the next."""
    budget: Rate = units.Rate(_RETRAIN.budget_runs, _RETRAIN.budget_seconds)
    """Maximum number of retrains per period."""
    debounce: Duration = _RETRAIN.debounce_seconds
    """A shift must have lasted this long before it starts a retrain."""
    min_labelled_rows: int = Field(default=_RETRAIN.min_labelled_rows, ge=1)
    """Labelled rows after the shift that a retrain waits for."""
    min_initial_rows: int | None = Field(default=None, ge=1)
    """Labelled rows that the first version waits for. null: `min_labelled_rows`."""
    max_rows: int = Field(default=_RETRAIN.max_rows, ge=1)
    """Maximum number of rows that one retrain replays; the newest are kept."""
    after_shift: float = Field(default=_RETRAIN.after_shift_share, gt=0, le=1)
    """Share of the training rows that comes from after the shift."""
    schedule: Schedule | None = None
    """Retrain even without a shift: this long after the last retrain (7d), or at the times of a
    cron expression (0 3 * * 1: on Mondays at three). null: never."""
    schedule_zone: Zone = _RETRAIN.schedule_zone
    """Time zone of the cron expression, for example Europe/Berlin."""
    deadline: PositiveDuration = _RETRAIN.deadline_seconds
    """A retrain that has not finished by then counts as failed."""
    more_rows: PositiveDuration = _RETRAIN.more_rows_seconds
    """How long the next retrain waits for the labelled rows that an insufficient evaluation asked
    for; then the wait ends and counts as a failure."""
    engine: Literal["fast", "tfx"] = "fast"
    """Whose components read the examples, compute statistics and evaluate: Driftline's, which write
    the same files in a fraction of the time, or TFX's own."""
    beam: tuple[Annotated[str, Field(pattern="^--[a-z_]+(=.*)?$")], ...] = ()
    """Beam's options for every component that uses Beam, for example [--runner=PortableRunner,
    --job_endpoint=jobserver:8099, --environment_type=LOOPBACK, --environment_cache_millis=600000].
    [], and options without a `--runner`: in the worker's own process."""
    auc_floor: float = Field(default=_BLESSING.floor, ge=0, le=1)
    """A challenger of a binary task whose AUC is lower is not blessed."""
    floor: float | None = Field(default=None, le=1)
    """A challenger whose main metric is lower is not blessed: AUC, macro F1, or skill (1 - loss /
    loss of the best constant). null: `auc_floor`, a fifth of the way from guessing to perfection
    for macro F1, and 0 for skill."""

    def rules(self, mature_after: float, tolerance: Tolerance) -> RetrainRules:
        """The trigger's rules."""
        return RetrainRules(
            min_labelled_rows=self.min_labelled_rows,
            min_initial_rows=self.min_initial_rows or 0,
            max_rows=self.max_rows,
            after_shift_share=self.after_shift,
            label_delay_seconds=mature_after,
            debounce_seconds=self.debounce,
            cooldown_seconds=self.cooldown,
            budget_runs=int(self.budget.times),
            budget_seconds=self.budget.seconds,
            deadline_seconds=self.deadline,
            more_rows_seconds=self.more_rows,
            probe_wait_seconds=self.rows.wait,
            history_choice=self.rows.history_choice,
            schedule_seconds=self.schedule if isinstance(self.schedule, float) else 0.0,
            schedule_cron=self.schedule if isinstance(self.schedule, str) else "",
            schedule_zone=self.schedule_zone,
            tolerance=tolerance,
        )

    def blessing(self) -> BlessingRules:
        """What a challenger must reach."""
        if self.floor is None:
            return BlessingRules(floor=self.auc_floor)
        return BlessingRules(floor=self.floor, owners_floor=True)


class RolloutSettings(Section):
    """How a new version goes live."""

    steps: tuple[int, ...] = _ROLLOUT.steps
    """Canary weights in percent, ascending, ending with 100."""
    hold: PositiveDuration = _ROLLOUT.hold_seconds
    """A step lasts at least this long, and until each gate has enough requests."""
    gates: GateSettings = GateSettings()
    """Limits that a canary must keep."""
    shadow: ShadowSettings = ShadowSettings()
    """The paired comparison before the first weight."""
    slices: SliceSettings = SliceSettings()
    """Requests that are judged apart, by a header."""
    approval: Approval = _ROLLOUT.approval
    """Whether an engineer must approve the version, and when. The first version of a model needs
    the approval too, unless it is never."""
    approvers: tuple[ApproverSettings, ...] = ()
    """Who may approve or reject: a list of {name, role}. Empty: anybody. Names are not
    authenticated: whoever can write to Kafka can write any name."""
    approval_people: int = Field(default=_ROLLOUT.approvals.people, ge=1)
    """How many different people must approve. `promote` does not stand in for several."""
    approval_by_proposer: bool = _ROLLOUT.approvals.by_proposer
    """Whether the person who asked for the retrain, or for another try, may approve it."""
    deadline: PositiveDuration = _ROLLOUT.deadline_seconds
    """A rollout that has not passed by then is rolled back; waiting for approval does not count."""
    control_replacements: int = Field(default=_ROLLOUT.control_replacements, ge=0, le=10)
    """How often a rollout replaces a control that is sick (worse than the stable arm, with the same
    version) by a fresh server; 0 only holds the weight and pages."""
    approval_deadline: PositiveDuration = _ROLLOUT.approval_seconds
    """A version that nobody approves for this long is given up."""
    pause_deadline: PositiveDuration = _ROLLOUT.pause_seconds
    """A pause that nobody ends for this long ends in a rollback."""
    bake: Duration = _ROLLOUT.bake_seconds
    """The replaced version stays loaded at least this long after a promotion, and until every gate
    has passed once more."""
    bake_weight: int = Field(default=_ROLLOUT.bake_weight, ge=1, le=50)
    """Share of the traffic, in percent, that the replaced version keeps during the bake, and an
    equal share of the promoted one that it is compared with. Less traffic takes longer to judge."""
    bake_deadline: PositiveDuration = _ROLLOUT.bake_deadline_seconds
    """A bake that still lacks data after this long ends in a rollback, unless its requests exclude
    at least the harm that a first canary step has to exclude."""

    def rules(self, *, measured: bool = False) -> RolloutRules:
        """The rollout's rules; raises `ConfigurationError`.

        `measured` says whether the applications write the predictions they got.
        """
        return RolloutRules(
            steps=self.steps,
            hold_seconds=self.hold,
            errors_pp=self.gates.errors * 100,
            latency_ms=round(self.gates.latency_p99 * 1000),
            slow_gate=self.gates.slow,
            startup_seconds=self.gates.startup,
            approval=self.approval,
            approvals=ApprovalRules(
                approvers=tuple(entry.approver() for entry in self.approvers),
                people=self.approval_people,
                by_proposer=self.approval_by_proposer,
            ),
            deadline_seconds=self.deadline,
            control_replacements=self.control_replacements,
            approval_seconds=self.approval_deadline,
            pause_seconds=self.pause_deadline,
            bake_seconds=self.bake,
            bake_weight=self.bake_weight,
            bake_deadline_seconds=self.bake_deadline,
            evidence=self.gates.evidence(measured=measured, slices=self.slices.evidence()),
            shadow=self.shadow.rules(),
            slices=self.slices.rules(),
        )


class ModelSettings(Section):
    """One model."""

    module: str
    """Import path of the model's code, for example retrain.models.big_tipper."""
    tenant: str = Field(default="", pattern=r"^[a-z0-9_-]*$")
    """Owner of the model; with `stream.split: tenant` each owner has a stream job of its own."""
    events: EventSettings
    """Topic of the events."""
    labels: LabelSettings
    """Topic of the labels."""
    predictions: PredictionSettings | None = None
    """Topic of the served predictions. null: quality is not measured."""
    window: WindowSettings = WindowSettings()
    """Event-time windows."""
    drift: DriftSettings = DriftSettings()
    """The drift judge."""
    tolerance: ToleranceSettings = ToleranceSettings()
    """When data are broken."""
    quality: QualitySettings = QualitySettings()
    """The judge of served predictions."""
    retrain: RetrainSettings = RetrainSettings()
    """When to train, and on which rows."""
    rollout: RolloutSettings = RolloutSettings()
    """How a new version goes live."""
    version_labels: dict[str, Annotated[int, Field(ge=1)]] = Field(default={})
    """Labels of your own and the version of each, for example {previous: 3}: requests for
    /v1/models/NAME/labels/previous go to that version, on a server of its own, whatever the rollout
    does. stable and canary are the labels of these arms. After a change `driftline up` moves the
    labels; a version is unloaded only when no label names it."""
    experiments: ExperimentSettings = ExperimentSettings()
    """How versions are compared by user."""

    def drift_rules(self) -> DriftRules:
        """The drift judge's rules; raises `ConfigurationError`."""
        return self.drift.rules()

    def quality_rules(self) -> QualityRules:
        """The quality judge's rules; raises `ConfigurationError`."""
        return self.quality.rules(self.window, self.labels.mature_after)

    def retrain_rules(self) -> RetrainRules:
        """The trigger's rules."""
        return self.retrain.rules(self.labels.mature_after, self.tolerance.rules())

    def rollout_rules(self) -> RolloutRules:
        """The rollout's rules; raises `ConfigurationError`."""
        rules = self.rollout.rules(measured=self.predictions is not None)
        return replace(rules, experiments=self.experiment_rules())

    def experiment_rules(self) -> ExperimentRules:
        """The rules of experiments; raises `ConfigurationError`."""
        return self.experiments.rules(self.labels.mature_after)
