"""One net on one device, on two, in two processes, and in a process that is killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from retrain.engines.tfx.checkpoints import Progress
from streaming.contracts.errors import ConfigurationError, PermanentError
from tests.retrain.engines.tfx import net_jobs

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

VALUES = {"epochs": 4}


@pytest.fixture(scope="module")
def data() -> Any:
    return net_jobs.rows(2_000)


@pytest.fixture(scope="module")
def alone(data: Any) -> Any:
    """The net as one device trains it."""
    return net_jobs.train_here(net_jobs.job(VALUES), data)


def weights(model: Any) -> list[Any]:
    return [np.asarray(weight) for weight in model.weights]


def test_the_loss_falls_and_is_the_same_each_time(alone: Any, data: Any) -> None:
    again = net_jobs.train_here(net_jobs.job(VALUES), data)
    assert alone.progress.loss[-1] < 0.8 * alone.progress.loss[0]
    assert again.progress == alone.progress
    for first, second in zip(weights(alone.model), weights(again.model), strict=True):
        np.testing.assert_array_equal(first, second)


def test_two_devices_give_the_loss_of_one(alone: Any, data: Any, tmp_path: Path) -> None:
    process = net_jobs.start(net_jobs.write(tmp_path, net_jobs.job(VALUES), data), devices=2)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    two = msgspec.json.decode(output, type=Progress)
    np.testing.assert_allclose(two.loss, alone.progress.loss, atol=1e-6)
    np.testing.assert_allclose(two.val_loss, alone.progress.val_loss, atol=1e-6)


def test_two_processes_give_the_loss_of_one(alone: Any, data: Any, tmp_path: Path) -> None:
    from retrain.engines.tfx.training_process import train_in_processes

    job = net_jobs.job(VALUES, workers=2)
    values, result = train_in_processes(job, data, tmp_path / "shared", cold="no champion")
    np.testing.assert_allclose(result.progress.loss, alone.progress.loss, atol=1e-6)
    assert len(result.devices) == 2
    for first, second in zip(weights(alone.model), values, strict=True):
        assert np.abs(first - second).max() < 1e-5


def test_a_process_that_fails_ends_the_training_and_says_which(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrain.engines.tfx import training_process

    monkeypatch.setattr(sys, "executable", "/bin/false")
    job = net_jobs.job(VALUES, workers=2)
    with pytest.raises(PermanentError, match=r"process \d of 2 ended with exit code 1: it wrote"):
        training_process.train_in_processes(job, data, tmp_path / "shared", cold="")


def test_a_killed_training_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    many = net_jobs.rows(40_000)
    values = {"dropout": 0.1}
    whole = net_jobs.train_here(net_jobs.job(values), many)
    kept = tmp_path / "kept"
    job = net_jobs.job(values, checkpoints=str(kept), checkpoint_seconds=0.0)
    process = net_jobs.start(net_jobs.write(tmp_path / "job", job, many))
    try:
        deadline = time.monotonic() + 300
        while not (kept / "training.npz").exists():
            assert process.poll() is None, "it ended before it saved anything"
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -9
    resumed = net_jobs.train_here(job, many)
    assert resumed.progress == whole.progress
    for first, second in zip(weights(resumed.model), weights(whole.model), strict=True):
        np.testing.assert_array_equal(first, second)
    assert not (kept / "training.npz").exists(), "a complete training leaves nothing behind"


def test_a_training_goes_on_within_an_epoch(tmp_path: Path, monkeypatch: Any) -> None:
    from retrain.engines.tfx import training_loop
    from retrain.engines.tfx.checkpoints import Checkpoints

    monkeypatch.setattr(training_loop, "CHUNK", 10)
    data = net_jobs.rows(2_000)
    job = net_jobs.job(VALUES, checkpoints=str(tmp_path), checkpoint_seconds=0.0)
    save, saved = Checkpoints.save, []

    def failing_save(self: Checkpoints, progress: Progress, arrays: Any) -> None:
        save(self, progress, arrays)
        saved.append((progress.epoch, progress.step))
        if saved[-1] == (1, 20):
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", failing_save)
    with pytest.raises(KeyboardInterrupt):
        net_jobs.train_here(job, data)
    first = len(saved)
    resumed = net_jobs.train_here(job, data)
    assert saved[first] == (2, 0) or saved[first][1] > 20
    assert resumed.progress == net_jobs.train_here(net_jobs.job(VALUES), data).progress


def test_a_hook_may_end_the_training_and_the_best_epoch_is_kept(data: Any) -> None:
    seen: list[int] = []

    def until_two(progress: Progress, rate: float) -> bool:
        seen.append(progress.epoch)
        assert 0.0 <= rate < 0.01
        return progress.epoch < 2

    trained = net_jobs.train_here(net_jobs.job(VALUES), data, on_epoch=until_two)
    assert seen == [1, 2]
    assert trained.progress.best_epoch == 2


def test_a_net_in_half_precision_is_served_in_float32(data: Any, monkeypatch: Any) -> None:
    from retrain.engines.tfx import net_training

    monkeypatch.setattr(net_training, "capabilities", lambda: ((8, 0),))
    trained = net_jobs.train_here(net_jobs.job(VALUES, precision="mixed"), data)
    assert trained.precision == "mixed_bfloat16"
    assert {layer.compute_dtype for layer in trained.model.layers} == {"float32"}
    assert trained.progress.loss[-1] < 0.8 * trained.progress.loss[0]


def test_a_training_step_of_the_models_own_is_refused(data: Any) -> None:
    import keras

    from retrain.engines.tfx.training_loop import compile_net
    from retrain.engines.tfx.training_plan import plan_of
    from retrain.models.heads import head_of
    from tests.retrain.engines.small_models.orders.contract import CODE

    class Own(keras.Model):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            raise AssertionError

    inputs = keras.Input((2,))
    model = Own(inputs, keras.layers.Dense(1)(inputs))
    with pytest.raises(ConfigurationError, match="a Own with a train_step of its own"):
        compile_net(model, head_of(CODE.task), plan_of(100, {}, batch=10, steps=10))
