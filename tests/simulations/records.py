"""Converts drawn counts into the records that the judge reads."""

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
from tests.simulations.draws import DrawnWindows
from tests.simulations.kinds import Kind

MODEL = "simulation"


def contract_of(features: Sequence[FeatureSpec], window_seconds: float) -> ModelContract:
    """The contract of a simulated model."""
    return ModelContract(
        model=MODEL,
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
        FeatureSpec(name=f"f{number}", kind="text" if kind.values else "number")
        for number, kind in enumerate(kinds)
    ]


def summaries(
    drawn: DrawnWindows, window: int, kinds: Sequence[Kind]
) -> tuple[FeatureSummary, ...]:
    """The feature summaries of one window."""
    result = []
    for feature, kind in enumerate(kinds):
        counts = drawn.counts[feature][window]
        filled = np.flatnonzero(counts)
        result.append(
            FeatureSummary(
                name=f"f{feature}",
                rows=drawn.rows,
                missing=int(drawn.missing[window, feature]),
                non_finite=int(drawn.non_finite[window, feature]),
                grid=None
                if kind.values
                else NumericGrid(
                    buckets=tuple(kind.buckets[filled].tolist()),
                    counts=tuple(counts[filled].tolist()),
                ),
                categories=_categories(kind, counts, filled) if kind.values else None,
            )
        )
    return tuple(result)


def _categories(kind: Kind, counts: Integers, filled: Integers) -> Categories:
    ordered = sorted(
        filled.tolist(), key=lambda position: (-counts[position], kind.values[position])
    )
    return Categories(
        values=tuple(kind.values[position] for position in ordered),
        counts=tuple(int(counts[position]) for position in ordered),
    )


def window_of(
    features: tuple[FeatureSummary, ...], number: int, window_seconds: float, rows: int
) -> WindowSummary:
    """Window `number`."""
    return WindowSummary(
        record_id=f"w{number}",
        model=MODEL,
        at=(number + 1) * window_seconds,
        window_start=number * window_seconds,
        window_end=(number + 1) * window_seconds,
        accepted=rows,
        dead_letters=0,
        late=0,
        offsets_read=rows,
        offsets=(),
        features=features,
    )


def reference_of(features: tuple[FeatureSummary, ...], rows: int) -> ReferenceSummary:
    """The reference."""
    return ReferenceSummary(
        record_id="r",
        model=MODEL,
        at=0.0,
        version=1,
        window_start=0.0,
        window_end=0.0,
        rows=rows,
        features=features,
    )
