"""The settings of one stream job; a plain value that travels to the workers."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.contracts.model import ModelContract
from streaming.drift import DriftRules


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Everything the stream job of one model needs to know."""

    contract: ModelContract
    rules: DriftRules
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
    checkpoint_seconds: float = 5.0
    checkpoint_folder: str = ""
    """Where checkpoints and savepoints go; empty = as Flink's own configuration says."""
    fetch_records: int = 5000
    busy_seconds: float = 0.5
    """A reading step ends after this long even when there is more to read."""
    rest_seconds: float = 0.0
    """Pause between two steps of a partition; 0 = a twentieth of the window, 0.2 to 1 s."""
    idle_seconds: float = 5.0
    """A partition that brought nothing for this long no longer holds the windows open."""
    from_offsets: tuple[int, ...] = ()
    """Offset to start each partition of the events at; empty = the beginning of the log."""
    restore: str = ""
    """Checkpoint or savepoint to go on from (a path that Flink can read); empty = afresh."""

    @property
    def name(self) -> str:
        """The job's name on Flink.

        One job per model: a second submit finds the first by it.
        """
        return f"driftline-{self.contract.model}"

    @property
    def pause_seconds(self) -> float:
        """The pause between two steps, settled."""
        return self.rest_seconds or min(1.0, max(0.2, self.contract.window_seconds / 20))
