"""Reads JSON as TF Serving's reader (RapidJSON 1.1.0) does, with its error texts and offsets.

orjson reads nearly every body and is a hundred times faster; this module has the last word on what
it refuses. RapidJSON takes more: the words NaN, Inf and Infinity, bytes behind the document, and
strings that are no UTF-8. Source: ``ParseJson`` of ``util/json_tensor.cc`` and RapidJSON's
``reader.h`` (``IterativeParse``).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import orjson

from serving.engines.modelserver.codes import Refused, invalid

MAX_DEPTH = 1_000
"""Deepest nesting; TensorFlow's tensors have at most 254 dimensions."""

_EMPTY = "The document is empty."
_VALUE = "Invalid value."
_NAME = "Missing a name for object member."
_COLON = "Missing a colon after a name of object member."
_IN_OBJECT = "Missing a comma or '}' after an object member."
_IN_ARRAY = "Missing a comma or ']' after an array element."
_HEX = "Incorrect hex digit after \\u escape in string."
_SURROGATE = "The surrogate pair in string is invalid."
_ESCAPE = "Invalid escape character in string."
_QUOTE = "Missing a closing quotation mark in string."
_TOO_BIG = "Number too big to be stored in double."
_FRACTION = "Miss fraction part in number."
_EXPONENT = "Miss exponent in number."
_TOO_DEEP = "Terminate parsing due to Handler error."

_DECIMALS = 800  # digits behind these change no double

_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
_ESCAPES = {b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n"}
_ESCAPES |= {b"r": b"\r", b"t": b"\t"}
_WORDS = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}
# What Python's json reads as RapidJSON does has none of these: long integers, exponents, surrogates
_SPECIAL = re.compile(rb"[0-9]{19}|[0-9][eE]|\\u[dD]")


def read(content: bytes) -> Any:
    """The value of a JSON document; a string that is no UTF-8 is bytes.

    Raises
    ------
    Refused
        INVALID_ARGUMENT with TF Serving's text.
    """
    if not content:
        raise invalid("JSON Parse error: The document is empty")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    if not _SPECIAL.search(content):
        try:
            return json.loads(content.decode())
        except (ValueError, RecursionError):
            pass
    return _Reader(content).document()


class _Reader:
    """One document and the position in it."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        for byte in b"\xef\xbb\xbf":  # a byte order mark, or a part of one
            if self._peek() == bytes((byte,)):
                self._at += 1

    def document(self) -> Any:
        """The first value; what follows it is not read."""
        self._skip_space()
        if self._peek() in (b"", b"\0", b"]", b"}", b",", b":"):
            self._fail(_EMPTY)
        stack: list[Any] = []
        while True:
            value, opened = self._value()
            if opened:
                stack.append(value)
                if len(stack) > MAX_DEPTH:
                    self._fail(_TOO_DEEP)
                if not self._starts(stack, value):
                    continue
                value = stack.pop()
            while stack and not self._add(stack[-1], value):
                value = stack.pop()
                if not stack:
                    return _plain(value)
            if not stack:
                return _plain(value)

    def _value(self) -> tuple[Any, bool]:
        """A value and False, or a new list or object and True."""
        first = self._peek()
        if first == b"[":
            self._at += 1
            return [], True
        if first == b"{":
            self._at += 1
            return _Object(), True
        if first == b'"':
            return self._string(), False
        if first in _WORDS:
            word, value = _WORDS[first]
            self._expect(word)
            return value, False
        if first in (b"", b"\0", b"]", b"}", b",", b":"):
            self._fail(_VALUE)
        return self._number(), False

    def _starts(self, stack: list[Any], value: Any) -> bool:
        """After an opening bracket: whether the list or object is empty; else stands at a value."""
        self._skip_space()
        if isinstance(value, _Object):
            if self._peek() == b"}":
                self._at += 1
                return True
            self._name(value)
            return False
        if self._peek() == b"]":
            self._at += 1
            return True
        return False

    def _add(self, parent: Any, value: Any) -> bool:
        """Add a value; whether another one follows in the same list or object."""
        self._skip_space()
        following = self._peek()
        if isinstance(parent, _Object):
            parent.members.setdefault(parent.name, _plain(value))  # it finds the first of equals
            if following == b"}":
                self._at += 1
                return False
            if following != b",":
                self._fail(_IN_OBJECT)
            self._at += 1
            self._skip_space()
            self._name(parent)
            return True
        parent.append(_plain(value))
        if following == b"]":
            self._at += 1
            return False
        if following != b",":
            self._fail(_IN_ARRAY)
        self._at += 1
        self._skip_space()
        return True

    def _name(self, parent: _Object) -> None:
        if self._peek() != b'"':
            self._fail(_NAME)
        name = self._string()
        parent.name = name if isinstance(name, str) else name.decode("utf-8", "replace")
        self._skip_space()
        if self._peek() != b":":
            self._fail(_COLON)
        self._at += 1
        self._skip_space()

    def _string(self) -> str | bytes:
        self._at += 1
        parts: list[bytes] = []
        while True:
            plain = _PLAIN.match(self._content, self._at)
            assert plain is not None
            parts.append(plain[0])
            self._at = plain.end()
            following = self._peek()
            if following == b'"':
                self._at += 1
                text = b"".join(parts)
                try:
                    return text.decode()
                except UnicodeDecodeError:
                    return text
            if following == b"\\":
                parts.append(self._escape())
            else:
                self._fail(_QUOTE if following in (b"", b"\0") else _ESCAPE)

    def _escape(self) -> bytes:
        start = self._at
        letter = self._content[start + 1 : start + 2]
        self._at += 2
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter != b"u":
            self._fail(_ESCAPE, start)
        point = self._hex(start)
        if 0xD800 <= point <= 0xDBFF:
            if self._content[self._at : self._at + 2] != b"\\u":
                self._fail(_SURROGATE, start)
            self._at += 2
            low = self._hex(start)
            if not 0xDC00 <= low <= 0xDFFF:
                self._fail(_SURROGATE, start)
            point = ((point - 0xD800) << 10 | (low - 0xDC00)) + 0x10000
        return chr(point).encode("utf-8", "surrogatepass")

    def _hex(self, start: int) -> int:
        digits = _HEX4.match(self._content, self._at)
        if digits is None:
            self._fail(_HEX, start)
        self._at = digits.end()
        return int(digits[0], 16)

    def _number(self) -> int | float:
        start = self._at
        minus = self._take(b"-")
        if self._peek() in (b"I", b"N"):
            return self._word(minus)
        whole = b"0" if self._take(b"0") else self._digits()
        if not whole:
            self._fail(_VALUE)
        if self._peek() not in (b".", b"e", b"E"):
            return self._integer(whole, minus, start)
        if _too_big(whole):
            self._fail(_TOO_BIG, start)
        decimals, exponent = b"", 0
        if self._take(b"."):
            decimals = self._digits()
            if not decimals:
                self._fail(_FRACTION)
        if self._take(b"e") or self._take(b"E"):
            counted = min(len(decimals), max(0, 17 - len(whole.lstrip(b"0"))))
            exponent = self._exponent(start, counted)
        number = float(whole + b"." + decimals[:_DECIMALS] + b"e%d" % exponent)
        return -number if minus else number

    def _exponent(self, start: int, counted: int) -> int:
        """An exponent; as many decimals as `counted` allow it to be larger."""
        negative = not self._take(b"+") and self._take(b"-")
        digits = self._digits()
        if not digits:
            self._fail(_EXPONENT)
        exponent = int(digits[:_DECIMALS])
        if not negative and len(digits) > 1 and exponent > 308 + counted:
            self._fail(_TOO_BIG, start)
        return -min(exponent, _DECIMALS) if negative else exponent

    def _integer(self, digits: bytes, minus: bool, start: int) -> int | float:
        """An integer of 64 bits, or else the nearest double."""
        value = int(digits) if len(digits) < 21 else 1 << 65
        if value <= (1 << 63 if minus else (1 << 64) - 1):
            return -value if minus else value
        if _too_big(digits):
            self._fail(_TOO_BIG, start)
        return -float(digits) if minus else float(digits)

    def _word(self, minus: bool) -> float:
        if self._peek() == b"N":
            self._expect(b"NaN")
            return math.nan
        self._expect(b"Inf")
        if self._peek() == b"i":
            self._expect(b"inity")
        return -math.inf if minus else math.inf

    def _expect(self, word: bytes) -> None:
        for byte in word:
            if self._peek() != bytes((byte,)):
                self._fail(_VALUE)
            self._at += 1

    def _digits(self) -> bytes:
        digits = _DIGITS.match(self._content, self._at)
        assert digits is not None
        self._at = digits.end()
        return digits[0]

    def _take(self, byte: bytes) -> bool:
        if self._peek() != byte:
            return False
        self._at += 1
        return True

    def _peek(self) -> bytes:
        return self._content[self._at : self._at + 1]

    def _skip_space(self) -> None:
        space = _SPACE.match(self._content, self._at)
        assert space is not None
        self._at = space.end()

    def _fail(self, text: str, at: int | None = None) -> NoReturn:
        offset = self._at if at is None else at
        raise _error(text, offset)


class _Object:
    """An object that is being read."""

    __slots__ = ("members", "name")

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}
        self.name = ""


def _too_big(whole: bytes) -> bool:
    """Whether an integer of these digits, without zeros before them, has no double."""
    return len(whole) > 309 or (len(whole) == 309 and math.isinf(float(whole)))


def _plain(value: Any) -> Any:
    return value.members if isinstance(value, _Object) else value


def _error(text: str, offset: int) -> Refused:
    return invalid(f"JSON Parse error: {text} at offset: {offset}")
