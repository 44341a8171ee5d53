"""`driftline.yaml` as typed values: strict, and every mistake is reported at once.

Any value can be overridden by ``DRIFTLINE__SECTION__KEY``. `deploy.config.loader` reads the file,
`deploy.config.checks` holds the rules that concern several keys.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.config.model_settings import ModelSettings
from deploy.config.types import Addresses, Section

__all__ = ["ModelSettings", "Settings"]


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
    served_model: str = ""
    """The model that the embedded servers serve; needed if the file has several."""


class ArtifactSettings(Section):
    """The artifact store: models, statistics, references."""

    root: str = ""
    """A folder that all parts can read and write. Empty: `artifacts` below DRIFTLINE_HOME."""


class Settings(Section):
    """The whole file."""

    models: dict[str, ModelSettings] = Field(min_length=1)
    """The models, by name."""
    stream: StreamSettings = StreamSettings()
    """The stream jobs on Flink."""
    kafka: KafkaSettings = KafkaSettings()
    """The Kafka cluster."""
    endpoints: EndpointSettings = EndpointSettings()
    """Addresses of the engines, where they are not the embedded ones."""
    local: LocalSettings = LocalSettings()
    """The embedded stack."""
    artifacts: ArtifactSettings = ArtifactSettings()
    """The artifact store."""
