"""Writes versions of a small model: a champion, a retrain of it, and broken ones.

Run in a separate process: ``python make_paired_models.py FOLDER``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import tensorflow as tf

INPUTS = [
    tf.TensorSpec([None, 1], tf.float32, name="fare"),
    tf.TensorSpec([None, 1], tf.int64, name="hour"),
    tf.TensorSpec([None, 1], tf.string, name="payment"),
]
Outputs = dict[str, Any]


def logit(fare: Any, hour: Any, payment: Any, weight: float = 1.0, offset: float = 0.0) -> Any:
    night = tf.cast(hour >= 18, tf.float32)
    card = tf.cast(tf.equal(payment, "Credit Card"), tf.float32)
    fare = tf.where(tf.math.is_finite(fare), fare, 10.0)
    return 2.0 * card - 1.2 * weight * tf.math.log(fare / 8.0) + 0.5 * night - 1.0 + offset


def champion(fare: Any, hour: Any, payment: Any) -> Outputs:
    return {"probabilities": tf.sigmoid(logit(fare, hour, payment))}


def retrain(fare: Any, hour: Any, payment: Any) -> Outputs:
    return {"probabilities": tf.sigmoid(logit(fare, hour, payment, weight=0.7, offset=-0.6))}


def flipped(fare: Any, hour: Any, payment: Any) -> Outputs:
    return {"probabilities": 1.0 - retrain(fare, hour, payment)["probabilities"]}


def shuffled(fare: Any, hour: Any, payment: Any) -> Outputs:
    order = tf.random.shuffle(tf.range(tf.shape(fare)[0]))
    inputs = (tf.gather(column, order) for column in (fare, hour, payment))
    return champion(*inputs)


def constant(fare: Any, hour: Any, payment: Any) -> Outputs:
    return {"probabilities": 0.0 * logit(fare, hour, payment) + 0.31}


def not_finite(fare: Any, hour: Any, payment: Any) -> Outputs:
    score = champion(fare, hour, payment)["probabilities"]
    return {"probabilities": tf.where(fare > 30.0, float("nan"), score)}


def renamed(fare: Any, hour: Any, payment: Any) -> Outputs:
    return {"scores": champion(fare, hour, payment)["probabilities"]}


def two_columns(fare: Any, hour: Any, payment: Any) -> Outputs:
    score = champion(fare, hour, payment)["probabilities"]
    return {"probabilities": tf.concat([1.0 - score, score], axis=1)}


def logits(fare: Any, hour: Any, payment: Any) -> Outputs:
    return {"probabilities": logit(fare, hour, payment)}


VERSIONS: tuple[Callable[[Any, Any, Any], Outputs], ...] = (
    champion,
    retrain,
    flipped,
    shuffled,
    constant,
    not_finite,
    renamed,
    two_columns,
    logits,
)
"""The models of versions 1, 2, …"""


def main() -> None:
    for number, score in enumerate(VERSIONS, 1):
        module = tf.Module()
        module.serve = tf.function(score, input_signature=INPUTS)
        folder = str(Path(sys.argv[1]) / str(number))
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})


if __name__ == "__main__":
    main()
