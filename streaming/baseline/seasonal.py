"""The yardstick of a slot: its own history, shrunk towards the whole.

With H periods and m rows behind a slot, its own error is v = tau^2 / H + 1/m (tau: the wobble of
its place, or of its categories); with s^2 the variance between slots beyond that, the slot counts
with B = s^2 / (s^2 + v) and the whole with 1 - B (Morris 1983), and B v is the error that stays. A
slot without history takes the whole and the error s^2; while there are too few slots to know s,
`season_sd` is assumed.
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
from streaming.drift.statistics.categorical import ENOUGH_EXPECTED
from streaming.drift.statistics.rank_scores import LOCATION

_K = TypeVar("_K")

ENOUGH_SLOTS = 24
"""Fewer slots with two periods do not tell how far slots differ."""


class SeasonalReference:
    """A version's yardstick for every slot, each prepared when its first window comes.

    Parameters
    ----------
    reference:
        With `slots`, unless the rules know no season.
    contract, rules:
        Of the model.
    """

    def __init__(
        self, reference: ReferenceSummary, contract: ModelContract, rules: DriftRules
    ) -> None:
        self._reference = reference
        self._contract = contract
        self._rules = rules.with_wobble(reference.wobble)
        self._whole = prepare_reference(reference, contract)
        self._slots = {slot.slot: slot for slot in reference.slots}
        self._between = self._spread() if rules.season != "none" else {}
        self._made: dict[int, PreparedReference] = {}

    def at(self, window_start: float, window_end: float) -> PreparedReference:
        """The yardstick of the window's slot; of the whole where the rules know no season."""
        if self._rules.season == "none":
            return self._whole
        middle = (window_start + window_end) / 2.0
        slot = slot_of(middle, self._rules.season, self._rules.season_zone)
        if slot not in self._made:
            self._made[slot] = self._of_slot(slot)
        return self._made[slot]

    def _of_slot(self, number: int) -> PreparedReference:
        slot = self._slots.get(number)
        own = {one.name: one for one in slot.features} if slot else {}
        features, extra = [], {}
        for whole in self._reference.features:
            between = self._between.get(whole.name, 0.0)
            mine = own.get(whole.name)
            share, left = 0.0, between
            if slot is not None and mine is not None and _counted(mine) and between > 0.0:
                error = self._error(slot, mine)
                share = between / (between + error)
                left = share * error
            features.append(_mixed(mine, whole, share) if mine and share else whole)
            extra[whole.name] = left
        periods = slot.periods if slot else 0
        name = slot_name(number, self._rules.season)
        prepared = prepare_reference(
            replace(self._reference, features=tuple(features), slots=(), sample=None),
            self._contract,
            extra,
        )
        return prepared.in_season(f"{name}, {periods} periods of history")

    def _error(self, slot: SlotSummary, mine: FeatureSummary) -> float:
        strays = self._rules.wobble
        wobble = strays.place if mine.categories is None else strays.categories
        return wobble**2 / slot.periods + 1.0 / _counted(mine)

    def _spread(self) -> Mapping[str, float]:
        """For each feature the variance between slots, in squared standard deviations."""
        known = [slot for slot in self._slots.values() if slot.periods >= 2]
        if len(known) < ENOUGH_SLOTS:
            return dict.fromkeys(self._whole.features, self._rules.season_sd**2)
        found: dict[str, list[float]] = {}
        for slot in known:
            for mine in slot.features:
                whole = self._whole.features.get(mine.name)
                if whole is not None and _counted(mine):
                    away = _distance(mine, whole) - self._error(slot, mine)
                    found.setdefault(mine.name, []).append(away)
        return {name: max(0.0, float(np.mean(away))) for name, away in found.items()}


def _counted(feature: FeatureSummary) -> int:
    return feature.rows - feature.missing - feature.non_finite


def _distance(mine: FeatureSummary, whole: PreparedFeature) -> float:
    """Squared distance of a slot from the whole: of its mean normal score, or per degree of freedom
    of its categories."""
    if whole.numbers is not None and mine.grid is not None:
        counts = np.array(mine.grid.counts, float)
        columns, _ = whole.numbers.columns(np.array(mine.grid.buckets, np.int64))
        return float(whole.numbers.scores[LOCATION, columns] @ counts / counts.sum()) ** 2
    if whole.categories is not None and mine.categories is not None:
        n = _counted(mine)
        expected = whole.categories.counts / whole.categories.m
        often = expected >= ENOUGH_EXPECTED / n
        now = np.zeros(len(expected))
        for value, count in zip(mine.categories.values, mine.categories.counts, strict=True):
            place = whole.categories.places.get(value)
            if place is not None:
                now[place] = count / n
        gaps = (now - expected)[often] ** 2 / expected[often]
        return float(gaps.sum()) / max(1, int(often.sum()) - 1)
    return 0.0


def _mixed(mine: FeatureSummary, whole: FeatureSummary, share: float) -> FeatureSummary:
    """`share` of the slot and the rest of the whole, as counts of as many rows as the whole.

    Rounded up, so that what was ever seen stays seen.
    """
    rows = whole.rows

    def mix(now: float, n: int, before: float, m: int) -> int:
        return ceil(rows * (share * now / max(1, n) + (1.0 - share) * before / max(1, m)) - 1e-9)

    def counts(now: Mapping[_K, int], before: Mapping[_K, int]) -> dict[_K, int]:
        keys = [*before, *(key for key in now if key not in before)]
        return {
            key: mix(now.get(key, 0), mine.rows, before.get(key, 0), whole.rows) for key in keys
        }

    missing = mix(mine.missing, mine.rows, whole.missing, whole.rows)
    non_finite = mix(mine.non_finite, mine.rows, whole.non_finite, whole.rows)
    grid, categories = None, None
    if mine.grid is not None and whole.grid is not None:
        mixed = counts(_pairs(mine.grid), _pairs(whole.grid))
        buckets = sorted(mixed)
        grid = NumericGrid(
            pivot=whole.grid.pivot,
            buckets=tuple(buckets),
            counts=tuple(mixed[bucket] for bucket in buckets),
        )
    if mine.categories is not None and whole.categories is not None:
        found = counts(_named(mine.categories), _named(whole.categories))
        ordered = sorted(found, key=lambda value: (-found[value], value))
        categories = Categories(
            values=tuple(ordered),
            counts=tuple(found[value] for value in ordered),
            tail_rows=mix(
                mine.categories.tail_rows, mine.rows, whole.categories.tail_rows, whole.rows
            ),
        )
    counted = sum(grid.counts) if grid else 0
    counted += sum(categories.counts) + categories.tail_rows if categories else 0
    return FeatureSummary(
        name=whole.name,
        rows=counted + missing + non_finite,
        missing=missing,
        non_finite=non_finite,
        grid=grid,
        categories=categories,
    )


def _pairs(grid: NumericGrid) -> dict[int, int]:
    return dict(zip(grid.buckets, grid.counts, strict=True))


def _named(categories: Categories) -> dict[str, int]:
    return dict(zip(categories.values, categories.counts, strict=True))
