"""Parses the JSON of a record, and says where and in which field it stops being JSON.

NaN, Infinity and a byte order mark are read, although they are no JSON. Text must be UTF-8: another
encoding is refused, and so is half of a surrogate pair, escaped or not. Where a name occurs twice,
the last value counts. An integer of more than 64 bits is a float, and an overflowing number is
infinite; both readers agree on this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import orjson

from streaming.contracts.errors import DecodeError

MAX_DEPTH = 500
"""Levels of lists and objects. A fixed bound, because that of a recursive reader depends on how
deep the reader's own caller is."""
NOT_JSON = "not_json"
MAX_NAME_CHARACTERS = 128
"""A name of a field is cut to this many characters where it is recorded: producers choose it."""
_SEARCHED = 4096
"""Characters in which the field of a syntax error is searched, to bound the work on one record."""

_INT64 = 2**63
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"?|[\[\]{},]', re.DOTALL)
_LONG = re.compile(r"\d{19}", re.ASCII)
"""Digits of an integer that may need more than 64 bits."""
_NO_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))


def parse_json(data: bytes) -> Any:
    """The value in `data`.

    Raises
    ------
    DecodeError
        With the reason ``not_json``; it names the field where the fault lies in one.

    Examples
    --------
    >>> parse_json(b'{"fare":NaN,"seats":18446744073709551616}')
    {'fare': nan, 'seats': 1.8446744073709552e+19}
    >>> parse_json(b'{"fare":02}')
    Traceback (most recent call last):
    streaming.contracts.errors.DecodeError: The record is not JSON: Expecting ',' delimiter at \
character 9, in field fare.
    """
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(data)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _lenient(data)


def _check_depth(data: bytes) -> None:
    """Raise `DecodeError` when lists and objects are nested too deeply."""
    brackets = _TEXT.sub(b"", data).translate(None, _NO_BRACKETS)
    if max(accumulate(1 if byte in b"[{" else -1 for byte in brackets), default=0) > MAX_DEPTH:
        text = data.decode("utf-8-sig", "surrogateescape")
        fields = (name for depth, name in _levels(text, _SEARCHED) if depth > MAX_DEPTH)
        name = recorded_name(next(fields, ""))
        subject = f"field {name}" if name else "it"
        raise DecodeError(
            f"The record is not JSON that is read: {subject} is nested more than {MAX_DEPTH} "
            "levels deep.",
            reason=NOT_JSON,
            field=name,
        )


def _lenient(data: bytes) -> Any:
    """Parse JSON with NaN and Infinity literals."""
    fault: ValueError | RecursionError | None = None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text, fault = data.decode("utf-8-sig", "surrogateescape"), error
    try:
        value = json.loads(text, parse_int=_integer) if _LONG.search(text) else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(fault or error, text) from error
    if fault is None and "\\ud" not in text and "\\uD" not in text:  # no half pair can be in it
        return value
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError) as error:
        name = recorded_name(_without_text(value))
        where = f"field {name} holds" if name else "it holds"
        raise DecodeError(
            f"The record is not JSON: {where} text that is not UTF-8.", reason=NOT_JSON, field=name
        ) from error
    if fault is not None:  # in a value that a later one of the same name replaced
        raise _refusal(fault, text) from fault
    return value


def _integer(text: str) -> int | float:
    """An integer; one of more than 64 bits is a float, as it is for orjson."""
    number = float(text)
    return int(text) if abs(number) < 2**66 and -_INT64 <= int(text) < 2 * _INT64 else number


def _refusal(error: ValueError | RecursionError, text: str) -> DecodeError:
    """The error of a record that cannot be parsed, with the position and the field."""
    name = ""
    match error:
        case json.JSONDecodeError():
            name = recorded_name(field_at(text, error.pos))
            fault = error.msg.removesuffix(" at")
            cause = f"{fault} at character {error.pos}" + (f", in field {name}" if name else "")
        case UnicodeDecodeError():
            position = len(error.object[: error.start].decode("utf-8", "ignore"))
            name = recorded_name(field_at(text, position))
            cause = f"byte {error.start} is not UTF-8" + (f", in field {name}" if name else "")
        case _:
            cause = str(error)
    return DecodeError(f"The record is not JSON: {cause}.", reason=NOT_JSON, field=name)


def field_at(text: str, position: int) -> str:
    """The field of the outermost object in which a character lies; empty where there is none.

    >>> text = '{"id":"a","trip":{"miles":[1,2'
    >>> field_at(text, 8), field_at(text, len(text)), field_at("[1", 2)
    ('id', 'trip', '')
    """
    if position > _SEARCHED:
        return ""
    depth, name = 0, ""
    for depth, name in _levels(text, position):  # noqa: B007  # the last one counts
        pass
    return name if depth > 0 else ""


def _levels(text: str, stop: int) -> Iterator[tuple[int, str]]:
    """The depth after each token before `stop`, and the field of the outermost object."""
    depth, name, is_name = 0, "", False
    for token in _TOKEN.finditer(text, 0, stop):
        symbol = token[0]
        if symbol in ("{", "["):
            depth += 1
            is_name = depth == 1 and symbol == "{"
        elif symbol in ("}", "]"):
            depth -= 1
        elif symbol == ",":
            is_name = depth == 1
        elif is_name and depth == 1:
            name, is_name = token[1], False
        yield depth, name


def _without_text(value: Any) -> str:
    """The first field that holds text which is not UTF-8; empty where it is not in a field."""
    for name, part in value.items() if isinstance(value, dict) else ():
        try:
            json.dumps([name, part], ensure_ascii=False).encode()
        except (UnicodeEncodeError, RecursionError):
            return str(name)
    return ""


def recorded_name(name: str) -> str:
    """The name of a field as records may hold it: UTF-8 and of bounded length.

    >>> recorded_name("fare"), recorded_name("a" * 9000) == "a" * MAX_NAME_CHARACTERS
    ('fare', True)
    >>> print(recorded_name("x\\udc00"))
    x\\udc00
    """
    return name[:MAX_NAME_CHARACTERS].encode("utf-8", "backslashreplace").decode()
