"""The settings of a stream job: a plain value that travels to the workers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import ModelContract
from streaming.contracts.registered import RegistryAddress
from streaming.contracts.tolerance import DEFAULT, Tolerance
from streaming.drift import DriftRules
from streaming.drift.window_rules import WindowRules
from streaming.engines.tfdv import schema_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelJob:
    """What the job needs to know about one of its models."""

    contract: ModelContract
    rules: DriftRules
    tolerance: Tolerance = DEFAULT
    """How much broken data is tolerated."""
    code: str = ""
    """Version of the code that judges, for the record of the rules."""
    from_offsets: tuple[int, ...] = ()
    """First offset to read of each events partition; empty = the beginning of the log."""


def window_rules(job: ModelJob) -> WindowRules:
    """The rules that verdicts name, with the text of the model's schema file.

    Raises
    ------
    ConfigurationError
        When the file cannot be read.
    """
    path = job.contract.schema_path
    return WindowRules(
        contract=job.contract,
        drift=job.rules,
        tolerance=job.tolerance,
        schema_text=schema_text.read_text(Path(path)) if path else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Everything that a stream job needs to know about its models and engines."""

    models: tuple[ModelJob, ...]
    """At least one; their events topics differ."""
    group: str = ""
    """Name of the job when it serves several models; empty = the name of its only model."""
    bootstrap: str
    """Kafka's address, ``host:port``."""
    artifact_root: str
    """Folder of the artifact store, as the workers and the readers of the records see it."""
    job_endpoint: str = "127.0.0.1:8099"
    """Beam's job server."""
    worker_endpoint: str = "127.0.0.1:50000"
    """Beam's pool of Python workers."""
    flink_rest: str = "http://127.0.0.1:8081"
    parallelism: int = 1
    max_workers: int = 32
    """Upper bound of the parallelism, fixed for the life of a savepoint. Flink keeps this many
    key groups in every step and visits each at every checkpoint: with Flink's default of 128 an
    idle job takes a tenth of a core for that."""
    shards: int = 4
    """Number of keys that share the partitions of all models, and the most workers that can read.
    Fixed for the life of a savepoint; a shard without a partition costs next to nothing."""
    checkpoint_seconds: float = 5.0
    checkpoint_folder: str = ""
    """Folder of checkpoints and savepoints; empty = as in Flink's own configuration."""
    fetch_records: int = 5000
    max_step_seconds: float = 0.5
    """A reading step ends after this time even when there is more to read."""
    pause_seconds: float = 0.0
    """Pause of a shard that found nothing more to read; 0 = a twentieth of the shortest window,
    between 0.2 and 1 s."""
    idle_timeout_seconds: float = 5.0
    """A partition that brought nothing usable for this long no longer holds windows open."""
    discovery_seconds: float = 1.0
    """Interval at which a shard looks for new partitions."""
    registry: RegistryAddress | None = None
    """The schema registry, for formats that need it."""
    restore: str = ""
    """Path of the checkpoint or savepoint to start from, as Flink sees it; empty = none."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot work."""
        if not self.models:
            raise ConfigurationError("A stream job needs at least one model.")
        if len(self.models) > 1 and not self.group:
            raise ConfigurationError("A stream job of several models needs a group's name.")
        if self.parallelism > self.max_workers:
            raise ConfigurationError(
                f"{self.parallelism} workers are more than stream.max_workers: {self.max_workers}."
            )
        for label, names in (
            ("model", [model.contract.model for model in self.models]),
            ("events topic", [model.contract.events_topic for model in self.models]),
        ):
            name, times = Counter(names).most_common(1)[0]
            if times > 1:
                raise ConfigurationError(
                    f"The {label} {name} occurs {times} times in one stream job; "
                    "put its models into separate jobs (stream.split)."
                )

    @property
    def name(self) -> str:
        """The job's name on Flink; a group has one running job of this name."""
        return f"driftline-{self.group or self.models[0].contract.model}"

    @property
    def poll_pause_seconds(self) -> float:
        """The pause of a shard that found nothing more to read."""
        shortest = min(model.contract.window_seconds for model in self.models)
        return self.pause_seconds or min(1.0, max(0.2, shortest / 20))

    @property
    def poll_interval_seconds(self) -> float:
        """Interval of the impulse that triggers reads."""
        return min(0.5, self.poll_pause_seconds)
