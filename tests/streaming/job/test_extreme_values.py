"""Usable values at every bound, in the reference and in windows: records stay readable."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from streaming.contracts.codec import decode, encode
from streaming.contracts.records import DriftVerdict, Record, WindowSummary
from streaming.drift import DriftRules
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.local import LocalJob
from streaming.windowing.event_reader import Fetch
from tests.promotions import first_promotion
from tests.streaming.statistics_data import contract, integer, number, text

pytestmark = pytest.mark.engine  # imports TensorFlow

NOW, WINDOW, ROWS = 1_700_000_000.0, 10.0, 600
CONTRACT = contract(
    number("fare", required=True),
    number("latitude"),
    integer("seconds"),
    integer("area", categorical=True),
    text("company"),
    key="id",
    time="at",
    partitions=1,
    window_seconds=WINDOW,
    max_out_of_orderness_seconds=1.0,
)
INTEGERS = [2**53 - 1, 2**53 + 1, 2**63 - 1, -(2**63) + 1, 0, -1, 1]
NUMBERS = [
    1.7976931348623157e308,
    -1.7976931348623157e308,
    1e308,
    5e-324,
    -0.0,
    2.2e-308,
    1e16,
    0.1,
]
TEXTS = ["\x00", "\x1b[31m", "a" * 5000, "ü" * 300, "\uffff", "\U0010ffff", " ", "null", "\u202e"]
LARGEST = 64 * 1024


def event(at: float, rng: np.random.Generator, *, extreme: bool) -> bytes:
    def pick(values: list[Any], usual: Any) -> Any:
        return values[rng.integers(len(values))] if extreme else usual

    fields = {
        "id": "k",
        "at": at,
        "fare": pick(NUMBERS, rng.normal(10, 2)),
        "latitude": pick(NUMBERS, rng.normal(41.9, 0.1)),
        "seconds": pick(INTEGERS, int(rng.integers(100))),
        "area": pick(INTEGERS, int(rng.integers(5))),
        "company": pick(TEXTS, "abc"[rng.integers(3)]),
    }
    if extreme:
        fields |= {"n\x00" + "x" * int(rng.integers(20_000)): [], "": 1, "\x1b[31m": None}
    return orjson.dumps(fields)


def records_of(store: ArtifactStore, shares: list[float]) -> list[Record]:
    """The job's records for windows with these shares of extreme events; the first three are the
    reference."""
    job, rng = LocalJob(CONTRACT, DriftRules(min_rows=50), store), np.random.default_rng(5)
    records: list[Record] = []
    for window, share in enumerate(shares):
        start = NOW + WINDOW * window
        values = [
            event(start + WINDOW * n / ROWS, rng, extreme=rng.random() < share) for n in range(ROWS)
        ]
        fetch = Fetch(
            partition=0,
            offsets=range(ROWS * window, ROWS * (window + 1)),
            values=values,
            timestamp=lambda _, start=start: start,  # type: ignore[misc]
        )
        records += job.feed(fetch, now=start + WINDOW)
        if window == 3:
            first = [record for record in records if isinstance(record, WindowSummary)]
            job.promote(first_promotion(store, first[:3]))
    return records + list(job.finish())


def not_finite(value: Any) -> bool:
    """Whether a record holds a number that JSON cannot carry."""
    match value:
        case float():
            return not math.isfinite(value)
        case dict():
            return any(map(not_finite, value.values()))
        case list() | tuple():
            return any(map(not_finite, value))
        case _:
            return False


@pytest.mark.parametrize("reference", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("share", [0.002, 0.3, 1.0])
def test_every_record_can_be_read(tmp_path: Path, reference: float, share: float) -> None:
    records = records_of(ArtifactStore(tmp_path), [reference] * 4 + [share] * 3)
    for record in records:
        encoded = encode(record)
        assert not not_finite(msgspec.to_builtins(record, builtin_types=(bytes,)))
        assert decode(encoded) == record
        assert len(encoded) < LARGEST * 4, type(record).__name__
    windows = [record for record in records if isinstance(record, WindowSummary)]
    assert sum(window.offsets_read for window in windows) == 7 * ROWS
    assert sum(window.accepted for window in windows) == 7 * ROWS
    judged = [record for record in records if isinstance(record, DriftVerdict)]
    assert [record.reference_id for record in judged if record.window_start > NOW + 50].count(
        "first"
    )
