"""The typed reader of JSON agrees with the row rule where msgspec and that rule could differ."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from streaming.contracts.json_text import MAX_DEPTH
from streaming.contracts.mapping import FieldRule
from streaming.contracts.raw_record import KafkaRecord
from streaming.windowing import json_cells
from streaming.windowing.decode import Decoder
from streaming.windowing.json_cells import JsonCells, NotTyped, unreadable
from tests.streaming.statistics_data import contract, integer, number, text
from tests.streaming.windowing.flat_events import (
    CONTRACT,
    GOOD,
    NOW,
    NUMBERS,
    SKIPPED,
    TEXTS,
    TWICE,
    check,
)
from tests.streaming.windowing.mapped_events import (
    by_columns,
    check_equal,
    contract_of,
    encoded,
    event,
    plain,
)

PIECES = [
    *(TEXTS + NUMBERS),
    *(b"," + more for more in SKIPPED if len(more) < 40),
    *(twice for _, twice in TWICE),
    *(bytes([byte]) for byte in b'{}[]:,"\\ \n\t\r\0\x1f-+.eE0Nn/\x80\xff'),
    b"null", b"true", b"NaN", b"Infinity", b"{}", b"[]", b'""', b'"a":', "ü".encode(),
    b"\xef\xbb\xbf",
]  # fmt: skip
BASES = [
    GOOD,
    GOOD[:-1] + b',"new":{"a":["b",{"c":1.5e3}],"d":"\\u00e9\xc3\xbc"},"seats":4}',
    b' { "seats" : 1 , "id" : 7 , "at" : 1700000000 , "fare" : -2.5e-1 , "x" : [ ] } ',
]


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A good record in which up to three pieces are inserted or replace something."""
    record = draw(st.sampled_from(BASES))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(record)))
        end = min(len(record), start + draw(st.sampled_from([0, 0, 1, 1, 2, 5, 9])))
        record = record[:start] + draw(st.sampled_from(PIECES)) + record[end:]
    return record


@settings(max_examples=150, deadline=None)
@given(st.lists(changed(), min_size=1, max_size=12))
def test_records_with_any_piece_in_any_place_are_read_as_the_rule_reads_them(
    records: list[bytes],
) -> None:
    check([*itertools.chain.from_iterable((record, GOOD) for record in records)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.integers(-(2**70), 2**70)), min_size=1, max_size=30))
def test_numbers_are_the_same_to_the_last_bit(numbers: list[tuple[float, int]]) -> None:
    written = []
    for real, whole in numbers:
        for digits in (repr(real), f"{real:.25e}", f"{real:.3f}", str(whole), f"{whole}e-30"):
            written.append(GOOD.replace(b"2.5", digits.encode()))
            written.append(GOOD.replace(b'"seconds":3', b'"seconds":' + digits.encode()))
    check([*written])


@pytest.mark.parametrize("piece", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82"])
def test_skipped_text_that_is_no_utf8_is_left_to_the_rule(piece: bytes) -> None:
    records = [GOOD[:-1] + b',"new":"' + piece + b'"}', GOOD, GOOD[:-1] + b',"n":"\xc3\xbc"}']
    assert unreadable(records, 5000) == [0]
    check([*records])


@pytest.mark.parametrize("size", [0, 2000])
def test_skipped_nesting_is_refused_at_the_depth_of_the_rule(size: int) -> None:
    padding = b',"p":"' + b"x" * size + b'"}'
    records = [
        GOOD[:-1] + b',"new":' + b"[" * depth + b"]" * depth + padding
        for depth in (1, MAX_DEPTH - 2, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 2 * MAX_DEPTH)
    ]
    assert Decoder(CONTRACT, min_column_records=0).decode(records, now=NOW).index.tolist() == [
        0,
        1,
        2,
    ]
    check([*records])


def test_records_are_read_alike_however_deep_the_reader_itself_is_called() -> None:
    records = [
        GOOD[:-1] + b',"new":' + b"[" * depth + b"]" * depth + b"}" for depth in range(1, 499, 20)
    ]

    def accepted(calls: int) -> list[int]:
        if calls:
            return accepted(calls - 1)
        decoder = Decoder(CONTRACT, min_column_records=0)
        rows: list[int] = decoder.decode([*records], now=NOW).index.tolist()
        return rows

    assert accepted(0) == accepted(600) == list(range(len(records)))


def test_the_order_of_the_fields_is_learnt_and_changes_nothing() -> None:
    chance = random.Random(9)  # no secret
    decoder = Decoder(CONTRACT, min_column_records=0)
    fields = orjson.loads(GOOD) | {"new": 1, "seats": 2, "city": "y"}
    expected = Decoder(CONTRACT, min_column_records=0).decode([orjson.dumps(fields)] * 3, now=NOW)
    orders = set()
    for _ in range(70):
        names = chance.sample(list(fields), len(fields))
        shuffled = orjson.dumps({name: fields[name] for name in names})
        records = [shuffled, orjson.dumps({**fields}), shuffled]
        decoded = decoder.decode([*records], now=NOW)
        assert decoded.batch.equals(expected.batch)
        assert decoder._flat is not None
        orders.add(decoder._flat._cells._order)
    assert 3 <= len(orders) <= 7  # learnt at the fetches 1, 2, 4, … 64, not at every one


def test_an_order_is_learnt_from_no_record_that_is_odd() -> None:
    decoder = Decoder(CONTRACT, min_column_records=0)
    for record in (b"[1]", b"7", b"nonsense", b'{"fare":', b'{"fare":{"at":1}}', None, b""):
        decoded = decoder.decode([record, GOOD], now=NOW)
        assert decoded.index.tolist() == [1]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "", "ü", "a.b", "x" * 5000, "f0", "🚕"])
def test_a_feature_may_have_any_name(name: str) -> None:
    odd = contract(number(name), text("city"), key="id", time="at")
    records = [json.dumps({"id": "a", "at": NOW, name: value}).encode() for value in (1.5, None)]
    records += [json.dumps({"id": "a", "at": NOW, "city": "x"}, indent=1).encode()]
    decoded = Decoder(odd, min_column_records=0).decode(records, now=NOW)
    assert decoded.batch.column(0).to_pylist() == [1.5, None, None]
    assert decoded.batch.column(1).to_pylist() == [None, None, "x"]


def test_one_field_as_key_and_time_is_read_by_the_rule() -> None:
    same = contract(number("fare"), key="at", time="at")
    records = [b'{"at":1700000000,"fare":1}', b'{"at":1700000000.5,"fare":1}', b'{"at":"a"}']
    rows = Decoder(same, min_column_records=9).decode([*records], now=NOW)
    columns = Decoder(same, min_column_records=0).decode([*records], now=NOW)
    assert columns.index.tolist() == rows.index.tolist() == [0]
    assert columns.dead == rows.dead


@pytest.mark.parametrize(
    "paths",
    [[("a",), ("a", "b")], [("a", "b"), ("a",)], [("a", 'b"')], [("a", "b", "c"), ("a", "b")]],
)
def test_paths_that_structs_cannot_have_are_refused(paths: list[tuple[str, ...]]) -> None:
    with pytest.raises(NotTyped):
        JsonCells(dict.fromkeys(paths, (float | None, None)), 1000)


def test_a_field_inside_anothers_value_is_read_from_documents() -> None:
    fields = (*contract_of().events.fields, FieldRule(name="place", path="trip.fare"))
    base = contract_of(fields=fields)
    both = replace(base, features=(*base.features, text("place")))
    trip = event()["trip"]
    rows = [event(), event(trip=trip | {"fare": "x"}), event(trip=trip | {"fare": None})]
    check_equal(plain(rows), both)


LISTS: list[Any] = [[], [1], [[]], [{"a": [1, 2]}, "ü"], None, {}, "ab", 3, [float("nan")]]


def test_lists_of_anything_are_counted() -> None:
    trip = event()["trip"]
    records = plain([event(trip=trip | {"stops": stops}) for stops in LISTS])
    check_equal(records, contract_of())
    lengths = by_columns(records, contract_of()).batch.column("stops").to_pylist()
    assert lengths == [0, 1, 1, 2, None, 1]


@pytest.mark.parametrize("piece", [*TEXTS, b'"', b"\\"])
def test_pieces_of_text_in_nested_objects_and_lists(piece: bytes) -> None:
    good = encoded(event())
    records = [
        good.replace(b'"currency": "USD"', b'"currency": "' + piece + b'"'),
        good.replace(b'"name": "x"', b'"' + piece + b'": 1'),
        good.replace(b'"Blue"', b'"' + piece + b'"'),
        good.replace(b'"1.25"', b'"' + piece + b'"'),
    ]
    values = [KafkaRecord(value=record, time=NOW) for record in records]
    check_equal(values, replace(contract_of(), largest_event_bytes=5_000, max_text_bytes=5_000))


def test_a_long_record_is_checked_for_its_depth_only_where_it_could_be_deep() -> None:
    flat = GOOD[:-1] + b',"html":"' + b"[x]{y}" * 300 + b'"}'
    assert unreadable([flat], 5000) == [0]  # brackets in text are not told from others
    assert unreadable([GOOD[:-1] + b',"html":"' + b"x" * 3000 + b'"}'], 5000) == []
    check([flat, GOOD])


def test_there_is_one_list_of_cells_for_each_path_however_records_fail() -> None:
    cells = JsonCells({("id",): (str,), ("n",): (json_cells.INTEGER | None, None)}, 100)
    good, bad = b'{"id":"a","n":1}', b'{"id":"a","n":1.5}'
    for pattern in itertools.product([good, bad, None], repeat=4):
        positions, columns, refused = cells.read(pattern)
        expected = [at for at, record in enumerate(pattern) if record is good]
        assert positions.tolist() == expected
        assert sorted([*expected, *refused]) == [0, 1, 2, 3]
        assert columns == {("id",): ["a"] * len(expected), ("n",): [1] * len(expected)}


def test_unused_integer_features_have_bounds() -> None:
    odd = contract(integer("n"), key="id", time="at")
    digits = [2**63 - 1, 2**63, -(2**63) + 1, -(2**63), -(2**63) - 1, 2**64, 10**400]
    records = [f'{{"id":"a","at":{NOW},"n":{number_}}}'.encode() for number_ in digits]
    decoded = Decoder(odd, min_column_records=0).decode([*records], now=NOW)
    assert decoded.batch.column(0).to_pylist() == [2**63 - 1, -(2**63) + 1, None, None]
    assert [dead.index for dead in decoded.dead] == [1, 4, 5]


def test_a_long_fetch_is_read_in_parts_and_every_record_keeps_its_place() -> None:
    fetch: list[bytes | None] = [
        GOOD.replace(b'"seconds":3', b'"seconds":%d' % at) for at in range(6_500)
    ]
    odd = {0: None, 1_999: GOOD[:-1], 2_000: b"", 2_001: GOOD[:-1] + b',"n":"\xff"}', 6_499: b"[]"}
    rule = {3_999: GOOD.replace(b"2.5", b'2.5,"miles":NaN')}
    for at, record in (odd | rule).items():
        fetch[at] = record
    decoded = Decoder(CONTRACT).decode(fetch, now=NOW)
    assert [dead.index for dead in decoded.dead] == list(odd)
    assert decoded.index.tolist() == [at for at in range(6_500) if at not in odd]
    seconds = decoded.batch.column("seconds").to_pylist()
    expected = [3 if at in rule else at for at in decoded.index.tolist()]
    assert seconds == expected
