"""``python -m tests.bench.searching``: a search of hyperparameters in one and in two processes.

By turns, each search in a folder of its own, with the start of its processes. What is compared is
the number of epochs trained in a second, because which trials end early depends on their order. A
short search shows less: each process needs seconds to start, and the last trial runs alone. It says
something on an otherwise idle machine only: elsewhere two processes get twice the share.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from retrain.engines.tfx.search_space import search_space_of
from retrain.engines.tfx.training_config import NetJob, custom_config, read_config
from retrain.engines.tfx.training_data import TrainingData
from retrain.engines.tfx.trials import ROWS, slots
from retrain.engines.tfx.tuner import PoolTuner
from retrain.training_options import TunerOptions
from tests.retrain.engines.small_models.support.contract import CODE


def rows(count: int) -> TrainingData:
    """Transformed rows of the small model of tickets, with made-up labels."""
    generator = np.random.default_rng(1)
    texts, numbers = ("subject", "priority"), ("minutes", "never_sent")
    columns: dict[str, Any] = {
        "every_category": generator.integers(0, 2_000, (count, 2 * len(texts))),
        "every_number": generator.normal(size=(count, 3 * len(numbers))).astype(np.float32),
    }
    labels = (columns["every_number"][:, :1] > 0.0).astype(np.float32)
    return TrainingData(columns, labels + 2.0 * (columns["every_category"][:, :1] % 2))


def epochs_per_second(processes: int, trials: int, count: int) -> float:
    """Epochs of all trials by the seconds of the search."""
    code, batch, _ = read_config(custom_config(CODE, model="support", batch=256))
    with tempfile.TemporaryDirectory() as folder:
        rows(count).save(Path(folder, ROWS))
        search = PoolTuner(
            NetJob(code=code, values={}, batch=batch, steps=800),
            search_space_of(code.build_model),
            {},
            TunerOptions(trials=trials, seconds=3_600.0),
            Path(folder),
            slots(processes, []),
        )
        began = time.monotonic()
        search.search()
        return sum(trial.epochs for trial in search.trials) / (time.monotonic() - began)


def main() -> None:
    """Measure by turns, and print one JSON line."""
    parser = argparse.ArgumentParser(prog="tests.bench.searching", description=__doc__)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(given.rounds):
        for processes, measured in rates.items():
            measured.append(epochs_per_second(processes, given.trials, given.rows))
    ratio = float(np.median(rates[2]) / np.median(rates[1]))
    line = {"epochs_per_second": rates, "ratio": ratio, "load": os.getloadavg()[0]}
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
