"""The settings of one stream job; a plain value that travels to the workers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import ModelContract
from streaming.drift import DriftRules


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelJob:
    """What the job needs to know about one of its models."""

    contract: ModelContract
    rules: DriftRules
    from_offsets: tuple[int, ...] = ()
    """Offset to start each partition of the events at; empty = the beginning of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Everything that a stream job needs to know about its models and engines."""

    models: tuple[ModelJob, ...]
    """At least one; their topics differ."""
    group: str = ""
    """What the job is called when it serves several models; empty = after its only model."""
    bootstrap: str
    """Kafka, ``host:port``."""
    artifact_root: str
    """Folder of the artifact store, seen by the workers and by whoever reads the records."""
    job_endpoint: str = "127.0.0.1:8099"
    """Beam's job server."""
    worker_endpoint: str = "127.0.0.1:50000"
    """Beam's pool of Python workers."""
    flink_rest: str = "http://127.0.0.1:8081"
    parallelism: int = 1
    max_workers: int = 32
    """The most that a job can be rescaled to, fixed for the life of a savepoint. Flink keeps as
    many groups of keys apart in every step and visits each at every checkpoint: with its own 128
    an idle job takes a tenth of a core for that."""
    shards: int = 4
    """Keys that share the partitions of all models, the most workers that can read. Fixed for the
    life of a savepoint; one without a partition costs next to nothing."""
    checkpoint_seconds: float = 5.0
    checkpoint_folder: str = ""
    """Where checkpoints and savepoints go; empty = as Flink's own configuration says."""
    fetch_records: int = 5000
    busy_seconds: float = 0.5
    """A reading step ends after this long even when there is more to read."""
    rest_seconds: float = 0.0
    """Rest of a shard that found no more to read; 0 = a twentieth of the window, 0.2 to 1 s."""
    idle_seconds: float = 5.0
    """A partition that brought nothing for this long no longer holds the windows open."""
    discover_seconds: float = 1.0
    """How often a shard asks Kafka for new partitions."""
    restore: str = ""
    """Checkpoint or savepoint to go on from (a path that Flink can read); empty = afresh."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.models:
            raise ConfigurationError("A stream job needs at least one model.")
        if len(self.models) > 1 and not self.group:
            raise ConfigurationError("A stream job of several models needs a group's name.")
        if self.parallelism > self.max_workers:
            raise ConfigurationError(
                f"{self.parallelism} workers are more than stream.max_workers: {self.max_workers}."
            )
        for what, names in (
            ("model", [one.contract.model for one in self.models]),
            ("events topic", [one.contract.events_topic for one in self.models]),
        ):
            name, times = Counter(names).most_common(1)[0]
            if times > 1:
                raise ConfigurationError(
                    f"The {what} {name} comes {times} times in one stream job; "
                    "put its models into jobs of their own (stream.split)."
                )

    @property
    def name(self) -> str:
        """The job's name on Flink.

        One job per group: a second submit finds the first by it.
        """
        return f"driftline-{self.group or self.models[0].contract.model}"

    @property
    def pause_seconds(self) -> float:
        """The rest, settled by the shortest window."""
        shortest = min(one.contract.window_seconds for one in self.models)
        return self.rest_seconds or min(1.0, max(0.2, shortest / 20))

    @property
    def tick_seconds(self) -> float:
        """How often a reader is asked whether it is time for a step."""
        return min(0.5, self.pause_seconds)
