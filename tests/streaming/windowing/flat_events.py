"""Flat events for tests: a contract, a good record, and all ways in which records are odd."""

from __future__ import annotations

from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Event, decode_event
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

TEXTS = [
    b"\\ud83d\\ude00",
    b"\\ud83d",
    b"\\ud83d ",
    b"\\ud83d\\u0041",
    b"\\ud83d\\ud83d\\ude00",
    b"\\ude00\\ud83d",
    b"\\uDE00",
    b"\\u12",
    b"\\u12g4",
    b"\\x41",
    b"\\",
    b'\\/\\b\\f\\n\\r\\t\\"',
    b"\x1f",
    b"\x7f",
    b"\n",
    b"\xc0\x80",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xff\xfe",
    "\u2028\ufeff\U0010ffff".encode(),
    b"[" * 600,
    b"{" * 1100,
    b"\\u0000",
]
"""What stands between the quotes of a text: escapes, half surrogate pairs, bytes that are no UTF-8,
control characters, brackets that nest nothing."""
NUMBERS = [
    b"-0", b"-0.0", b"0", b"0e5", b"-0e-5", b"1E5", b"1e+5", b"1e5", b"1e", b"1e+", b"-", b"+1",
    b".5", b"1.", b"00", b"-01", b"0x10", b"1_000", b"5e-324", b"2e-324", b"1.7976931348623157e308",
    b"1.7976931348623159e308", b"1e309", b"-1e309", b"9007199254740993", b"9007199254740993.0",
    b"9223372036854775807", b"-9223372036854775808", b"-9223372036854775809",
    b"18446744073709551615", b"18446744073709551616", b"1" + b"0" * 400, b"0." + b"3" * 400,
    b"1" + b"0" * 30 + b"e-30", b"123456789012345678.5", b"1.0", b"3.0e0", b"Infinity", b"nan",
    b"2.2250738585072011e-308", b"0.1e1", b"1 2", b"1700000000", b"1.7e9",
]  # fmt: skip
"""Numbers, and what is nearly one."""
SKIPPED = [
    *(b'"new":"' + text_ + b'"' for text_ in TEXTS),
    *(b'"' + text_ + b'":1' for text_ in TEXTS),
    *(b'"new":{"' + text_ + b'":["' + text_ + b'"]}' for text_ in TEXTS),
    *(b'"new":' + digits for digits in NUMBERS),
    *(b'"new":[1,{"a":' + digits + b"}]" for digits in NUMBERS),
    *(b'"new":' + b"[" * deep + b"]" * deep for deep in (1, 398, 498, 499, 500, 501, 900)),
    *(b'"new":' + b'{"a":' * deep + b"1" + b"}" * deep for deep in (498, 499, 500, 501)),
    b'"new":' + b"[" * 499 + b"]" * 499 + b',"more":[[]]',
    b'"new":' + b"[" * 600,
    b'"new":[1,]',
    b'"new":[,1]',
    b'"new":[1 2]',
    b'"new":{"a":1,}',
    b'"new":{"a"}',
    b'"new":{1:2}',
    b'"new":nul',
    b'"new":True',
    b'"new":/*1*/2',
    b"'new':1",
    b'"new"=1',
    b'"new":',
    b'"":1',
    b'"new":[NaN]',
    b'"new":-Infinity',
    b'"new":"\xff","new":1',
    b'"new":1e999,"other":2',
]
"""More fields of a record, which are not in the contract and so are skipped."""
TWICE = [
    (b'"fare":2.5', b'"fare":"x","fare":2.5'),
    (b'"fare":2.5', b'"fare":2.5,"fare":"x"'),
    (b'"fare":2.5', b'"fare":null,"fare":2.5'),
    (b'"fare":2.5', b'"fare":2.5,"\\u0066are":3.5'),
    (b'"fare":2.5', b'"fare":1e999,"fare":2.5'),
    (b'"fare":2.5', b'"fare":2.5,"fare":1e999'),
    (b'"fare":2.5', b'"fare":[[]],"fare":2.5'),
    (b'"company":"x"', b'"company":"\xff","company":"y"'),
    (b'"company":"x"', b'"company":"\\ud800","company":"y"'),
    (b'"company":"x"', b'"company":"y","company":""'),
    (b'"id":"a"', b'"id":"","id":"b"'),
    (b'"id":"a"', b'"id":"b","id":""'),
    (b'"id":"a"', b'"id":"b","id":7'),
    (b'"id":"a"', b'"id":true,"id":7'),
    (b'"at":1700000000.5', b'"at":null,"at":1700000000.5'),
    (b'"at":1700000000.5', b'"at":1700000000.5,"at":null'),
]
"""Fields that occur twice."""

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
    *(GOOD[:-1] + b"," + more + b"}" for more in SKIPPED),
    *(GOOD.replace(b'"x"', b'"' + text_ + b'"') for text_ in TEXTS),
    *(GOOD.replace(b"2.5", digits) for digits in NUMBERS),
    *(GOOD.replace(b"1700000000.5", digits) for digits in NUMBERS),
    *(GOOD.replace(b'"seconds":3', b'"seconds":' + digits) for digits in NUMBERS),
    *(GOOD.replace(b'"id":"a"', b'"id":' + digits) for digits in NUMBERS),
    *(GOOD.replace(first, twice) for first, twice in TWICE),
]


def by_row(
    values: list[bytes | None],
) -> tuple[dict[int, Event], dict[int, tuple[str, str, str, str]]]:
    """What the row rule makes of records: events, and why the others are refused."""
    accepted, refused = {}, {}
    for at, value in enumerate(values):
        try:
            accepted[at] = decode_event(value, CONTRACT, now=NOW)
        except DecodeError as error:
            refused[at] = (error.reason, str(error), error.field, error.value_kind)
    return accepted, refused


def check(values: list[bytes | None]) -> None:
    """Compare both paths with the rule: columns, and row by row as for a short fetch."""
    for min_column_records in (0, len(values) + 1):
        check_path(values, min_column_records)


def check_path(values: list[bytes | None], min_column_records: int) -> None:
    """Compare one path with the rule."""
    decoder = Decoder(CONTRACT, min_column_records=min_column_records)
    decoded = decoder.decode(values, now=NOW)
    accepted, refused = by_row(values)
    assert decoded.index.tolist() == list(accepted)
    assert {d.index: (d.reason, d.detail, d.field, d.value_kind) for d in decoded.dead} == refused
    assert decoded.times.tolist() == [event.time for event in accepted.values()]
    columns = decoded.batch.to_pydict()
    for row, event in enumerate(accepted.values()):
        for name, value in event.values.items():
            cell = columns[name][row]
            if isinstance(value, str):
                assert cell == cut_text(value, CONTRACT.max_text_bytes)
            else:
                assert repr(cell) == repr(value)  # 0.0 is not -0.0, and 1 is not 1.0
