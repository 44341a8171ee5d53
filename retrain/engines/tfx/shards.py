"""Gzipped TFRecord shards without TensorFlow: read them, and cap how many rows are evaluated.

A record is framed as length (8 bytes, little endian), masked CRC of it (4), data, CRC (4).
Records are passed on byte for byte, so the checksums stay those of the writer.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path

from retrain.ports import EVAL_SHARDS, TRAIN_SHARDS
from streaming.contracts.errors import DecodeError

_FRAME = 16


def frames(shard: Path) -> Iterator[bytes]:
    """The records of a shard, each with its frame.

    Raises
    ------
    DecodeError
        When the shard ends within a record.
    """
    with gzip.open(shard) as stream:
        while head := stream.read(12):
            size = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            rest = stream.read(size + 4)
            if len(head) < 12 or len(rest) < size + 4:
                raise DecodeError(f"The shard {shard.name} ends within a record; write it again.")
            yield head + rest


def count_rows(folder: Path, pattern: str) -> int:
    """Records in the shards that match."""
    return sum(1 for shard in sorted(folder.glob(pattern)) for _ in frames(shard))


def cap_evaluation(examples: Path, into: Path, *, max_rows: int) -> Path:
    """A folder with all training shards and at most `max_rows` evaluation rows.

    `examples` itself when it has no more. Otherwise every n-th row is kept, over all shards, so
    that the sample has the same share of every slice; the same shards give the same sample.
    """
    rows = count_rows(examples, EVAL_SHARDS)
    if rows <= max_rows:
        return examples
    into.mkdir(parents=True)
    for shard in sorted(examples.glob(TRAIN_SHARDS)):
        (into / shard.name).symlink_to(shard.resolve())
    every = -(-rows // max_rows)
    number = 0
    with gzip.open(into / "eval-00000-of-00001.tfrecord.gz", "wb", compresslevel=1) as out:
        for shard in sorted(examples.glob(EVAL_SHARDS)):
            for frame in frames(shard):
                if number % every == 0:
                    out.write(frame)
                number += 1
    return into
