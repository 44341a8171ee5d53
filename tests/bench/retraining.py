"""A retrain, timed by component, in one long-lived process like the worker.

Exchanges JSON lines: a `RetrainTask` in, the times of the components out.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from deploy.demo import messages
from deploy.demo.trips import generate
from deploy.services.model_server_launcher import DriftlineModelServer
from retrain.engines.kafka.examples import LogExampleBuilder
from retrain.engines.tfx.trainer import TfxTrainer
from retrain.models.big_tipper.contract import FEATURES
from retrain.ports import Progress, TrainingJob
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainRequest
from tests.bench.figures import ComponentTime


class RetrainTask(msgspec.Struct, frozen=True, kw_only=True):
    """Train `runs` times on `rows` rows; the last model is left in `model`."""

    rows: int
    runs: int
    folder: str
    model: str


CONTRACT = ModelContract(
    model="big_tipper",
    module="retrain.models.big_tipper",
    events_topic="trips",
    labels_topic="tips",
    key="trip_id",
    time="event_time",
    features=FEATURES,
)


def run(task: RetrainTask) -> tuple[ComponentTime, ...]:
    """The component times of each run; ``imports`` and ``Examples`` are among them."""
    folder = Path(task.folder)
    shutil.rmtree(folder, ignore_errors=True)
    log, request = _request(task.rows)
    times: dict[str, list[float]] = {}
    trainer = TfxTrainer(folder, server=DriftlineModelServer())
    began = time.perf_counter()
    trainer.warm()
    times["imports (once)"] = [time.perf_counter() - began] + [0.0] * (task.runs - 1)
    for number in range(task.runs):
        work = folder / f"run-{number}"
        began = time.perf_counter()
        examples = LogExampleBuilder(log=log).build(request, CONTRACT, work / "examples")
        times.setdefault("Examples", []).append(time.perf_counter() - began)
        (work / "work").mkdir()
        job = TrainingJob(
            request=request,
            contract=CONTRACT,
            version=1,
            examples=examples.folder,
            rows=examples.rows,
            rows_after_shift=examples.rows_after_shift,
            champion=None,
            work_dir=work / "work",
        )
        result = trainer.train(job, _silent)
        for component in result.components:
            times.setdefault(component.name, []).append(component.seconds)
        shutil.rmtree(task.model, ignore_errors=True)
        shutil.copytree(result.servable, task.model)
    return tuple(
        ComponentTime(component=name, seconds=tuple(seconds)) for name, seconds in times.items()
    )


def _silent(progress: Progress) -> None:
    return None


def _request(rows: int) -> tuple[MemoryLog, RetrainRequest]:
    log = MemoryLog()
    trips = generate(np.random.default_rng(11), rows)
    now = time.time()
    for number, (row, tips) in enumerate(zip(messages.rows(trips), trips.tips, strict=True)):
        key, at = ("trip_id", str(number)), ("event_time", now - 60.0)
        log.append_raw("trips", [(key[1].encode(), messages.event(row, key=key, time=at))])
        label = messages.label(row, float(tips), key=key, time=at)
        log.append_raw("tips", [(key[1].encode(), label)])
    return log, RetrainRequest(
        record_id="bench",
        model=CONTRACT.model,
        at=now,
        cause="initial",
        reason="The benchmark measures a retrain.",
        events=log.spans("trips"),
        labels=log.spans("tips"),
        window_start=now - 60,
        window_end=now,
        base_version=0,
        deadline=now + 3600,
    )


def main() -> None:
    """One task."""
    task = msgspec.json.decode(sys.stdin.readline(), type=RetrainTask)
    out, sys.stdout = sys.stdout, sys.stderr  # TFX prints
    parts = run(task)
    out.write(msgspec.json.encode(parts).decode() + "\n")
    out.flush()


if __name__ == "__main__":
    main()
