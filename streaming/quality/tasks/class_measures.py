"""Measures of a multiclass prediction from counts: macro F1, top-k accuracy, log loss, calibration.

Macro F1 is the mean over the classes of F1 = 2 TP / (predicted + labelled). Its variance is that of
the delta method for multinomial counts, as in Takahashi, Yamamoto, Kuchiba and Koyama (Applied
Intelligence 52, 2022): with g the derivative of the macro F1 with respect to the share of a cell of
the confusion matrix, (E[g²] − E[g]²) / n. Calibration is that of the predicted class: its mean
probability minus the accuracy (Guo, Pleiss, Sun and Weinberger, ICML 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streaming.grid import Integers
from streaming.quality.counts import Counts
from streaming.quality.measures import Measure
from streaming.quality.tasks.histograms import Histogram, mean_of

TOPS = (3, 5)
"""Ranks k of the top-k accuracies besides 1."""


def labels_by_class(confusion: Histogram, classes: int) -> Integers:
    """Labels of each class; `confusion` has the ids predicted * classes + true."""
    ids, counts = confusion
    return np.bincount(ids % classes, counts, classes).astype(np.int64)


def macro_f1(
    confusion: Histogram, classes: int, chosen: Sequence[int] | None = None
) -> Measure | None:
    """Mean F1 of the chosen classes, or of all that occur; None where there are none.

    >>> perfect = np.array([0, 3]), np.array([50, 50])
    >>> macro_f1(perfect, 2).value
    1.0
    >>> half = np.array([0, 1, 2, 3]), np.array([25, 25, 25, 25])
    >>> measure = macro_f1(half, 2)
    >>> measure.value, round(measure.variance, 6)
    (0.5, 0.0025)
    """
    ids, counts = confusion
    total = float(counts.sum())
    if not total:
        return None
    predicted, true = ids // classes, ids % classes
    shares = counts / total
    size = np.bincount(predicted, shares, classes) + np.bincount(true, shares, classes)
    right = np.bincount(true[predicted == true], shares[predicted == true], classes)
    used = np.flatnonzero(size > 0) if chosen is None else np.asarray(chosen, np.int64)
    if not len(used):
        return None
    weight = np.zeros(classes)
    weight[used] = 1.0 / len(used)
    safe = np.maximum(size, 1e-300)
    f1 = 2.0 * right / safe
    slope = weight * f1 / safe
    gains = np.where(predicted == true, 2.0 * weight[true] / safe[true], 0.0)
    derivative = gains - slope[predicted] - slope[true]
    mean = float(shares @ derivative)
    variance = float(shares @ (derivative - mean) ** 2)
    value = float(weight @ f1)
    return Measure(name="macro_f1", value=value, variance=variance / total, n=round(total))


def top_accuracy(name: str, ranks: Histogram, k: int) -> Measure | None:
    """Share of the labels that are among the k most likely classes."""
    ids, counts = ranks
    return mean_of(name, (ids < k).astype(np.float64), counts)


def confidence_gap(counts: Counts) -> Measure | None:
    """Mean probability of the predicted class minus the share that was right."""
    values = np.concatenate((counts.scores - 1.0, counts.scores))
    return mean_of("calibration", values, np.concatenate((counts.positives, counts.negatives)))
