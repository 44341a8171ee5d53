"""Distances of single windows that other tools alarm on, one number for each window.

Kolmogorov-Smirnov; Evidently's defaults above 1,000 reference rows (normed Wasserstein distance for
numbers, Jensen-Shannon distance in nats for categories); TFDV's own code (Jensen-Shannon divergence
between histograms with ten buckets for each side; L-infinity for categories).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from streaming.grid import Floats, Integers, bucket_middle


def kolmogorov_smirnov(counts: Integers, reference: Integers) -> Floats:
    """Largest distance of the distribution functions.

    >>> kolmogorov_smirnov(np.array([[1, 1], [2, 0]]), np.array([1, 1])).tolist()
    [0.0, 0.5]
    """
    distances: Floats = np.abs(_cumulative(counts) - _cumulative(reference[None])).max(axis=1)
    return distances


def wasserstein(counts: Integers, reference: Integers, values: Floats) -> Floats:
    """Earth mover's distance over the reference's standard deviation."""
    shares = reference / reference.sum()
    sd = float(np.sqrt(shares @ (values - shares @ values) ** 2))
    differences = np.abs(_cumulative(counts) - _cumulative(reference[None]))[:, :-1]
    distances: Floats = differences @ np.diff(values) / sd
    return distances


def jensen_shannon(counts: Integers, reference: Integers) -> Floats:
    """Distance (the root of the divergence, in nats) of categories."""
    p = counts / counts.sum(axis=1, keepdims=True)
    q = np.broadcast_to(reference / reference.sum(), p.shape)
    middle = (p + q) / 2.0
    both = special.rel_entr(p, middle).sum(axis=1) + special.rel_entr(q, middle).sum(axis=1)
    distances: Floats = np.sqrt(np.maximum(0.0, both / 2.0))
    return distances


def _cumulative(counts: Integers) -> Floats:
    cumulative: Floats = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    return cumulative


class TfdvDrift:
    """TFDV's drift comparator for one number or category against a reference."""

    def __init__(self, reference: Integers, values: Floats | tuple[str, ...]) -> None:
        from tensorflow_metadata.proto.v0 import schema_pb2

        self._values = values
        schema: Any = schema_pb2.Schema()
        feature = schema.feature.add()
        feature.name = "f"
        if isinstance(values, tuple):
            feature.type = schema_pb2.BYTES
            feature.drift_comparator.infinity_norm.threshold = 0.01
        else:
            feature.type = schema_pb2.FLOAT
            feature.drift_comparator.jensen_shannon_divergence.threshold = 0.01
        self._schema = schema
        self._reference = self._statistics(reference)

    def of(self, counts: Integers) -> Floats:
        """The comparator's value for each window."""
        from tensorflow_data_validation.api import validation_api

        distances = []
        for row in counts:
            anomalies = validation_api.validate_statistics(
                self._statistics(row), self._schema, previous_statistics=self._reference
            )
            distances.append(anomalies.drift_skew_info[0].drift_measurements[0].value)
        return np.array(distances)

    def _statistics(self, row: Integers) -> Any:
        from tensorflow_metadata.proto.v0 import statistics_pb2

        rows = int(row.sum())
        statistics: Any = statistics_pb2.DatasetFeatureStatisticsList()
        data = statistics.datasets.add()
        data.num_examples = rows
        feature = data.features.add()
        feature.path.step.append("f")
        if isinstance(self._values, tuple):
            feature.type = statistics_pb2.FeatureNameStatistics.STRING
            common = feature.string_stats.common_stats
            for value, count in zip(self._values, row.tolist(), strict=True):
                if count:
                    bucket = feature.string_stats.rank_histogram.buckets.add()
                    bucket.label, bucket.sample_count = value, count
        else:
            feature.type = statistics_pb2.FeatureNameStatistics.FLOAT
            common = feature.num_stats.common_stats
            filled = np.flatnonzero(row)
            values = self._values[filled]
            counts, edges = np.histogram(values, 10, weights=row[filled])
            feature.num_stats.min, feature.num_stats.max = values[0], values[-1]
            histogram = feature.num_stats.histograms.add()
            for number, count in enumerate(counts):
                bucket = histogram.buckets.add()
                bucket.low_value, bucket.high_value = edges[number], edges[number + 1]
                bucket.sample_count = count
        common.num_non_missing = common.tot_num_values = rows
        common.min_num_values = common.max_num_values = 1
        return statistics


def values_of(buckets: Integers) -> Floats:
    """A value inside each bucket."""
    return bucket_middle(buckets)
