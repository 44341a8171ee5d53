"""What a running stream job holds: the heap that lives, metaspace, processes, checkpoints."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from deploy.config.paths import install_paths
from deploy.local.stack import Stack
from deploy.setup import java
from tests.bench.job_stack import TASKMANAGER, WORKERS

JOBMANAGER = "flink-jobmanager"
MEGABYTE = 1e6
METASPACE = "Status.JVM.Memory.Metaspace.Used"

MEASURES = {
    "heap after a collection": "MB",
    "metaspace": "MB",
    "TaskManager, resident": "MB",
    "Python workers, resident": "MB",
    "JobManager, resident": "MB",
    "newest checkpoint": "kB",
    "checkpoint's duration": "ms",
    "load of the machine": "processes",
}
"""Name and unit of each figure of `Probe.measure`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Looks at one job."""

    stack: Stack
    rest: str
    """Flink's REST API, ``http://host:port``."""
    job: str

    def measure(self) -> tuple[float, ...]:
        """One figure for each of `MEASURES`, in their order."""
        task, pool, chief = (self._pid(name) for name in (TASKMANAGER, WORKERS, JOBMANAGER))
        newest = self._ask(f"/jobs/{self.job}/checkpoints")["latest"]["completed"]
        return (
            living_bytes(self.histogram()) / MEGABYTE,
            self._metaspace() / MEGABYTE,
            resident(task) / MEGABYTE,
            resident(pool) / MEGABYTE,
            resident(chief) / MEGABYTE,
            newest["state_size"] / 1e3,
            newest["end_to_end_duration"],
            os.getloadavg()[0],
        )

    def histogram(self) -> str:
        """The TaskManager's living objects by class. Java collects all garbage for it."""
        jcmd = Path(java.program(install_paths())).with_name("jcmd")
        told = subprocess.run(
            [str(jcmd), str(self._pid(TASKMANAGER)), "GC.class_histogram"],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
        return told.stdout

    def _metaspace(self) -> float:
        (manager,) = self._ask("/taskmanagers")["taskmanagers"]
        (found,) = self._ask(f"/taskmanagers/{manager['id']}/metrics?get={METASPACE}")
        return float(found["value"])

    def _pid(self, name: str) -> int:
        (pid,) = (one.pid for one in self.stack.status() if one.name == name)
        if pid is None:
            raise RuntimeError(f"{name} does not run.")
        return pid

    def _ask(self, path: str) -> Any:
        return httpx.get(f"{self.rest}{path}", timeout=30).raise_for_status().json()


def living_bytes(histogram: str) -> int:
    """The sum under a class histogram.

    >>> living_bytes("   1:  7  560  [B (java.base@17)\\nTotal      7     560\\n")
    560
    """
    for line in reversed(histogram.splitlines()):
        match line.split():
            case ["Total", _, total]:
                return int(total)
    raise ValueError("The class histogram has no total.")


def resident(pid: int) -> int:
    """Resident bytes of a process and everything it started; shared pages count in each."""
    process = psutil.Process(pid)
    total = 0
    for one in (process, *process.children(recursive=True)):
        total += one.memory_info().rss
    return total
