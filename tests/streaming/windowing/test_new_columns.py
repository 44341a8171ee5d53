"""A new column is noticed even when only few events have it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streaming.windowing.decode import Decoder
from tests.streaming.statistics_data import contract, number

NOW = 1_700_000_000.0
CONTRACT = contract(
    number("needed", required=True),
    *(number(f"f{at}") for at in range(6)),
    key="id",
    time="at",
)
WINDOW, SHARE, TRIALS = 1_000, 0.01, 100


def event(rng: np.random.Generator, *, nulls: float = 0.0, **more: object) -> bytes:
    """An event with text that holds colons and a nested field that is not in the contract."""
    values = {f"f{number}": None if rng.random() < nulls else 1.5 for number in range(6)}
    fixed = {"id": "a", "at": NOW, "needed": 1.0, "since": "10:30:00", "more": {"x": 1}}
    return json.dumps({**fixed, **values, **more}).encode()


@pytest.mark.parametrize("nulls", [0.0, 0.3])
@pytest.mark.parametrize("fetch", [200, 1_000])
def test_a_column_in_one_of_a_hundred_events_is_noticed(nulls: float, fetch: int) -> None:
    rng = np.random.default_rng(11)
    decoder, missed = Decoder(CONTRACT), 0
    old = [event(rng, nulls=nulls) for _ in range(100)]
    new = [event(rng, nulls=nulls, tip=7) for _ in range(100)]
    for _ in range(TRIALS):
        kinds = rng.random(WINDOW) < SHARE
        values = [(new if kind else old)[at % 100] for at, kind in enumerate(kinds)]
        noticed: dict[str, str] = {}
        for start in range(0, WINDOW, fetch):
            noticed |= decoder.decode(values[start : start + fetch], now=NOW).unknown
        assert noticed | {"tip": "integer"} == {
            "since": "text",
            "more": "object",
            "tip": "integer",
        }
        missed += "tip" not in noticed
    assert missed <= 0.01 * TRIALS


def test_two_new_columns_in_different_events_are_both_noticed() -> None:
    rng = np.random.default_rng(12)
    values = [event(rng) for _ in range(5_000)]
    for at in range(0, 5_000, 90):
        values[at] = event(rng, tip=7)
        values[at + 1] = event(rng, tip=7, paid="cash")
    assert {"tip", "paid"} <= Decoder(CONTRACT).decode(values, now=NOW).unknown.keys()


def test_fields_of_events_that_are_not_accepted_are_not_noticed() -> None:
    rng = np.random.default_rng(13)
    values = [event(rng) for _ in range(300)]
    values[7] = event(rng, needed=None, tip=7)
    values[8] = event(rng, at=NOW + 1e6, tip=7)
    decoded = Decoder(CONTRACT).decode(values, now=NOW)
    assert [dead.index for dead in decoded.dead] == [7, 8]
    assert decoded.unknown.keys() == {"since", "more"}
