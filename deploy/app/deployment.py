"""Composition root: makes rules, contracts, addresses and engines from the settings.

Each engine is imported where it is made, so a command pays only for what it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.access.roles import Roles
from deploy.app.mappings import events_mapping, labels_mapping, predictions_mapping
from deploy.app.suggestion import did_you_mean
from deploy.config import loader, paths
from deploy.config.code_folder import code_folder
from deploy.config.port_map import HOST, PortMap
from deploy.config.serving_checks import served_models
from deploy.config.settings import ModelSettings, Settings
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.registered import RegistryAddress, SchemaSource
from streaming.contracts.task import Task

if TYPE_CHECKING:
    from retrain.policy import RetrainRules
    from serving.rules import RolloutRules
    from streaming.contracts.tolerance import Tolerance
    from streaming.drift import DriftRules
    from streaming.engines.artifact_store import ArtifactStore
    from streaming.quality import QualityRules


LogFactory = Callable[[str], RecordLog]
"""Opens the record log at a Kafka address (``host:port``)."""


def kafka_log(bootstrap: str) -> RecordLog:
    """Open the record log on Kafka."""
    from streaming.engines.kafka.log import KafkaLog

    return KafkaLog(bootstrap)


@dataclass(frozen=True)
class Deployment:
    """Settings, and everything made from them."""

    settings: Settings
    base: Path
    """DRIFTLINE_HOME."""
    file: Path
    """The configuration file that was read."""
    log_factory: LogFactory = kafka_log
    """Opens the record log; tests pass one that returns a log in memory."""

    @classmethod
    def load(cls, file: Path | None = None, *, log_factory: LogFactory = kafka_log) -> Deployment:
        """Read driftline.yaml and the environment; raises `ConfigurationError`."""
        return cls(
            settings=loader.load(file),
            base=paths.home(),
            file=paths.config_file(file).resolve(),
            log_factory=log_factory,
        )

    @property
    def home(self) -> Path:
        """The folder of this stack's state."""
        folder = self.settings.local.folder
        return self.base / folder if folder else self.base

    @property
    def code_folder(self) -> Path | None:
        """The folder of the user's own packages, if the file names one."""
        return code_folder(self.settings.code, self.file)

    # ------------------------------------------------------------ addresses

    @cached_property
    def ports(self) -> PortMap:
        """The embedded stack's ports."""
        return PortMap().shifted(self.settings.local.port_offset)

    @property
    def bootstrap(self) -> str:
        """Kafka."""
        return self.settings.kafka.bootstrap or f"{HOST}:{self.ports.kafka}"

    def _url(self, endpoint: str, port: int) -> str:
        return endpoint.rstrip("/") or f"http://{HOST}:{port}"

    @property
    def envoy_url(self) -> str:
        """Envoy's address for clients."""
        return self._url(self.settings.endpoints.envoy, self.ports.envoy)

    @property
    def prometheus_url(self) -> str:
        """Prometheus' address; the gates read their metrics there."""
        return self._url(self.settings.endpoints.prometheus, self.ports.prometheus)

    @property
    def flink_url(self) -> str:
        """Address of Flink's REST API."""
        return self._url(self.settings.endpoints.flink, self.ports.flink_rest)

    # --------------------------------------------------------------- models

    def settings_of(self, model: str) -> ModelSettings:
        """A model's section; raises `NotFoundError`."""
        section = self.settings.models.get(model)
        if section is None:
            known = tuple(self.settings.models)
            raise NotFoundError(
                f"{self.file.name} has no model {model}; it has {', '.join(known)}."
                f"{did_you_mean(model, known)}"
            )
        return section

    def contract(self, model: str) -> ModelContract:
        """The model's contract: topics, fields, features and windows."""
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
            events=events_mapping(section),
            labels=labels_mapping(section),
            predictions=predictions_mapping(section),
        )

    def drift_rules(self, model: str) -> DriftRules:
        """The drift judge's rules."""
        return self.settings_of(model).drift_rules()

    def quality_rules(self, model: str) -> QualityRules:
        """The quality judge's rules, for what the model predicts."""
        return replace(self.settings_of(model).quality_rules(), task=self.task(model))

    def task(self, model: str) -> Task:
        """What the model predicts."""
        from retrain.models.code import load_code

        return load_code(self.settings_of(model).module).task

    def tolerance(self, model: str) -> Tolerance:
        """How much broken data is tolerated."""
        return self.settings_of(model).tolerance.rules()

    def retrain_rules(self, model: str) -> RetrainRules:
        """The rules of the retrain trigger."""
        return self.settings_of(model).retrain_rules()

    def rollout_rules(self, model: str) -> RolloutRules:
        """The rollout's rules."""
        rules = self.settings_of(model).rollout_rules()
        task = self.task(model)
        quality = rules.evidence.quality.for_task(task)
        return replace(
            rules,
            evidence=replace(rules.evidence, quality=quality),
            experiments=rules.experiments.for_task(task),
            served=self.serves(model),
            memory_limited=self.settings.local.model_memory is not None and self.serves(model),
        )

    @property
    def served_models(self) -> tuple[str, ...]:
        """The models that the deployment's servers serve; it monitors the others."""
        return served_models(self.settings)

    def serves(self, model: str) -> bool:
        """Whether the deployment's servers serve the model."""
        return model in self.served_models

    # -------------------------------------------------------------- engines

    @property
    def artifact_root(self) -> Path:
        """The artifact store's folder."""
        root = self.settings.artifacts.root
        return Path(root).resolve() if root else self.home / "artifacts"

    def store(self) -> ArtifactStore:
        """The artifact store."""
        from streaming.engines.artifact_store import ArtifactStore

        return ArtifactStore(self.artifact_root)

    def schemas(self) -> SchemaSource | None:
        """The schema registry; None where the settings name none."""
        from streaming.engines.registry import schema_source

        return schema_source(self.registry)

    @property
    def registry(self) -> RegistryAddress | None:
        """Address of the schema registry; None where the settings name none."""
        section = self.settings.registry
        if not section.url:
            return None
        return RegistryAddress(
            url=section.url,
            user=section.user,
            password_file=section.password_file,
            ca_file=section.ca_file,
            timeout_seconds=section.timeout,
        )

    def open_log(self) -> RecordLog:
        """Open the record log; the caller closes it. Commands are signed where that is set."""
        log, access = self.log_factory(self.bootstrap), self.settings.access
        if not access.signing_key and not access.roles:
            return log
        from deploy.access.command_signing import CommandSigner, SigningLog

        signer = partial(CommandSigner, self.home, access.signing_key)
        return SigningLog(log, signer if access.signing_key else None, Roles.of(self.settings))

    @contextmanager
    def log(self) -> Iterator[RecordLog]:
        """The record log for the length of a `with`."""
        log = self.open_log()
        try:
            yield log
        finally:
            log.close()

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Each stream job's group, and the models it serves."""
        from deploy.config.job_groups import group_models

        tenants = {name: section.tenant for name, section in self.settings.models.items()}
        return group_models(tenants, self.settings.stream.split)
