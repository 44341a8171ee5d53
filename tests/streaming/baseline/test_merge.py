"""References: exact sums of windows, each counted once, in any order."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from streaming.baseline.merge import build_reference, split
from streaming.contracts.codec import decode, encode
from streaming.contracts.errors import NotFoundError, PermanentError
from tests.streaming.statistics_data import SECONDS, contract, number, trips, window

rng = np.random.default_rng(8)
WINDOWS = [window(at, trips(rng, 120)) for at in range(4)]


def test_a_reference_holds_all_rows_of_its_windows() -> None:
    reference = build_reference(WINDOWS, model="m", version=3, at=99.0, caused_by=("r",))
    assert reference.rows == 480
    assert (reference.window_start, reference.window_end) == (0.0, 4 * SECONDS)
    assert (reference.version, reference.at, reference.caused_by) == (3, 99.0, ("r",))
    assert all(feature.rows == 480 for feature in reference.features)
    assert decode(encode(reference)) == reference


def test_neither_order_nor_repeats_matter() -> None:
    once = build_reference(WINDOWS, model="m", version=3, at=0.0)
    again = build_reference([*reversed(WINDOWS), WINDOWS[2]], model="m", version=3, at=0.0)
    assert once == again


def test_other_models_and_empty_windows_do_not_count() -> None:
    other_model = replace(WINDOWS[0], record_id="other", model="n")
    empty = replace(WINDOWS[0], record_id="empty", accepted=0)
    reference = build_reference([WINDOWS[1], other_model, empty], model="m", version=1, at=0.0)
    assert reference.rows == 120
    assert reference.window_start == SECONDS


def test_without_rows_there_is_no_reference() -> None:
    with pytest.raises(NotFoundError, match="choose a range"):
        build_reference([], model="m", version=1, at=0.0)


def test_windows_of_different_kinds_are_refused() -> None:
    batch = trips(rng, 50)
    pair = [
        window(at, batch, contract(number("normal", categorical=categorical)))
        for at, categorical in enumerate((False, True))
    ]
    with pytest.raises(PermanentError, match="differ in name or kind"):
        build_reference(pair, model="m", version=1, at=0.0)


def test_split_takes_the_windows_inside_a_range() -> None:
    inside, outside = split(
        [WINDOWS[3], *WINDOWS[:3]], window_start=SECONDS, window_end=3 * SECONDS
    )
    assert [summary.record_id for summary in inside] == ["w1", "w2"]
    assert [summary.record_id for summary in outside] == ["w0", "w3"]
