"""A short version of the sweep: cells that must be found and named, in seconds."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from tests.simulations.blind_spots import columns
from tests.simulations.blind_spots.changes import CHANGES, SweepChange
from tests.simulations.blind_spots.driftline import StreamVerdicts
from tests.simulations.blind_spots.kinds import KINDS
from tests.simulations.blind_spots.others import NumberDetectors, TextDetectors, Windows
from tests.simulations.blind_spots.sweep import SweepCell, changes_of, measure, seeded
from tests.simulations.blind_spots.table import named, outcomes_of, row_of, summary_of

MUST_BE_FOUND = {
    "normal": (
        "scale, x 1.5",
        "unit, x 1.609",
        "constant",
        "unknown sentinel, -999 in 2 % of rows",
    ),
    "lognormal": ("mean, +0.5 sd", "zeros, in 5 % of rows", "tail, 5 % of rows 3 times as wide"),
    "uniform": ("mean, +0.5 sd", "unit, x 1.609", "sign flip, in 5 % of rows"),
    "counts": ("category swap", "zeros, in 5 % of rows", "constant"),
    "95 % zeros": ("mean, +0.5 sd", "zeros, half of the others"),
    "flag 20 %": ("flag, 20 -> 30 %", "category swap", "constant"),
    "few categories": (
        *("category swap", "value lost", "case change", "constant"),
        *("random texts, in 10 % of rows", "missing, 1 -> 60 %"),
    ),
    "many categories": ("category swap", "texts cut, to 8 characters", "case change"),
    "default and texts": ("random texts", "missing, as empty text in 4 % of rows"),
}
"""Changes that are found within five windows of 1,000 rows, whatever the judge."""


def _change(name: str) -> SweepChange:
    return next(change for change in CHANGES if change.name == name)


@pytest.mark.parametrize("kind", sorted(MUST_BE_FOUND))
def test_what_must_be_found_is_found_and_nothing_else(kind: str) -> None:
    names = [name for name in MUST_BE_FOUND[kind] if kind in _change(name).kinds]
    changes = [_change("nothing"), *map(_change, names)]
    cells = measure(kind, 1_000, changes, streams=3, seed=1, river=None)
    missed = [
        (cell.change, rule, [stream.windows for stream in streams])
        for cell in cells
        for rule, streams in cell.ours.items()
        if any((stream.windows == inf) != cell.is_quiet for stream in streams)
    ]
    assert missed == []


def test_exchanged_columns_are_found_by_the_correlations() -> None:
    change = columns.CHANGES[2]
    cell = columns.measure(change, 1_000, streams=2, seed=1)
    for streams in cell.ours.values():
        assert [stream.name for stream in streams] == ["correlation"] * 2
        assert named(cell, streams) == 1.0


def test_every_kind_has_the_changes_that_make_sense_and_each_name_is_unique() -> None:
    assert len({change.name for change in CHANGES}) == len(CHANGES)
    assert {kind for change in CHANGES for kind in change.kinds} == set(KINDS)
    for kind in KINDS:
        assert len(changes_of(kind)) > 5


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_change_changes_the_values_of_its_kinds_or_is_known_not_to(kind: str) -> None:
    for change in changes_of(kind):
        rng = seeded(1, kind, change.name)
        column = KINDS[kind].draw(rng, 500)
        changed = change.apply(rng, KINDS[kind], column.copy())
        assert len(changed) == 500
        if change.family not in ("nothing", "missing"):
            assert not np.array_equal(np.sort(changed), np.sort(column))


def _cell(name: str, outcomes: list[StreamVerdicts], rows: int = 1_000) -> SweepCell:
    cell = SweepCell.empty(_change(name), "normal", rows)
    for streams in cell.ours.values():
        streams.extend(outcomes)
    return cell


@pytest.mark.parametrize(
    ("name", "streams", "outcome"),
    [
        ("mean, -2 sd", StreamVerdicts(windows=1, name="location", by=("drift",)), "found"),
        ("mean, -2 sd", StreamVerdicts(windows=1, name="value", by=("drift",)), "wrongly named"),
        ("mean, -2 sd", StreamVerdicts(), "missed"),
        ("sign flip", StreamVerdicts(), "limit"),
        ("nothing", StreamVerdicts(), "quiet"),
        ("nothing", StreamVerdicts(windows=2, name="value", by=("drift",)), "false alarm"),
    ],
)
def test_the_outcome_of_a_cell(name: str, streams: StreamVerdicts, outcome: str) -> None:
    cell = _cell(name, [streams] * 4)
    outcomes = outcomes_of([cell])
    assert set(outcomes.values()) == {outcome}
    assert str(row_of(cell, outcomes)["ours, floors off"]).startswith(outcome)
    assert summary_of([cell], outcomes)[0]["cells"] == (name == "mean, -2 sd")


def test_a_change_that_needs_more_rows_is_no_blind_spot() -> None:
    late = StreamVerdicts(windows=1, name="location", by=("drift",))
    cells = [_cell("mean, -2 sd", [StreamVerdicts()], 200), _cell("mean, -2 sd", [late], 10_000)]
    outcomes = outcomes_of(cells)
    assert outcomes["mean, -2 sd", "normal", 200, "floors off"] == "too few rows"


def test_the_other_detectors_find_what_they_can_and_keep_the_budget() -> None:
    rng = np.random.default_rng(2)
    kind = KINDS["few categories"]
    texts = TextDetectors(kind, kind.draw(rng, 200_000), rng)
    texts.tune(1_000)
    new = _change("case change").apply(rng, kind, kind.draw(rng, 990))
    assert texts.delays(Windows([new], 1_000)) == {"TFDV": 1.0, "Evidently": 1.0}
    quiet = texts.delays(Windows([kind.draw(rng, 990) for _ in range(20)], 1_000))
    assert quiet == {"TFDV": inf, "Evidently": inf}
    number = KINDS["latitude"]
    detectors = NumberDetectors(number, number.draw(rng, 200_000), rng)
    means = detectors.series(Windows([number.draw(rng, 1_000) for _ in range(200)], 1_000))
    assert abs(float(means.mean())) < 0.3
    assert 0.8 < float(means.std()) < 1.2
