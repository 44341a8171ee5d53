"""Quality of a classifier with several classes, whose prediction is a probability for each.

Compared are macro F1 and log loss on the side of worse, and the calibration of the predicted class
on both. Macro F1 is compared over the classes with enough labels in batch and baseline alike:
classes that are rare or new would decide it by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streaming.contracts.events import missing_field
from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import Categories, FeatureSummary
from streaming.contracts.task import Task
from streaming.contracts.values import is_missing, kind_of
from streaming.grid import Floats, Integers, count_ids
from streaming.quality.counts import Counts, count_rows, score_buckets
from streaming.quality.estimate import Estimate, calibrate
from streaming.quality.measures import Measure, measure_all
from streaming.quality.settings import QualityRules
from streaming.quality.tasks.binary import grid_summary, merged_near_zero
from streaming.quality.tasks.class_measures import (
    TOPS,
    confidence_gap,
    labels_by_class,
    macro_f1,
    top_accuracy,
)
from streaming.quality.tasks.class_predictions import read_probabilities
from streaming.quality.tasks.histograms import by_name, count_values, mean_of, values_of
from streaming.quality.tasks.probabilities import KEPT, SMALLEST, of_true_class, pack, unpack
from streaming.quality.tasks.strategy import PREDICTION, Contrast, too_few_labels, wrong_type

CLASS, TOP = "predicted class", "top probability"
"""Features of prediction drift."""
_MAX_OUTSIDE = 0.01
"""Largest share of top probabilities outside the calibrated range with which the estimate holds."""


class MulticlassQuality:
    """The strategy of multiclass tasks."""

    headline = "macro_f1"
    no_outcome = "the label names none of the task's classes"
    names: Mapping[str, str] = {
        "macro_f1": "macro F1",
        "accuracy": "accuracy",
        "log_loss": "the log loss",
        "calibration": "calibration of the predicted class",
    }
    drift_features = (
        FeatureSpec(name=CLASS, kind="text", categorical=True),
        FeatureSpec(name=TOP, kind="number"),
    )

    def __init__(self, task: Task) -> None:
        self._classes = task.classes
        self._numbers = {name: number for number, name in enumerate(task.classes)}
        self.width = min(KEPT, len(task.classes))
        self._tops = tuple(k for k in TOPS if k < len(task.classes))
        tops = tuple(f"top_{k}_accuracy" for k in self._tops)
        self.recorded = ("macro_f1", "accuracy", *tops, "log_loss", "calibration", "ece")

    def prediction_of(self, value: Any) -> Floats:
        """A list with the probability of each class, or an object with those of some."""
        if is_missing(value):
            raise missing_field(PREDICTION)
        if not isinstance(value, list | dict):
            expected = "a list of probabilities, or an object with those of the likely classes"
            raise wrong_type(value, expected, kind_of(value))
        return read_probabilities(value, self._numbers)

    def packed(self, predictions: Sequence[Floats]) -> list[tuple[int, ...]]:
        """The most likely classes with their probabilities."""
        if not predictions:
            return []
        return [tuple(row) for row in pack(np.array(predictions)).tolist()]

    def outcome_of(self, value: Any) -> float | None:
        """The number of the class that the label names."""
        number = self._numbers.get(value) if isinstance(value, str) else None
        return None if number is None else float(number)

    def count(self, predictions: Integers, outcomes: Floats) -> Counts:
        """Counts per bucket of the top probability, with a histogram for each measure."""
        classes, probabilities = unpack(predictions)
        labelled = np.isfinite(outcomes)
        true = outcomes[labelled].astype(np.int64)
        top, size = classes[:, 0], len(self._classes)
        ranks, chances, brier = of_true_class(
            classes[labelled], probabilities[labelled], true, size
        )
        right = np.full(len(outcomes), -1.0)
        right[labelled] = top[labelled] == true
        counts = count_rows(score_buckets(probabilities[:, 0]), right)
        log_loss = -np.log(np.maximum(chances, SMALLEST))
        return Counts(
            buckets=counts.buckets,
            served=counts.served,
            positives=counts.positives,
            negatives=counts.negatives,
            histograms={
                "classes": count_ids(top),
                "confusion": count_ids(top[labelled] * size + true),
                "rank": count_ids(ranks),
                "log_loss": count_values(log_loss),
                "loss": count_values(brier),
            },
        )

    def measured(self, counts: Counts) -> dict[str, Measure]:
        """Macro F1, accuracies, log loss, and the calibration of the predicted class."""
        ranks, losses = counts.histogram("rank"), counts.histogram("log_loss")
        binary = measure_all(
            counts.scores, counts.positives.astype(float), counts.negatives.astype(float)
        )
        return by_name(
            macro_f1(counts.histogram("confusion"), len(self._classes)),
            top_accuracy("accuracy", ranks, 1),
            *(top_accuracy(f"top_{k}_accuracy", ranks, k) for k in self._tops),
            mean_of("log_loss", values_of(losses), losses[1]),
            confidence_gap(counts),
            binary.get("ece"),
        )

    def too_few(self, counts: Counts, rules: QualityRules) -> str:
        """Too few labels."""
        return too_few_labels(counts, rules)

    def contrasts(
        self, batch: Counts, baseline: Counts, rules: QualityRules
    ) -> tuple[Contrast, ...]:
        """Macro F1 and log loss on the side of worse, calibration on both."""
        size = len(self._classes)
        confusions = [side.histogram("confusion") for side in (batch, baseline)]
        labels = [labels_by_class(confusion, size) for confusion in confusions]
        chosen = np.flatnonzero(np.minimum(*labels) >= rules.min_of_class).tolist()
        f1 = [macro_f1(confusion, size, chosen) for confusion in confusions]
        current, reference = self.measured(batch), self.measured(baseline)
        contrasts = []
        if f1[0] is not None and f1[1] is not None:
            contrasts.append(
                Contrast(current=f1[0], reference=f1[1], better="higher", min_change=rules.f1_fall)
            )
        if current and reference:
            contrasts.append(
                Contrast(
                    current=current["log_loss"],
                    reference=reference["log_loss"],
                    better="lower",
                    min_change=rules.log_loss_rise,
                )
            )
            contrasts.append(
                Contrast(
                    current=current["calibration"],
                    reference=reference["calibration"],
                    better="neither",
                    min_change=rules.calibration_shift,
                )
            )
        return tuple(contrasts)

    def estimated(self, counts: Counts, mature: Counts | None, *, contradicted: bool) -> Estimate:
        """The accuracy that calibrated top probabilities suggest (Guillory et al., ICCV 2021)."""
        calibration = None if mature is None else calibrate(mature)
        if calibration is None:
            return Estimate(
                metrics=(), violation="this version has no mature labels to calibrate on"
            )
        if not counts.predictions:
            return Estimate(metrics=(), violation="there are no predictions")
        chance, served = calibration.of(counts), counts.served
        accuracy = float(served @ chance) / counts.predictions
        spread = float(served @ (chance * (1.0 - chance))) / counts.predictions**2
        outside = (counts.buckets < calibration.lowest) | (counts.buckets > calibration.highest)
        share = float(served[outside].sum() / counts.predictions)
        violation = ""
        if contradicted:
            violation = "mature labels have contradicted the calibration"
        elif share > _MAX_OUTSIDE:
            violation = f"{share:.1%} of the top probabilities lie outside the calibrated range"
        measure = Measure(name="accuracy", value=accuracy, variance=spread, n=counts.predictions)
        return Estimate(metrics=(measure.metric(),), violation=violation)

    def drift_summaries(self, counts: Counts) -> tuple[FeatureSummary, ...]:
        """The predicted classes by number of predictions, and the top probability's logit."""
        ids, rows = counts.histogram("classes")
        order = sorted(
            zip(ids.tolist(), rows.tolist(), strict=True),
            key=lambda entry: (-entry[1], self._classes[entry[0]]),
        )
        categories = Categories(
            values=tuple(self._classes[number] for number, _ in order),
            counts=tuple(count for _, count in order),
        )
        shares = FeatureSummary(
            name=CLASS, rows=counts.predictions, missing=0, categories=categories
        )
        return shares, grid_summary(TOP, counts)

    def served_ids(self, predictions: Integers) -> tuple[Integers, Integers | None]:
        """The bucket of each top probability's logit, and the predicted class."""
        classes, probabilities = unpack(predictions)
        buckets = score_buckets(probabilities[:, 0]).astype(np.int64)
        return merged_near_zero(buckets), classes[:, 0]
