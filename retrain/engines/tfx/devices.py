"""Which devices and processes train a net, and in which precision.

One process trains on all GPUs of the machine that it sees (a worker's lease decides which those
are: ``CUDA_VISIBLE_DEVICES``). Several processes train together where ``TF_CONFIG`` names them, as
TensorFlow's job schedulers set it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec
import tensorflow as tf

from retrain.training_options import Precision
from streaming.contracts.errors import ConfigurationError

TENSOR_CORES = (7, 0)
"""Least compute capability with fast float16."""

BFLOAT16 = (8, 0)
"""Least compute capability with fast bfloat16, which needs no scaling of the loss."""

MIXED_WEIGHTS = 1_000_000
"""A net with fewer weights outside its tables waits for the launch of kernels, not for them."""


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What ``TF_CONFIG`` says."""

    workers: int
    """Number of processes."""
    index: int
    """Number of this process; 0 writes what is to be kept."""


def cluster_of(text: str) -> Cluster:
    """Read ``TF_CONFIG``; empty = one process.

    Raises
    ------
    ConfigurationError
        When it is no JSON object with workers, or names a task that is no worker.

    >>> cluster_of(""), cluster_of('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 1}}')
    (Cluster(workers=1, index=0), Cluster(workers=2, index=1))
    """
    if not text:
        return Cluster(workers=1, index=0)
    try:
        config = msgspec.json.decode(text)
        workers = len(config["cluster"]["worker"])
        task = config["task"]
        index = int(task["index"])
        kind = task.get("type", "worker")
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"TF_CONFIG cannot be used ({error}). It must be like"
            ' {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}.'
        ) from error
    if kind != "worker" or not 0 <= index < workers:
        raise ConfigurationError(
            f"TF_CONFIG names the task {kind} {index}; training knows workers 0 to {workers - 1}"
            " only, and worker 0 is the chief."
        )
    return Cluster(workers=workers, index=index)


def local_strategy(devices: Sequence[str] = ()) -> Any:
    """TensorFlow's strategy over `devices`, or over all GPUs of this process.

    One device, or none, needs no strategy: TensorFlow's default one is returned.
    """
    names = list(devices) or [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    if len(names) < 2:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(names)


def strategy_of_process() -> Any:
    """The strategy of a process of its own: over all workers of ``TF_CONFIG``, or local.

    Call it before anything else of TensorFlow, which must set up its collectives first.
    """
    if cluster_of(os.environ.get("TF_CONFIG", "")).workers > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    return local_strategy()


def device_names(strategy: Any) -> tuple[str, ...]:
    """The devices of this process that a strategy uses, such as ``GPU:0``."""
    if strategy.num_replicas_in_sync > 1:
        return tuple(_short(name) for name in strategy.extended.worker_devices)
    return ("GPU:0",) if tf.config.list_logical_devices("GPU") else ("CPU:0",)


def capabilities() -> tuple[tuple[int, int], ...]:
    """Compute capability of each GPU that this process sees; (0, 0) where it is not known."""
    details = (
        tf.config.experimental.get_device_details(gpu)
        for gpu in tf.config.list_physical_devices("GPU")
    )
    return tuple(tuple(each.get("compute_capability", (0, 0))) for each in details)


def precision_of(setting: Precision, gpus: Sequence[tuple[int, int]], weights: int) -> str:
    """Keras' dtype policy for a training.

    Parameters
    ----------
    setting:
        The owner's setting.
    gpus:
        Compute capability of each GPU.
    weights:
        Number of the net's weights outside its tables.

    >>> precision_of("auto", [(9, 0)], 5_000_000), precision_of("auto", [(9, 0)], 10_000)
    ('mixed_bfloat16', 'float32')
    >>> precision_of("mixed", [(7, 5)], 10_000), precision_of("mixed", [], 10_000)
    ('mixed_float16', 'float32')
    """
    if setting == "float32" or not gpus or min(gpus) < TENSOR_CORES:
        return "float32"
    if setting == "auto" and weights < MIXED_WEIGHTS:
        return "float32"
    return "mixed_bfloat16" if min(gpus) >= BFLOAT16 else "mixed_float16"


def _short(name: str) -> str:
    return ":".join(name.rsplit(":", 2)[-2:])
