"""Drift series: the verdict's numbers, bounded in number, removed with their feature."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from deploy.metrics.exporter import MetricsExporter
from streaming.contracts.records import DriftVerdict, FeatureVerdict
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.feature_verdict import undecided
from tests.streaming.statistics_data import TRIPS, reference, trips, window


@pytest.fixture(scope="module")
def verdict() -> DriftVerdict:
    rng = np.random.default_rng(31)
    prepared = prepare_reference(reference(trips(rng, 20_000)), TRIPS)
    moved = trips(rng, 2_000, change={"far": lambda x, _: x + 1.0})
    return judge_drift(
        window(0, moved), prepared, "promotion", DriftHistory(), DriftRules(), TRIPS
    )[0]


def series(exporter: MetricsExporter) -> dict[tuple[str, str, str], float]:
    """(name without prefix, feature, distance) to value, of the drift series."""
    return {
        (
            sample.name.removeprefix("driftline_drift_"),
            sample.labels.get("feature", ""),
            sample.labels.get("distance", ""),
        ): sample.value
        for family in exporter.registry.collect()
        for sample in family.samples
        if sample.name.startswith("driftline_drift_")
    }


def shown(verdict: DriftVerdict, most: int = 50) -> dict[tuple[str, str, str], float]:
    exporter = MetricsExporter(max_features={verdict.model: most})
    exporter.on_record(verdict, verdict.at)
    return series(exporter)


def of(verdict: DriftVerdict, feature: str) -> FeatureVerdict:
    return next(entry for entry in verdict.features if entry.feature == feature)


def test_series_are_the_verdicts_numbers(verdict: DriftVerdict) -> None:
    exported, far = shown(verdict), of(verdict, "far")
    assert exported["effect_sd", "far", ""] == far.effect
    assert exported["limit_sd", "far", ""] == far.limit_sd
    assert exported["p_over_limit_ratio", "far", ""] == far.p / far.p_limit < 1.0
    assert exported["hits", "far", ""] == 1.0
    assert exported["outcome", "far", ""] == 1.0  # suspected
    assert far.distances is not None
    assert exported["distance", "far", "wasserstein"] == far.distances.wasserstein
    assert ("distance", "payment", "wasserstein") not in exported  # a category has no order
    assert exported["features_capped", "", ""] == 0.0


def test_the_cap_keeps_the_worst_and_counts_the_rest(verdict: DriftVerdict) -> None:
    exported = shown(verdict, most=3)
    features = {feature for _, feature, _ in exported if feature}
    assert len(features) == 3
    assert "far" in features
    assert exported["features_capped", "", ""] == len(verdict.features) - 3
    assert len(exported) <= 3 * 11 + 1
    assert {feature for _, feature, _ in shown(verdict, most=0)} == {""}


def test_the_series_of_a_removed_feature_are_removed(verdict: DriftVerdict) -> None:
    exporter = MetricsExporter()
    exporter.on_record(verdict, verdict.at)
    kept = tuple(entry for entry in verdict.features if entry.feature != "far")
    exporter.on_record(replace(verdict, record_id="next", features=kept), verdict.at)
    features = {feature for _, feature, _ in series(exporter)}
    assert "far" not in features
    assert "normal" in features


def test_an_unmeasured_feature_has_an_outcome_and_no_number(verdict: DriftVerdict) -> None:
    exporter = MetricsExporter()
    exporter.on_record(verdict, verdict.at)
    lost = undecided("far", 0, "it is missing", (), DriftRules())
    features = tuple(lost if entry.feature == "far" else entry for entry in verdict.features)
    exporter.on_record(replace(verdict, record_id="next", features=features), verdict.at)
    names = {name for name, feature, _ in series(exporter) if feature == "far"}
    assert names == {"outcome", "hits"}
    assert series(exporter)["outcome", "far", ""] == -1.0
