"""Arrays on their way from the process that parses large bodies.

Texts travel as one text and their lengths: to read many small objects holds Python's lock.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.engines.modelserver.codes import Code
from serving.engines.modelserver.tensors import strings


class Refusal(NamedTuple):
    """A refusal instead of an answer."""

    code: Code
    message: str


TOO_MUCH = Refusal(Code.RESOURCE_EXHAUSTED, "The body needs too much memory to be parsed.")

Packed = dict[str, Any]


def packed(arrays: dict[str, NDArray[Any]]) -> Packed:
    """The message for some arrays; see `unpacked`."""
    return {
        name: _texts(array) if array.dtype.hasobject else array for name, array in arrays.items()
    }


def unpacked(message: Packed) -> dict[str, NDArray[Any]]:
    """The arrays of a message.

    >>> unpacked(packed({"x": strings([b"a", b""], (2, 1))}))["x"].tolist()
    [[b'a'], [b'']]
    """
    return {
        name: value if isinstance(value, np.ndarray) else _array(*value)
        for name, value in message.items()
    }


def _texts(array: NDArray[Any]) -> tuple[bytes, NDArray[Any], tuple[int, ...]]:
    values = array.ravel().tolist()
    return b"".join(values), np.array([len(value) for value in values], np.int64), array.shape


def _array(content: bytes, lengths: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    ends = accumulate(map(int, lengths), initial=0)
    return strings([content[start:end] for start, end in pairwise(ends)], shape)
