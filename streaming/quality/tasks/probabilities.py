"""Probabilities of classes as integers: the most likely classes of each prediction, and no more.

A prediction is held until its label arrives, so its size is bounded: of at most `KEPT` classes the
number and the probability are kept; all other classes share equally what is left. With up to
`KEPT` classes nothing is lost.
"""

from __future__ import annotations

import numpy as np

from streaming.grid import Floats, Integers

KEPT = 10
"""Largest number of classes that are kept of a prediction."""
SMALLEST = 1e-7
"""A smaller probability counts as this one, so that one label cannot make a loss infinite."""
_NUMBER_BITS = 32


def pack(probabilities: Floats) -> Integers:
    """The most likely classes, in descending order, as [rows, kept] integers.

    Parameters
    ----------
    probabilities:
        [rows, classes]. Equal ones keep the order of the classes.

    >>> packed = pack(np.array([[0.25, 0.5, 0.25]]))
    >>> [part.tolist() for part in unpack(packed)]
    [[[1, 0, 2]], [[0.5, 0.25, 0.25]]]
    """
    kept = min(KEPT, probabilities.shape[1])
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :kept].astype(np.int64)
    chosen = np.take_along_axis(probabilities, order, axis=1).astype(np.float32)
    return (order << _NUMBER_BITS) | chosen.view(np.uint32).astype(np.int64)


def unpack(packed: Integers) -> tuple[Integers, Floats]:
    """Classes and their probabilities, each [rows, kept]."""
    bits = (packed & np.int64((1 << _NUMBER_BITS) - 1)).astype(np.uint32)
    return packed >> _NUMBER_BITS, bits.view(np.float32).astype(np.float64)


def of_true_class(
    classes: Integers, probabilities: Floats, true: Integers, count: int
) -> tuple[Integers, Floats, Floats]:
    """What a prediction said of the class that was true.

    Parameters
    ----------
    classes, probabilities:
        [rows, kept], from `unpack`.
    true:
        [rows]; number of the true class.
    count:
        Number of classes.

    Returns
    -------
    ranks, chances, brier:
        [rows] each: the rank of the true class from 0 (`kept` where it is none of the kept), its
        probability, and half the Brier score of the row, 0 to 1 (Brier, Monthly Weather Review 78,
        1950).
    """
    kept = classes.shape[1]
    matches = classes == true[:, None]
    is_kept = matches.any(axis=1)
    ranks = np.where(is_kept, matches.argmax(axis=1), kept).astype(np.int64)
    others = max(count - kept, 0)
    left = np.clip(1.0 - probabilities.sum(axis=1), 0.0, 1.0) / max(others, 1)
    own = probabilities[np.arange(len(true)), np.minimum(ranks, kept - 1)]
    chances = np.where(is_kept, own, left)
    squares = (probabilities**2).sum(axis=1) + others * left**2
    brier = np.clip((squares - 2.0 * chances + 1.0) / 2.0, 0.0, 1.0)
    return ranks, chances, brier
