"""Encodes columns as tf.Examples, and as records of a TFRecord file; byte for byte as `tfrecord`
encodes rows, in a fraction of the time.

Each column becomes an Arrow column of encoded entries, and Arrow joins them row by row. Numbers
have entries of one width, so numpy writes them; each distinct text or integer is encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retrain.engines.tfx.tfrecord import MAX_FLOAT, feature_encoder, masked, record_head, varint
from streaming.contracts.model import FeatureKind, FeatureSpec

ARROW_TYPES: Mapping[FeatureKind, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
}
"""Kind of a feature → type of its column."""

_EMPTY = pa.scalar(b"", pa.binary())


def encode_examples(columns: Mapping[str, Any], specs: Sequence[FeatureSpec]) -> Any:
    """One serialized tf.Example for each row, as an Arrow column of bytes.

    Parameters
    ----------
    columns:
        Name → Arrow column of `ARROW_TYPES`; null where a value is missing.
    specs:
        The features, in the order in which they are written.
    """
    entries = [_entries(columns[spec.name], spec) for spec in specs]
    body = _joined(entries)
    return _joined([_by_length(body, lambda length: b"\x0a" + varint(length)), body])


def records(examples: Any) -> memoryview:
    """The bytes of TFRecord records of these examples, one after another."""
    heads = _by_length(examples, record_head)
    ends = np.fromiter(
        (google_crc32c.value(example) for example in examples.to_pylist()), np.uint32, len(examples)
    )
    framed = _joined([heads, examples, _fixed(masked(ends).astype("<u4").view(np.uint8), 4)])
    offsets = np.frombuffer(framed.buffers()[1], np.int32)[framed.offset :]
    data = memoryview(framed.buffers()[2] or b"")
    return data[offsets[0] : offsets[len(framed)]]


def _entries(column: Any, spec: FeatureSpec) -> Any:
    encode = feature_encoder(spec)
    if spec.kind != "number":
        distinct = column.dictionary_encode()
        encoded = pa.array(
            [encode(value) for value in distinct.dictionary.to_pylist()], pa.binary()
        )
        return pc.fill_null(encoded.take(distinct.indices), _EMPTY)
    present = np.asarray(column.is_valid())
    values = np.clip(column.drop_null().to_numpy(zero_copy_only=False), -MAX_FLOAT, MAX_FLOAT)
    entry = np.frombuffer(encode(0.0), np.uint8)
    matrix = np.tile(entry, (len(values), 1))
    matrix[:, -4:] = values.astype("<f4").view(np.uint8).reshape(-1, 4)
    offsets = np.zeros(len(column) + 1, np.int32)
    np.cumsum(present * len(entry), out=offsets[1:])
    return _binary(offsets, matrix)


def _by_length(column: Any, prefix: Callable[[int], bytes]) -> Any:
    """For each cell the prefix of its length."""
    lengths = pc.binary_length(column).dictionary_encode()
    return pa.array([prefix(n) for n in lengths.dictionary.to_pylist()], pa.binary()).take(
        lengths.indices
    )


def _joined(columns: Sequence[Any]) -> Any:
    return pc.binary_join_element_wise(*columns, b"")


def _fixed(data: Any, width: int) -> Any:
    return _binary(np.arange(0, len(data) + 1, width, dtype=np.int32), data)


def _binary(offsets: Any, data: Any) -> Any:
    flat: Any = np.ascontiguousarray(data)
    buffers: Any = [None, pa.py_buffer(offsets), pa.py_buffer(flat)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)
