"""Memory and checkpoints of a running stream job: live heap, metaspace, processes."""

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
    """Measures one job."""

    stack: Stack
    rest_url: str
    """Flink's REST API, ``http://host:port``."""
    job: str

    def measure(self) -> tuple[float, ...]:
        """One figure for each of `MEASURES`, in their order."""
        task, pool, chief = (self._pid(name) for name in (TASKMANAGER, WORKERS, JOBMANAGER))
        newest = self._get(f"/jobs/{self.job}/checkpoints")["latest"]["completed"]
        return (
            live_bytes(self.histogram()) / MEGABYTE,
            self._metaspace() / MEGABYTE,
            resident(task) / MEGABYTE,
            resident(pool) / MEGABYTE,
            resident(chief) / MEGABYTE,
            newest["state_size"] / 1e3,
            newest["end_to_end_duration"],
            os.getloadavg()[0],
        )

    def histogram(self) -> str:
        """The TaskManager's live objects by class, after a full garbage collection."""
        jcmd = Path(java.program(install_paths())).with_name("jcmd")
        process = subprocess.run(
            [str(jcmd), str(self._pid(TASKMANAGER)), "GC.class_histogram"],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
        return process.stdout

    def _metaspace(self) -> float:
        (manager,) = self._get("/taskmanagers")["taskmanagers"]
        (metric,) = self._get(f"/taskmanagers/{manager['id']}/metrics?get={METASPACE}")
        return float(metric["value"])

    def _pid(self, name: str) -> int:
        (pid,) = (status.pid for status in self.stack.status() if status.name == name)
        if pid is None:
            raise RuntimeError(f"{name} is not running.")
        return pid

    def _get(self, path: str) -> Any:
        return httpx.get(f"{self.rest_url}{path}", timeout=30).raise_for_status().json()


def live_bytes(histogram: str) -> int:
    """The sum under a class histogram.

    >>> live_bytes("   1:  7  560  [B (java.base@17)\\nTotal      7     560\\n")
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
    for member in (process, *process.children(recursive=True)):
        total += member.memory_info().rss
    return total
