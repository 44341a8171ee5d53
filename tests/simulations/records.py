"""Drawn counts as the records that the judge reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import (
    Categories,
    FeatureSummary,
    NumericGrid,
    ReferenceSummary,
    WindowSummary,
)
from streaming.grid import Integers
from tests.simulations.draws import Drawn
from tests.simulations.kinds import Kind


def contract_of(features: Sequence[FeatureSpec], window_seconds: float) -> ModelContract:
    """The contract of a simulated model."""
    return ModelContract(
        model="study",
        module="none",
        events_topic="e",
        labels_topic="l",
        key="k",
        time="t",
        window_seconds=window_seconds,
        features=tuple(features),
    )


def features_of(kinds: Sequence[Kind]) -> list[FeatureSpec]:
    """A feature for each kind."""
    return [
        FeatureSpec(name=f"f{at}", kind="text" if kind.values else "number")
        for at, kind in enumerate(kinds)
    ]


def summaries(drawn: Drawn, window: int, kinds: Sequence[Kind]) -> tuple[FeatureSummary, ...]:
    """One window's features."""
    found = []
    for at, kind in enumerate(kinds):
        counts = drawn.counts[at][window]
        there = np.flatnonzero(counts)
        found.append(
            FeatureSummary(
                name=f"f{at}",
                rows=drawn.rows,
                missing=int(drawn.missing[window, at]),
                non_finite=int(drawn.non_finite[window, at]),
                grid=None
                if kind.values
                else NumericGrid(
                    pivot=0.0,
                    buckets=tuple(kind.buckets[there].tolist()),
                    counts=tuple(counts[there].tolist()),
                ),
                categories=_categories(kind, counts, there) if kind.values else None,
            )
        )
    return tuple(found)


def _categories(kind: Kind, counts: Integers, there: Integers) -> Categories:
    ordered = sorted(there.tolist(), key=lambda place: (-counts[place], kind.values[place]))
    return Categories(
        values=tuple(kind.values[place] for place in ordered),
        counts=tuple(int(counts[place]) for place in ordered),
    )


def window_of(
    features: tuple[FeatureSummary, ...], at: int, window_seconds: float, rows: int
) -> WindowSummary:
    """Window number `at`."""
    return WindowSummary(
        record_id=f"w{at}",
        model="study",
        at=(at + 1) * window_seconds,
        window_start=at * window_seconds,
        window_end=(at + 1) * window_seconds,
        accepted=rows,
        dead_letters=0,
        late=0,
        offsets_read=rows,
        offsets=(),
        features=features,
    )


def reference_of(features: tuple[FeatureSummary, ...], rows: int) -> ReferenceSummary:
    """The yardstick."""
    return ReferenceSummary(
        record_id="r",
        model="study",
        at=0.0,
        version=1,
        window_start=0.0,
        window_end=0.0,
        rows=rows,
        features=features,
    )
