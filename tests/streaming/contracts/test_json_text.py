"""What is JSON, where it stops being JSON, and that neither depth nor length costs much."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.errors import DecodeError
from streaming.contracts.json_text import MAX_DEPTH, field_at, parse_json


def refusal(data: bytes) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        parse_json(data)
    assert caught.value.reason == "not_json"
    return caught.value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":-Infinity}', {"a": -math.inf}),
        (b'{"a":18446744073709551615}', {"a": 2**64 - 1}),
        (b'{"a":18446744073709551616,"b":Infinity}', {"a": 2.0**64, "b": math.inf}),
        (b'{"a":' + b"9" * 5_000 + b"}", {"a": math.inf}),
        (b'{"a":' + b"9" * 5_000 + b',"b":Infinity}', {"a": math.inf, "b": math.inf}),
        (b'{"a":999999999999999999,"b":[Infinity]}', {"a": 10**18 - 1, "b": [math.inf]}),
        (b'{"a":-9223372036854775809,"b":Infinity}', {"a": -(2.0**63), "b": math.inf}),
        (b'{"a":"\\ud83d\\ude00","b":Infinity}', {"a": "\U0001f600", "b": math.inf}),
        (b'{"a":1,"a":"x"}', {"a": "x"}),
        (b'{"a":"\\udc00","a":"x"}', {"a": "x"}),
    ],
)
def test_what_is_no_json_and_still_read(data: bytes, value: object) -> None:
    assert parse_json(data) == value


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b'{"id":"a","fare":01}', "fare", "at character 18, in field fare"),
        (b'{"id":"a","fare":', "fare", "at character 17, in field fare"),
        (b'{"id":"a","fa', "id", "Unterminated string"),
        (b'{"id":"a"', "id", "at character 9"),
        (b'{"id":"a","trip":{"miles":[1,{"x":nope}]}}', "trip", "in field trip"),
        (b'{"id":"a","note":"caf\xe9"}', "note", "field note holds text that is not UTF-8"),
        (b'{"id":"a","note":["\\ud800"]}', "note", "field note holds text that is not UTF-8"),
        (b'{"a":NaN,"note":["\\ud800"]}', "note", "field note holds text that is not UTF-8"),
        (b'{"a":NaN,"note":"\\uDFFF"}', "note", "field note holds text that is not UTF-8"),
        (b'{"a":NaN,"\\uD83D":1}', "\\ud83d", "holds text that is not UTF-8"),
        (b'{"note":"\xff","note":"x"}', "note", "byte 9 is not UTF-8"),
        (b'{"a":1,"company":"caf\xc3', "company", "is not UTF-8, in field company"),
        (b'{"note":"\xff", nope}', "note", "byte 9 is not UTF-8"),
        (b'["\\ud800"]', "", "it holds text that is not UTF-8"),
        (b'{"id":"a"}{"id":"b"}', "", "Extra data at character 10."),
        ('{"id":1}'.encode("utf-16"), "", "byte 0 is not UTF-8"),
        ('{"id":1}'.encode("utf-16-le"), "", "at character 1"),
        ('{"id":1}'.encode("utf-32"), "", "byte 0 is not UTF-8"),
        (b'{"n":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "n", "field n is nested more"),
        (b"[" * 2_000, "", "it is nested more than"),
    ],
)
def test_a_refusal_names_the_field_or_the_position(data: bytes, name: str, words: str) -> None:
    error = refusal(data)
    assert error.field == name
    assert words in str(error)


@pytest.mark.parametrize("inner", [b"1", b"NaN", b'"]]]]"'])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_the_bound_of_the_depth_is_exact(inner: bytes, brackets: tuple[bytes, bytes]) -> None:
    opening, closing = brackets
    parse_json(opening * MAX_DEPTH + inner + closing * MAX_DEPTH)
    refusal(opening * (MAX_DEPTH + 1) + inner + closing * (MAX_DEPTH + 1))


def test_many_brackets_that_are_not_nested_are_read() -> None:
    assert len(parse_json(b"[" + b"[]," * 9_999 + b"{}]")) == 10_000
    assert parse_json(b'"' + b'[{\\"' * 2_000 + b'"') == '[{"' * 2_000


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b'"' * 60_000,
        b'\\"' * 30_000,
        b'{"' + b'\\"' * 30_000,
        b'{"a":"' + b"\\" * 60_000,
        b'{"a":' + b"," * 60_000,
        b'{"a":[' + b'"x",' * 15_000,
        b"\xff" * 60_000,
        b'{"a":"' + b"\xff" * 60_000 + b'"}',
    ],
    ids=lambda data: str(data[:9]),
)
def test_no_record_takes_long_to_refuse(data: bytes) -> None:
    began = time.process_time()
    refusal(data)
    assert time.process_time() - began < 0.2


fields = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.one_of(st.integers(), st.text(max_size=4), st.none()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
        max_leaves=5,
    ),
    min_size=1,
    max_size=4,
)


@given(fields, st.data())
def test_the_field_of_a_position_is_the_one_that_holds_it(
    values: dict[str, Any], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(values)))
    before = {key: values[key] for key in values if key != name}
    prefix = json.dumps(before)[:-1] + (", " if before else "")
    start = len(f"{prefix}{json.dumps(name)}: ")
    text = prefix + json.dumps({name: values[name]})[1:]
    position = data.draw(st.integers(start, len(text) - 1))
    assert field_at(text, position) == json.dumps(name)[1:-1]


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(DecodeError):
        parse_json(data)
        return
    error = refusal(data)
    assert error.field.encode() in str(error).encode()
