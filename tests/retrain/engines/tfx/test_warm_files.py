"""The files for later trainings: what is written, what is read back, what a damaged one says."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from retrain.engines.model_store import folder_digest
from retrain.engines.tfx.warm_files import (
    TRAINING,
    TRIALS,
    WEIGHTS,
    Curve,
    TrainingRecord,
    finite,
    keep_trials,
    read_training,
    schema_digest,
    search_folder,
    transform_graph_of,
    write_warm_files,
)
from streaming.contracts.errors import DecodeError
from streaming.contracts.model_manifest import served_size

RECORD = TrainingRecord(
    code_digest="c",
    schema_digest="s",
    hyperparameters={"units": 8, "learning_rate": 0.01},
    curve=Curve(loss=finite([0.7, float("inf")])),
    out_of_vocabulary={"item": 0.25},
)


class Net:
    """Saves its weights as Keras does."""

    def save_weights(self, file: Path) -> None:
        file.write_bytes(b"weights")


def graph(folder: Path) -> Path:
    for name in ("metadata/schema.pbtxt", "transform_fn/saved_model.pb", "transform_fn/assets/v"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
        (folder / name).chmod(0o444)
    (folder / "pre_transform_stats").mkdir()
    (folder / "pre_transform_stats" / "big").write_bytes(bytes(1000))
    return folder


def servable(folder: Path, model: object) -> Path:
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(bytes(100))
    source = folder.parent / "graph"
    write_warm_files(
        folder,
        model=model,
        transform_graph=source if source.exists() else graph(source),
        record=RECORD,
    )
    return folder


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    folder = servable(tmp_path / "a", Net())
    assert read_training(folder) == RECORD
    assert (folder / WEIGHTS).read_bytes() == b"weights"
    copied = transform_graph_of(folder)
    assert copied is not None
    assert (copied / "transform_fn" / "assets" / "v").read_text() == "transform_fn/assets/v"
    assert not (copied / "pre_transform_stats").exists()


def test_the_same_training_has_the_same_digest(tmp_path: Path) -> None:
    first, second = servable(tmp_path / "a", Net()), servable(tmp_path / "b", Net())
    assert folder_digest(first) == folder_digest(second)


def test_a_server_loads_none_of_them(tmp_path: Path) -> None:
    assert served_size(servable(tmp_path / "a", Net())) == 100
    assert served_size(tmp_path / "absent") == 0


def test_a_model_without_keras_weights_has_none(tmp_path: Path) -> None:
    assert not (servable(tmp_path / "a", object()) / WEIGHTS).exists()


def test_an_older_version_has_no_record_and_no_graph(tmp_path: Path) -> None:
    assert read_training(tmp_path) is None
    assert transform_graph_of(tmp_path) is None


def test_the_trials_of_a_search_on_the_same_rows_are_kept(tmp_path: Path) -> None:
    folder, search = servable(tmp_path / "a", Net()), search_folder(tmp_path / "state", "d" * 64)
    keep_trials(search, folder)
    assert not (folder / TRIALS).exists()
    search.mkdir(parents=True)
    (search / "trials.json").write_text("[]")
    keep_trials(search, folder)
    assert (folder / TRIALS).read_text() == "[]"


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    folder = servable(tmp_path / "a", Net())
    (folder / TRAINING).write_text('{"code_digest": 5}')
    with pytest.raises(DecodeError, match=r"training.json cannot be read"):
        read_training(folder)


def test_the_digest_of_a_schema_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "schema").write_bytes(b"abc")
    assert schema_digest(tmp_path / "schema").startswith("ba7816bf")


class BigNet(Net):
    """Has weights of 8 MB."""

    weights = (np.zeros(1_000_000),)


@pytest.mark.parametrize(("free", "fits"), [(8_000_000, False), (8_100_000, True)])
def test_weights_that_do_not_fit_on_the_disk_are_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    if fits:
        assert (servable(tmp_path / "1", BigNet()) / WEIGHTS).is_file()
        return
    with pytest.raises(OSError, match="No space left") as caught:
        servable(tmp_path / "1", BigNet())
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "1" / WEIGHTS).exists()
