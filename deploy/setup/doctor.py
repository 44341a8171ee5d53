"""Checks this machine and checkout, and gives advice for each problem.

Needs only the standard library, so ``python3 -m deploy.setup.doctor`` also works in a checkout
without an environment. Nothing is changed or downloaded.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.config.paths import PROJECT, InstallPaths, install_paths
from deploy.config.port_map import HOST, PortMap
from deploy.setup import (
    environment,
    flink,
    glibc,
    jars,
    java,
    loopback,
    project,
    prometheus,
    stamps,
)
from deploy.setup.screen import show_line

MEMORY_GIGABYTES = 10.0
"""Peak of the stack, one training and the traffic together is below this."""
DISK_GIGABYTES = 8.0
_SETUP = "Run `make setup`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check."""

    name: str
    ok: bool
    observed: str
    """What is there."""
    advice: str
    """What to do; empty when `ok`."""


def checks(
    home: Path | None = None,
    ports: Mapping[str, int] | None = None,
    paths: InstallPaths | None = None,
) -> tuple[Check, ...]:
    """Check everything that the embedded stack needs.

    Parameters
    ----------
    home:
        DRIFTLINE_HOME, the folder of the state; that of this checkout by default.
    ports:
        Name and number of each port that must be free; the standard ports by default.
    paths:
        Folders of the installation; those of this checkout by default.
    """
    at, folder = paths or install_paths(), home or PROJECT / ".driftline"
    needed = PortMap().all_named(1) if ports is None else ports
    functions: tuple[Callable[[], Check], ...] = (
        machine,
        memory,
        lambda: disk(folder),
        lambda: python(at),
        lambda: command(at),
        lambda: extension_modules(at),
        lambda: java_runtime(at),
        lambda: jar_folder("kafka", at.kafka),
        lambda: jar_folder("beam", at.beam),
        lambda: flink_distribution(at),
        lambda: loopback_classes(at),
        lambda: program("envoy", at.venv_bin / "envoy"),
        lambda: program("prometheus", at.prometheus / "bin" / "prometheus"),
        lambda: program("alertmanager", at.prometheus / "bin" / "alertmanager"),
        lambda: free_ports(needed, folder),
    )
    with ThreadPoolExecutor(4) as pool:
        return tuple(pool.map(lambda function: function(), functions))


def _check(name: str, ok: bool, observed: str, advice: str) -> Check:
    return Check(name=name, ok=ok, observed=observed, advice="" if ok else advice)


def machine() -> Check:
    """Linux on x86_64 with at least two cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = f"{platform.system()} {platform.machine()}"
    ok = name == "Linux x86_64" and (cores or 1) >= 2
    observed = f"{name}, {cores} cores, glibc {platform.libc_ver()[1] or 'unknown'}"
    return _check("machine", ok, observed, "The embedded stack needs Linux on x86_64 and 2 cores.")


def memory() -> Check:
    """Enough memory is available."""
    available = available_gigabytes(Path("/proc/meminfo").read_text())
    advice = f"End other programs; about {MEMORY_GIGABYTES:.0f} GB are needed at the peak."
    return _check("memory", available >= MEMORY_GIGABYTES, f"{available:.1f} GB available", advice)


def available_gigabytes(meminfo: str) -> float:
    """Available memory in the text of /proc/meminfo; 0 when it is not given.

    >>> available_gigabytes("MemTotal: 9 kB\\nMemAvailable:  8000000 kB\\n")
    8.192
    """
    match = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(match[1]) * 1024 / 1e9 if match else 0.0


def disk(folder: Path) -> Check:
    """Enough disk space for the state."""
    free = shutil.disk_usage(folder if folder.exists() else PROJECT).free / 1e9
    advice = f"Make room, or set DRIFTLINE_HOME to a disk with {DISK_GIGABYTES:.0f} GB."
    return _check("disk", free >= DISK_GIGABYTES, f"{free:.0f} GB free at {folder}", advice)


def python(paths: InstallPaths) -> Check:
    """The environment exists and matches the lock."""
    if not paths.python.exists():
        return _check("python", False, "no environment", _SETUP)
    current = stamps.done(paths.stamps, "environment", environment.made_from())
    version = _run([str(paths.python), "-V"]).removeprefix("Python ") or "does not run"
    state = "as locked" if current else "older than requirements.lock"
    ok = current and version.startswith("3.11")
    return _check("python", ok, f"{version}, {state}", _SETUP)


def command(paths: InstallPaths) -> Check:
    """The driftline command belongs to this checkout."""
    ok = project.installed(paths)
    observed = str(paths.venv_bin / "driftline") if ok else "not installed for this checkout"
    return _check("command", ok, observed, _SETUP)


def extension_modules(paths: InstallPaths) -> Check:
    """The two modules that need a patch on glibc older than 2.38 can be loaded."""
    name = "extension modules"
    modules = [paths.site_packages / module for module in glibc.MODULES]
    missing = [module.name for module in modules if not module.exists()]
    if missing:
        return _check(name, False, f"no {missing[0]}", _SETUP)
    results = [glibc.load(paths.python, module) for module in modules]
    failed = [result.error for result in results if not result.ok]
    return _check(name, not failed, failed[0] if failed else f"{len(modules)} load", _SETUP)


def java_runtime(paths: InstallPaths) -> Check:
    """Java 17 runs from its package."""
    version = java.version(paths)
    return _check("java", version.startswith("17."), version or "does not run", _SETUP)


def jar_folder(engine: str, folder: Path) -> Check:
    """Every pinned jar exists with its size."""
    listed = [jar for jar in jars.parse(jars.LOCK.read_text()) if jar.engine == engine]
    sizes = {file.name: file.stat().st_size for file in folder.glob("*.jar")}
    present = sum(sizes.get(jar.name) == jar.size for jar in listed)
    observed = f"{present} of {len(listed)} jars"
    return _check(f"{engine} jars", present == len(listed), observed, _SETUP)


def flink_distribution(paths: InstallPaths) -> Check:
    """Flink is installed."""
    version = flink.version(paths)
    return _check("flink", bool(version), version or "not installed", _SETUP)


def loopback_classes(paths: InstallPaths) -> Check:
    """The classes that keep Flink and Beam from listening on every address are current."""
    exists = loopback.jar(paths).exists()
    current = exists and stamps.done(paths.stamps, "loopback", loopback.made_from())
    state = "as locked" if current else "older than the jars" if exists else "not installed"
    return _check("loopback classes", current, state, _SETUP)


def program(name: str, path: Path) -> Check:
    """A program runs and prints its version."""
    version = prometheus.version(path) if path.exists() else ""
    return _check(name, bool(version), version or f"{path} does not run", _SETUP)


def free_ports(ports: Mapping[str, int], home: Path) -> Check:
    """No other program uses a port of the stack; not checked while the stack runs."""
    if _stack_runs(home):
        return _check("ports", True, "used by the running stack", "")
    taken = [f"{port} ({name})" for name, port in ports.items() if _listening(port)]
    observed = f"taken: {', '.join(taken)}" if taken else f"{len(ports)} free"
    advice = "End the programs that hold them, or set local.port_offset in driftline.yaml."
    return _check("ports", not taken, observed, advice)


def _listening(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=0.5):
            return True
    except OSError:
        return False


def _stack_runs(home: Path) -> bool:
    file = home / "run" / "supervisor.lock"
    if not file.exists():
        return False
    with file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _run(argv: list[str]) -> str:
    try:
        completed = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return completed.stdout.strip()


def main() -> int:
    """Print the checks; returns 1 when one fails."""
    results = checks()
    for check in results:
        mark = "ok  " if check.ok else "FAIL"
        show_line(f"{mark} {check.name}: {check.observed} {check.advice}".rstrip())
    return 0 if all(check.ok for check in results) else 1


if __name__ == "__main__":
    sys.exit(main())
