"""Decoding in columns accepts exactly the records that `decode_event` accepts, with its values."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from streaming.contracts.model import FeatureKind, FeatureSpec
from streaming.windowing.decode import Decoder
from streaming.windowing.flat_json import FlatJsonReader
from tests.streaming.statistics_data import contract, integer, number
from tests.streaming.windowing.flat_events import CONTRACT, GOOD, NOW, ODD, check


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


def test_fetches_of_the_real_length_agree_with_the_rule() -> None:
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
    for min_column_records in (0, 100):
        for values in ([new, GOOD], [GOOD, other]):
            decoder = Decoder(CONTRACT, min_column_records=min_column_records)
            decoded = decoder.decode(values, now=NOW)
            assert decoded.unknown == {"tip_size": "integer"}


def test_keys_may_be_numbers_and_texts_in_one_fetch() -> None:
    keys = [b"7", b'"a"', b"-0", b"9223372036854775807", b'"7"', b"7.0", b'""', b"null"]
    values: list[bytes | None] = [GOOD.replace(b'"a"', key) for key in keys * 20]
    check(values)
    (positions, _), unread = FlatJsonReader(CONTRACT).parse(values)
    assert (positions % 8).tolist() == [0, 1, 2, 3, 4] * 20
    assert sorted(at % 8 for at in unread) == sorted([5, 6, 7] * 20)


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
    rows = Decoder(with_features, min_column_records=len(records) + 1).decode(records, now=NOW)
    columns = Decoder(with_features, min_column_records=0).decode(records, now=NOW)
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
