"""Trips whose preprocessing has analyzers: a mean, a deviation and a vocabulary are computed."""

from __future__ import annotations

from typing import Any

from retrain.models.big_tipper import big_tipper_features as spec
from retrain.models.big_tipper.big_tipper_preprocessing import preprocessing_fn as of_trips


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """The columns of the taxi net, some of them by what all rows have in common."""
    import tensorflow_transform as tft

    from retrain.models.tabular import dense

    outputs = of_trips(inputs)
    for name in spec.LOG_SCALES:
        key = spec.transformed(name)
        outputs[key] = tft.scale_to_z_score(outputs[key])
    for name, size in spec.HASHED.items():
        text = dense(inputs[name], "")
        outputs[spec.transformed(name)] = tft.compute_and_apply_vocabulary(
            text, top_k=size - 1, num_oov_buckets=1
        )
    return outputs
