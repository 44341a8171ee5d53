"""A small training job with made-up rows, and processes that train it.

``python -m tests.retrain.engines.tfx.net_jobs FOLDER DEVICES`` trains the job of a folder on so
many logical devices of this machine's processor and prints the curve as JSON.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from retrain.engines.tfx.training_config import NetJob, TrainingOptions, custom_config, read_config
from tests.retrain.engines.small_models.orders.contract import CODE


def job(values: dict[str, Any] | None = None, *, base: str = "", **options: Any) -> NetJob:
    """A job on the small model of orders."""
    code, batch, _ = read_config(custom_config(CODE, model="orders", batch=64))
    return NetJob(
        code=code,
        values=values or {},
        batch=batch,
        steps=100_000,
        options=TrainingOptions(**options),
        base=base,
        rows_digest="rows",
    )


def rows(count: int, *, seed: int = 1) -> Any:
    """Transformed rows whose label depends on item and price."""
    from retrain.engines.tfx.training_data import TrainingData

    generator = np.random.default_rng(seed)
    item = generator.integers(-1, 30, (count, 1))
    price = generator.normal(size=(count, 1)).astype(np.float32)
    odds = np.where(item % 3 == 0, 2.0, -1.5) + price
    label = (generator.random((count, 1)) < 1.0 / (1.0 + np.exp(-odds))).astype(np.float32)
    return TrainingData({"item_number": item, "price_score": price}, label)


def train_here(of_job: NetJob, data: Any, *, devices: tuple[str, ...] = (), **given: Any) -> Any:
    """Train in this process."""
    from retrain.engines.tfx.devices import local_strategy
    from retrain.engines.tfx.net_training import train_net
    from retrain.models.heads import head_of

    strategy = local_strategy(devices)
    head = head_of(CODE.task)
    return train_net(of_job, data.inputs(), data, head, strategy=strategy, **given)


def write(folder: Path, of_job: NetJob, data: Any) -> Path:
    """The files that a process trains from."""
    folder.mkdir(parents=True, exist_ok=True)
    data.save(folder / "rows.npz")
    (folder / "job.json").write_bytes(msgspec.json.encode(of_job))
    return folder


def start(folder: Path, devices: int = 1) -> subprocess.Popen[bytes]:
    """Start a process that trains the job of a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(folder), str(devices)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def main(folder: Path, devices: int) -> None:
    """Train the job of a folder."""
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    cpu_part = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [cpu_part] * devices)

    from retrain.engines.tfx.training_data import TrainingData

    of_job = msgspec.json.decode((folder / "job.json").read_bytes(), type=NetJob)
    names = tuple(f"CPU:{number}" for number in range(devices))
    trained = train_here(of_job, TrainingData.load(folder / "rows.npz"), devices=names)
    sys.stdout.buffer.write(msgspec.json.encode(trained.progress))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
