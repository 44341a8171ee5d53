"""References: exact sums of windows, once each, in any order."""

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
    made = build_reference(WINDOWS, model="m", version=3, at=99.0, caused_by=("r",))
    assert made.rows == 480
    assert (made.window_start, made.window_end) == (0.0, 4 * SECONDS)
    assert (made.version, made.at, made.caused_by) == (3, 99.0, ("r",))
    assert all(feature.rows == 480 for feature in made.features)
    assert decode(encode(made)) == made


def test_neither_order_nor_repeats_matter() -> None:
    once = build_reference(WINDOWS, model="m", version=3, at=0.0)
    again = build_reference([*reversed(WINDOWS), WINDOWS[2]], model="m", version=3, at=0.0)
    assert once == again


def test_other_models_and_empty_windows_do_not_count() -> None:
    other = replace(WINDOWS[0], record_id="other", model="n")
    empty = replace(WINDOWS[0], record_id="empty", accepted=0)
    made = build_reference([WINDOWS[1], other, empty], model="m", version=1, at=0.0)
    assert made.rows == 120
    assert made.window_start == SECONDS


def test_no_rows_make_no_reference() -> None:
    with pytest.raises(NotFoundError, match="choose a range"):
        build_reference([], model="m", version=1, at=0.0)


def test_windows_of_two_pivots_do_not_add_up() -> None:
    one, two = (contract(number("normal", pivot=pivot)) for pivot in (0.0, 1.0))
    batch = trips(rng, 50)
    pair = [window(0, batch, one), window(1, batch, two)]
    with pytest.raises(PermanentError, match="differ in name, kind or pivot"):
        build_reference(pair, model="m", version=1, at=0.0)


def test_split_takes_the_windows_inside_a_range() -> None:
    inside, outside = split(
        [WINDOWS[3], *WINDOWS[:3]], window_start=SECONDS, window_end=3 * SECONDS
    )
    assert [one.record_id for one in inside] == ["w1", "w2"]
    assert [one.record_id for one in outside] == ["w0", "w3"]
