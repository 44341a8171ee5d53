"""The reference of a seasonal slot: the slot's own history, shrunk towards all hours.

With H periods and m rows of history, a slot has the error v = tau^2 / H + 1/m, where tau is the
between-day standard deviation of the location, or of the categories. With the variance s^2 between
slots beyond that error, the slot has the weight B = s^2 / (s^2 + v) and the reference of all hours
has 1 - B (Morris 1983); the error B v remains. A slot without history uses the reference of all
hours, with the error s^2. While there are too few slots to estimate s, `season_sd` is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TypeVar

import numpy as np
from msgspec.structs import replace

from streaming.baseline.slots import slot_name, slot_of
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    Categories,
    FeatureSummary,
    NumericGrid,
    ReferenceSummary,
    SlotSummary,
)
from streaming.drift.prepared_reference import PreparedFeature, PreparedReference, prepare_reference
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.categorical import MIN_EXPECTED_COUNT
from streaming.drift.statistics.rank_scores import LOCATION
from streaming.summary.grids import grid_counts

_K = TypeVar("_K")

MIN_SLOTS = 24
"""Minimum number of slots with two periods for an estimate of the variance between slots."""


class SeasonalReference:
    """The references of a version's seasonal slots, each prepared for its first window.

    Parameters
    ----------
    reference:
        The version's reference, with `slots` if the rules have a season.
    contract, rules:
        Contract and drift rules of the model.
    """

    def __init__(
        self, reference: ReferenceSummary, contract: ModelContract, rules: DriftRules
    ) -> None:
        self._reference = reference
        self._contract = contract
        self._rules = rules.with_day_variance(reference.day_variance)
        self._all_hours = prepare_reference(reference, contract)
        self._slots = {slot.slot: slot for slot in reference.slots}
        self._between = self._between_slots() if rules.season != "none" else {}
        self._prepared: dict[int, PreparedReference] = {}

    def at(self, window_start: float, window_end: float) -> PreparedReference:
        """The reference of the window's slot; that of all hours without a season."""
        if self._rules.season == "none":
            return self._all_hours
        middle = (window_start + window_end) / 2.0
        slot = slot_of(middle, self._rules.season, self._rules.season_zone)
        if slot not in self._prepared:
            self._prepared[slot] = self._prepare_slot(slot)
        return self._prepared[slot]

    def _prepare_slot(self, number: int) -> PreparedReference:
        slot = self._slots.get(number)
        slot_features = {feature.name: feature for feature in slot.features} if slot else {}
        features, remaining_errors = [], {}
        for all_hours in self._reference.features:
            between = self._between.get(all_hours.name, 0.0)
            feature = slot_features.get(all_hours.name)
            weight, remaining_error = 0.0, between
            if slot is not None and feature is not None and _counted(feature) and between > 0.0:
                error = self._slot_error(slot, feature)
                weight = between / (between + error)
                remaining_error = weight * error
            features.append(_mixed(feature, all_hours, weight) if feature and weight else all_hours)
            remaining_errors[all_hours.name] = remaining_error
        periods = slot.periods if slot else 0
        name = slot_name(number, self._rules.season)
        prepared = prepare_reference(
            replace(self._reference, features=tuple(features), slots=()),
            self._contract,
            remaining_errors,
            test_correlation=False,
        )
        return prepared.in_season(f"{name}, {periods} periods of history")

    def _slot_error(self, slot: SlotSummary, feature: FeatureSummary) -> float:
        """The variance v of a slot's own history, in squared standard deviations."""
        day_sd = self._rules.day_sd
        sd = day_sd.location if feature.categories is None else day_sd.categories
        return sd**2 / slot.periods + 1.0 / _counted(feature)

    def _between_slots(self) -> Mapping[str, float]:
        """The variance between slots of each feature, in squared standard deviations."""
        known = [slot for slot in self._slots.values() if slot.periods >= 2]
        if len(known) < MIN_SLOTS:
            return dict.fromkeys(self._all_hours.features, self._rules.season_sd**2)
        variances: dict[str, list[float]] = {}
        for slot in known:
            for feature in slot.features:
                all_hours = self._all_hours.features.get(feature.name)
                if all_hours is not None and _counted(feature):
                    variance = _squared_distance(feature, all_hours) - self._slot_error(
                        slot, feature
                    )
                    variances.setdefault(feature.name, []).append(variance)
        return {name: max(0.0, float(np.mean(values))) for name, values in variances.items()}


def _counted(feature: FeatureSummary) -> int:
    return feature.rows - feature.missing - feature.non_finite


def _squared_distance(feature: FeatureSummary, all_hours: PreparedFeature) -> float:
    """Squared distance of a slot from all hours.

    For a number it is that of the mean normal score, for a category the chi-square distance per
    degree of freedom.
    """
    numbers = all_hours.at(feature.grid.fraction_bits).numbers if feature.grid else None
    if numbers is not None and feature.grid is not None:
        buckets, counts = numbers.counted(feature.grid)
        columns, _ = numbers.columns(buckets)
        return float(numbers.scores[LOCATION, columns] @ counts / counts.sum()) ** 2
    if all_hours.categories is not None and feature.categories is not None:
        n = _counted(feature)
        expected = all_hours.categories.counts / all_hours.categories.m
        frequent = expected >= MIN_EXPECTED_COUNT / n
        shares = np.zeros(len(expected))
        for value, count in zip(feature.categories.values, feature.categories.counts, strict=True):
            column = all_hours.categories.index.get(value)
            if column is not None:
                shares[column] = count / n
        gaps = (shares - expected)[frequent] ** 2 / expected[frequent]
        return float(gaps.sum()) / max(1, int(frequent.sum()) - 1)
    return 0.0


def _mixed(slot: FeatureSummary, all_hours: FeatureSummary, weight: float) -> FeatureSummary:
    """A feature with `weight` of the slot and the remaining weight of all hours.

    It has as many rows as all hours. Counts are rounded up, so that a value that was seen once
    keeps a count.
    """
    rows = all_hours.rows

    def mix(count: float, n: int, all_count: float, m: int) -> int:
        share, all_share = weight * count / max(1, n), (1.0 - weight) * all_count / max(1, m)
        return ceil(rows * (share + all_share) - 1e-9)

    def mix_counts(counts: Mapping[_K, int], all_counts: Mapping[_K, int]) -> dict[_K, int]:
        keys = [*all_counts, *(key for key in counts if key not in all_counts)]
        return {
            key: mix(counts.get(key, 0), slot.rows, all_counts.get(key, 0), all_hours.rows)
            for key in keys
        }

    missing = mix(slot.missing, slot.rows, all_hours.missing, all_hours.rows)
    non_finite = mix(slot.non_finite, slot.rows, all_hours.non_finite, all_hours.rows)
    grid, categories = None, None
    if slot.grid is not None and all_hours.grid is not None:
        bits = min(slot.grid.fraction_bits, all_hours.grid.fraction_bits)
        by_bucket = mix_counts(_by_bucket(slot.grid, bits), _by_bucket(all_hours.grid, bits))
        buckets = sorted(by_bucket)
        grid = NumericGrid(
            fraction_bits=bits,
            buckets=tuple(buckets),
            counts=tuple(by_bucket[bucket] for bucket in buckets),
        )
    if slot.categories is not None and all_hours.categories is not None:
        by_value = mix_counts(_by_value(slot.categories), _by_value(all_hours.categories))
        values = sorted(by_value, key=lambda value: (-by_value[value], value))
        categories = Categories(
            values=tuple(values),
            counts=tuple(by_value[value] for value in values),
            tail_rows=mix(
                slot.categories.tail_rows,
                slot.rows,
                all_hours.categories.tail_rows,
                all_hours.rows,
            ),
            error=mix(slot.categories.error, slot.rows, all_hours.categories.error, all_hours.rows),
        )
    counted = sum(grid.counts) if grid else 0
    counted += sum(categories.counts) + categories.tail_rows if categories else 0
    return FeatureSummary(
        name=all_hours.name,
        rows=counted + missing + non_finite,
        missing=missing,
        non_finite=non_finite,
        grid=grid,
        categories=categories,
    )


def _by_bucket(grid: NumericGrid, fraction_bits: int) -> dict[int, int]:
    counted = grid_counts(grid).at(fraction_bits)
    return dict(zip(counted.ids.tolist(), counted.counts.tolist(), strict=True))


def _by_value(categories: Categories) -> dict[str, int]:
    return dict(zip(categories.values, categories.counts, strict=True))
