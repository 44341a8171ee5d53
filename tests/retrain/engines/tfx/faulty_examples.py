"""Example builders that write what a fault needs; they live in the trainer's process."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.services.model_server_launcher import DriftlineModelServer
from retrain.engines.tfx.champion_check import CheckedTrainer
from retrain.engines.tfx.trainer import TfxTrainer
from retrain.ports import ExampleSet
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainRequest
from tests.retrain.engines.taxi_trips import trips, write_shards

ROWS = 600
SECRET = "Blue Ribbon Taxi Association Inc."
"""A value of rows of the excerpt that no failure may tell."""


class FaultyExamples:
    """Writes rows with the fault that the request's id names."""

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        rows = trips(ROWS)
        match request.record_id:
            case "full-disk":
                raise OSError(errno.ENOSPC, "No space left on device", str(folder))
            case "one-class":
                rows = [row | {"tips": 0.0, "company": SECRET} for row in rows]
            case "a-dozen-rows":
                rows = rows[:12]
            case "nan-inputs":
                rows = [row | {"fare": math.nan} if n % 3 else row for n, row in enumerate(rows)]
        write_shards(folder, rows)
        return ExampleSet(
            folder=folder, rows=len(rows), rows_after_shift=0, unlabelled=0, unusable=0
        )


@contextmanager
def faulty_examples() -> Iterator[FaultyExamples]:
    yield FaultyExamples()


def real_trainer(home: Path) -> CheckedTrainer:
    """The trainer as the worker has it."""
    return CheckedTrainer(TfxTrainer(home, server=DriftlineModelServer()))
