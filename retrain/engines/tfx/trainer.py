"""`TfxTrainer` executes a training job as one run of the TFX pipeline in this process.

A worker keeps one trainer for its whole life: TFX is imported once, and each job is a new
pipeline. The trainer makes no decision itself: the gate stops broken data, `retrain.blessing`
judges the metrics by the rules of the job's model, `ServingLimits` bound the server's times.
"""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from retrain.blessing import Blessing, BlessingRules, bless
from retrain.engines.run_files import RunFiles, metadata_file
from retrain.models.code import load_code
from retrain.ports import (
    AFTER_SHIFT_SLICE,
    ModelServerLauncher,
    OnProgress,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
)
from retrain.tasks import strategy_of
from retrain.tasks.strategy import rules_in_force, seed_of
from retrain.training_options import ModelTraining
from streaming.contracts.errors import GateFailedError, PermanentError, TemporaryError
from streaming.contracts.records import Metric, RetrainRequest
from streaming.contracts.tolerance import DEFAULT, Tolerance

if TYPE_CHECKING:
    from retrain.engines.mlmd.connection import MetadataPlace
    from retrain.engines.tfx.built import Built
    from retrain.engines.tfx.infra_validation import ServingLimits
    from retrain.engines.tfx.pipeline import RetrainPipeline
    from retrain.engines.tfx.pipeline_steps import Engine
    from retrain.engines.tfx.runner import NodeFailed, Run

log = structlog.get_logger()

_ADVICE = {
    "AnomalyGate": "Fix the producer or the schema, then request the retrain again.",
    "ExampleImporter": "The example shards cannot be read; check the worker's disk.",
    "ImportExampleGen": "The example shards cannot be read; check the worker's disk.",
    "StatisticsGen": "The example shards cannot be read; check the worker's disk.",
    "Tuner": "Correct search_space, or set retrain.tuner to null and train without a search.",
    "Trainer": "Debug the model's build_model with these examples; the worker's log has the trace.",
    "Champion": "The live version's folder is missing or damaged; see `driftline versions`.",
    "Evaluator": "The model has no usable signature `serving_examples` or `transform_features`.",
    "ServingValidator": "The SavedModel does not run in TF Serving; check it with the C++ loader.",
}
"""Node → what a person should do when it fails."""

_SLOW_ADVICE = (
    "The SavedModel was accepted and is only slow. Look whether the worker's machine was busy or "
    "short of memory, and request the retrain again; if it is slow there too, make the model "
    "smaller, for example by retrain.compression."
)
"""What to do about a version that the server loads or answers too slowly."""

STEPS = 9
"""Nodes of every run: examples, statistics, schema, validation, gate, transform, training,
evaluation, serving check. Champion, Tuner and BaseModel come on top where the run has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLimits:
    """Upper bounds of a training run."""

    steps: int = 800
    """Number of training steps. It is small, because a drifting stream needs a version soon."""
    batch: int = 256
    """Number of rows in one training step."""
    max_eval_rows: int = 20_000
    """Number of evaluated rows. They give an AUC to about half a point, within seconds."""


class TfxTrainer:
    """Implements `retrain.ports.Trainer`.

    Parameters
    ----------
    home:
        DRIFTLINE_HOME.
    server:
        How the model server of the serving check is started.
    rules:
        Model name → floor and tolerances of its blessing; None = the defaults for every model.
    tolerances:
        Model name → how much broken data is tolerated; None = the default for every model.
    limits:
        Steps and rows.
    serving:
        Bounds of the serving check; None = 5 s to load, 200 ms for a warm prediction.
    engines:
        Model name → whose components run, ``fast`` or ``tfx``; a model that it lacks has ``fast``.
    beam:
        Model name → Beam's options; a model that it lacks runs Beam in this process.
    training:
        Model name → search, warm start, compression, devices; a model that it lacks has none.
    metadata:
        ML Metadata; None = the file ``metadata/mlmd.sqlite`` in `home`.
    files:
        Where the files of runs are kept; None = ``runs`` in `home`.
    """

    def __init__(
        self,
        home: Path,
        *,
        server: ModelServerLauncher,
        rules: Mapping[str, BlessingRules] | None = None,
        tolerances: Mapping[str, Tolerance] | None = None,
        limits: TrainingLimits | None = None,
        serving: ServingLimits | None = None,
        engines: Mapping[str, Engine] | None = None,
        beam: Mapping[str, tuple[str, ...]] | None = None,
        training: Mapping[str, ModelTraining] | None = None,
        metadata: MetadataPlace | None = None,
        files: RunFiles | None = None,
    ) -> None:
        self.metadata: Any = metadata or metadata_file(home)
        self._files = files or RunFiles(home / "runs")
        self._server = server
        self._rules = rules
        self._tolerances = tolerances
        self._limits = limits or TrainingLimits()
        self._serving = serving
        self._engines = engines or {}
        self._beam = beam or {}
        self._training = training or {}
        self._states = home / "training"

    def steps_of(self, request: RetrainRequest) -> int:
        """See `retrain.ports.Trainer`."""
        training = self._training.get(request.model, ModelTraining())
        compared = request.base_version > 0
        return STEPS + compared + (training.tuner is not None) + (compared and training.warm_start)

    def warm(self) -> None:
        """Import TFX and its components now rather than in the first job (about ten seconds)."""
        with _IgnoredWarnings():
            from retrain.engines.tfx import data_steps, example_steps, model_steps, runner  # noqa: F401
            from retrain.engines.tfx.free_memory import keep_what_is_loaded

            keep_what_is_loaded()

    def close(self) -> None:
        """End the model servers that are kept between jobs; the trainer can still be used."""
        from retrain.engines.tfx.warm_server import SERVERS

        SERVERS.close()

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        """Run the pipeline on `job`; see `retrain.ports.Trainer`."""
        with _IgnoredWarnings():
            from retrain.engines.tfx import runner
            from retrain.engines.tfx.lineage import Attempt
            from retrain.engines.tfx.model_training import remove_abandoned

            remove_abandoned(self._states, time.time())
            run_id = f"{job.request.record_id}.{time.time_ns()}"
            attempt = Attempt(self.metadata, job, run_id, self._files)
            try:
                plan = self.plan(job)
                self._start_server(job)
                built = plan.build()
                run = runner.run_pipeline(built.pipeline, self.metadata, run_id, on_progress)
                result = self._compressed(job, built, run, self._result(job, built, run))
                attempt.trained(result)
                return result
            except runner.NodeFailed as error:
                attempt.failed(error)
                raise _port_error(error) from error
            except PermanentError as error:
                attempt.failed(error)
                raise TrainingFailed(
                    str(error), component="Examples", advice="Request the retrain again."
                ) from error
            finally:
                # Only a kill leaves it, so that the next attempt goes on.
                shutil.rmtree(self._state(job), ignore_errors=True)
                attempt.end()

    def beam_options(self, model: str) -> tuple[str, ...]:
        """Beam's options of a model's runs."""
        from retrain.engines.tfx.beam_options import beam_options

        return beam_options(self._beam.get(model, ()))

    def _tolerance(self, model: str) -> Tolerance:
        return DEFAULT if self._tolerances is None else self._tolerances[model]

    def _start_server(self, job: TrainingJob) -> None:
        """Start the server of the check, which is ready by the time the model is trained."""
        from retrain.engines.tfx.warm_server import SERVERS

        SERVERS.get(self._server.command(), job.request.model)

    def _serving_limits(self, job: TrainingJob) -> ServingLimits:
        from retrain.engines.tfx.infra_validation import ServingLimits

        return self._serving or ServingLimits.of_columns(len(job.contract.features))

    def plan(self, job: TrainingJob) -> RetrainPipeline:
        """The pipeline of a job."""
        from retrain.engines.tfx import model_training
        from retrain.engines.tfx.pipeline import RetrainPipeline
        from retrain.engines.tfx.shards import cap_evaluation
        from retrain.engines.tfx.warm_start import reusable_graph

        code = load_code(job.contract.module)
        model = job.request.model
        limits = self._serving_limits(job)
        examples = cap_evaluation(  # a shard that ends within a record is told here
            job.examples, job.work_dir / "capped", max_rows=self._limits.max_eval_rows
        )
        training = self._training.get(model, ModelTraining())
        search = model_training.search_in(training, self._state(job), job.champion)
        options = model_training.options_in(training, self._state(job))
        bounds = {"steps": self._limits.steps, "batch": self._limits.batch}
        reuse = reusable_graph(job.champion, code, job.schema or code.schema, job.examples)
        log.info("trainer.transform", model=model, reason=reuse.reason)
        plan = (
            RetrainPipeline(
                f"driftline-{model}",
                job.work_dir / "tfx",
                code,
                metadata=self.metadata,
                beam=self.beam_options(model),
                engine=self._engines.get(model, "fast"),
            )
            .from_shards(examples)
            .generate_statistics()
            .with_schema(job.schema)
            .validate_input_data(self._tolerance(model))
            .preprocess(frozen=reuse.graph)
        )
        if search is not None:
            searching = model_training.tuner(
                code, model=model, search=search, options=options, **bounds
            )
            plan.add("tuner", searching)
        return (
            plan.start_from(_as_artifact(job) if training.warm_start else None)
            .train(model=model, options=options, **bounds)
            .against(_as_artifact(job))
            .evaluate_model(seed=seed_of(job.request.record_id))
            .infra_validate(
                server=self._server,
                model=model,
                version=job.version,
                startup=limits.load_seconds,
                latency=limits.warm_predict_seconds,
                latency_p99=limits.p99_predict_seconds,
            )
        )

    def _result(self, job: TrainingJob, built: Built, run: Run) -> TrainingResult:
        from retrain.engines.tfx import evaluation, infra_validation

        has_champion = job.champion is not None
        outputs = run.outputs
        metrics = evaluation.read_metrics(
            outputs[built.node("evaluator")]["evaluation"], champion=has_champion
        )
        check = infra_validation.read_report(outputs[built.node("serving")]["blessing"])
        too_slow = infra_validation.exceeded_limit(check, self._serving_limits(job))
        blessing = self.bless(job, metrics)
        return TrainingResult(
            servable=outputs[built.node("trainer")]["model"] / "Format-Serving",
            metrics=metrics,
            components=run.components,
            load_seconds=check.load_seconds,
            warm_predict_seconds=check.warm_predict_seconds,
            p99_predict_seconds=check.p99_predict_seconds,
            blessed=blessing.blessed and not too_slow,
            reason=f"Not blessed: {too_slow}." if too_slow else blessing.reason,
            growth=0.0 if too_slow else blessing.growth,
            blessing_rules=msgspec.json.encode(self._blessing_rules(job)).decode(),
        )

    def _compressed(
        self, job: TrainingJob, built: Built, run: Run, result: TrainingResult
    ) -> TrainingResult:
        """`result`, or the smallest variant of it that passes, where the owner wants one."""

        kinds = self._training.get(job.request.model, ModelTraining()).variants
        if not kinds or not result.blessed:
            return result
        from retrain.engines.tfx.variant_choice import VariantJudge

        examples = run.outputs[built.node("examples")]
        judge = VariantJudge(
            model=job.request.model,
            version=job.version,
            code=load_code(job.contract.module),
            rows=next(iter(examples.values())) / "Split-eval",
            champion=job.champion,
            seed=seed_of(job.request.record_id),
            bless=lambda metrics: self.bless(job, metrics),
            server=self._server.command(),
            limits=self._serving_limits(job),
        )
        try:
            return judge.smallest(result, kinds)
        except Exception as error:  # the version itself has passed
            log.exception("trainer.not_compressed", model=job.request.model)
            reason = f"Not compressed: {type(error).__name__} while the variants were judged."
            return replace(result, reason=f"{result.reason} {reason}")

    def _state(self, job: TrainingJob) -> Path:
        """Folder of the training's state, by which a killed training goes on."""
        return self._states / job.request.record_id

    def bless(self, job: TrainingJob, metrics: tuple[Metric, ...]) -> Blessing:
        """Judge an evaluation by the rules of the job's model."""
        return bless(
            metrics,
            self._blessing_rules(job),
            has_champion=job.champion is not None,
            must_win=AFTER_SHIFT_SLICE if job.request.after_shift else None,
        )

    def _blessing_rules(self, job: TrainingJob) -> BlessingRules:
        given = BlessingRules() if self._rules is None else self._rules[job.request.model]
        rules = rules_in_force(strategy_of(load_code(job.contract.module).task), given)
        return msgspec.structs.replace(rules, max_evaluated_rows=self._limits.max_eval_rows)


def _as_artifact(job: TrainingJob) -> Path | None:
    """The champion in the layout of a TFX model: a folder with it as ``Format-Serving``."""
    if job.champion is None:
        return None
    folder = job.work_dir / "champion"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "Format-Serving"
    if not link.is_symlink():
        link.symlink_to(job.champion.resolve())
    return folder


def _port_error(error: NodeFailed) -> Exception:
    """The error that the port defines; a temporary cause stays temporary."""
    from retrain.engines.tfx.server_check import ServedTooSlowlyError

    cause = error.__cause__
    if isinstance(cause, TemporaryError):
        return cause
    message = str(cause) if isinstance(cause, GateFailedError) else str(error)
    advice = _ADVICE.get(
        error.node, "The worker's log has the trace; then request the retrain again."
    )
    if isinstance(cause, ServedTooSlowlyError):
        advice = _SLOW_ADVICE
    return TrainingFailed(message, component=error.node, advice=advice)


class _IgnoredWarnings(warnings.catch_warnings):
    """Hides Python warnings: those of TFX's libraries concern each other, not our users."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
