"""Poison inside objects and lists: every value of the corpus at every level of a mapped event.

Each is usable, or a dead letter that names the feature it was for; rows and columns agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from streaming.contracts.raw_record import KafkaRecord
from tests.streaming.poison.values import VALUES, Kind
from tests.streaming.windowing.mapped_events import (
    NOW,
    by_columns,
    by_rule,
    check_equal,
    contract_of,
    event,
    with_lists,
)

CONTRACT = replace(with_lists(contract_of()), largest_event_bytes=64 * 1024)
LEVELS = {
    "trip": ("trip",),
    "fare": ("trip", "fare"),
    "amount": ("trip", "fare", "amount"),
    "tags": ("trip", "tags"),
    "tag": ("trip", "tags", "0"),
}
_MARK = "@poison@"
_OF_AMOUNT: tuple[Kind, ...] = ("integer", "big", "number")
_OF_TAG: tuple[Kind, ...] = ("integer", "missing", "text", "boolean")


def records(level: str) -> Iterator[tuple[str, bytes, Kind]]:
    """Name, record and kind of each value of the corpus at a level."""
    document = event()
    document["trip"]["tags"] = ["wifi"]
    target = document
    *parents, last = LEVELS[level]
    for name in parents:
        target = target[name]
    target[0 if level == "tag" else last] = _MARK  # type: ignore[index]
    text = json.dumps(document)
    for name, (value, kind) in VALUES.items():
        if value is not None:
            poisoned = text.replace(f'"{_MARK}"', value)
            yield name, poisoned.encode("utf-8", "surrogateescape"), kind


def expected(level: str, name: str, kind: Kind) -> tuple[str, str]:
    """Reason and field of the dead letter; empty where the record is usable."""
    if level == "tag" and name in ("comma for point", "nothing"):
        return "", ""  # a list of two values, and one of none
    if kind in ("no json", "no text"):
        return "not_json", ""
    if level == "tags":
        return ("", "") if kind in ("list", "missing") else ("wrong_type", "tags")
    if level == "tag":
        too_long = name == "10 kB text"
        return ("wrong_type", "tags") if kind not in _OF_TAG or too_long else ("", "")
    if level == "amount":
        if kind == "missing" or name == "-1":  # its sentinel
            return "missing_field", "fare"
        return ("", "") if kind in _OF_AMOUNT else ("wrong_type", "fare")
    # on the way to a value, only null and absence are missing
    return ("missing_field" if kind == "object" or name == "null" else "wrong_type"), "fare"


@pytest.mark.parametrize("level", list(LEVELS))
def test_every_value_at_every_level_is_usable_or_names_its_feature(level: str) -> None:
    named = list(records(level))
    values = [KafkaRecord(value=value, time=NOW) for _, value, _ in named]
    events, refused = by_rule(values, CONTRACT)
    assert len(events) + len(refused) == len(named)
    for at, (name, _, kind) in enumerate(named):
        reason, field = expected(level, name, kind)
        actual = refused.get(at, ("", "", ""))
        assert actual[0] == reason, (level, name, actual)
        assert field in ("", actual[1]), (level, name, actual)
        assert len(actual[2]) < 400
    check_equal(values, CONTRACT)


def test_bombs_of_lists_are_bounded_and_do_not_shift_their_neighbours() -> None:
    trip = event()["trip"]
    good = json.dumps(event(trip=trip | {"tags": ["wifi"]})).encode()
    before, after = good.split(b'["wifi"]')
    bombs = {
        "deep": b"[" * 400 + b"]" * 400,
        "too deep": b"[" * 600 + b"]" * 600,
        "wide": b"[" + b"1," * 25_000 + b"1]",
        "distinct": b"[" + b",".join(b"%d" % n for n in range(9_000)) + b"]",
        "nulls": b"[" + b"null," * 10_000 + b"null]",
        "objects": b"[" + b"{}," * 10_000 + b"{}]",
        "open": b"[" * 30_000,
        "long": b'["' + b"x" * 50_000 + b'"]',
    }
    values = [value for bomb in bombs.values() for value in (good, before + bomb + after, good)]
    rows = [KafkaRecord(value=value, time=NOW) for value in values]
    decoded = by_columns(rows, CONTRACT)
    tags = dict(zip(decoded.index.tolist(), decoded.batch.column("tags").to_pylist(), strict=True))
    assert all(tags[at] == "wifi" for at in range(len(rows)) if at % 3 != 1)
    usable = {name: tags.get(3 * at + 1, "dead") for at, name in enumerate(bombs)}
    assert usable == dict.fromkeys(bombs, "dead") | {"wide": "1", "nulls": None}
    check_equal(rows, CONTRACT)
