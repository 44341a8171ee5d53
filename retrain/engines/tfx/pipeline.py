"""The retrain pipeline, assembled by a fluent builder that reads like the pipeline's description.

>>> steps = pipeline("big_tipper", root=Path("runs")).from_shards(Path("examples"))
>>> steps = steps.generate_statistics().infer_schema().validate_input_data().preprocess().train()
>>> steps.names
('examples', 'statistics', 'inferred_schema', 'schema', 'validator', 'gate', 'transform', 'trainer')

Each method (`pipeline_steps`) adds steps, a name with a factory, and returns the builder.
Components are made by `build`, so a pipeline can be run any number of times and be compiled.

The engine ``fast`` uses components of Driftline for examples, statistics and evaluation, which
write the files that TFX's would; ``tfx`` uses TFX's own, on any Beam runner.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from retrain.engines.tfx.beam_options import BEAM, beam_options
from retrain.engines.tfx.pipeline_steps import Engine, PipelineSteps
from retrain.models.code import ModelCode, load_code
from retrain.ports import OnProgress
from streaming.contracts.errors import ConfigurationError

if TYPE_CHECKING:
    from retrain.engines.tfx.built import Built
    from retrain.engines.tfx.runner import MetadataPlace, Run


def pipeline(
    name: str,
    *,
    code: ModelCode | None = None,
    root: Path | None = None,
    metadata: MetadataPlace | None = None,
    beam: tuple[str, ...] = BEAM,
    engine: Engine = "fast",
) -> RetrainPipeline:
    """A pipeline without steps.

    Parameters
    ----------
    name:
        Name of the pipeline in ML Metadata, and of the model.
    code:
        The model's user code; None = that of ``retrain.models.<name>``.
    root:
        Folder for the run's artifacts; None = ``pipelines/<name>`` below DRIFTLINE_HOME.
    metadata:
        File or connection of ML Metadata; None = ``mlmd.sqlite`` in `root`.
    beam:
        Beam's options, for example another runner for large data.
    engine:
        ``fast``, or ``tfx`` for TFX's own components.
    """
    home = Path(os.environ.get("DRIFTLINE_HOME", ".driftline"))
    return RetrainPipeline(
        name,
        root or home / "pipelines" / name,
        code or load_code(f"retrain.models.{name}"),
        metadata=metadata,
        beam=beam,
        engine=engine,
    )


class RetrainPipeline(PipelineSteps):
    """Builds runs of one model; see `pipeline` for the parameters."""

    def __init__(
        self,
        name: str,
        root: Path,
        code: ModelCode,
        *,
        metadata: MetadataPlace | None = None,
        beam: tuple[str, ...] = BEAM,
        engine: Engine = "fast",
    ) -> None:
        super().__init__(name, root, code, engine)
        self._metadata = root / "mlmd.sqlite" if metadata is None else metadata
        self.beam = beam_options(beam)

    def build(self, metadata: MetadataPlace | None = None) -> Built:
        """The components of one run.

        Raises
        ------
        ConfigurationError
            When a step lacks one that it needs.
        """
        from retrain.engines.tfx.built import Built
        from retrain.engines.tfx.runner import connection_of

        return Built(
            name=self._name,
            root=str(self._root),
            connection=connection_of(self._metadata if metadata is None else metadata),
            beam=self.beam,
            steps=self.made(remote=False),
        )

    def compile_to(
        self,
        target: Literal["kubeflow"],
        file: Path,
        *,
        image: str,
        root: str,
        mounts: Mapping[str, str] | None = None,
    ) -> tuple[str, ...]:
        """Write the pipeline as a file for Kubeflow Pipelines; returns the names of its nodes.

        Parameters
        ----------
        target:
            ``kubeflow``.
        file:
            The YAML file.
        image:
            Container image with Driftline and the model's code.
        root:
            URI below which the artifacts of the runs are, such as ``gs://bucket/runs``.
        mounts:
            Claim of a volume → folder at which every container has it.

        Raises
        ------
        ConfigurationError
            When a step names a folder of this machine, or kfp refuses the file.
        """
        from retrain.engines.tfx import kubeflow

        if target != "kubeflow":
            raise ConfigurationError(f"There is no compiler for {target}; there is one: kubeflow.")
        return kubeflow.compile_pipeline(
            self.made(remote=True),
            name=self._name,
            file=file,
            image=image,
            root=root,
            beam=self.beam,
            mounts=mounts or {},
        )

    def run(self, run_id: str = "", on_progress: OnProgress = lambda progress: None) -> Run:
        """Run every step in this process; a step that fails or is skipped is a failure.

        Raises
        ------
        NodeFailed
            With the step's node and the reason.
        """
        import time

        from retrain.engines.tfx import runner

        built = self.build()
        run_id = run_id or f"{self._name}.{time.time_ns()}"
        return runner.run_pipeline(built.pipeline, built.connection, run_id, on_progress)
