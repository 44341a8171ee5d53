"""The house put together: settings in, rules, contracts, ports and engines out.

The only place that knows every engine. Each engine is imported where it is made, so a command
pays only for what it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.config import loader
from deploy.config.port_map import HOST, PortMap
from deploy.config.settings import ModelSettings, Settings
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.topics import RECORD_TOPICS, applications_topic

if TYPE_CHECKING:
    from deploy.app.stream_jobs import StreamJob
    from deploy.daemon.controller import ModelLoop
    from deploy.local.stack import Stack
    from retrain.policy import RetrainRules
    from serving.rules import RolloutRules
    from streaming.drift import DriftRules
    from streaming.engines.artifact_store import ArtifactStore
    from streaming.job.settings import JobSettings
    from streaming.quality import QualityRules


@dataclass(frozen=True)
class Deployment:
    """Settings, and everything made from them."""

    settings: Settings
    base: Path
    """DRIFTLINE_HOME."""
    file: Path

    @classmethod
    def load(cls, file: Path | None = None) -> Deployment:
        """From driftline.yaml and the environment; raises `ConfigurationError`."""
        return cls(
            settings=loader.load(file),
            base=loader.home(),
            file=loader.config_file(file).resolve(),
        )

    @property
    def home(self) -> Path:
        """The folder of this stack's state."""
        folder = self.settings.local.folder
        return self.base / folder if folder else self.base

    # ------------------------------------------------------------ addresses

    @cached_property
    def ports(self) -> PortMap:
        """The embedded stack's ports."""
        return PortMap().shifted(self.settings.local.port_offset)

    @property
    def bootstrap(self) -> str:
        """Kafka."""
        offset = self.settings.local.port_offset
        return f"{HOST}:{self.ports.kafka}" if offset else self.settings.kafka.bootstrap

    def _url(self, named: str, port: int) -> str:
        return named.rstrip("/") or f"http://{HOST}:{port}"

    @property
    def envoy_url(self) -> str:
        """The splitter, as clients see it."""
        return self._url(self.settings.endpoints.envoy, self.ports.envoy)

    @property
    def prometheus_url(self) -> str:
        """Where gates are asked."""
        return self._url(self.settings.endpoints.prometheus, self.ports.prometheus)

    @property
    def flink_url(self) -> str:
        """Flink's REST API."""
        return self._url(self.settings.endpoints.flink, self.ports.flink_rest)

    # --------------------------------------------------------------- models

    def settings_of(self, model: str) -> ModelSettings:
        """A model's section; raises `NotFoundError`."""
        found = self.settings.models.get(model)
        if found is None:
            known = ", ".join(self.settings.models)
            raise NotFoundError(f"{self.file.name} has no model {model}; it has {known}.")
        return found

    def contract(self, model: str) -> ModelContract:
        """What everybody knows about the model."""
        from retrain.models.code import load_code

        section = self.settings_of(model)
        code = load_code(section.module)
        return ModelContract(
            model=model,
            module=section.module,
            events_topic=section.events.topic,
            labels_topic=section.labels.topic,
            key=section.events.key,
            time=section.events.time,
            partitions=section.events.partitions,
            features=code.features,
            schema_path=str(code.schema),
            window_seconds=section.window.size,
            max_out_of_orderness_seconds=section.window.max_out_of_orderness,
        )

    def drift_rules(self, model: str) -> DriftRules:
        """The judge's rules."""
        from streaming.drift import DriftRules

        drift = self.settings_of(model).drift
        return DriftRules(
            false_alarms=drift.false_alarms.times,
            period_seconds=drift.false_alarms.seconds,
            suspected_sd=drift.effect.suspected,
            drifted_sd=drift.effect.drifted,
            sustained=drift.sustained.hits,
            of=drift.sustained.of,
            min_rows=drift.min_rows,
            wobble_sd=0.05 if drift.wobble == "learnt" else drift.wobble,
            learn_wobble=drift.wobble == "learnt",
            season=drift.season,
            season_zone=drift.season_zone,
        )

    def quality_rules(self, model: str) -> QualityRules:
        """The rules of the judgement on what was predicted."""
        from streaming.quality import QualityRules

        section = self.settings_of(model)
        asked, late = section.quality, section.labels.mature_after
        return QualityRules(
            false_alarms=asked.false_alarms.times,
            period_seconds=asked.false_alarms.seconds,
            auc_fall=asked.auc_fall,
            sustained=asked.sustained.hits,
            of=asked.sustained.of,
            min_labels=asked.min_labels,
            wobble=asked.wobble,
            horizon_seconds=asked.horizon or 4.0 * late + 2.0 * section.window.size,
            patience_seconds=2.0 * section.window.size + 30.0,
        )

    def retrain_rules(self, model: str) -> RetrainRules:
        """The trigger's rules."""
        from retrain.policy import RetrainRules

        section = self.settings_of(model)
        asked = section.retrain
        return RetrainRules(
            min_labelled_rows=asked.min_labelled_rows,
            min_initial_rows=asked.min_initial_rows or 0,
            max_rows=asked.max_rows,
            after_shift_share=asked.after_shift,
            label_delay_seconds=section.labels.mature_after,
            cooldown_seconds=asked.cooldown,
            budget_runs=int(asked.budget.times),
            budget_seconds=asked.budget.seconds,
            deadline_seconds=asked.deadline,
            schedule_seconds=asked.schedule or 0.0,
        )

    def rollout_rules(self, model: str) -> RolloutRules:
        """The rollout's rules; raises `ConfigurationError`."""
        from serving.rules import RolloutRules

        asked = self.settings_of(model).rollout
        return RolloutRules(
            steps=asked.steps,
            hold_seconds=asked.hold,
            errors_pp=asked.gates.errors * 100,
            latency_ms=round(asked.gates.latency_p99 * 1000),
            slow_gate=asked.gates.slow,
            startup_seconds=asked.gates.startup,
            approval=asked.approval,
            deadline_seconds=asked.deadline,
            bake_seconds=asked.bake,
        )

    # -------------------------------------------------------------- engines

    @property
    def artifact_root(self) -> Path:
        """The artifact store's folder."""
        named = self.settings.artifacts.root
        return Path(named).resolve() if named else self.home / "artifacts"

    def store(self) -> ArtifactStore:
        """The artifact store."""
        from streaming.engines.artifact_store import ArtifactStore

        return ArtifactStore(self.artifact_root)

    def open_log(self) -> RecordLog:
        """The log on Kafka; whoever opens it closes it."""
        from streaming.engines.kafka.log import KafkaLog

        return KafkaLog(self.bootstrap)

    @contextmanager
    def log(self) -> Iterator[RecordLog]:
        """The log on Kafka for the length of a `with`."""
        opened = self.open_log()
        try:
            yield opened
        finally:
            opened.close()

    def ensure_topics(self) -> None:
        """Create every topic that is missing."""
        from deploy.daemon.faust_app import STATE_TOPIC

        topics = [*RECORD_TOPICS, STATE_TOPIC]
        for name in self.settings.models:
            contract = self.contract(name)
            for topic in (contract.events_topic, contract.labels_topic):
                topics.append(applications_topic(topic, partitions=contract.partitions))
            served = self.settings.models[name].predictions
            if served is not None:
                topics.append(applications_topic(served.topic, partitions=served.partitions))
        with self.log() as log:
            log.ensure(topics)

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Stream job -> the models it serves."""
        from deploy.config.job_groups import group_models

        tenants = {name: section.tenant for name, section in self.settings.models.items()}
        return group_models(tenants, self.settings.stream.split)

    def job_settings(self, model: str) -> JobSettings:
        """What the stream job that serves a model is submitted with."""
        return self.stream_job(model).settings

    def stream_job(self, model: str) -> StreamJob:
        """The stream job that serves a model."""
        from deploy.app.stream_jobs import stream_job
        from deploy.config.job_groups import group_of

        self.settings_of(model)
        return stream_job(self, group_of(model, self.groups))

    def stream_jobs(self) -> list[StreamJob]:
        """Every stream job of the file."""
        from deploy.app.stream_jobs import stream_job

        return [stream_job(self, group) for group in self.groups]

    def submit_job(self, model: str, *, say: Callable[[str], None]) -> str:
        """Submit the stream job that serves a model unless it runs; returns Flink's id."""
        return self.stream_job(model).submit(self.ensure_topics, say)

    def model_loop(self, model: str) -> ModelLoop:
        """The control loop of a model with its real ports."""
        from deploy.daemon.assembly import model_loop

        return model_loop(self, model)

    def stack(self) -> Stack:
        """The embedded stack: every process of this house."""
        from deploy.local.embedded import stack

        return stack(self)
