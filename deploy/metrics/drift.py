"""The newest window's scores as Prometheus series, by feature and bounded in number.

A model with thousands of features must not flood Prometheus: at most `drift.exported_features` of
them have series, those furthest from stable first, so that an alarm is never among the ones left
out. A feature that leaves takes its series along, and how many were left out is a series itself.
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
"""Value of the outcome's gauge."""
MAX_FEATURES = 50
"""Where no setting says otherwise."""

_Key = tuple[MetricSpec, tuple[str, ...]]


@dataclass(slots=True)
class DriftSeries:
    """Keeps the series of each model at what its newest verdict says."""

    gauge: Callable[[MetricSpec], Gauge]
    most: Mapping[str, int] = field(default_factory=dict)
    """Features with series, by model."""
    _shown: dict[str, set[_Key]] = field(default_factory=dict)

    def show(self, verdict: DriftVerdict) -> None:
        """Set this window's series and remove those that it does not have."""
        model = verdict.model
        kept, left_out = chosen(verdict.features, self.most.get(model, MAX_FEATURES))
        values = {
            (meter, (model, *labels)): value
            for one in kept
            for meter, labels, value in _series(one)
        }
        for meter, labels in self._shown.get(model, set()) - values.keys():
            self.gauge(meter).remove(*labels)
        for (meter, labels), value in values.items():
            self.gauge(meter).labels(*labels).set(value)
        self._shown[model] = set(values)
        self.gauge(metrics.DRIFT_CAPPED).labels(model).set(left_out)


def chosen(
    features: tuple[FeatureVerdict, ...], most: int
) -> tuple[tuple[FeatureVerdict, ...], int]:
    """The features that get series, at most `most`, and how many get none.

    Those with the worst outcome come first, else the contract's order counts.
    """
    ranked = sorted(features, key=lambda one: -OUTCOMES[one.outcome])
    return tuple(ranked[:most]), max(0, len(features) - most)


def _series(one: FeatureVerdict) -> list[tuple[MetricSpec, tuple[str, ...], float]]:
    name = one.feature
    found: list[tuple[MetricSpec, tuple[str, ...], float]] = [
        (metrics.DRIFT_OUTCOME, (name,), OUTCOMES[one.outcome]),
        (metrics.DRIFT_HITS, (name,), float(one.hits)),
    ]
    if not one.tests:
        return found  # nothing was measured, and no number stands for that
    found += [
        (metrics.DRIFT_EFFECT, (name,), one.effect),
        (metrics.DRIFT_LIMIT, (name,), one.limit_sd),
        (metrics.DRIFT_P, (name,), one.p),
    ]
    if one.p_limit > 0.0:
        found.append((metrics.DRIFT_P_OVER_LIMIT, (name,), one.p / one.p_limit))
    if one.distances is not None:
        found += [
            (metrics.DRIFT_DISTANCE, (name, distance), value)
            for distance, value in msgspec.structs.asdict(one.distances).items()
            if value is not None
        ]
    return found
