"""Kinds of values in a record, and which values stand for missing ones."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from streaming.contracts.model import MISSING, FeatureSpec

WRONG_TYPE, NO_TIME = "wrong_type", "no_time"
_SHOWN = 40
"""Characters of a value that an error shows; producers choose it."""
_KINDS = {
    bool: "boolean",
    int: "integer",
    float: "number",
    Decimal: "number",
    str: "text",
    bytes: "bytes",
    list: "list",
    dict: "object",
}


def is_missing(value: Any, spec: FeatureSpec | None = None) -> bool:
    """Whether a value stands for a missing one.

    >>> [is_missing(value) for value in (None, float("nan"), "", 0, "0")]
    [True, True, True, False, False]
    >>> is_missing(-999, FeatureSpec(name="seats", kind="integer", sentinels=(-999,)))
    True
    """
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return True
    if spec is None or isinstance(value, bool | list | dict):
        return False
    # a float equals the integer that it was rounded to
    is_smallest = isinstance(value, int) and value == MISSING["integer"]
    return value in spec.sentinels or (spec.kind == "integer" and is_smallest)


def kind_of(value: Any) -> str:
    """Kind of a value, as the contract names it; empty for null.

    >>> kind_of(2), kind_of(2.5), kind_of("a"), kind_of(True), kind_of(None)
    ('integer', 'number', 'text', 'boolean', '')
    """
    return _KINDS.get(type(value), "")


def shortened(value: Any) -> str:
    """A value in an error's sentence: numbers and short text as they are, the rest by kind.

    >>> shortened("12,5"), shortened([1]), shortened({}), shortened("x" * 99)
    ("'12,5'", 'a list', 'an object', "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'")
    """
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
    if isinstance(value, bool | int | float) and abs(value) < 2**64:
        return repr(value)
    return named_kind(value)


def named_kind(value: Any) -> str:
    """The kind of a value with its article, in an error's sentence.

    >>> named_kind([1]), named_kind({}), named_kind("x")
    ('a list', 'an object', 'a text')
    """
    kind = kind_of(value) or type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
