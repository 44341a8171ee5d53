"""Reads gzipped TFRecord shards without TensorFlow, caps the evaluated rows, and links shards into
the layout of TFX's examples.

A record is framed as length (8 bytes, little endian), masked CRC of the length (4), data, masked
CRC of the data (4). Records are copied byte for byte, so the checksums stay those of the writer.
"""

from __future__ import annotations

import gzip
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from retrain.ports import EVAL_SHARDS, TRAIN_SHARDS
from streaming.contracts.errors import ConfigurationError, DecodeError

_PATTERNS = {"train": TRAIN_SHARDS, "eval": EVAL_SHARDS}


def frames(shard: Path) -> Iterator[bytes]:
    """The records of a shard, each with its length and checksums.

    Raises
    ------
    DecodeError
        When the shard ends within a record.
    """
    with gzip.open(shard) as stream:
        while header := stream.read(12):
            size = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else 0
            body = stream.read(size + 4)
            if len(header) < 12 or len(body) < size + 4:
                raise DecodeError(f"The shard {shard.name} ends within a record; write it again.")
            yield header + body


def count_rows(folder: Path, pattern: str) -> int:
    """Number of records in the shards that match `pattern`."""
    return sum(1 for shard in sorted(folder.glob(pattern)) for _ in frames(shard))


def cap_evaluation(examples: Path, target: Path, *, max_rows: int) -> Path:
    """A folder with all training shards and at most `max_rows` evaluation rows.

    Returns `examples` itself when it has no more than that. Otherwise `target` is created, with
    every n-th row over all shards, so that the sample has the same share of every slice. The same
    shards give the same sample.
    """
    rows = count_rows(examples, EVAL_SHARDS)
    if rows <= max_rows:
        return examples
    target.mkdir(parents=True)
    for shard in sorted(examples.glob(TRAIN_SHARDS)):
        (target / shard.name).symlink_to(shard.resolve())
    stride = -(-rows // max_rows)
    number = 0
    with gzip.open(target / "eval-00000-of-00001.tfrecord.gz", "wb", compresslevel=1) as output:
        for shard in sorted(examples.glob(EVAL_SHARDS)):
            for frame in frames(shard):
                if number % stride == 0:
                    output.write(frame)
                number += 1
    return target


def splits_of(folder: Path) -> dict[str, str]:
    """Name of each split in a folder and the pattern of its files; empty when it has none.

    A folder has ``Split-train`` and ``Split-eval``, as TFX's examples do, or shards that are named
    after their split.
    """
    for patterns in ({name: f"Split-{name}/*" for name in _PATTERNS}, _PATTERNS):
        if all(any(folder.glob(pattern)) for pattern in patterns.values()):
            return dict(patterns)
    return {}


def linked_splits(folder: Path, target: Path) -> Path:
    """The examples of a folder in the layout of TFX's, without a copy.

    Returns `folder` itself when it has that layout; otherwise `target` is created anew, with links.

    Raises
    ------
    ConfigurationError
        When a split has no shard.
    """
    splits = splits_of(folder)
    if not splits:
        raise ConfigurationError(
            f"{folder} has no examples of both splits: it needs shards {TRAIN_SHARDS} and"
            f" {EVAL_SHARDS}, or folders Split-train and Split-eval."
        )
    if splits["train"] != TRAIN_SHARDS:
        return folder
    shutil.rmtree(target, ignore_errors=True)
    for name, pattern in splits.items():
        split = target / f"Split-{name}"
        split.mkdir(parents=True)
        shards = sorted(folder.glob(pattern))
        for number, shard in enumerate(shards):
            link = split / f"data_tfrecord-{number:05d}-of-{len(shards):05d}.gz"
            link.symlink_to(shard.resolve())
    return target
