"""Leases of devices: never shared, given back by the kernel when their holder is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deploy.services.device_lease import gpu_count, lease, try_lease
from tests.waiting import wait_for

GPUS = ("gpu:0", "gpu:1")

HOLDER = """
import sys
from pathlib import Path
from deploy.services.device_lease import try_lease
held = try_lease(("gpu:0",), all_of_them=True, folder=Path(sys.argv[1]))
print(held.devices, flush=True)
sys.stdin.readline()
"""


def test_two_workers_never_have_the_same_gpu(tmp_path: Path) -> None:
    first = try_lease(("gpu:1",), all_of_them=True, folder=tmp_path)
    assert first is not None
    assert first.visible_gpus == "1"
    assert try_lease(("gpu:1",), all_of_them=True, folder=tmp_path) is None
    other = try_lease(GPUS, all_of_them=False, folder=tmp_path)
    assert other is not None
    assert other.devices == ("gpu:0",)
    assert try_lease(GPUS, all_of_them=False, folder=tmp_path) is None
    first.release()
    assert try_lease(("gpu:0", "gpu:1"), all_of_them=True, folder=tmp_path) is None
    again = try_lease(("gpu:1",), all_of_them=True, folder=tmp_path)
    assert again is not None, "a lease that was not complete has kept nothing"
    again.release()
    other.release()


def test_each_worker_without_a_gpu_has_one_cpu_slot(tmp_path: Path) -> None:
    slots = ("cpu:0", "cpu:1")
    held = [try_lease(slots, all_of_them=False, folder=tmp_path) for _ in range(3)]
    assert [each and each.devices for each in held] == [("cpu:0",), ("cpu:1",), None]
    assert held[0] is not None
    assert held[0].visible_gpus == ""
    for each in held:
        if each is not None:
            each.release()


def test_a_worker_of_several_retrains_has_as_many_cpu_slots_as_are_free(tmp_path: Path) -> None:
    slots = ("cpu:0", "cpu:1", "cpu:2")
    first = try_lease(slots, all_of_them=False, folder=tmp_path, cpus=2)
    second = try_lease(slots, all_of_them=False, folder=tmp_path, cpus=2)
    assert [each and each.devices for each in (first, second)] == [("cpu:0", "cpu:1"), ("cpu:2",)]
    for each in (first, second):
        if each is not None:
            each.release()


def test_a_killed_worker_gives_its_gpu_back(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "('gpu:0',)"
        assert try_lease(("gpu:0",), all_of_them=True, folder=tmp_path) is None
    finally:
        holder.kill()
        holder.communicate()
    wait_for(
        lambda: try_lease(("gpu:0",), all_of_them=True, folder=tmp_path) is not None, seconds=20.0
    )


def test_a_worker_waits_for_its_device_and_stops_when_it_is_told_to(tmp_path: Path) -> None:
    held = try_lease(("gpu:7",), all_of_them=True, folder=tmp_path)
    assert held is not None
    pauses: list[float] = []
    stopped = lease("gpu:7", stop=lambda: len(pauses) >= 3, sleep=pauses.append, folder=tmp_path)
    assert stopped is None
    assert len(pauses) == 3
    released = lease("gpu:7", stop=lambda: False, sleep=lambda _: held.release(), folder=tmp_path)
    assert released is not None
    assert released.devices == ("gpu:7",)
    released.release()


def test_gpus_are_counted_by_their_device_files(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert gpu_count(tmp_path) == 2
    assert gpu_count(tmp_path / "none") == 0
