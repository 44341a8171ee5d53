"""`driftline.yaml` as typed values: one file, strict, and every mistake reported at once.

Any value can be overridden by ``DRIFTLINE__SECTION__KEY``. Unknown keys, wrong units and
impossible combinations refuse to start; `deploy.config.loader` finds the line and a suggestion.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from deploy.config import units

Seconds = Annotated[float, BeforeValidator(units.seconds), Field(ge=0)]
Points = Annotated[float, BeforeValidator(units.points), Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TopicSettings(Section):
    """Where the applications write."""

    topic: str
    """Kafka topic."""
    key: str
    """Field that identifies an event; the same in events and labels."""
    time: str = "event_time"
    """Field with the event time, seconds since 1970."""
    partitions: int = Field(default=2, ge=1)
    mature_after: Seconds = 0.0
    """How long after the event its label has usually come (labels only)."""


class ServedSettings(Section):
    """Where the applications write the predictions they were served: the key, the time, the
    ``version`` that answered and its ``prediction``, one JSON object each."""

    topic: str
    """Kafka topic."""
    partitions: int = Field(default=2, ge=1)


class QualitySettings(Section):
    """The judgement on what was predicted; needs `predictions`."""

    false_alarms: Annotated[units.Budget, BeforeValidator(units.budget)] = units.Budget(
        1, 30 * 86400
    )
    """Budget of false alarms, besides that of `drift`."""
    auc_fall: float = Field(default=0.02, ge=0)
    """A smaller fall of the AUC is never reported."""
    sustained: Annotated[units.Sustained, BeforeValidator(units.sustained)] = units.Sustained(3, 5)
    min_labels: int = Field(default=500, ge=50)
    """Labelled predictions that are judged together."""
    wobble: float = Field(default=0.01, ge=0)
    """Day-to-day movement of AUC, Brier score and calibration that is no loss."""
    horizon: Annotated[float, BeforeValidator(units.seconds), Field(gt=0)] | None = None
    """Labels that come later are not used; null = 4 times `labels.mature_after` and 2 windows."""


class WindowSettings(Section):
    """Event-time windows."""

    size: Seconds = 60.0
    """Length of a window."""
    max_out_of_orderness: Seconds = 10.0
    """How much out of order events may come; later ones are counted as late."""


class EffectSettings(Section):
    """Effects in standard deviations below which nothing alarms."""

    suspected: float = Field(default=0.25, ge=0)
    drifted: float = Field(default=0.5, ge=0)


class DriftSettings(Section):
    """The judge."""

    false_alarms: Annotated[units.Budget, BeforeValidator(units.budget)] = units.Budget(
        1, 30 * 86400
    )
    """Budget of false alarms of the model, over all features and windows."""
    effect: EffectSettings = EffectSettings()
    sustained: Annotated[units.Sustained, BeforeValidator(units.sustained)] = units.Sustained(3, 5)
    min_rows: int = Field(default=200, ge=1)
    """A window with fewer rows is inconclusive."""
    wobble: Annotated[float, Field(ge=0)] | Literal["learnt"] = "learnt"
    """Day-to-day movement that is no drift, in standard deviations; learnt = from the days before
    a version's training windows, 0.05 while they are too few."""
    season: Literal["none", "hour-of-day", "hour-of-week"] = "none"
    """Compare a window with the history of its own hour."""
    season_zone: str = "UTC"
    """Time zone of those hours, for example America/Chicago."""
    exported_features: int = Field(default=50, ge=0)
    """At most so many features have series in Prometheus, the worst first; others are counted."""


class RetrainSettings(Section):
    """When to train, and on what."""

    cooldown: Seconds = 1800.0
    """At least this long between two retrains."""
    budget: Annotated[units.Budget, BeforeValidator(units.budget)] = units.Budget(4, 86400)
    """At most so many retrains in so long."""
    debounce: Seconds = 0.0
    """A shift must have lasted this long."""
    min_labelled_rows: int = Field(default=5000, ge=1)
    """Labelled rows after the shift that a retrain waits for."""
    min_initial_rows: int | None = Field(default=None, ge=1)
    """Labelled rows that the first version waits for; null = as many as any other."""
    max_rows: int = Field(default=1_000_000, ge=1)
    after_shift: float = Field(default=0.7, gt=0, le=1)
    """Share of the training rows that comes from after the shift."""
    schedule: Annotated[float, BeforeValidator(units.seconds), Field(gt=0)] | None = None
    """Retrain this long after the last one even without a shift; null = never."""
    deadline: Seconds = 7200.0
    """A retrain that has not answered by then is given up."""
    auc_floor: float = Field(default=0.6, ge=0, le=1)
    """A challenger below it is not blessed."""


class GateSettings(Section):
    """What a canary must hold."""

    latency_p99: Seconds = 0.2
    slow: Literal["absolute", "compare"] = "absolute"
    """absolute: prove p99 < latency_p99. compare: prove only that the canary is not slower than its
    twin, for machines on which the champion itself has 0.8 % slow answers or more."""
    startup: Seconds = 5.0
    errors: Points = 0.005


class RolloutSettings(Section):
    """How a new version goes live."""

    steps: tuple[int, ...] = (1, 5, 10, 25, 50, 100)
    """Percent of the traffic, ascending, ending with 100."""
    hold: Seconds = 60.0
    """A step lasts at least this long, and until each gate has enough requests."""
    gates: GateSettings = GateSettings()
    approval: Literal["never", "before-canary", "before-promotion"] = "before-canary"
    deadline: Seconds = 7200.0
    bake: Seconds = 600.0
    """The replaced version stays warm this long."""

    @model_validator(mode="after")
    def _steps_climb(self) -> Self:
        steps = self.steps
        if not steps or list(steps) != sorted(set(steps)) or steps[0] < 1 or steps[-1] != 100:
            raise ValueError(
                "steps must climb from at least 1 to 100, for example [1, 10, 50, 100]."
            )
        return self


class ModelSettings(Section):
    """One model."""

    module: str
    """Import path of the TFX user code."""
    tenant: str = Field(default="", pattern=r"^[a-z0-9_-]*$")
    """Whom the model belongs to; `stream.split: tenant` gives each a stream job of its own."""
    events: TopicSettings
    labels: TopicSettings
    predictions: ServedSettings | None = None
    """Null: quality is not measured."""
    window: WindowSettings = WindowSettings()
    drift: DriftSettings = DriftSettings()
    quality: QualitySettings = QualitySettings()
    retrain: RetrainSettings = RetrainSettings()
    rollout: RolloutSettings = RolloutSettings()

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.events.key != self.labels.key:
            raise ValueError("events.key and labels.key must name the same field.")
        return self


class KafkaSettings(Section):
    """The log."""

    bootstrap: str = "127.0.0.1:9092"


class EndpointSettings(Section):
    """Where the engines answer, when they are not the embedded ones. Empty = embedded."""

    flink: str = ""
    jobserver: str = ""
    workers: str = ""
    prometheus: str = ""
    envoy: str = ""
    envoy_admin: str = ""


class LocalSettings(Section):
    """The embedded stack."""

    port_offset: int = Field(default=0, ge=0, le=20000)
    """Added to every port, so that two stacks fit on one machine."""
    folder: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    """Folder below DRIFTLINE_HOME that holds this stack's state; empty = DRIFTLINE_HOME itself."""
    serve: str = ""
    """The model that the embedded servers serve; needed when the file has several."""


class ArtifactSettings(Section):
    """Where big payloads lie."""

    root: str = ""
    """A folder that all parts see; empty = `artifacts` of DRIFTLINE_HOME."""


class StreamSettings(Section):
    """The stream jobs on Flink."""

    split: Literal["none", "tenant", "model"] = "none"
    """none: one job serves all models. tenant, model: one job for each."""
    parallelism: int = Field(default=1, ge=1)
    """Workers of a job that is submitted afresh; `driftline job rescale` changes a running one."""
    max_workers: int = Field(default=32, ge=1, le=32768)
    """The most that a job can be rescaled to; each costs a little at every checkpoint. A savepoint
    keeps the number it began with."""
    shards: int = Field(default=4, ge=1)
    """Groups of partitions, the most workers that can read. A savepoint keeps the number it began
    with."""


class Settings(Section):
    """The whole file."""

    models: dict[str, ModelSettings] = Field(min_length=1)
    stream: StreamSettings = StreamSettings()
    kafka: KafkaSettings = KafkaSettings()
    endpoints: EndpointSettings = EndpointSettings()
    local: LocalSettings = LocalSettings()
    artifacts: ArtifactSettings = ArtifactSettings()

    @model_validator(mode="after")
    def _models_fit_together(self) -> Self:
        nobody = [name for name, model in self.models.items() if not model.tenant]
        if self.stream.split == "tenant" and nobody:
            raise ValueError(f"stream.split: tenant needs models.{nobody[0]}.tenant.")
        if self.local.serve and self.local.serve not in self.models:
            raise ValueError(f"local.serve names no model: {self.local.serve}.")
        readers: dict[str, str] = {}
        for name, model in self.models.items():
            other = readers.setdefault(model.events.topic, name)
            if other != name and self.stream.split != "model":
                raise ValueError(
                    f"{other} and {name} read {model.events.topic}: models of one stream job need "
                    "topics of their own; stream.split: model gives each a job."
                )
        return self
