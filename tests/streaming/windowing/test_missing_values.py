"""NaN, null, absent, empty text and sentinels are one family: the same loss, the same summary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from streaming import summary
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.windowing.decode import Decoder

CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at",
    features=(
        FeatureSpec(name="fare", kind="number", required=True),
        FeatureSpec(name="miles", kind="number", sentinels=(-999,)),
        FeatureSpec(name="seconds", kind="integer", sentinels=(-1,)),
        FeatureSpec(name="area", kind="integer", categorical=True),
        FeatureSpec(name="company", kind="text", sentinels=("n/a",)),
    ),
)  # fmt: skip
ROWS = 400
WAYS: dict[str, bytes | None] = {
    "null": b"null",
    "NaN": b"NaN",
    "infinite": b"-Infinity",
    "too large": b"1e999",
    "empty text": b'""',
    "absent": None,
}
SENTINELS = {
    "miles": b"-999",
    "seconds": b"-1",
    "area": b"-9223372036854775808",
    "company": b'"n/a"',
}


def event(number: int) -> dict[str, Any]:
    return {
        "id": str(number), "at": 10.0, "fare": 2.5, "miles": 1.5 + number, "seconds": number,
        "area": number % 7, "company": "abc"[number % 3],
    }  # fmt: skip


def lossy(name: str, lost: bytes | None, share: float) -> list[bytes | None]:
    """Events of which a share lost the value of one field."""
    values: list[bytes | None] = []
    for number in range(ROWS):
        fields = event(number)
        if number < share * ROWS:
            del fields[name]
            data = orjson.dumps(fields)
            value = b"" if lost is None else b',"' + name.encode() + b'":' + lost
            values.append(data[:-1] + value + b"}")
        else:
            values.append(orjson.dumps(fields))
    return values


def outcome(values: list[bytes | None], min_column_records: int) -> tuple[Any, ...]:
    """What the stream knows of the events: the summary of each feature, and the dead letters."""
    decoded = Decoder(CONTRACT, min_column_records=min_column_records).decode(values, now=20.0)
    features = summary.finish(summary.add(summary.start(CONTRACT), decoded.batch))
    return features, [(dead.index, dead.reason, dead.field) for dead in decoded.dead]


@pytest.mark.parametrize("share", [0.0025, 0.05, 0.6, 1.0])
@pytest.mark.parametrize("name", ["fare", "miles", "seconds", "area", "company"])
def test_the_same_loss_has_the_same_outcome_whichever_way_it_comes(name: str, share: float) -> None:
    ways = dict(WAYS)
    if name in SENTINELS:
        ways["sentinel"] = SENTINELS[name]
    expected = outcome(lossy(name, b"null", share), 0)
    features, dead = expected
    lost = round(share * ROWS)
    missing = {feature.name: (feature.missing, feature.non_finite) for feature in features}
    if name == "fare":
        assert dead == [(number, "missing_field", "fare") for number in range(lost)]
    else:
        assert (missing[name], dead) == ((lost, 0), [])
    for way, value in ways.items():
        for min_column_records in (0, ROWS + 1):
            result = outcome(lossy(name, value, share), min_column_records)
            assert result == expected, (way, min_column_records)


@pytest.mark.parametrize(
    "shuffle", [lambda n: (n * 7) % ROWS, lambda n: ROWS - 1 - n], ids=["mixed", "reversed"]
)
def test_mixed_ways_count_as_one(shuffle: Callable[[int], int]) -> None:
    ways = [*WAYS.values(), SENTINELS["miles"]]
    lists = [lossy("miles", way, 1.0) for way in ways]
    values = [lists[n % len(ways)][shuffle(n)] for n in range(ROWS)]
    features, dead = outcome(values, 0)
    assert dead == []
    assert {f.name: f.missing for f in features}["miles"] == ROWS
