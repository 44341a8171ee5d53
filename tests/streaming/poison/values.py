"""Values that a field of a record may hold, and what the rule for events says of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tests.streaming.poison.forms import Form

Kind = Literal[
    "integer", "big", "number", "missing", "text", "boolean", "list", "object", "no json", "no text"
]
"""What a value is: a JSON integer of 64 bits, a bigger one, another number, a missing value, …"""

VALUES: dict[str, tuple[str | None, Kind]] = {
    "absent": (None, "missing"),
    "null": ("null", "missing"),
    "empty text": ('""', "missing"),
    "NaN": ("NaN", "missing"),
    "Infinity": ("Infinity", "missing"),
    "-Infinity": ("-Infinity", "missing"),
    "1e999": ("1e999", "missing"),
    "-1e999": ("-1e999", "missing"),
    "1e99999999999999999999": ("1e99999999999999999999", "missing"),
    "400 digits": ("9" * 400, "missing"),
    "10,000 digits": ("9" * 10_000, "missing"),
    "nan": ("nan", "no json"),
    "Inf": ("Inf", "no json"),
    "None": ("None", "no json"),
    "True": ("True", "no json"),
    "NaN as text": ('"NaN"', "text"),
    "null as text": ('"null"', "text"),
    "number as text": ('"1"', "text"),
    "0": ("0", "integer"),
    "1": ("1", "integer"),
    "-0": ("-0", "integer"),
    "-1": ("-1", "integer"),
    "2^53 - 1": ("9007199254740991", "integer"),
    "2^53": ("9007199254740992", "integer"),
    "2^53 + 1": ("9007199254740993", "integer"),
    "2^63 - 1": ("9223372036854775807", "integer"),
    "-2^63 + 1": ("-9223372036854775807", "integer"),
    "2^63": ("9223372036854775808", "big"),
    "2^64 - 1": ("18446744073709551615", "big"),
    "2^64": ("18446744073709551616", "big"),
    "-2^63 - 1": ("-9223372036854775809", "big"),
    "30 digits": ("123456789012345678901234567890", "big"),
    "1.0": ("1.0", "number"),
    "1e2": ("1e2", "number"),
    "1E-2": ("1E-2", "number"),
    "-0.0": ("-0.0", "number"),
    "1e308": ("1e308", "number"),
    "-1e308": ("-1e308", "number"),
    "largest float": ("1.7976931348623157e308", "number"),
    "smallest float": ("5e-324", "number"),
    "underflow": ("1e-999", "number"),
    "10,000 decimals": ("0." + "9" * 10_000, "number"),
    "leading zeros": ("0" * 400 + "1", "no json"),
    "leading zero": ("01", "no json"),
    "+1": ("+1", "no json"),
    "hexadecimal": ("0x10", "no json"),
    "1_000": ("1_000", "no json"),
    "1.": ("1.", "no json"),
    ".5": (".5", "no json"),
    "1e": ("1e", "no json"),
    "comma for point": ("1,5", "no json"),
    "true": ("true", "boolean"),
    "false": ("false", "boolean"),
    "empty list": ("[]", "list"),
    "list": ("[1]", "list"),
    "empty object": ("{}", "object"),
    "object": ('{"a":1}', "object"),
    "nothing": ("", "no json"),
    "text": ('"a"', "text"),
    "space": ('" "', "text"),
    "10 kB text": ('"' + "a" * 10_000 + '"', "text"),
    "control characters, escaped": ('"\\u0000\\u001b[31m\\u0007\\r\\n"', "text"),
    "control character, raw": ('"a\x1bb"', "no json"),
    "NUL, raw": ('"a\0b"', "no json"),
    "newline, raw": ('"a\nb"', "no json"),
    "tab, raw": ('"a\tb"', "no json"),
    "DEL and C1": ('"\x7f\x9b31m"', "text"),
    "direction marks": ('"\u202e\u2066\u2028"', "text"),
    "characters beyond 16 bits": ('"\U0001f600"', "text"),
    "surrogate pair, escaped": ('"\\ud83d\\ude00"', "text"),
    "no characters": ('"\uffff\U0010ffff"', "text"),
    "high surrogate": ('"\\ud800"', "no text"),
    "low surrogate": ('"\\udc00"', "no text"),
    "surrogates in the wrong order": ('"\\udc00\\ud800"', "no text"),
    "two high surrogates": ('"\\ud800\\ud800x"', "no text"),
    "surrogate, raw": ('"\udced\udca0\udc80"', "no text"),
    "Latin-1": ('"caf\udce9"', "no text"),
    "byte 255": ('"\udcff"', "no text"),
    "overlong slash": ('"\udcc0\udcaf"', "no text"),
    "overlong NUL": ('"\udcc0\udc80"', "no text"),
    "half a character": ('"\udce2\udc82"', "no text"),
    "beyond Unicode": ('"\udcf4\udc90\udc80\udc80"', "no text"),
    "unknown escape": ('"\\x41"', "no json"),
    "short escape": ('"\\u12"', "no json"),
    "open text": ('"a', "no json"),
    "single quotes": ("'a'", "no json"),
    "comment": ("1/* */", "no json"),
    "script": ("(function(){})()", "no json"),
}
"""Name -> the JSON of a value, with bytes that are no UTF-8 as Python's surrogate escapes."""

_ACCEPTED: dict[str, tuple[Kind, ...]] = {
    "number": ("integer", "big", "number"),
    "integer": ("integer",),
    "text": ("text",),
    "key": ("text", "integer"),
}


def changed_values(form: Form) -> Iterator[tuple[str, dict[str, str | None], str, str]]:
    """Each value in each field, the time left out: name, change, reason and field.

    The reason is empty where the record is usable.
    """
    roles = {"key": form.contract.key, "number": form.number, "integer": form.integer}
    if form.text:
        roles["text"] = form.text
    for role, name in roles.items():
        for title, (value, kind) in VALUES.items():
            reason = _reason(form, role, name, value, kind)
            yield f"{role}: {title}", {name: value}, reason, name if reason else ""
    minimum: dict[str, str | None] = {form.integer: "-9223372036854775808"}
    reason = "missing_field" if form.integer in form.required else ""
    yield "integer: -2^63", minimum, reason, form.integer if reason else ""


def _reason(form: Form, role: str, name: str, value: str | None, kind: Kind) -> str:
    if kind in ("no json", "no text"):
        return "not_json"
    if kind == "missing":
        return "missing_field" if name in form.required else ""
    if kind not in _ACCEPTED[role]:
        return "wrong_type"
    low, high = form.number_range
    outside = (role == "number" and not low <= float(value or "") <= high) or (
        role == "integer" and int(value or "") < form.integer_low
    )
    return "out_of_range" if outside else ""


def changed_times(
    form: Form, now: float, slack: float
) -> Iterator[tuple[str, str | None, str, bool]]:
    """Each kind of time: name, JSON, reason, and whether a usable one is long past.

    Times near a bound lie `slack` seconds from it.
    """
    past, future = form.contract.past_seconds, form.contract.future_seconds
    for title, (value, kind) in VALUES.items():
        if kind in ("no json", "no text"):
            yield title, value, "not_json", False
        elif kind in ("integer", "big", "number"):
            ahead = float(value or "") > now
            yield title, value, "future_time" if ahead else "past_time", False
        else:
            yield title, value, "no_time", False
    day = 86_400.0
    yield "whole seconds", str(int(now)), "", False
    yield "exponent", f"{now:.12e}", "", False
    yield "10,000 decimals", f"{now:.3f}" + "0" * 10_000, "", False
    yield "RFC 3339", '"2026-11-29T16:00:00Z"', "no_time", False
    yield "seconds as text", f'"{now:.0f}"', "no_time", False
    yield "milliseconds", f"{now * 1e3:.0f}", "future_time", False
    yield "microseconds", f"{now * 1e6:.0f}", "future_time", False
    yield "nanoseconds", f"{now * 1e9:.0f}", "future_time", False
    yield "a day before 1970", "-86400", "past_time", False
    yield "1970", f"{day}", "past_time", False
    yield "1980", "315532800", "past_time", False
    yield "2000", "946684800", "past_time", False
    yield "before the future bound", f"{now + future - slack}", "", False
    yield "beyond the future bound", f"{now + future + slack}", "future_time", False
    yield "within the past bound", f"{now - past + slack}", "", True
    yield "beyond the past bound", f"{now - past - slack}", "past_time", False
    yield "last year", f"{now - 365 * day}", "", True
