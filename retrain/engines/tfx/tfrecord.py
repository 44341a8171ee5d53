"""Encodes tf.Example and writes TFRecord files without TensorFlow.

The wire format is small and frozen (``tensorflow/core/example/feature.proto`` and
``tensorflow/core/lib/io/record_writer.h``). Encoding it directly is many times faster than
building protos in Python, and TensorFlow's import takes seconds. A missing value becomes an absent
feature; a zero is a value and stays. `example_columns` encodes many rows at once.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import google_crc32c

from streaming.contracts.model import FeatureSpec

Value = int | float | str | None
Encode = Callable[[Value], bytes]

_MASK = 0xFFFFFFFF
_MASK_DELTA = 0xA282EAD8
_WORD = 2**64
_FLOAT = struct.Struct("<f")
_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
MAX_FLOAT = 3.4028234663852886e38
"""Largest value of a float of 32 bits."""


def feature_encoder(spec: FeatureSpec) -> Encode:
    """A function that encodes a value as the feature's entry in tf.Example; missing gives b""."""
    name = spec.name.encode()
    key = b"\x0a" + varint(len(name)) + name + b"\x12"

    if spec.kind == "number":
        prefix = _field(b"\x0a", key + varint(8) + b"\x12\x06\x0a\x04" + bytes(4))[:-4]

        def number(value: Value) -> bytes:
            if value is None:
                return b""
            clipped = min(max(float(value), -MAX_FLOAT), MAX_FLOAT)
            return prefix + _FLOAT.pack(clipped)

        return number

    if spec.kind == "integer":

        def integer(value: Value) -> bytes:
            if value is None:
                return b""
            values = _field(b"\x0a", varint(int(value) % _WORD))
            return _field(b"\x0a", key + _sized(_field(b"\x1a", values)))

        return integer

    def text(value: Value) -> bytes:
        if value is None:
            return b""
        values = _field(b"\x0a", str(value).encode())
        return _field(b"\x0a", key + _sized(_field(b"\x0a", values)))

    return text


def example(entries: bytes) -> bytes:
    """A serialised tf.Example of entries from the feature encoders."""
    return _field(b"\x0a", entries)


def varint(number: int) -> bytes:
    """Protobuf's base-128 encoding of a number >= 0.

    >>> varint(0), varint(300)
    (b'\\x00', b'\\xac\\x02')
    """
    if number < 128:
        return bytes((number,))
    encoded = bytearray()
    while number >= 128:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


class RecordWriter:
    """Writes one gzipped TFRecord file; equal records give equal bytes."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")
        # The header contains no name and no time, so that the same rows give the same file.
        self._gzip = gzip.GzipFile(
            filename="", mode="wb", compresslevel=1, fileobj=self._file, mtime=0
        )

    def write(self, record: bytes) -> None:
        """Append one record."""
        checksum = _CHECKSUM.pack(masked(google_crc32c.value(record)))
        self._gzip.write(b"".join((record_head(len(record)), record, checksum)))

    def write_framed(self, data: memoryview) -> None:
        """Append records that have their lengths and checksums already."""
        self._gzip.write(data)

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._gzip.close()
        self._file.close()


def _field(tag: bytes, payload: bytes) -> bytes:
    return tag + varint(len(payload)) + payload


def _sized(payload: bytes) -> bytes:
    return varint(len(payload)) + payload


def record_head(length: int) -> bytes:
    """What stands before a record of this length: the length and its checksum."""
    packed = _LENGTH.pack(length)
    return packed + _CHECKSUM.pack(masked(google_crc32c.value(packed)))


def masked(crc: Any) -> Any:
    """TFRecord's mask of a CRC-32C; of a number, or of an array of 32-bit numbers.

    >>> masked(0) == 0xA282EAD8
    True
    """
    if isinstance(crc, int):
        return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _MASK
    return (crc >> 15 | crc << 17) + _MASK_DELTA  # numbers of 32 bits wrap by themselves
