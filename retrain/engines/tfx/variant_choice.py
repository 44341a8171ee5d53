"""Measures the compressed variants of a blessed version, and replaces it by the one to be served.

A variant is evaluated on the same rows against the same champion, blessed by the same rules, and
served by the same real server; `retrain.compression_choice` decides.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from retrain.blessing import Blessing
from retrain.compression_choice import Choice, Variant, choose, is_slower, saves_enough
from retrain.engines.tfx import evaluation, infra_validation, shard_evaluation
from retrain.engines.tfx.compression import variant_folder
from retrain.engines.tfx.infra_validation import ServingLimits
from retrain.engines.tfx.server_check import ServingCheck, check_serving
from retrain.engines.tfx.shard_statistics import serialized_batches
from retrain.models.code import ModelCode
from retrain.ports import ServerCommand, TrainingResult
from retrain.tasks import strategy_of
from streaming.contracts.errors import GateFailedError
from streaming.contracts.model_manifest import served_size
from streaming.contracts.records import Metric

ORIGINAL = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantJudge:
    """What variants are judged by."""

    model: str
    version: int
    code: ModelCode
    rows: Path
    """Folder of the evaluation's shards."""
    champion: Path | None
    """Folder of the live SavedModel."""
    seed: int
    """Seed of the bootstrap."""
    bless: Callable[[tuple[Metric, ...]], Blessing]
    server: ServerCommand
    limits: ServingLimits

    def smallest(self, result: TrainingResult, kinds: tuple[str, ...]) -> TrainingResult:
        """`result` with the variant that is to be served, and why, in its reason."""
        whole = Variant(
            kind=ORIGINAL,
            bytes=served_size(result.servable),
            load_seconds=result.load_seconds,
            predict_seconds=result.warm_predict_seconds,
        )
        unmeasured = {
            kind: Variant(kind=kind, bytes=served_size(folder))
            for kind in kinds
            if (folder := variant_folder(result.servable, kind)).is_dir()
        }
        measured = {
            kind: self._measured(variant_folder(result.servable, kind), result.servable, kind)
            for kind, variant in unmeasured.items()
            if saves_enough(whole, variant)
        }
        variants = {**unmeasured, **{kind: variant for kind, (variant, _) in measured.items()}}
        if any(is_slower(whole, variant) for variant, _ in measured.values()):
            whole, variants = self._timed_again(whole, variants, result.servable)
        choice = choose(whole, list(variants.values()))
        if choice.kind == ORIGINAL:
            return replace(result, reason=_with(result, choice))
        _, smaller = measured[choice.kind]
        return replace(
            smaller,
            components=result.components,
            blessing_rules=result.blessing_rules,
            reason=_with(result, choice),
        )

    def _timed_again(
        self, whole: Variant, variants: Mapping[str, Variant], original: Path
    ) -> tuple[Variant, dict[str, Variant]]:
        """The original and each variant that seems slower, timed once more one after the other.

        The original was timed earlier, and a machine is not equally busy at all times.
        """

        def timed(variant: Variant, folder: Path) -> Variant:
            try:
                return replace(variant, predict_seconds=self._check(folder).warm_predict_seconds)
            except GateFailedError:
                return variant

        slow = [kind for kind, variant in variants.items() if is_slower(whole, variant)]
        whole = timed(whole, original)
        again = {kind: timed(variants[kind], variant_folder(original, kind)) for kind in slow}
        return whole, {**variants, **again}

    def _measured(self, folder: Path, original: Path, kind: str) -> tuple[Variant, TrainingResult]:
        metrics = self._metrics(folder)
        blessing = self.bless(metrics)
        refusal = "" if blessing.blessed else blessing.reason.rstrip(".")
        check = ServingCheck(
            load_seconds=0.0, warm_predict_seconds=0.0, worst_predict_seconds=0.0,
            rows=0, largest_difference=0.0,
        )  # fmt: skip
        if not refusal:
            try:
                check = self._check(folder)
                refusal = infra_validation.exceeded_limit(check, self.limits)
            except GateFailedError as error:
                refusal = str(error).rstrip(".")
        variant = Variant(
            kind=kind,
            bytes=served_size(folder),
            load_seconds=check.load_seconds,
            predict_seconds=check.warm_predict_seconds,
            difference=self._difference(folder, original),
            refusal=refusal,
        )
        return variant, TrainingResult(
            servable=folder,
            metrics=metrics,
            components=(),
            load_seconds=check.load_seconds,
            warm_predict_seconds=check.warm_predict_seconds,
            p99_predict_seconds=check.p99_predict_seconds,
            blessed=not refusal,
            reason=blessing.reason,
        )

    def _metrics(self, folder: Path) -> tuple[Metric, ...]:
        options = evaluation.EvaluationOptions(
            task=self.code.task,
            label=self.code.label,
            slices=self.code.slices,
            entity=self.code.entity,
            seed=self.seed,
        )
        results = shard_evaluation.evaluate(self.rows, folder, self.champion, options)
        with tempfile.TemporaryDirectory(prefix="driftline-variant-") as target:
            written = Path(target)
            shard_evaluation.write_results(written, results, folder, self.champion, options)
            return evaluation.read_metrics(written, champion=self.champion is not None)

    def _check(self, folder: Path) -> ServingCheck:
        with tempfile.TemporaryDirectory(prefix="driftline-variant-") as logs:
            return check_serving(
                folder,
                model=self.model,
                version=self.version,
                features=self.code.features,
                server=self.server,
                log_file=Path(logs, "server.log"),
                task=self.code.task,
                keep=True,
            )

    def _difference(self, folder: Path, original: Path) -> float:
        """Largest difference of the variant's answers on the evaluation's rows."""
        import tensorflow as tf

        strategy = strategy_of(self.code.task)
        scores = [
            tf.saved_model.load(str(each)).signatures["serving_examples"]
            for each in (original, folder)
        ]
        largest = 0.0
        for rows in serialized_batches(self.rows, shard_evaluation.BATCH_ROWS):
            batch = tf.constant(rows)
            whole, smaller = (
                np.asarray(score(batch)[strategy.output], np.float64).reshape(len(rows), -1)
                for score in scores
            )
            difference = strategy.difference(smaller, whole)
            largest = max(largest, difference if np.isfinite(difference) else np.inf)
        return float(largest)


def _with(result: TrainingResult, choice: Choice) -> str:
    return f"{result.reason.rstrip()} {choice.reason}"
