"""Records of an older release, read as this one writes them.

Until grids had `fraction_bits`, a pivot from the settings was subtracted from a number before it
was counted. Counts without one (a pivot of 0) are those of six bits. Counts of shifted values have
other buckets; they are refused.
"""

from __future__ import annotations

from typing import Any

import msgspec

from streaming.contracts.errors import DecodeError


def without_pivots(data: bytes) -> bytes:
    """The JSON of a record without the pivots of its grids.

    Raises
    ------
    DecodeError
        When a pivot was subtracted from the counted values.

    Examples
    --------
    >>> without_pivots(b'{"grid": {"pivot": 0.0, "buckets": [1], "counts": [2]}}')
    b'{"grid":{"buckets":[1],"counts":[2]}}'
    """
    record = msgspec.json.decode(data)
    _drop_pivots(record)
    return msgspec.json.encode(record)


def _drop_pivots(value: Any) -> None:
    if isinstance(value, list):
        for part in value:
            _drop_pivots(part)
    elif isinstance(value, dict):
        if "buckets" in value and value.pop("pivot", 0.0) != 0.0:
            raise DecodeError(
                "The record counts a feature after subtracting a pivot, as an older release did; "
                "this release cannot compare it. Promote a version on newer windows.",
                reason="format_version",
            )
        for part in value.values():
            _drop_pivots(part)
