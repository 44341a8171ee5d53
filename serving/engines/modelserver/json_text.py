"""Writes JSON as TF Serving's writer (RapidJSON's PrettyWriter) does, for texts of errors and for
numbers that orjson cannot write.

Source: ``JsonValueToDebugString`` and ``WriteDecimal`` of ``util/json_tensor.cc``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

MAX_SHOWN = 256
"""An error text ends with the first part of the value that reaches this many bytes."""
_MAX_TEXT = 10_000  # a string is not split by TF Serving, but it may be the whole body
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r"}
_ESCAPES |= {"\t": "\\t"}
_ESCAPES |= {chr(c): f"\\u{c:04X}" for c in range(32) if chr(c) not in _ESCAPES}
_TABLE = str.maketrans(_ESCAPES)


def shown(value: Any) -> str:
    """A JSON value as TF Serving shows it in an error text.

    >>> shown([1, 2.5, "a"])
    '[1, 2.5, "a"]'
    """
    writer = _Writer()
    writer.value(value, 0)
    return "".join(writer.parts)


class _Writer:
    """Writes values until the text is long enough."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._bytes = 0

    def _put(self, text: str) -> None:
        self.parts.append(text)
        self._bytes += len(text.encode("utf-8", "replace"))

    @property
    def _full(self) -> bool:
        return self._bytes >= MAX_SHOWN

    def value(self, value: Any, level: int, before: str = "") -> bool:
        """Write `before` and a value; False when nothing more fits."""
        if self._full:
            return False
        if isinstance(value, dict):
            return self._object(value, level, before)
        if isinstance(value, list):
            return self._list(value, level, before)
        text = _scalar(value)
        self._put(before + (text or ""))
        return text is not None

    def _list(self, values: list[Any], level: int, before: str) -> bool:
        self._put(before + "[")
        for position, value in enumerate(values):
            if not self.value(value, level + 1, ", " if position else ""):
                return False
        return self._end("]")

    def _object(self, members: dict[str, Any], level: int, before: str) -> bool:
        self._put(before + "{")
        indent = "\n" + "    " * (level + 1)
        for position, (name, value) in enumerate(members.items()):
            if self._full:
                return False
            self._put(("," if position else "") + indent + _quoted(name))
            if not self.value(value, level + 1, ": "):
                return False
        return self._end(("\n" + "    " * level if members else "") + "}")

    def _end(self, text: str) -> bool:
        if self._full:
            return False
        self._put(text)
        return True


def _scalar(value: Any) -> str | None:
    """The text of a number, a string, a boolean or null; None for NaN and infinities."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _double(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return str(value)
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return _quoted(text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}...")


def _quoted(text: str) -> str:
    return '"' + text.translate(_TABLE) + '"'


def _double(value: float) -> str:
    """The shortest digits, in RapidJSON's notation (``Prettify`` of ``internal/dtoa.h``)."""
    sign, digits, exponent = _digits(value)
    point = len(digits) + exponent
    if exponent >= 0 and point <= 21:
        text = digits + "0" * exponent + ".0"
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        decimals = f".{digits[1:]}" if len(digits) > 1 else ""
        text = f"{digits[0]}{decimals}e{point - 1}"
    return sign + text


def _digits(value: float) -> tuple[str, str, int]:
    """Sign, digits and the power of ten of the last digit."""
    negative, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits))
    stripped = text.rstrip("0") or "0"
    power = int(exponent) + len(text) - len(stripped)
    return "-" * negative, stripped, 0 if stripped == "0" else power


def decimal(value: Any) -> str:
    """A float32 or double as TF Serving writes it: six digits, or as many as identify it.

    >>> decimal(np.float32(0.2)), decimal(np.float32(1 / 3)), decimal(np.float64(9e6))
    ('0.2', '0.333333343', '9e+06')
    """
    number = float(value)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    text = f"{number:.6g}"
    read: Callable[[str], Any] = np.float64 if isinstance(value, np.float64) else np.float32
    if read(text) != value:
        text = f"{number:.{17 if read is np.float64 else 9}g}"
    return text if "." in text or "e" in text else f"{text}.0"
