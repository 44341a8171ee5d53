"""The steps of the fluent retrain pipeline, in the words of its description.

Each method adds steps, a name with a factory, and returns the pipeline. The rules: the gate comes
before everything that trains; the evaluation reads raw examples; a given champion is its baseline;
the tuner's values reach the trainer. A step without the step that it needs is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from retrain.blessing import BlessingRules
from retrain.engines.tfx.durations import Duration, seconds
from retrain.engines.tfx.places import Place
from retrain.engines.tfx.steps import Step, StepFactory, Steps
from retrain.models.code import ModelCode
from retrain.ports import AFTER_SHIFT_SLICE, ModelServerLauncher, ServerCommand
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainRequest
from streaming.contracts.tolerance import DEFAULT, Tolerance

if TYPE_CHECKING:
    from retrain.engines.tfx.training_config import TrainingOptions

Engine = Literal["fast", "tfx"]
"""Whose components read examples, compute statistics and evaluate."""


class PipelineSteps:
    """The steps of one model's pipeline; see `pipeline.pipeline` for the parameters."""

    def __init__(self, name: str, root: Path, code: ModelCode, engine: Engine) -> None:
        self._name = name
        self._root = root
        self._code = code
        self._engine: Engine = engine
        self._steps: dict[str, Step] = {}
        self._must_win = ""

    # ------------------------------------------------------------------ examples

    def from_shards(self, folder: Place) -> Self:
        """Read gzipped TFRecord shards, ``train-*`` and ``eval-*``, or ``Split-train/*`` and so on.

        The engine ``fast`` does not copy them. A URI has the folders.
        """
        from retrain.engines.tfx import example_steps

        return self.add("examples", example_steps.shards(folder, self._root, self._engine))

    def from_tfrecord(self, folder: Place) -> Self:
        """Read TFRecord files of tf.Example: shards as `from_shards` does, others split by hash."""
        from retrain.engines.tfx import example_steps

        return self.add("examples", example_steps.tfrecords(folder, self._root, self._engine))

    def from_csv(self, folder: Place) -> Self:
        """Read CSV files with a header, split by the hash of the row, typed by the model's code.

        TFX's CsvExampleGen would guess the types, and take prices without cents for integers.
        """
        from retrain.engines.tfx import example_steps

        self.add("csv_files", example_steps.csv_files(folder))
        return self.add("examples", example_steps.csv(self._code))

    def from_kafka(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        *,
        bootstrap: str,
        log: str,
        decoder: str = "",
    ) -> Self:
        """Replay the offset ranges of a retrain request, joined with their labels.

        After a shift the blessing asks for a gain on the rows after it.

        Parameters
        ----------
        request:
            The offset ranges of events and labels.
        contract:
            Topics, fields and windows of the model.
        bootstrap, log:
            Address of the log, and dotted path of the class that is called with it and returns a
            `RecordLog`.
        decoder:
            Dotted path of a function from contract and schema source to a decoder of columns;
            empty = records are decoded one by one.
        """
        from retrain.engines.tfx import example_steps

        self._must_win = AFTER_SHIFT_SLICE if request.after_shift else ""
        factory = example_steps.kafka(
            request, contract, bootstrap=bootstrap, log=log, decoder=decoder
        )
        return self.add("examples", factory)

    # ------------------------------------------------- statistics, schema, validation

    def generate_statistics(self) -> Self:
        """Compute statistics of each split in TFDV's format."""
        from retrain.engines.tfx import data_steps

        return self.add("statistics", data_steps.statistics(self._engine))

    def with_schema(self, file: Place | None = None) -> Self:
        """Use the schema in `file`, or the model's own; nothing is inferred from the data.

        In a compiled pipeline it may be the URI of a folder with ``schema.pbtxt``.
        """
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

    def preprocess(self, fn: str = "", *, frozen: Place | None = None) -> Self:
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

    def start_from(self, champion: Place | None) -> Self:
        """Start from the weights in `champion`/``Format-Serving`` where they fit; None = cold."""
        from retrain.engines.tfx import model_training

        if champion is None:
            return self
        return self.add("base_model", model_training.base_model(champion))

    def train(
        self,
        fn: str = "",
        /,
        *,
        model: str = "",
        steps: int = 800,
        batch: int = 256,
        options: TrainingOptions | None = None,
    ) -> Self:
        """Train for at most `steps` steps of at most `batch` rows, as the model `model`.

        `fn` is the dotted path of a Trainer function; empty = the model's, else the platform's.
        `tune` and `start_from` before it give hyperparameters and the first weights. `options`
        are devices, processes, precision, checkpoints and compressed variants.
        """
        from retrain.engines.tfx import model_steps

        factory = model_steps.trainer(
            self._code, fn, model=model or self._name, steps=steps, batch=batch, options=options
        )
        return self.add("trainer", factory)

    def against(self, champion: Place | None) -> Self:
        """Evaluate against the live model in `champion`/``Format-Serving``; None = none is live."""
        from retrain.engines.tfx import model_steps

        return self if champion is None else self.add("champion", model_steps.champion(champion))

    def evaluate_model(self, config: Any = None, *, seed: int = 0) -> Self:
        """Evaluate the raw evaluation rows by slice, against the champion if there is one.

        `seed` is that of the bootstrap. A ``tfma.EvalConfig`` of your own runs in TFX's Evaluator;
        its metrics are no evidence for `push_to`.
        """
        from retrain.engines.tfx import model_steps

        if config is not None:
            return self.add("evaluator", model_steps.own_evaluation(config))
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

    def push_to(self, store: Place, *, rules: BlessingRules | None = None, model: str = "") -> Self:
        """Publish the model to the store below `store`, if the blessing's `rules` accept it."""
        from retrain.engines.tfx import model_steps

        judged = model_steps.blessing(
            self._code, rules=rules or BlessingRules(), must_win=self._must_win
        )
        factory = model_steps.publisher(store, model=model or self._name)
        return self.add("blessing", judged).add("publisher", factory)

    def bulk_infer(self, folder: Place | None = None, *, csv: Place | None = None) -> Self:
        """Predict the evaluation rows, or those of other files, beside their inputs.

        `folder` has gzipped TFRecord files in ``Split-unlabelled``, `csv` has CSV files.
        """
        from retrain.engines.tfx import example_steps, model_steps

        if csv is not None:
            self.add("bulk_files", example_steps.csv_files(csv, "BulkFiles"))
            self.add("bulk_examples", example_steps.unlabelled_csv(self._code))
        elif folder is not None:
            self.add("bulk_examples", example_steps.unlabelled(folder))
        source = "examples" if folder is None and csv is None else "bulk_examples"
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

    def made(self, *, remote: bool) -> Steps:
        """The components of one build; `remote` says whether they will run in containers.

        Raises
        ------
        ConfigurationError
            When a step lacks one that it needs.
        """
        steps = Steps(remote=remote)
        for step in self._steps.values():
            steps.make(step)
        return steps
