"""Where a training's state lies, and when it goes."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from retrain.engines.tfx.model_training import (
    STATE_SECONDS,
    options_in,
    remove_abandoned,
    search_in,
)
from retrain.engines.tfx.warm_files import TRAINING, TrainingRecord
from retrain.training_options import ModelTraining, TunerOptions

NOW = 1_000_000.0


def test_only_states_that_nobody_took_up_for_a_day_are_removed(tmp_path: Path) -> None:
    for name, age in (("old", STATE_SECONDS + 1.0), ("young", STATE_SECONDS - 1.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "training.npz").write_bytes(b"state")
        os.utime(tmp_path / name, (NOW - age, NOW - age))
    remove_abandoned(tmp_path, NOW)
    assert [folder.name for folder in tmp_path.iterdir()] == ["young"]
    remove_abandoned(tmp_path / "absent", NOW)


def test_state_and_variants_reach_the_trainer(tmp_path: Path) -> None:
    options = options_in(ModelTraining(compression="auto"), tmp_path)
    assert (options.checkpoints, options.variants) == (str(tmp_path), ("float16", "int8"))


def test_a_search_begins_with_the_champions_values(tmp_path: Path) -> None:
    values = {"units": 8, "learning_rate": 0.02}
    record = TrainingRecord(code_digest="c", schema_digest="s", hyperparameters=values)
    (tmp_path / TRAINING).parent.mkdir()
    (tmp_path / TRAINING).write_bytes(msgspec.json.encode(record))
    training = ModelTraining(tuner=TunerOptions(trials=3))
    search = search_in(training, tmp_path / "state", tmp_path)
    assert search is not None
    assert (search.trials, search.champion) == (3, values)
    first = search_in(training, tmp_path / "state", None)
    assert first is not None
    assert first.champion == {}
    assert search_in(ModelTraining(), tmp_path, tmp_path) is None
