"""Keeps the labelled versions of each model loaded and bound, beside its rollouts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from deploy.metrics.exporter import MetricsExporter
from serving.engines.label_server import LabelServer
from streaming.contracts.errors import DriftlineError

log = structlog.get_logger()


@dataclass(slots=True)
class LabelledVersions:
    """The labels of one model."""

    model: str
    server: LabelServer
    labels: Mapping[str, int]
    exists: Callable[[int], bool]
    """Whether the store has a version."""
    _problem: str = field(default="", init=False)

    def step(self) -> int:
        """Do the next step; returns how many labels have not their version."""
        target = {name: number for name, number in self.labels.items() if self.exists(number)}
        absent = [f"{name} ({self.labels[name]})" for name in self.labels if name not in target]
        problem = f"The store has no version for {', '.join(absent)}." if absent else ""
        try:
            waiting = len(self.server.step(target))
        except DriftlineError as error:
            waiting, problem = len(target), str(error)
        if problem and problem != self._problem:
            log.warning("labels.problem", model=self.model, problem=problem)
        self._problem = problem
        return waiting + len(absent)


class LabelTicks:
    """Steps the labels of all models side by side, each in a thread of its own."""

    def __init__(self, models: tuple[LabelledVersions, ...], exporter: MetricsExporter) -> None:
        self._models, self._exporter = models, exporter
        self._threads = ThreadPoolExecutor(max(1, len(models)), thread_name_prefix="labels")
        self._running: dict[str, asyncio.Task[None]] = {}

    async def begin(self) -> None:
        """Start a step of every model that has ended its last one."""
        for labelled in self._models:
            task = self._running.get(labelled.model)
            if task is None or task.done():
                self._running[labelled.model] = asyncio.create_task(self._step(labelled))

    async def done(self) -> None:
        """Wait for the steps that run."""
        await asyncio.gather(*self._running.values())

    async def _step(self, labelled: LabelledVersions) -> None:
        loop = asyncio.get_running_loop()
        waiting = await loop.run_in_executor(self._threads, labelled.step)
        self._exporter.labels_waiting(labelled.model, waiting)
