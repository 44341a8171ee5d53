"""The newest window's drift results as Prometheus series, by feature and bounded in number.

A model with thousands of features must not flood Prometheus: at most `drift.exported_features` of
them have series, the worst outcomes first, so that an alarm is never left out. The series of a
feature are removed with it, and the number of omitted features is a series itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
from prometheus_client import Gauge

from streaming.contracts import metrics
from streaming.contracts.metrics import MetricSpec
from streaming.contracts.records import DriftVerdict, FeatureVerdict

OUTCOMES = {"inconclusive": -1.0, "stable": 0.0, "suspected": 1.0, "drifted": 2.0}
"""Value of each outcome's gauge."""
MAX_FEATURES = 50
"""Default of `drift.exported_features`."""

_Key = tuple[MetricSpec, tuple[str, ...]]


@dataclass(slots=True)
class DriftSeries:
    """Keeps the series of each model equal to its newest verdict."""

    gauge: Callable[[MetricSpec], Gauge]
    max_features: Mapping[str, int] = field(default_factory=dict)
    """Number of features with series, by model."""
    _series_of: dict[str, set[_Key]] = field(default_factory=dict)

    def update(self, verdict: DriftVerdict) -> None:
        """Set this window's series and remove the ones that it does not have."""
        model = verdict.model
        limit = self.max_features.get(model, MAX_FEATURES)
        selected, omitted = select_features(verdict.features, limit)
        values = {
            (spec, (model, *labels)): value
            for feature in selected
            for spec, labels, value in _series(feature)
        }
        for spec, labels in self._series_of.get(model, set()) - values.keys():
            self.gauge(spec).remove(*labels)
        for (spec, labels), value in values.items():
            self.gauge(spec).labels(*labels).set(value)
        self._series_of[model] = set(values)
        self.gauge(metrics.DRIFT_CAPPED).labels(model).set(omitted)


def select_features(
    features: tuple[FeatureVerdict, ...], limit: int
) -> tuple[tuple[FeatureVerdict, ...], int]:
    """The features that get series, at most `limit`, and the number of those that get none.

    The worst outcomes come first; equal outcomes keep the contract's order.
    """
    ranked = sorted(features, key=lambda feature: -OUTCOMES[feature.outcome])
    return tuple(ranked[:limit]), max(0, len(features) - limit)


def _series(feature: FeatureVerdict) -> list[tuple[MetricSpec, tuple[str, ...], float]]:
    name = feature.feature
    series: list[tuple[MetricSpec, tuple[str, ...], float]] = [
        (metrics.DRIFT_OUTCOME, (name,), OUTCOMES[feature.outcome]),
        (metrics.DRIFT_HITS, (name,), float(feature.hits)),
    ]
    if not feature.tests:
        return series  # nothing was measured, so there is no number to export
    series += [
        (metrics.DRIFT_EFFECT, (name,), feature.effect),
        (metrics.DRIFT_LIMIT, (name,), feature.limit_sd),
        (metrics.DRIFT_P, (name,), feature.p),
    ]
    if feature.p_limit > 0.0:
        series.append((metrics.DRIFT_P_OVER_LIMIT, (name,), feature.p / feature.p_limit))
    if feature.distances is not None:
        series += [
            (metrics.DRIFT_DISTANCE, (name, distance), value)
            for distance, value in msgspec.structs.asdict(feature.distances).items()
            if value is not None
        ]
    return series
