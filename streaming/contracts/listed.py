"""A list of categories as one text: its distinct values in alphabetical order, one a line.

So an event, a row of training data and a prediction request hold the same text, whatever the order
in which a producer wrote the list. Where the statistics and the model want the values, they split
the text at the line feeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streaming.contracts.values import is_missing

SEPARATOR = "\n"
MAX_VALUES = 100
"""Most distinct values of a list; every one of them costs the model an embedding."""
MAX_BYTES = 4096
"""Most bytes of UTF-8 of the text."""
_INT64 = 2**63
EXPECTED = f"a list of at most {MAX_VALUES} texts, integers or booleans ({MAX_BYTES} bytes)"


def joined(values: Iterable[Any]) -> str | None:
    """The text of a list; None where the list has no value.

    An integer of 64 bits counts as its digits, a boolean as `true` or `false`. Null and the empty
    text are no values. A line feed inside a value becomes a space.

    Raises
    ------
    ValueError
        When an element is a list, an object or a number with a point, or when there are more
        values or bytes than the limits allow.

    Examples
    --------
    >>> joined(["wifi", "bar", None, "wifi", 7, True])
    '7\\nbar\\ntrue\\nwifi'
    >>> joined([]), joined([None, ""])
    (None, None)
    """
    names = sorted({_name(value) for value in values if not is_missing(value)})
    text = SEPARATOR.join(names)
    if len(names) > MAX_VALUES or len(text.encode()) > MAX_BYTES:
        raise ValueError("too many values")
    return text or None


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value.replace(SEPARATOR, " ")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return str(value)
    raise ValueError("no category")
