"""Capping the evaluation keeps records intact and samples the shards evenly."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from retrain.engines.tfx.shards import cap_evaluation, count_rows, frames
from retrain.engines.tfx.tfrecord import RecordWriter
from streaming.contracts.errors import DecodeError


def write(folder: Path, name: str, records: list[bytes]) -> None:
    folder.mkdir(exist_ok=True)
    with RecordWriter(folder / name) as writer:
        for record in records:
            writer.write(record)


def test_few_rows_are_not_capped(tmp_path: Path) -> None:
    write(tmp_path, "eval-0.tfrecord.gz", [b"a", b"b"])
    assert cap_evaluation(tmp_path, tmp_path / "capped", max_rows=2) == tmp_path


def test_many_rows_are_sampled_evenly_over_the_shards(tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    write(examples, "train-0.tfrecord.gz", [b"t"] * 50)
    write(examples, "eval-0.tfrecord.gz", [b"%d" % n for n in range(60)])
    write(examples, "eval-1.tfrecord.gz", [b"%d" % n for n in range(60, 100)])
    capped = cap_evaluation(examples, tmp_path / "capped", max_rows=30)
    kept = [frame[12:-4] for shard in capped.glob("eval-*") for frame in frames(shard)]
    assert kept == [b"%d" % n for n in range(0, 100, 4)]
    assert count_rows(capped, "train-*") == 50


def test_a_truncated_shard_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "eval-0.tfrecord.gz", [b"complete", b"cut"])
    data = gzip.decompress((tmp_path / "eval-0.tfrecord.gz").read_bytes())
    (tmp_path / "eval-0.tfrecord.gz").write_bytes(gzip.compress(data[:-3]))
    with pytest.raises(DecodeError, match="ends within a record"):
        count_rows(tmp_path, "eval-*")
