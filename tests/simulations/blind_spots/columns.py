"""Changes that touch the relation of columns: two are exchanged, or one loses its order of rows.

Three features: the first and the third are correlated by 0.8, the second is independent of both.
Only the test of correlations can find what leaves every single feature as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import WindowSummary
from streaming.drift import prepare_reference
from streaming.engines.tfdv import schema_text as texts
from streaming.engines.tfdv.validation import Statistics
from streaming.grid import Floats
from streaming.schema import schema_thresholds
from tests.simulations.blind_spots.changes import SweepChange, unchanged
from tests.simulations.blind_spots.driftline import WINDOWS, Judge
from tests.simulations.blind_spots.rows import FEATURES, HOUR, Summariser, schema_text
from tests.simulations.blind_spots.sweep import REFERENCE_WINDOWS, RULES, SweepCell, seeded
from tests.simulations.power import FLOORS_OFF

REFERENCE_ROWS = 2_000
KIND = "three columns"
_RHO = 0.8
Rows = Callable[[np.random.Generator, Floats], Floats]
"""Changes rows of three values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChange:
    """A change of the relation of columns."""

    change: SweepChange
    apply: Rows
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Standard deviations of the three features."""
    rho: float = 0.0
    """Correlation of the second feature with the third."""


def _change(
    family: str, size: str, names: set[str], apply: Rows, *, hidden: bool = False, **more: object
) -> ColumnChange:
    change = SweepChange(
        family=family, size=size, kinds=(KIND,), apply=unchanged, names=frozenset(names),
        hidden=(KIND,) if hidden else (),
    )  # fmt: skip
    return ColumnChange(change=change, apply=apply, **more)  # type: ignore[arg-type]


def _exchanged(_: np.random.Generator, rows: Floats) -> Floats:
    exchanged: Floats = rows[:, [1, 0, 2]]
    return exchanged


def _shuffled(rng: np.random.Generator, rows: Floats) -> Floats:
    return np.column_stack([rng.permutation(rows[:, 0]), rows[:, 1:]])


CHANGES = (
    _change("columns", "nothing", set(), lambda _, rows: rows),
    _change(
        "columns", "exchanged, different laws", {"location", "dispersion"}, _exchanged,
        scales=(1.0, 2.0, 1.0),
    ),
    _change(
        "columns", "exchanged, same law, other correlations", {"correlation"}, _exchanged
    ),
    _change(
        "columns", "exchanged, same law, same correlations", set(), _exchanged,
        hidden=True, rho=_RHO,
    ),
    _change("columns", "one shuffled among the rows", {"correlation"}, _shuffled),
    _change(
        "columns", "one sign flipped", {"correlation"},
        lambda _, rows: rows * np.array([-1.0, 1.0, 1.0]),
    ),
)  # fmt: skip


def _draw(rng: np.random.Generator, change: ColumnChange, rows: int) -> Floats:
    common = rng.standard_normal((rows, 1))
    own = rng.standard_normal((rows, 3))
    rho = np.array([_RHO, change.rho, _RHO])
    drawn: Floats = (np.sqrt(rho) * common + np.sqrt(1.0 - rho) * own) * np.array(change.scales)
    return drawn


def measure(change: ColumnChange, rows: int, *, streams: int, seed: int) -> SweepCell:
    """One change at one window size, judged by Driftline; other detectors see single features."""
    rng = seeded(seed, KIND, rows, change.change.name)
    specs = tuple(FeatureSpec(name=f"f{number}", kind="number") for number in range(3))
    text = schema_text(specs, {})
    summariser = Summariser(specs, Statistics(text=text))

    def window(values: Floats, number: int) -> WindowSummary:
        return summariser.window([pa.array(column) for column in values.T], number, sampled=True)

    contract = summariser.judged
    reference = Summariser.reference(
        [window(_draw(rng, change, REFERENCE_ROWS), 100 + n) for n in range(REFERENCE_WINDOWS)]
    )
    judge = Judge(
        contract=contract,
        reference=prepare_reference(reference, contract),
        schema=texts.to_schema(text),
        thresholds=schema_thresholds(FLOORS_OFF, columns=FEATURES, window_seconds=HOUR),
        features=tuple(spec.name for spec in specs),
    )
    cell = SweepCell.empty(change.change, KIND, rows)
    for _ in range(streams):
        records = [
            window(change.apply(rng, _draw(rng, change, rows)), number) for number in range(WINDOWS)
        ]
        for rule, rules in RULES.items():
            cell.ours[rule].append(judge.judged(records, rules))
    return cell


__all__ = ["CHANGES", "KIND", "measure"]
