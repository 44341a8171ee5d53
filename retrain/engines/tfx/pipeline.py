"""The retrain pipeline, assembled by a fluent builder that reads like the pipeline's description.

>>> steps = pipeline("big_tipper", root=Path("runs")).from_shards(Path("examples"))
>>> steps = steps.generate_statistics().infer_schema().validate_input_data().preprocess().train()
>>> steps.names
('examples', 'statistics', 'inferred_schema', 'schema', 'validator', 'gate', 'transform', 'trainer')

Each method adds steps, a name with a factory, and returns the builder; components are made by
`build`, so a pipeline can be run any number of times and be compiled. The rules: the gate comes
before everything that trains; the evaluation reads raw examples; a given champion is its baseline;
the tuner's values reach the trainer. A step without the step that it needs is an error.

The engine ``fast`` uses components of Driftline for examples, statistics and evaluation, which
write the files that TFX's would; ``tfx`` uses TFX's own, on any Beam runner.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from retrain.blessing import BlessingRules
from retrain.engines.tfx.durations import Duration, seconds
from retrain.engines.tfx.steps import Step, StepFactory, Steps
from retrain.models.code import ModelCode, load_code
from retrain.ports import ModelServerLauncher, OnProgress, ServerCommand
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainRequest
from streaming.contracts.tolerance import DEFAULT, Tolerance

if TYPE_CHECKING:
    from retrain.engines.tfx.runner import MetadataPlace, Run
    from retrain.engines.tfx.training_config import TrainingOptions

BEAM = ("--runner=FnApiRunner",)
"""Beam's options. Its default runner first tries to download another runner, which hangs behind a
firewall."""

Engine = Literal["fast", "tfx"]
"""Whose components read examples, compute statistics and evaluate."""


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


class RetrainPipeline:
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
        self._name = name
        self._root = root
        self._code = code
        self._metadata = root / "mlmd.sqlite" if metadata is None else metadata
        self._beam = beam
        self._engine: Engine = engine
        self._steps: dict[str, Step] = {}

    # ------------------------------------------------------------------ examples

    def from_shards(self, folder: Path) -> Self:
        """Read gzipped TFRecord shards, ``train-*`` and ``eval-*``, or ``Split-train/*`` and so on.

        The engine ``fast`` does not copy them.
        """
        from retrain.engines.tfx import example_steps

        return self.add("examples", example_steps.shards(folder, self._root, self._engine))

    def from_tfrecord(self, folder: Path) -> Self:
        """Read TFRecord files of tf.Example: shards as `from_shards` does, others split by hash."""
        from retrain.engines.tfx import example_steps

        return self.add("examples", example_steps.tfrecords(folder, self._root, self._engine))

    def from_csv(self, folder: Path) -> Self:
        """Read CSV files with a header, split by the hash of the row, typed by the model's code.

        The engine ``tfx`` infers the types from the data.
        """
        from retrain.engines.tfx import example_steps

        return self.add("examples", example_steps.csv(folder, self._code, self._engine))

    def from_kafka(
        self, request: RetrainRequest, contract: ModelContract, *, bootstrap: str, log: str
    ) -> Self:
        """Replay the offset ranges of a retrain request, joined with their labels.

        `log` is the dotted path of the class that is called with `bootstrap` and returns a
        `RecordLog`.
        """
        from retrain.engines.tfx import example_steps

        factory = example_steps.kafka(request, contract, bootstrap=bootstrap, log=log)
        return self.add("examples", factory)

    # ------------------------------------------------- statistics, schema, validation

    def generate_statistics(self) -> Self:
        """Compute statistics of each split in TFDV's format."""
        from retrain.engines.tfx import data_steps

        return self.add("statistics", data_steps.statistics(self._engine))

    def with_schema(self, file: Path | None = None) -> Self:
        """Use the schema in `file`, or the model's own; nothing is inferred from the data."""
        from retrain.engines.tfx import data_steps

        return self.add("schema", data_steps.given_schema(file or self._code.schema))

    def infer_schema(self) -> Self:
        """Infer the schema from the statistics; columns without values get the contract's type."""
        from retrain.engines.tfx import data_steps

        infer, complete = data_steps.inferred_schema(self._code)
        return self.add("inferred_schema", infer).add("schema", complete)

    def validate_input_data(self, tolerance: Tolerance = DEFAULT) -> Self:
        """Validate the statistics against the schema, and stop the run on broken data."""
        from retrain.engines.tfx import data_steps

        self.add("validator", data_steps.validator())
        return self.add("gate", data_steps.gate(tolerance))

    def preprocess(self, fn: str = "", *, frozen: Path | None = None) -> Self:
        """Build the transform graph; the trainer applies it, so the rows are not copied.

        Parameters
        ----------
        fn:
            Dotted path of the TFX Transform function; empty = that of the model's code.
        frozen:
            Folder of a transform graph to use again; nothing is computed then.
        """
        from retrain.engines.tfx import data_steps

        function = fn or self._code.preprocessing_fn
        return self.add("transform", data_steps.transform(function, frozen))

    # ---------------------------------------------------------- training, evaluation

    def tune(self, *, trials: int = 8, seconds: Duration = 300.0, parallel: int = 0) -> Self:
        """Search hyperparameters in parallel processes; the trainer gets the best.

        `trials` and `seconds` are the budget. `parallel` is the number of processes; 0 = one for
        each GPU, or for each core.
        """
        from retrain.engines.tfx import durations, model_training
        from retrain.engines.tfx.training_config import TunerOptions

        time = durations.seconds(seconds)
        search = TunerOptions(trials=trials, seconds=time, parallel=parallel)
        return self.add("tuner", model_training.tuner(self._code, model=self._name, search=search))

    def start_from(self, champion: Path | None) -> Self:
        """Start from the weights in `champion`/``Format-Serving`` where they fit; None = cold."""
        from retrain.engines.tfx import model_training

        if champion is None:
            return self
        return self.add("base_model", model_training.base_model(champion))

    def train(
        self,
        *,
        model: str = "",
        steps: int = 800,
        batch: int = 256,
        options: TrainingOptions | None = None,
    ) -> Self:
        """Train for at most `steps` steps of at most `batch` rows, as the model `model`.

        `tune` and `start_from` before it give hyperparameters and the first weights. `options`
        are devices, processes, precision, checkpoints and compressed variants.
        """
        from retrain.engines.tfx import model_steps

        factory = model_steps.trainer(
            self._code, model=model or self._name, steps=steps, batch=batch, options=options
        )
        return self.add("trainer", factory)

    def against(self, champion: Path | None) -> Self:
        """Evaluate against the live model in `champion`/``Format-Serving``; None = none is live."""
        from retrain.engines.tfx import model_steps

        return self if champion is None else self.add("champion", model_steps.champion(champion))

    def evaluate_model(self, *, seed: int = 0) -> Self:
        """Evaluate the raw evaluation rows by slice, against the champion if there is one.

        `seed` is that of the bootstrap.
        """
        from retrain.engines.tfx import model_steps

        return self.add("evaluator", model_steps.evaluator(self._code, self._engine, seed=seed))

    def infra_validate(
        self,
        *,
        server: ServerCommand | ModelServerLauncher,
        model: str = "",
        version: int = 1,
        startup: Duration = 5.0,
        latency: Duration = 0.2,
        latency_p99: Duration | None = None,
    ) -> Self:
        """Serve the new model for a moment in a real model server, started by `server`.

        Parameters
        ----------
        server:
            How the model server is started.
        model, version:
            Name and number under which it is served.
        startup:
            Longest time from version seen to version available, as ``"5s"`` or in seconds.
        latency:
            Longest median of a warm prediction, as ``"200ms"`` or in seconds.
        latency_p99:
            Longest 99 % quantile of a warm prediction; None = it is measured only.
        """
        from retrain.engines.tfx import model_steps
        from retrain.engines.tfx.infra_validation import ServingLimits

        limits = ServingLimits(
            load_seconds=seconds(startup),
            warm_predict_seconds=seconds(latency),
            p99_predict_seconds=None if latency_p99 is None else seconds(latency_p99),
        )
        factory = model_steps.serving(
            self._code,
            model=model or self._name,
            version=version,
            limits=limits,
            server=server if isinstance(server, ServerCommand) else server.command(),
        )
        return self.add("serving", factory)

    def push_to(self, store: Path, *, rules: BlessingRules | None = None, model: str = "") -> Self:
        """Publish the model to the store below `store`, if the blessing's `rules` accept it."""
        from retrain.engines.tfx import model_steps

        factory = model_steps.publisher(
            self._code, store, rules=rules or BlessingRules(), model=model or self._name
        )
        return self.add("publisher", factory)

    def bulk_infer(self, folder: Path | None = None) -> Self:
        """Predict the evaluation rows, or those of the shards in `folder`, beside their inputs."""
        from retrain.engines.tfx import example_steps, model_steps

        if folder is not None:
            self.add("bulk_examples", example_steps.unlabelled(folder))
        source = "examples" if folder is None else "bulk_examples"
        return self.add("bulk", model_steps.bulk(self._code, source))

    # ---------------------------------------------------------------------- building

    def add(self, name: str, factory: StepFactory, *, beam: tuple[str, ...] = ()) -> Self:
        """Add a step of any kind.

        Parameters
        ----------
        name:
            By this name later steps refer to it.
        factory:
            Makes the component from those of the steps before it.
        beam:
            Beam's options of this component alone.
        """
        if name in self._steps:
            raise ConfigurationError(f"The pipeline already has a step '{name}'.")
        self._steps[name] = Step(name, factory, beam)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the steps, in order."""
        return tuple(self._steps)

    def build(self, metadata: MetadataPlace | None = None) -> Built:
        """The components of one run.

        Raises
        ------
        ConfigurationError
            When a step lacks one that it needs.
        """
        from retrain.engines.tfx.runner import connection_of

        steps = Steps()
        for step in self._steps.values():
            steps.make(step)
        return Built(
            name=self._name,
            root=self._root,
            connection=connection_of(self._metadata if metadata is None else metadata),
            beam=self._beam,
            steps=steps,
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


class Built:
    """The components of one run of a pipeline."""

    def __init__(
        self, *, name: str, root: Path, connection: Any, beam: tuple[str, ...], steps: Steps
    ) -> None:
        from tfx.orchestration.pipeline import Pipeline

        self.connection = connection
        self._steps = steps
        self.pipeline: Any = Pipeline(
            pipeline_name=name,
            pipeline_root=str(root),
            components=list(steps),
            metadata_connection_config=connection,
            beam_pipeline_args=list(beam),
            enable_cache=False,
        )

    def node(self, step: str) -> str:
        """The id of a step's component, for example of ``trainer``."""
        return str(self._steps.component(step).id)
