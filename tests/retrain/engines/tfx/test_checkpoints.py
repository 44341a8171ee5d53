"""A state is taken up when it is whole and belongs to the same training, and not otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from retrain.engines.tfx.checkpoints import Arrays, Checkpoints, Progress

PROGRESS = Progress(epoch=3, step=20, loss_sum=4.5, best_epoch=2, best_loss=0.25, loss=[0.5, 0.4])


def arrays() -> Arrays:
    ones = np.ones((2, 3), np.float32)
    return Arrays(
        variables=[ones * n for n in range(12)], optimiser=[np.int64(7)], best=[ones * 0.5]
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    Checkpoints(tmp_path / "new", "a").save(PROGRESS, arrays())
    state = Checkpoints(tmp_path / "new", "a").load()
    assert state is not None
    progress, loaded = state
    assert progress == PROGRESS
    for name in ("variables", "optimiser", "best"):
        for first, second in zip(getattr(loaded, name), getattr(arrays(), name), strict=True):
            np.testing.assert_array_equal(first, second)


def test_another_training_does_not_take_it_up(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "a").save(PROGRESS, arrays())
    assert Checkpoints(tmp_path, "b").load() is None
    assert Checkpoints(tmp_path / "elsewhere", "a").load() is None


def test_a_damaged_state_is_none(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "a").save(PROGRESS, arrays())
    file = tmp_path / "training.npz"
    whole = file.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"x" * len(whole), whole[:-3]):
        file.write_bytes(content)
        assert Checkpoints(tmp_path, "a").load() is None


def test_a_half_written_file_leaves_the_last_state(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "a").save(PROGRESS, arrays())
    (tmp_path / "training.new").write_bytes(b"killed here")
    assert Checkpoints(tmp_path, "a").load() is not None


def test_a_save_is_due_after_its_time_and_remove_forgets(tmp_path: Path) -> None:
    assert not Checkpoints(tmp_path, "a", seconds=1e9).is_due()
    checkpoints = Checkpoints(tmp_path, "a", seconds=0.0)
    assert checkpoints.is_due()
    checkpoints.save(PROGRESS, arrays())
    checkpoints.remove()
    checkpoints.remove()
    assert checkpoints.load() is None
