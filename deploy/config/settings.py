"""`driftline.yaml` as typed values: strict, and every mistake is reported at once.

Any value can be overridden by ``DRIFTLINE__SECTION__KEY``. `deploy.config.loader` reads the file,
`deploy.config.checks` holds the rules that concern several keys.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploy.config.access_settings import AccessSettings
from deploy.config.alert_settings import AlertSettings
from deploy.config.metadata_settings import MetadataSettings, MlflowSettings
from deploy.config.model_settings import ModelSettings
from deploy.config.types import Addresses, PositiveDuration, Section, Size
from retrain.clean_up import CleanUpRules

__all__ = ["ModelSettings", "Settings"]

_CLEAN_UP = CleanUpRules()


class StreamSettings(Section):
    """The stream jobs on Flink."""

    split: Literal["none", "tenant", "model"] = "none"
    """none: one job serves all models. tenant, model: one job for each."""
    parallelism: int = Field(default=1, ge=1)
    """Workers of a newly submitted job; `driftline job rescale` changes a running one."""
    max_workers: int = Field(default=32, ge=1, le=32768)
    """Maximum number of workers that a job can be rescaled to. Each costs a little at every
    checkpoint. Fixed for the life of a savepoint."""
    shards: int = Field(default=4, ge=1)
    """Groups of partitions, which limit the number of workers that can read. Fixed for the life of
    a savepoint."""


class KafkaSettings(Section):
    """The Kafka cluster."""

    bootstrap: Addresses = ""
    """Bootstrap servers, host:port, separated by commas. Empty: the embedded broker."""
    replicas: int = Field(default=1, ge=1, le=32)
    """Copies of each topic that Driftline creates; at most one per broker. All but one of them must
    confirm a write (min.insync.replicas), so one broker may be away."""


class RetentionSettings(Section):
    """How long the log keeps what Driftline writes. Versions, promotions, rollouts and schemas are
    kept for ever, and the applications' own topics are never altered. An existing topic that keeps
    records longer is shortened only where a time is given here, because that deletes records."""

    windows: PositiveDuration | None = None
    """Window statistics and verdicts. null: as long as the models' seasons, day variance,
    backtests and retrains look back, and at least 30 days."""
    decisions: PositiveDuration | None = None
    """Retrain requests, commands and canary verdicts, to which a version can be traced back. null:
    a year, or as long as windows."""
    dead_letters: PositiveDuration | None = None
    """Dead letters and late events. null: 30 days, or as long as late labels are joined."""


class EndpointSettings(Section):
    """Addresses of the engines, where they are not the embedded ones. Empty: embedded."""

    flink: Addresses = ""
    """Flink's REST API, http://host:port."""
    jobserver: Addresses = ""
    """Beam's job server, host:port."""
    workers: Addresses = ""
    """Beam's pool of Python workers, host:port."""
    prometheus: Addresses = ""
    """Prometheus, http://host:port."""
    envoy: Addresses = ""
    """Envoy's listener for predictions, http://host:port."""


class LocalSettings(Section):
    """The embedded stack."""

    port_offset: int = Field(default=0, ge=0, le=20000)
    """Added to every port of the embedded stack, so that two stacks fit on one machine."""
    folder: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    """Folder below DRIFTLINE_HOME for the state of this stack. Empty: DRIFTLINE_HOME itself."""
    served_models: tuple[str, ...] = ()
    """The models that the deployment's servers serve, at most 50. Empty: all of the file. Each has
    model servers of its own; their ports follow from the place in this list, so add a model at its
    end. gRPC requests that name no model go to the first. The models that are left out are
    monitored: they have windows, verdicts, retrains and versions, but no servers and no canary. A
    version of theirs is promoted once it is blessed and, unless `rollout.approval` is never,
    approved."""
    model_memory: Size | None = None
    """What the versions that all model servers have loaded may take together, estimated by the size
    of their files times 1.2; each server process takes about 0.1 GB more. A rollout waits until
    there is memory for it, at most a day, and is given up at once if there never could be. A canary
    that is not used gives its version up. null: not limited."""


class RegistrySettings(Section):
    """The schema registry, for topics in Confluent's wire format."""

    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Address of the registry, http://host:port. Empty: no topic needs one."""
    user: str = ""
    """User name, for a registry that wants one. Empty: none."""
    password_file: str = ""
    """File with the password, on every machine that reads events."""
    ca_file: str = ""
    """File with the certificate authority of an https address. Empty: those of the system."""
    timeout: PositiveDuration = 5.0
    """Longest wait for an answer. Records whose schema the registry does not have wait, and are
    tried again."""


class ArtifactSettings(Section):
    """The artifact store: models, statistics, references."""

    root: str = ""
    """A folder that all parts can read and write. Empty: `artifacts` below DRIFTLINE_HOME."""
    allowed_operations: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_>]*$")], ...] = ()
    """Names of TensorFlow operations that a model's graph may contain beside the usual ones. Model
    servers load no graph with other operations, because a model is a program: it could read and
    write files as soon as it is loaded."""


class RetrainWorkSettings(Section):
    """The retrain workers, which serve all models."""

    workers: int = Field(default=1, ge=1, le=64)
    """Retrains of different models that a worker process works on at once, if it has as many GPUs
    or CPU slots. Each takes about 1.5 GB of memory. Those of one model come one after another."""
    clean_up: bool = True
    """Whether the workers remove old files of retrains, when they start and after each retrain:
    versions, runs with their examples and TensorBoard logs, folders of attempts and of pipelines
    that were run by hand. What is live, was live before, is rolled out, awaits an approval or is
    needed by an open request stays. false: only `driftline prune` removes them."""
    keep_files: PositiveDuration = _CLEAN_UP.keep_seconds
    """The clean-up and `driftline prune` remove files of retrains that were not changed for this
    long and that no record in force points to."""
    keep_versions: int = Field(default=_CLEAN_UP.keep_versions, ge=1)
    """Newest versions of each model that they keep, whatever their age."""
    max_size: Size | None = _CLEAN_UP.max_bytes
    """What they let all files of retrains take together; beyond it younger ones go too. null: any
    size."""


class Settings(Section):
    """The whole file."""

    models: dict[str, ModelSettings] = Field(min_length=1)
    """The models, by name."""
    code: str = ""
    """Folder that holds the models' packages, relative to the folder of this file; `.` is the
    file's own folder. Every service finds the packages there. Empty: they are installed, or on
    PYTHONPATH."""
    stream: StreamSettings = StreamSettings()
    """The stream jobs on Flink."""
    kafka: KafkaSettings = KafkaSettings()
    """The Kafka cluster."""
    retention: RetentionSettings = RetentionSettings()
    """How long the log keeps what Driftline writes."""
    endpoints: EndpointSettings = EndpointSettings()
    """Addresses of the engines, where they are not the embedded ones."""
    registry: RegistrySettings = RegistrySettings()
    """The schema registry, for topics in Confluent's wire format."""
    local: LocalSettings = LocalSettings()
    """The embedded stack."""
    retrain: RetrainWorkSettings = RetrainWorkSettings()
    """The retrain workers, which serve all models."""
    artifacts: ArtifactSettings = ArtifactSettings()
    """The artifact store."""
    metadata: MetadataSettings = MetadataSettings()
    """ML Metadata, which holds the lineage of every retrain, and the files that it names."""
    mlflow: MlflowSettings = MlflowSettings()
    """Copies of runs in MLflow."""
    access: AccessSettings = AccessSettings()
    """Who may see and do what in the console, its API and by commands."""
    alerts: AlertSettings = AlertSettings()
    """Where alerts go."""
