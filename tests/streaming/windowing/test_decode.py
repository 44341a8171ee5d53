"""Decoding in columns accepts exactly the records that `decode_event` accepts, with its values."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Event, decode_event
from streaming.contracts.model import FeatureKind, FeatureSpec
from streaming.windowing import arrow_json as module
from streaming.windowing.decode import Decoder, cut_text
from tests.streaming.statistics_data import contract, integer, number, text

NOW = 1_700_000_000.0
CONTRACT = contract(
    number("fare", required=True),
    number("miles", sentinels=(-999,)),
    integer("seconds", sentinels=(-1, 99999)),
    text("company", sentinels=("n/a",)),
    text("city"),
    integer("seats"),
    key="id",
    time="at",
    largest_event_bytes=5000,
)
GOOD = b'{"id":"a","at":1700000000.5,"fare":2.5,"miles":1,"seconds":3,"company":"x"}'

ODD = [
    b"",
    b"  ",
    None,
    b"null",
    b"[1]",
    b'"x"',
    b"{}",
    GOOD[:-1],
    GOOD + GOOD,
    GOOD + b"\n" + GOOD,
    b" " + GOOD + b"\n",
    b"\xef\xbb\xbf" + GOOD,
    GOOD + b"}",
    GOOD.replace(b"2.5", b"NaN"),
    GOOD.replace(b"2.5", b"-Infinity"),
    GOOD.replace(b"2.5", b"Inf"),
    GOOD.replace(b"2.5", b"-Inf"),
    GOOD.replace(b"2.5", b"1e400"),
    GOOD.replace(b"2.5", b"9" * 2000),
    GOOD.replace(b"2.5", b"1e-400"),
    GOOD.replace(b"2.5", b"null"),
    GOOD.replace(b"2.5", b"true"),
    GOOD.replace(b"2.5", b'"2.5"'),
    GOOD.replace(b"2.5", b"-999"),
    GOOD.replace(b'"miles":1', b'"miles":-999'),
    GOOD.replace(b'"miles":1', b'"miles":-999.0'),
    GOOD.replace(b'"miles":1', b'"miles":""'),
    GOOD.replace(b'"miles":1', b'"miles":NaN'),
    GOOD.replace(b'"seconds":3', b'"seconds":-1'),
    GOOD.replace(b'"seconds":3', b'"seconds":99999'),
    GOOD.replace(b'"seconds":3', b'"seconds":NaN'),
    GOOD.replace(b'"seconds":3', b'"seconds":""'),
    GOOD.replace(b'"seconds":3', b'"seats":-9223372036854775808'),
    GOOD.replace(b'"seconds":3', b'"seats":4'),
    GOOD.replace(b'"x"', b'""'),
    GOOD.replace(b'"x"', b'"n/a"'),
    GOOD.replace(b'"x"', b"NaN"),
    GOOD.replace(b'"x"', b'"x","city":""'),
    GOOD.replace(b'"x"', b'"x","city":"n/a"'),
    GOOD.replace(b'"id":"a"', b'"id":9223372036854775808'),
    GOOD.replace(b'"id":"a"', b'"id":-9223372036854775808'),
    GOOD.replace(b'"id":"a"', b'"id":18446744073709551616'),
    GOOD.replace(b"2.5", b"02.5"),
    GOOD.replace(b"2.5", b"2."),
    GOOD.replace(b"2.5", b"-0"),
    GOOD.replace(b"2.5", b"123456789012345678901234567890"),
    GOOD.replace(b'"seconds":3', b'"seconds":3.0'),
    GOOD.replace(b'"seconds":3', b'"seconds":-0'),
    GOOD.replace(b'"seconds":3', b'"seconds":-0.0'),
    GOOD.replace(b'"seconds":3', b'"seconds":1e2'),
    GOOD.replace(b'"seconds":3', b'"seconds":9223372036854775807'),
    GOOD.replace(b'"seconds":3', b'"seconds":9223372036854775808'),
    GOOD.replace(b'"seconds":3', b'"seconds":-9223372036854775808'),
    GOOD.replace(b'"id":"a"', b'"id":7'),
    GOOD.replace(b'"id":"a"', b'"id":7.5'),
    GOOD.replace(b'"id":"a"', b'"id":""'),
    GOOD.replace(b'"id":"a"', b'"id":null'),
    GOOD.replace(b'"id":"a"', b'"id":true'),
    GOOD.replace(b'"id":"a",', b""),
    GOOD.replace(b"1700000000.5", b"1"),
    GOOD.replace(b"1700000000.5", b"1800000000"),
    GOOD.replace(b"1700000000.5", b'"1"'),
    GOOD.replace(b"1700000000.5", b"NaN"),
    GOOD.replace(b"1700000000.5", b"true"),
    GOOD.replace(b'"x"', b'"\\ud800"'),
    GOOD.replace(b'"x"', b'"\\u0041\\u00e9\\ud83d\\ude00"'),
    GOOD.replace(b'"x"', b'"\xff"'),
    GOOD.replace(b'"x"', b'"a\x00b"'),
    GOOD.replace(b'"x"', b'"a\\u0000b"'),
    GOOD.replace(b'"x"', b'"a\tb"'),
    GOOD.replace(b'"x"', b'"Infinity Cabs, Inf"'),
    GOOD.replace(b'"x"', b"5"),
    GOOD[:-1] + b',"fare":3}',
    GOOD[:-1] + b',"fare":null}',
    GOOD[:-1] + b',"new":1,"new":2}',
    GOOD[:-1] + b',"new":Inf}',
    GOOD[:-1] + b',"new":NaN}',
    GOOD[:-1] + b',"new":"\xff"}',
    GOOD[:-1] + b',"new":"\\ud800"}',
    GOOD[:-1] + b',"new":' + b"[" * 2000 + b"]" * 2000 + b"}",
    GOOD[:-1] + b',"new":{"a":[{"b":1}]}}',
    GOOD[:-1] + b',"new":1e999}',
    GOOD[:-1] + b',"new":01}',
    GOOD[:-1] + b",}",
    GOOD + b"\x00}",
    b"{" + b" " * 6000 + GOOD[1:],
    GOOD.replace(b",", b" ,\r\n\t"),
    b'{"fare":1',
    b',"id":"b","at":1}{"at":9}',
    b'{"id":"b","at":1,"company":"}',
    b'{"a":{"b":1}',
    GOOD.decode().encode("utf-16"),
    GOOD.replace(b'"fare"', b'"\\u0066are"'),
    GOOD.replace(b'"company":"x"', b'"company":"' + "ü".encode() * 400 + b'"'),
]


def by_row(values: list[bytes | None]) -> tuple[dict[int, Event], dict[int, str]]:
    accepted, refused = {}, {}
    for at, value in enumerate(values):
        try:
            accepted[at] = decode_event(value, CONTRACT, now=NOW)
        except DecodeError as error:
            refused[at] = error.reason
    return accepted, refused


def check(values: list[bytes | None]) -> None:
    """Compare both paths with the rule: columns, and row by row as for a short fetch."""
    for min_arrow_records in (0, len(values) + 1):
        check_path(values, min_arrow_records)


def check_path(values: list[bytes | None], min_arrow_records: int) -> None:
    decoder = Decoder(CONTRACT, min_arrow_records=min_arrow_records)
    decoded = decoder.decode(values, now=NOW)
    accepted, refused = by_row(values)
    assert decoded.index.tolist() == list(accepted)
    assert {dead.index: dead.reason for dead in decoded.dead} == refused
    assert decoded.times.tolist() == [event.time for event in accepted.values()]
    columns = decoded.batch.to_pydict()
    for row, event in enumerate(accepted.values()):
        for name, value in event.values.items():
            cell = columns[name][row]
            if isinstance(value, str):
                assert cell == cut_text(value, CONTRACT.max_text_bytes)
            else:
                assert cell == value
                assert type(cell) is type(value)


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give even the shortest run to Arrow, so that small examples exercise it."""
    monkeypatch.setattr(module, "_MIN_RUN", 1)


@pytest.mark.parametrize("value", ODD)
def test_every_odd_record_is_decoded_by_the_rule_alone_and_among_others(
    value: bytes | None,
) -> None:
    check([value])
    check([GOOD, value, GOOD])
    check([value, value, GOOD, value])


def test_all_odd_records_at_once() -> None:
    check([GOOD, *ODD, GOOD])
    check([record for odd in ODD for record in (odd, GOOD)])


def test_runs_of_the_real_length_agree_with_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MIN_RUN", 16)
    rng = np.random.default_rng(7)
    for share in (0.0, 0.002, 0.3):
        values: list[bytes | None] = [
            ODD[rng.integers(len(ODD))] if rng.random() < share else GOOD for _ in range(3000)
        ]
        check(values)


numbers = st.one_of(st.integers(), st.floats(), st.none(), st.booleans(), st.text(max_size=3))
texts = st.one_of(st.text(max_size=300), st.none(), st.integers(0, 3))
objects = st.fixed_dictionaries(
    {},
    optional={
        "id": st.one_of(texts, st.integers()),
        "at": st.one_of(numbers, st.floats(0, 2 * NOW)),
        "fare": numbers,
        "miles": numbers,
        "seconds": st.one_of(numbers, st.integers(-(2**64), 2**64)),
        "company": texts,
        "new": st.recursive(numbers, lambda inner: st.lists(inner, max_size=2), max_leaves=4),
    },
)
sound = st.builds(
    lambda fare, text, at: {"id": "k", "at": at, "fare": fare, "company": text},
    st.floats(),
    st.text(max_size=5),
    st.floats(0, NOW),
)
encoded = st.one_of(
    st.builds(
        lambda value, ascii_: json.dumps(value, ensure_ascii=ascii_).encode("utf-8", "replace"),
        st.one_of(sound, sound, objects),
        st.booleans(),
    ),
    st.sampled_from(ODD),
    st.binary(max_size=8),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(encoded, max_size=12))
@example([b'{"fare":1', b',"id":"b","at":1}{"at":9}'])
def test_columns_and_rows_agree(values: list[bytes | None]) -> None:
    check(values)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.binary(max_size=2)), max_size=6))
def test_changed_bytes_never_affect_other_records(changes: list[tuple[int, bytes]]) -> None:
    values: list[bytes | None] = [GOOD]
    for at, piece in changes:
        values += [GOOD[:at] + piece + GOOD[at + 1 :], GOOD]
    check(values)


def test_unknown_fields_are_noticed_on_both_paths() -> None:
    new = GOOD[:-1] + b',"tip_size":1}'
    other = new.replace(b'"miles":1', b'"miles":NaN')
    for min_arrow_records in (0, 100):
        for values in ([new, GOOD], [GOOD, other]):
            decoder = Decoder(CONTRACT, min_arrow_records=min_arrow_records)
            decoded = decoder.decode(values, now=NOW)
            assert decoded.unknown == {"tip_size": "integer"}


def test_numeric_keys_are_read_by_arrow() -> None:
    values: list[bytes | None] = [GOOD.replace(b'"a"', str(n).encode()) for n in range(200)]
    decoder, reader = Decoder(CONTRACT), module.ArrowJsonReader(CONTRACT)
    for _ in range(2):  # the first fetch shows the type of the keys
        assert decoder.decode(values, now=NOW).batch.num_rows == 200
        (positions, _), unread = reader.parse(values)
    assert len(positions) == 200
    assert unread == []


VALUES = [
    "1700000000", "1700000000.5", "1700000000.0", "1.7e9", "9223372036854775807",
    "1700000000000000000", "9007199254740993", "-9223372036854775808", "9223372036854775808",
    "-9223372036854775809", '"1700000000"', '"noon"', '""', "null", "true", "NaN", "1e999", "7",
    "7.5", "[1]", "-1", '"a"',
]  # fmt: skip
KINDS: list[FeatureKind | None] = [None, "integer", "number", "text"]


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("time_kind", KINDS)
@pytest.mark.parametrize("key_kind", KINDS)
def test_the_key_and_the_time_may_be_features_of_any_kind(
    key_kind: FeatureKind | None, time_kind: FeatureKind | None, required: bool
) -> None:
    features = [number("fare")]
    for name, kind, sentinel in (("id", key_kind, "a"), ("at", time_kind, "noon")):
        if kind is not None:
            sentinels = (sentinel,) if kind == "text" else (1_700_000_000,)
            features.append(
                FeatureSpec(name=name, kind=kind, required=required, sentinels=sentinels)
            )
    with_features = contract(*features, key="id", time="at")
    records = [f'{{"id":{key},"at":{at},"fare":1}}'.encode() for key in VALUES for at in VALUES]
    rows = Decoder(with_features, min_arrow_records=len(records) + 1).decode(records, now=NOW)
    columns = Decoder(with_features, min_arrow_records=0).decode(records, now=NOW)
    assert columns.dead == rows.dead
    assert columns.index.tolist() == rows.index.tolist()
    assert columns.times.tolist() == rows.times.tolist()
    assert columns.batch.equals(rows.batch)
    assert np.isfinite(columns.times).all()


def test_one_time_in_nanoseconds_is_the_only_dead_record_of_a_fetch() -> None:
    trips = contract(integer("at", judged=False), number("fare"), key="id", time="at")
    good = b'{"id":"a","at":1700000000,"fare":1.5}'
    values = [good.replace(b"1700000000", b"1700000000000000000"), *[good] * 500]
    decoded = Decoder(trips).decode(values, now=NOW)
    assert [(dead.index, dead.reason, dead.field) for dead in decoded.dead] == [
        (0, "future_time", "at")
    ]
    assert decoded.batch.num_rows == 500
