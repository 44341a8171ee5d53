"""`TfxTrainer`: a training job as one run of the TFX pipeline in this process.

A worker keeps one trainer for its whole life: TFX is imported once, and each job is a new
pipeline. The trainer judges nothing itself: broken data is stopped by the gate, the metrics are
judged by `retrain.blessing`, the server's times by `ServingLimits`.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retrain.blessing import BlessingRules, bless
from retrain.models.code import ModelCode, load_code
from retrain.ports import (
    AFTER_SHIFT_SLICE,
    OnProgress,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
)
from streaming.contracts.errors import GateFailedError, PermanentError, TemporaryError
from streaming.contracts.records import Metric

if TYPE_CHECKING:
    from retrain.engines.tfx.infra_validation import ServingLimits
    from retrain.engines.tfx.pipeline import RetrainPipeline
    from retrain.engines.tfx.runner import NodeFailed, Run

_ADVICE = {
    "AnomalyGate": "Mend the producer or the schema, then ask for the retrain again.",
    "ImportExampleGen": "The example shards cannot be read; look at the worker's disk.",
    "Trainer": "Look at the model's run_fn with the same examples; the worker's log has the trace.",
    "Champion": "The live version's folder is missing or damaged; see `driftline versions`.",
    "Evaluator": "The model has no usable signature `serving_examples` or `transform_features`.",
    "ServingValidator": "The SavedModel does not run in TF Serving; check it with the C++ loader.",
}


STEPS = 10
"""Nodes of the pipeline: examples, statistics, schema, validation, gate, transform, training,
champion, evaluation, serving check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLimits:
    """How much a retrain may do."""

    steps: int = 800
    """Training steps; few, because a drifting stream wants an answer soon."""
    batch: int = 256
    max_eval_rows: int = 20_000
    """Evaluated rows; an AUC is then known to about half a point, in seconds."""


class TfxTrainer:
    """Implements `retrain.ports.Trainer`.

    Parameters
    ----------
    home:
        DRIFTLINE_HOME; ML Metadata is ``metadata/mlmd.sqlite`` in it.
    rules:
        Floor and tolerances of the blessing.
    limits:
        Steps and rows.
    serving:
        What the version must hold in a real server; None = 5 s to load, 200 ms warm.
    """

    def __init__(
        self,
        home: Path,
        *,
        rules: BlessingRules | None = None,
        limits: TrainingLimits | None = None,
        serving: ServingLimits | None = None,
    ) -> None:
        self.metadata = home / "metadata" / "mlmd.sqlite"
        self._rules = rules or BlessingRules()
        self._limits = limits or TrainingLimits()
        self._serving = serving

    @property
    def steps(self) -> int:
        """Components of a run against a champion; a first version has one less."""
        return STEPS

    def warm(self) -> None:
        """Import TFX now rather than in the first job (about ten seconds)."""
        with _quiet():
            pass

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        """Run the pipeline on `job`; see `retrain.ports.Trainer`."""
        with _quiet():
            from retrain.engines.model_store import folder_digest
            from retrain.engines.tfx import lineage, runner

            run_id = f"{job.request.record_id}.{time.time_ns()}"
            digest, outcome = "", "failed"
            try:
                plan = self._plan(job, load_code(job.contract.module))
                pipeline = plan.build(self.metadata)
                run = runner.run_pipeline(pipeline, self.metadata, run_id, on_progress)
                result = self._result(job, plan, run)
                digest, outcome = folder_digest(result.built), "trained"
                return result
            except runner.NodeFailed as error:
                outcome = f"failed: {error}"
                raise _translated(error) from error
            except PermanentError as error:
                outcome = f"failed: {error}"
                raise TrainingFailed(
                    str(error), component="Examples", advice="Build the examples again."
                ) from error
            finally:
                lineage.record_run(
                    runner.open_store(self.metadata),
                    run_id,
                    request=job.request,
                    version=job.version,
                    schema_version=job.schema_version,
                    schema_digest=job.schema_digest,
                    digest=digest,
                    outcome=outcome,
                )

    def _plan(self, job: TrainingJob, code: ModelCode) -> RetrainPipeline:
        from retrain.engines.tfx.infra_validation import ServingLimits
        from retrain.engines.tfx.pipeline import RetrainPipeline
        from retrain.engines.tfx.shards import cap_evaluation

        examples = cap_evaluation(
            job.examples, job.work_dir / "capped", max_rows=self._limits.max_eval_rows
        )
        return (
            RetrainPipeline(f"driftline-{job.request.model}", job.work_dir / "tfx", code)
            .from_shards(examples)
            .with_schema(job.schema)
            .validate()
            .preprocess()
            .train(steps=self._limits.steps, batch=self._limits.batch)
            .against(_as_artifact(job))
            .evaluate()
            .check_serving(
                model=job.request.model,
                version=job.version,
                limits=self._serving or ServingLimits(),
            )
        )

    def _result(self, job: TrainingJob, plan: RetrainPipeline, run: Run) -> TrainingResult:
        from retrain.engines.tfx import evaluation, infra_validation

        has_champion = job.champion is not None
        outputs = run.outputs
        metrics = evaluation.read_metrics(
            outputs[plan.node("evaluator")]["evaluation"], champion=has_champion
        )
        check = infra_validation.read_report(outputs[plan.node("serving")]["blessing"])
        slow = infra_validation.beyond(check, self._serving or infra_validation.ServingLimits())
        blessed, reason = self._bless(job, metrics)
        return TrainingResult(
            built=outputs[plan.node("trainer")]["model"] / "Format-Serving",
            metrics=metrics,
            components=run.components,
            load_seconds=check.load_seconds,
            warm_predict_seconds=check.warm_predict_seconds,
            blessed=blessed and not slow,
            reason=f"Not blessed: {slow}." if slow else reason,
        )

    def _bless(self, job: TrainingJob, metrics: tuple[Metric, ...]) -> tuple[bool, str]:
        blessing = bless(
            metrics,
            self._rules,
            has_champion=job.champion is not None,
            must_win=AFTER_SHIFT_SLICE if job.request.after_shift else None,
        )
        return blessing.blessed, blessing.reason


def _as_artifact(job: TrainingJob) -> Path | None:
    """The champion as TFX wants a model: a folder that holds it as ``Format-Serving``."""
    if job.champion is None:
        return None
    folder = job.work_dir / "champion"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "Format-Serving"
    if not link.is_symlink():
        link.symlink_to(job.champion.resolve())
    return folder


def _translated(error: NodeFailed) -> Exception:
    """The port's errors; a temporary cause stays temporary."""
    cause = error.__cause__
    if isinstance(cause, TemporaryError):
        return cause
    message = str(cause) if isinstance(cause, GateFailedError) else str(error)
    advice = _ADVICE.get(error.node, "The worker's log has the trace; then ask again.")
    return TrainingFailed(message, component=error.node, advice=advice)


class _quiet(warnings.catch_warnings):
    """TFX's libraries warn about each other; none of it is for our users."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
