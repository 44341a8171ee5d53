"""Leases of devices: two workers of a machine never train on the same GPU or CPU slot.

A lease is a lock of the kernel on a file, one for each device. It ends with the process that holds
it, however that ends, so nothing has to be cleaned up after a crash. The files lie in a folder of
the user that is the same for every stack of the machine.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from streaming.contracts.errors import ConfigurationError

log = structlog.get_logger()

LOOK_SECONDS = 2.0
"""Interval at which a worker without a device looks for a free one."""

_LOOKS_PER_LINE = 15
_GPU = re.compile(r"nvidia\d+")


@dataclass(frozen=True, slots=True)
class DeviceLease:
    """Devices that this process holds until it ends or `release` is called."""

    devices: tuple[str, ...]
    """``gpu:0``, ``gpu:1``, … or one ``cpu:N``."""
    _files: tuple[int, ...]

    @property
    def visible_gpus(self) -> str:
        """What CUDA_VISIBLE_DEVICES has to be; empty on a CPU slot."""
        gpus = (name for name in self.devices if name.startswith("gpu:"))
        return ",".join(name.removeprefix("gpu:") for name in gpus)

    def release(self) -> None:
        """Give the devices back."""
        for file in self._files:
            os.close(file)


def lease_folder() -> Path:
    """The folder of the locks of this user on this machine."""
    return Path(tempfile.gettempdir()) / f"driftline-devices-{os.getuid()}"


def gpu_count(devices: Path = Path("/dev")) -> int:
    """Number of NVIDIA GPUs that this process may use; none are asked, so it takes no time."""
    names = (entry.name for entry in devices.iterdir()) if devices.is_dir() else ()
    return sum(bool(_GPU.fullmatch(name)) for name in names)


def candidates(
    requested: str, *, gpus: int, cpu_slots: int, visible: str | None = None
) -> tuple[tuple[str, ...], bool]:
    """The devices that a worker may lease, and whether it needs all of them.

    Parameters
    ----------
    requested:
        ``auto``: every GPU that no other worker has, or a CPU slot where the machine has no GPU.
        ``cpu``: a CPU slot. ``gpu:0`` or ``gpu:0,2``: exactly these.
    visible:
        CUDA_VISIBLE_DEVICES; where it is set, ``auto`` has no others.

    >>> candidates("auto", gpus=2, cpu_slots=4)
    (('gpu:0', 'gpu:1'), False)
    >>> candidates("gpu:1", gpus=2, cpu_slots=4)
    (('gpu:1',), True)
    >>> candidates("cpu", gpus=2, cpu_slots=2)
    (('cpu:0', 'cpu:1'), False)
    """
    if requested == "auto" and visible is not None:
        given = tuple(f"gpu:{name.strip()}" for name in visible.split(",") if name.strip())
        if given:
            return given, False
        requested = "cpu"
    if requested.startswith("gpu:"):
        numbers = requested.removeprefix("gpu:").split(",")
        return tuple(f"gpu:{number.strip()}" for number in numbers), True
    kind, count = ("gpu", gpus) if requested == "auto" and gpus else ("cpu", cpu_slots)
    return tuple(f"{kind}:{number}" for number in range(count)), False


def try_lease(
    names: Sequence[str], *, all_of_them: bool, folder: Path, cpus: int = 1
) -> DeviceLease | None:
    """Lease the free ones among these devices at once; None when there are too few.

    Of CPU slots at most `cpus` are leased.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{folder} is no folder of yours; remove it.")
    held: dict[str, int] = {}
    for name in names:
        if (file := _locked(folder / re.sub(r"[^\w-]", "-", name))) is not None:
            held[name] = file
            if name.startswith("cpu:") and len(held) == cpus:
                break
        elif all_of_them:
            break
    if held and (len(held) == len(names) or not all_of_them):
        return DeviceLease(tuple(held), tuple(held.values()))
    for file in held.values():
        os.close(file)
    return None


def lease(
    requested: str,
    *,
    stop: Callable[[], bool],
    sleep: Callable[[float], None],
    folder: Path | None = None,
    cpus: int = 1,
) -> DeviceLease | None:
    """Wait until the wanted devices are free; None when the worker is to stop before.

    Of CPU slots those of `cpus` that are free are leased, at least one.
    """
    names, all_of_them = candidates(
        requested,
        gpus=gpu_count(),
        cpu_slots=os.cpu_count() or 1,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    looks, folder = 0, folder or lease_folder()
    while not stop():
        leased = try_lease(names, all_of_them=all_of_them, folder=folder, cpus=cpus)
        if leased is not None:
            log.info("worker.devices", devices=leased.devices)
            return leased
        if looks % _LOOKS_PER_LINE == 0:
            log.info("worker.waiting", waits_for=f"{', '.join(names)}, which other workers hold")
        looks += 1
        sleep(LOOK_SECONDS)
    return None


def _locked(path: Path) -> int | None:
    """The open file when this process now holds its lock; None when another does."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
