"""What is wrong with this machine or checkout, and what to do about it.

Needs the standard library only: ``python3 -m deploy.setup.doctor`` also explains a checkout whose
environment could not be made. Nothing is changed and nothing is fetched.
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
from deploy.setup import environment, flink, glibc, jars, java, project, prometheus, stamps
from deploy.setup.screen import say

MEMORY_GIGABYTES = 10.0
"""The stack, one training and the traffic together peak below it."""
DISK_GIGABYTES = 8.0
_SETUP = "Run `make setup`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must be right."""

    name: str
    ok: bool
    found: str
    advice: str
    """What to do, empty when it is right."""


def checks(
    home: Path | None = None,
    ports: Mapping[str, int] | None = None,
    here: InstallPaths | None = None,
) -> tuple[Check, ...]:
    """Look at everything that the embedded stack needs.

    Parameters
    ----------
    home:
        DRIFTLINE_HOME, where state is written; this checkout's by default.
    ports:
        Name and number of each port that must be free; the default ports by default.
    here:
        Where the engines lie; this checkout's places by default.
    """
    at, folder = here or install_paths(), home or PROJECT / ".driftline"
    needed = PortMap().named() if ports is None else ports
    looks: tuple[Callable[[], Check], ...] = (
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
        lambda: program("envoy", at.venv_bin / "envoy"),
        lambda: program("prometheus", at.prometheus / "bin" / "prometheus"),
        lambda: program("alertmanager", at.prometheus / "bin" / "alertmanager"),
        lambda: free_ports(needed, folder),
    )
    with ThreadPoolExecutor(4) as pool:
        return tuple(pool.map(lambda look: look(), looks))


def _check(name: str, ok: bool, found: str, advice: str) -> Check:
    return Check(name=name, ok=ok, found=found, advice="" if ok else advice)


def machine() -> Check:
    """Linux on x86_64 with two cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = f"{platform.system()} {platform.machine()}"
    ok = name == "Linux x86_64" and (cores or 1) >= 2
    found = f"{name}, {cores} cores, glibc {platform.libc_ver()[1] or 'unknown'}"
    return _check("machine", ok, found, "The embedded stack needs Linux on x86_64 and 2 cores.")


def memory() -> Check:
    """Enough memory is available now."""
    found = available_gigabytes(Path("/proc/meminfo").read_text())
    advice = f"End other programs; about {MEMORY_GIGABYTES:.0f} GB are needed at the peak."
    return _check("memory", found >= MEMORY_GIGABYTES, f"{found:.1f} GB available", advice)


def available_gigabytes(meminfo: str) -> float:
    """What /proc/meminfo says is available, 0 when it does not say.

    >>> available_gigabytes("MemTotal: 9 kB\\nMemAvailable:  8000000 kB\\n")
    8.192
    """
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 / 1e9 if found else 0.0


def disk(folder: Path) -> Check:
    """Enough space where state is written."""
    free = shutil.disk_usage(folder if folder.exists() else PROJECT).free / 1e9
    advice = f"Make room, or set DRIFTLINE_HOME to a disk with {DISK_GIGABYTES:.0f} GB."
    return _check("disk", free >= DISK_GIGABYTES, f"{free:.0f} GB free at {folder}", advice)


def python(here: InstallPaths) -> Check:
    """The locked environment is there and is what the lock says."""
    if not here.python.exists():
        return _check("python", False, "no environment", _SETUP)
    current = stamps.done(here.stamps, "environment", environment.made_from())
    found = _run([str(here.python), "-V"]).removeprefix("Python ") or "does not run"
    state = "as locked" if current else "older than requirements.lock"
    return _check("python", current and found.startswith("3.11"), f"{found}, {state}", _SETUP)


def command(here: InstallPaths) -> Check:
    """The driftline command belongs to this checkout."""
    ok = project.installed(here)
    found = str(here.venv_bin / "driftline") if ok else "not installed for this checkout"
    return _check("command", ok, found, _SETUP)


def extension_modules(here: InstallPaths) -> Check:
    """The two modules that a glibc older than 2.38 cannot load unpatched."""
    name = "extension modules"
    modules = [here.site_packages / module for module in glibc.MODULES]
    missing = [module.name for module in modules if not module.exists()]
    if missing:
        return _check(name, False, f"no {missing[0]}", _SETUP)
    failed = [
        found.error for module in modules if not (found := glibc.load(here.python, module)).ok
    ]
    return _check(name, not failed, failed[0] if failed else f"{len(modules)} load", _SETUP)


def java_runtime(here: InstallPaths) -> Check:
    """Java 17 from its package."""
    found = java.version(here)
    return _check("java", found.startswith("17."), found or "does not run", _SETUP)


def jar_folder(engine: str, folder: Path) -> Check:
    """Every pinned jar is there with its size."""
    wanted = [jar for jar in jars.parse(jars.LOCK.read_text()) if jar.engine == engine]
    sizes = {file.name: file.stat().st_size for file in folder.glob("*.jar")}
    there = sum(sizes.get(jar.name) == jar.size for jar in wanted)
    found = f"{there} of {len(wanted)} jars"
    return _check(f"{engine} jars", there == len(wanted), found, _SETUP)


def flink_distribution(here: InstallPaths) -> Check:
    """Flink is there."""
    found = flink.version(here)
    return _check("flink", bool(found), found or "not installed", _SETUP)


def program(name: str, path: Path) -> Check:
    """A program runs and tells its version."""
    found = prometheus.version(path) if path.exists() else ""
    return _check(name, bool(found), found or f"{path} does not run", _SETUP)


def free_ports(ports: Mapping[str, int], home: Path) -> Check:
    """No other program holds a port of ours; not asked while our stack runs."""
    if _stack_runs(home):
        return _check("ports", True, "held by the running stack", "")
    taken = [f"{port} ({name})" for name, port in ports.items() if _listening(port)]
    found = f"taken: {', '.join(taken)}" if taken else f"{len(ports)} free"
    advice = "End the programs that hold them, or set local.port_offset in driftline.yaml."
    return _check("ports", not taken, found, advice)


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
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def main() -> int:
    """Print the checks; the status is 1 when one fails."""
    found = checks()
    for check in found:
        say(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.found} {check.advice}".rstrip())
    return 0 if all(check.ok for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
