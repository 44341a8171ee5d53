"""The components of one run of a pipeline."""

from __future__ import annotations

from typing import Any

from tfx.orchestration.pipeline import Pipeline

from retrain.engines.tfx.steps import Steps


class Built:
    """A pipeline that can be run once, and the nodes of its steps."""

    def __init__(
        self, *, name: str, root: str, connection: Any, beam: tuple[str, ...], steps: Steps
    ) -> None:
        self.connection = connection
        self._steps = steps
        self.pipeline: Any = Pipeline(
            pipeline_name=name,
            pipeline_root=root,
            components=list(steps),
            metadata_connection_config=connection,
            beam_pipeline_args=list(beam),
            enable_cache=False,
        )

    def node(self, step: str) -> str:
        """The id of a step's component, for example of ``trainer``."""
        return str(self._steps.component(step).id)
