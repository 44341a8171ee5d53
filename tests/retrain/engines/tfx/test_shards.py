"""Capping the evaluation keeps records intact and samples the shards evenly."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from retrain.engines.tfx.shards import cap_evaluation, count_rows, frames, linked_splits
from retrain.engines.tfx.tfrecord import RecordWriter
from streaming.contracts.errors import ConfigurationError, DecodeError


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


def test_shards_are_linked_into_the_layout_of_tfx(tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    for name in ("train-0", "train-1", "eval-0"):
        write(examples, f"{name}.tfrecord.gz", [name.encode()])
    for _ in range(2):  # a second run makes the links anew
        linked = linked_splits(examples, tmp_path / "linked")
    files = sorted(path.relative_to(linked).as_posix() for path in linked.glob("*/*"))
    assert files == [
        "Split-eval/data_tfrecord-00000-of-00001.gz",
        "Split-train/data_tfrecord-00000-of-00002.gz",
        "Split-train/data_tfrecord-00001-of-00002.gz",
    ]
    assert all((linked / file).is_symlink() for file in files)
    assert linked_splits(linked, tmp_path / "again") == linked


def test_a_folder_without_a_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "examples", "train-0.tfrecord.gz", [b"a"])
    with pytest.raises(ConfigurationError, match="no examples of both splits"):
        linked_splits(tmp_path / "examples", tmp_path / "linked")
