"""Trains a net in processes of their own, all on one net: TensorFlow's workers of ``TF_CONFIG``.

TensorFlow must set up its collectives before anything else, and a retrain worker has run other
things by then, so each of these processes is new. They share a folder with the job and the rows;
worker 0 leaves the weights there. On one machine `train_in_processes` starts them all. On several,
each machine runs ``python -m retrain.engines.tfx.training_process FOLDER`` with its ``TF_CONFIG``,
and the machine of worker 0 runs the pipeline.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from retrain.engines.tfx.checkpoints import Progress
from retrain.engines.tfx.training_config import NetJob
from streaming.contracts.errors import ConfigurationError, PermanentError

if TYPE_CHECKING:
    from retrain.engines.tfx.training_data import TrainingData

_JOB, _ROWS, _RESULT, _WEIGHTS = "job.json", "rows.npz", "result.json", "weights.npz"
JOB_SECONDS = 600.0
"""How long a worker waits for the job to be written."""

_STOP_SECONDS = 10.0


class ProcessResult(msgspec.Struct, frozen=True, kw_only=True):
    """What worker 0 tells of a training."""

    progress: Progress
    precision: str
    cold: str
    devices: tuple[str, ...]


def train_in_processes(
    job: NetJob, rows: TrainingData, folder: Path, *, cold: str
) -> tuple[list[Any], ProcessResult]:
    """Train with ``job.options.workers`` processes here, or with those of ``TF_CONFIG``.

    Parameters
    ----------
    job:
        What is trained.
    rows:
        The rows, which all processes hold.
    folder:
        Empty folder that the processes share.
    cold:
        Why the weights of ``job.base`` are not used; see `train_net`.

    Returns
    -------
    The net's weights in its own order, and what worker 0 tells.

    Raises
    ------
    PermanentError
        When a process fails; the others are ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    rows.save(folder / _ROWS)
    content = msgspec.json.encode({"job": job, "cold": cold})
    (folder / "job.new").write_bytes(content)
    (folder / "job.new").rename(folder / _JOB)
    configs = _configs(job.options.workers)
    processes = [_start(folder, number, config) for number, config in enumerate(configs)]
    try:
        _wait(processes, folder)
    finally:
        _end(processes)
    result = msgspec.json.decode((folder / _RESULT).read_bytes(), type=ProcessResult)
    with np.load(folder / _WEIGHTS, allow_pickle=False) as arrays:
        weights = [arrays[f"{number}"] for number in range(len(arrays.files))]
    _clear(folder)  # the workers of the next training must not take this one up
    return weights, result


def main(folder: Path) -> None:
    """Train as one worker: the body of each process."""
    from retrain.engines.tfx.devices import cluster_of, device_names, strategy_of_process

    strategy = strategy_of_process()
    cluster = cluster_of(os.environ.get("TF_CONFIG", ""))
    _await(folder / _JOB)

    from retrain.engines.tfx.net_training import train_net
    from retrain.engines.tfx.training_data import TrainingData
    from retrain.models.heads import head_of

    content = msgspec.json.decode((folder / _JOB).read_bytes())
    job = msgspec.convert(content["job"], NetJob)
    rows = TrainingData.load(folder / _ROWS)
    trained = train_net(
        job, rows.inputs(), rows, head_of(job.code.task),
        strategy=strategy, cold=content["cold"], is_chief=cluster.index == 0,
    )  # fmt: skip
    if cluster.index:
        return
    weights: dict[str, Any] = {
        f"{n}": np.asarray(value) for n, value in enumerate(trained.model.weights)
    }
    with (folder / _WEIGHTS).open("wb") as stream:
        np.savez(stream, **weights)
    result = ProcessResult(
        progress=trained.progress,
        precision=trained.precision,
        cold=trained.cold,
        devices=device_names(strategy) * cluster.workers,
    )
    (folder / _RESULT).write_bytes(msgspec.json.encode(result))


def _clear(folder: Path) -> None:
    for name in (_JOB, _ROWS, _RESULT, _WEIGHTS):
        (folder / name).unlink(missing_ok=True)


def _configs(workers: int) -> list[str]:
    """``TF_CONFIG`` of each process that is to be started here."""
    given = os.environ.get("TF_CONFIG", "")
    if given:
        return [given]
    if workers < 1:
        raise ConfigurationError(f"{workers} workers cannot train; give 1 or more.")
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(workers)]
    return [
        msgspec.json.encode(
            {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        ).decode()
        for number in range(workers)
    ]


def _start(folder: Path, number: int, config: str) -> subprocess.Popen[bytes]:
    environment: Mapping[str, str] = os.environ | {
        "TF_CONFIG": config,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    with _log(folder, number).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "retrain.engines.tfx.training_process", str(folder)],
            stdout=log,
            stderr=log,
            env=environment,
        )


def _wait(processes: Sequence[subprocess.Popen[bytes]], folder: Path) -> None:
    """Wait until all have ended well."""
    waiting = dict(enumerate(processes))
    while waiting:
        for number, process in list(waiting.items()):
            code = process.poll()
            if code is None:
                continue
            if code:
                lines = _log(folder, number).read_text(errors="replace").strip().splitlines()
                raise PermanentError(
                    f"Training process {number} of {len(processes)} ended with exit code {code}:"
                    f" {lines[-1][:300] if lines else 'it wrote nothing'}."
                )
            del waiting[number]
        time.sleep(0.05)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(file: Path) -> None:
    deadline = time.monotonic() + JOB_SECONDS
    while not file.exists():
        if time.monotonic() > deadline:
            raise PermanentError(f"{file} did not appear within {JOB_SECONDS:g} s.")
        time.sleep(0.2)


def _log(folder: Path, number: int) -> Path:
    return folder / f"worker-{number}.log"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
