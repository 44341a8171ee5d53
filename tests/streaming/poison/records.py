"""Records that are wrong, or odd, as a whole."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import zlib
from collections.abc import Iterator

import msgspec

from tests.streaming.poison.forms import KEY, Form

Row = tuple[str, bytes | None, str, str | None]
"""Name, value, reason (empty where the record is usable) and field (None = any)."""
_STRUCTURE = frozenset(b'{}[]:,"')


def whole_records(form: Form, now: float) -> Iterator[Row]:
    """Every odd record of this form."""
    good = form.record(now)
    yield from _no_object(form)
    yield from _truncated(good)
    yield from _around(good)
    yield from _other_formats(good)
    yield from _deep(good)
    yield from _sizes(form, good)
    yield from _names(good)
    yield from _duplicates(form, good, now)


def with_field(good: bytes, name: str, value: bytes) -> bytes:
    """The record with one more field; `name` is JSON text without its quotes."""
    return good[:-1] + b',"' + name.encode("utf-8", "surrogateescape") + b'":' + value + b"}"


def _no_object(form: Form) -> Iterator[Row]:
    yield "tombstone", None, "empty", ""
    yield "no bytes", b"", "empty", ""
    yield "white space", b" \t\r\n", "empty", ""
    yield "NUL", b"\0", "not_json", ""
    yield "empty object", b"{}", *form.first_missing
    for value in (b"null", b"true", b"1", b"1.5", b'"text"', b"[]", b"[{}]", b"NaN", b"-Infinity"):
        yield f"only {value.decode()}", value, "not_an_object", ""
    for value in (b"hello", b"{", b"}", b"{]", b'{"', b'{"id"', b'"', b"\\", b"-", b"\xef\xbb\xbf"):
        yield f"only {value!r}", value, "not_json", None


def _truncated(good: bytes) -> Iterator[Row]:
    for at in range(1, len(good)):
        if good[at - 1] in _STRUCTURE:
            yield f"cut after byte {at}", good[:at], "not_json", None
    for at in (1, 5, 12):
        yield f"begins at byte {at}", good[at:], "not_json", None


def _around(good: bytes) -> Iterator[Row]:
    accepted = {
        "white space around": b" \r\n\t" + good + b"\n \t",
        "white space inside": good.replace(b",", b" ,\r\n\t").replace(b":", b" : "),
        "byte order mark": b"\xef\xbb\xbf" + good,
        "byte order mark, and NaN": b"\xef\xbb\xbf" + with_field(good, "other", b"NaN"),
    }
    refused = {
        "twice": good + good,
        "two lines": good + b"\n" + good,
        "three lines": b"\n".join([good, good, good]),
        "with a number after it": good + b" 1",
        "trailing brace": good + b"}",
        "trailing comma": good + b",",
        "comma before the brace": good[:-1] + b",}",
        "two commas": good.replace(b",", b",,", 1),
        "leading comma": b"," + good,
        "comment": good[:-1] + b"/* fare */}",
        "line comment": good + b" // done",
        "single quotes": good.replace(b'"', b"'"),
        "names without quotes": good.replace(b'"id"', b"id"),
        "equals signs": good.replace(b":", b"="),
        "trailing NUL": good + b"\0",
        "leading NUL": b"\0" + good,
        "NUL between": good[:-1] + b"\0}",
        "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf" + good,
        "form feed": good.replace(b",", b",\x0c", 1),
        "no-break space": good.replace(b",", b",\xc2\xa0", 1),
        "escape byte": b"\x1b" + good,
        "parentheses": b"(" + good + b")",
        "length before it": len(good).to_bytes(4, "big") + good,
    }
    yield from ((name, value, "", "") for name, value in accepted.items())
    yield from ((name, value, "not_json", None) for name, value in refused.items())
    yield "in a list", b"[" + good + b"]", "not_an_object", ""
    yield "as text", json.dumps(good.decode()).encode(), "not_an_object", ""


def _other_formats(good: bytes) -> Iterator[Row]:
    text, fields = good.decode(), json.loads(good)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "cp037"):
        yield encoding, text.encode(encoding), "not_json", None
    formats = {
        "gzip": gzip.compress(good, mtime=0),
        "zlib": zlib.compress(good),
        "base64": base64.b64encode(good),
        "msgpack": msgspec.msgpack.encode(fields),
        "pickle": pickle.dumps(fields),
        "Avro": b"\x00\x00\x00\x00\x07\x02k\x00\x00\x00\x00\x00\x00\x04@\x02",
        "protobuf": b"\x0a\x01k\x11\x00\x00\x00\x00\x00\x00\x04@\x18\x01",
        "PNG": b"\x89PNG\r\n\x1a\n",
        "XML": b"<event><id>k</id></event>",
        "CSV": b"k,2.5,1,x",
        "YAML": b"id: k\nfare: 2.5\n",
        "every byte": bytes(range(256)),
    }
    yield from ((name, value, "not_json", None) for name, value in formats.items())


def _deep(good: bytes) -> Iterator[Row]:
    for levels in (1, 10, 100, 499):
        yield f"{levels} lists", _nested(good, b"[", b"", b"]", levels), "", ""
        yield f"{levels} lists with NaN", _nested(good, b"[", b"NaN", b"]", levels), "", ""
        yield f"{levels} objects", _nested(good, b'{"a":', b"1", b"}", levels), "", ""
    for levels in (500, 900, 1_000, 1_100, 5_000):
        yield f"{levels} lists", _nested(good, b"[", b"", b"]", levels), "not_json", "other"
        nan = _nested(good, b"[", b"NaN", b"]", levels)
        yield f"{levels} lists with NaN", nan, "not_json", "other"
        yield f"{levels} objects", _nested(good, b'{"a":', b"1", b"}", levels), "not_json", "other"
    yield "100,000 lists", _nested(good, b"[", b"", b"]", 100_000), "oversize", ""
    yield "30,000 open lists", good[:-1] + b',"other":' + b"[" * 30_000, "not_json", "other"
    yield (
        "1,000 lists beside each other",
        with_field(good, "other", b"[" + b"[]," * 999 + b"1]"),
        "",
        "",
    )
    yield "2,000 brackets in text", with_field(good, "other", b'"' + b"[{" * 1_000 + b'"'), "", ""


def _nested(good: bytes, opening: bytes, inner: bytes, closing: bytes, levels: int) -> bytes:
    return with_field(good, "other", opening * levels + inner + closing * levels)


def _sizes(form: Form, good: bytes) -> Iterator[Row]:
    largest = form.contract.largest_event_bytes
    empty = len(with_field(good, "other", b'""'))
    for name, size in (("one below", largest - 1), ("at", largest)):
        padded = with_field(good, "other", b'"' + b"a" * (size - empty) + b'"')
        yield f"{name} the largest size", padded, "", ""
        yield f"{name} the largest size, blanks", good + b" " * (size - len(good)), "", ""
    for name, size in (("one above", largest + 1), ("1 MB", 10**6), ("4 MB", 4_000_000)):
        padded = with_field(good, "other", b'"' + b"a" * (size - empty) + b'"')
        yield f"{name} in size", padded, "oversize", ""
    yield "blanks beyond the largest size", good + b" " * largest, "oversize", ""


def _names(good: bytes) -> Iterator[Row]:
    accepted = {
        "empty name": "",
        "name in escapes": "o\\u0074her",
        "control characters in a name, escaped": "\\u0000\\u001b[31m\\n",
        "direction marks in a name": "\u202eother",
        "name of 10 kB": "n" * 10_000,
        "name of 10 kB, three bytes each": "\u20ac" * 3_300,
        "name with a dot and brackets": "a.b[0]",
        "name of an attribute": "__class__",
    }
    for title, name in accepted.items():
        yield title, with_field(good, name, b"1"), "", ""
    yield "surrogate in a name", with_field(good, "\\ud800", b"1"), "not_json", "\\ud800"
    yield "Latin-1 in a name", with_field(good, "caf\udce9", b"1"), "not_json", "caf\\udce9"
    yield "escape byte in a name", with_field(good, "a\x1b", b"1"), "not_json", "a"
    yield "newline in a name", with_field(good, "a\nb", b"1"), "not_json", "a"
    many = ",".join(f'"u{number}":{number}' for number in range(200))
    yield "200 unknown fields", good[:-1] + f",{many}}}".encode(), "", ""
    yield (
        "text that is not UTF-8 elsewhere",
        with_field(good, "other", b'"\xff"'),
        "not_json",
        "other",
    )
    yield "half a pair elsewhere", with_field(good, "other", b'["\\udc00"]'), "not_json", "other"
    for value in ("NaN", "-Infinity", "1e999", "18446744073709551616", "9" * 400, "null", "[[]]"):
        yield f"elsewhere {value[:24]}", with_field(good, "other", value.encode()), "", ""
    for value in ("Inf", "nan", "01", "+1", "0x1", "1.", "tru", "undefined", "[1,]", '{"a"}'):
        bad = with_field(good, "other", value.encode())
        yield f"elsewhere {value}", bad, "not_json", "other"


def _duplicates(form: Form, good: bytes, now: float) -> Iterator[Row]:
    key, number = form.contract.key, form.number
    yield "same key twice", with_field(good, key, f'"{KEY}"'.encode()), "", ""
    yield "two keys", with_field(good, key, b"7"), "", ""
    yield "a key, then null", with_field(good, key, b"null"), "missing_field", key
    yield "a key, then a list", with_field(good, key, b"[]"), "wrong_type", key
    yield "a key twice, once in escapes", with_field(good, "\\u0069d", b"8"), "", ""
    yield "same number twice", with_field(good, number, b"0.5"), "", ""
    yield "a number, then text", with_field(good, number, b'"1"'), "wrong_type", number
    yield "a number, then NaN", with_field(good, number, b"NaN"), "missing_field", number
    text_first = with_field(form.record(now, {number: '"1"'}), number, b"0.5")
    yield "text, then a number", text_first, "", ""
    yield (
        "a fault, then a number",
        with_field(form.record(now, {number: "01"}), number, b"0.5"),
        "not_json",
        number,
    )
    yield (
        "the same unknown field twice",
        with_field(with_field(good, "a", b"1"), "a", b'"x"'),
        "",
        "",
    )
    yield "1,000 times the same field", good[:-1] + b',"a":1' * 1_000 + b"}", "", ""
    if form.time:
        yield "two times", with_field(good, form.time, f"{now + 0.1:.3f}".encode()), "", ""
        yield "a time, then text", with_field(good, form.time, b'"noon"'), "no_time", form.time
        text_first = with_field(
            form.record(now, {form.time: '"noon"'}), form.time, f"{now:.3f}".encode()
        )
        yield "text, then a time", text_first, "", ""
