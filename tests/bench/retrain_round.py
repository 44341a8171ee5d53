"""What one side of the retrain comparison reports of a round, and how it measures itself."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from tests.bench.figures import ComponentTime, RetrainRound


class FinishedRound(msgspec.Struct, frozen=True, kw_only=True):
    """A round that was measured and whose model is not scored yet."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    rows: int
    components: tuple[ComponentTime, ...]
    model: str
    """Folder of the SavedModel."""

    def scored(self, auc: float) -> RetrainRound:
        """The round of the report."""
        return RetrainRound(
            wall_seconds=self.wall_seconds,
            cpu_seconds=self.cpu_seconds,
            peak_bytes=self.peak_bytes,
            auc=auc,
            rows=self.rows,
            components=self.components,
        )


class RoundMeasurement:
    """Wall time, CPU time of this process and its children, and peak memory."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure what happens inside the `with`."""
        wall, cpu = time.perf_counter(), _cpu_seconds()
        yield
        self.wall, self.cpu = time.perf_counter() - wall, _cpu_seconds() - cpu

    def round(self, *, model: Path, rows: int, components: dict[str, float]) -> FinishedRound:
        """The report."""
        return FinishedRound(
            wall_seconds=self.wall,
            cpu_seconds=self.cpu,
            peak_bytes=_peak_bytes(),
            rows=rows,
            components=tuple(
                ComponentTime(component=name, seconds=(seconds,))
                for name, seconds in components.items()
            ),
            model=str(model),
        )


def _cpu_seconds() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        running += times.user + times.system
    return time.process_time() + ended.ru_utime + ended.ru_stime + running


def _peak_bytes() -> int:
    """Peak of this process and of each running child, added up."""
    pids = [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]
    return sum(_peak_of(pid) for pid in pids)


def _peak_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return 1024 * (peaks[0] if peaks else 0)
