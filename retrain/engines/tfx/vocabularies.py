"""How many rows have a value that no vocabulary of a transform graph knows.

TFT notes the range of a column that it looked up in a vocabulary in the schema of the transformed
columns. An unknown value is the default, -1, or lies in the buckets after the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow_transform as tft

from retrain.engines.tfx.training_data import load_columns

SAMPLE = 20_000
"""Rows that are looked at. A share of 5 % is then known to 0.3 %."""


def known_ranges(transform: Any) -> dict[str, int]:
    """Transformed column → number of values that its vocabulary knows.

    Columns that later operations changed are not among them: TFT knows no range for those. With
    several vocabularies and buckets for unknown values, the largest one that fits the column's
    range is taken, so unknown values may be counted as known, not the other way round.
    """
    sizes = [int(transform.vocabulary_size_by_name(name)) for name in _vocabularies(transform)]
    ranges = {}
    for feature in transform.transformed_metadata.schema.feature:
        if not feature.int_domain.is_categorical:
            continue
        top = int(feature.int_domain.max) + 1
        fitting = [size for size in sizes if size < top]
        if feature.int_domain.min < 0:
            ranges[feature.name] = top
        elif fitting:
            ranges[feature.name] = max(fitting)
    return ranges


def unknown_shares(columns: Mapping[str, Any], known: Mapping[str, int]) -> dict[str, float]:
    """Column → share of rows whose value is unknown.

    >>> unknown_shares({"x": np.array([[0], [-1], [2], [3]])}, {"x": 3})
    {'x': 0.5}
    """
    return {
        name: float(((columns[name] < 0) | (columns[name] >= size)).any(axis=1).mean())
        for name, size in known.items()
        if name in columns
    }


def shares_of_rows(graph: Path, examples: Path, pattern: str) -> dict[str, float]:
    """The shares of the first `SAMPLE` rows of shards under a transform graph.

    The rows are not read when the graph has no vocabulary.
    """
    transform = tft.TFTransformOutput(str(graph))
    known = known_ranges(transform)
    if not known:
        return {}
    columns = load_columns(
        [str(examples / pattern)],
        transform.raw_feature_spec(),
        transform.transform_features_layer(),
        list(known),
        max_rows=SAMPLE,
    )
    return unknown_shares(columns, known)


def _vocabularies(transform: Any) -> list[str]:
    assets = Path(transform.transform_savedmodel_dir) / "assets"
    names = (file.name for file in assets.iterdir()) if assets.is_dir() else ()
    return sorted(name.removesuffix(".tfrecord.gz") for name in names)
