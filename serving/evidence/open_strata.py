"""Strata of a slice's scores: as long as both versions need for a few predictions each.

All predictions are compared within slots of ten seconds (`matched`). In a slice that is a hundredth
of the requests most slots have predictions of one version only, and would be lost. So a slice's
slots are added up until both versions have some, or for five minutes. When a stratum ends depends
on the numbers of predictions and the time, never on the scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from streaming.contracts.base import Value
from streaming.contracts.records import VersionScores

EACH = 5
"""Predictions of either version with which a stratum is complete."""
LONGEST_SECONDS = 300.0
"""A stratum that is not complete ends after this time, so that a mixture of requests that changes
by the hour is the same for both versions."""

Pair = tuple[VersionScores, VersionScores]
"""The scores of canary and champion in one stratum."""


class OpenStratum(Value, frozen=True, kw_only=True):
    """The slots since the last stratum ended."""

    scores: tuple[VersionScores, ...] = ()
    """At most one entry for each version; all with the first slot."""


def add_slots(
    stratum: OpenStratum, scores: Iterable[VersionScores], *, canary: int, champion: int
) -> tuple[OpenStratum, tuple[Pair, ...]]:
    """Add slots in order of time; returns what stays open, and the strata that ended.

    Other versions are left out, and so is a stratum that ends without one of the two.
    """
    ended: list[Pair] = []
    by_version = {entry.version: entry for entry in stratum.scores}
    for slot, entries in _by_slot(scores, (canary, champion)):
        first = min((entry.slot for entry in by_version.values()), default=slot)
        if slot - first >= LONGEST_SECONDS:
            ended += _pair(by_version, canary, champion)
            by_version, first = {}, slot
        for entry in entries:
            known = by_version.get(entry.version)
            by_version[entry.version] = _sum(known, entry, first)
        sizes = [sum(e.counts) for e in by_version.values()]
        if len(sizes) == 2 and min(sizes) >= EACH:
            ended += _pair(by_version, canary, champion)
            by_version = {}
    return OpenStratum(scores=tuple(by_version.values())), tuple(ended)


def _by_slot(
    scores: Iterable[VersionScores], versions: tuple[int, int]
) -> Iterator[tuple[float, list[VersionScores]]]:
    slots: dict[float, list[VersionScores]] = {}
    for entry in scores:
        if entry.version in versions:
            slots.setdefault(entry.slot, []).append(entry)
    yield from sorted(slots.items())


def _pair(by_version: dict[int, VersionScores], canary: int, champion: int) -> tuple[Pair, ...]:
    if canary in by_version and champion in by_version:
        return ((by_version[canary], by_version[champion]),)
    return ()


def _sum(known: VersionScores | None, new: VersionScores, slot: float) -> VersionScores:
    if known is None:
        known = VersionScores(version=new.version, slot=slot, buckets=(), counts=())
    buckets, counts = _added(known.buckets, known.counts, new.buckets, new.counts)
    classes, of_classes = _added(known.classes, known.class_counts, new.classes, new.class_counts)
    return VersionScores(
        version=new.version,
        slot=slot,
        buckets=buckets,
        counts=counts,
        classes=classes,
        class_counts=of_classes,
    )


def _added(
    ids: tuple[int, ...], counts: tuple[int, ...], more: tuple[int, ...], new: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ascending ids and their counts, added up."""
    distinct, position = np.unique(np.asarray((*ids, *more), np.int64), return_inverse=True)
    sums = np.bincount(position, np.asarray((*counts, *new)), len(distinct)).astype(np.int64)
    return tuple(distinct.tolist()), tuple(sums.tolist())
